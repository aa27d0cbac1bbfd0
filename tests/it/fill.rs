//! `longshore fill`: when it fills, when it leaves alone, and that it never does half of it.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    listing::{assert_unchanged, contents, is_blank, listing, staging_leftovers},
    part::need,
    pod::{Pod, text},
    run::{Runs as _, clean},
};

/// Files enough for a fill to be met in the middle.
fn many(pod: &Pod, name: &str) -> BTreeMap<String, Vec<u8>> {
    let names: Vec<_> = (0..200).map(|number| format!("folder {}/page {number}.html", number % 20)).collect();
    let texts: Vec<_> = (0..200).map(|number| format!("{number} ").repeat(500 + number * 5)).collect();
    let files: Vec<_> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    contents(&pod.folder(name, &files))
}

#[test]
fn a_second_fill_writes_nothing() {
    let pod = Pod::new();
    let site = many(&pod, "seed");
    let seed = pod.path("seed");
    pod.fill(&seed).expect(0);
    assert_eq!(contents(&pod.volume()), site);
    for when in ["empty", "unmodified", "always"] {
        let before = listing(&pod.volume());
        pod.fill_with(&["--from", text(&seed), "--when", when]).expect(0);
        assert_unchanged(&before, &listing(&pod.volume()), &format!("a second fill --when {when}"));
    }
}

#[test]
fn a_filled_volume_does_not_need_its_source() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let before = listing(&pod.volume());
    assert_eq!(contents(&pod.volume())["index.html"], b"page");
    pod.fill(pod.path("gone")).expect(0);
    assert_unchanged(&before, &listing(&pod.volume()), "a fill from a source that is gone");
}

#[test]
fn two_fills_at_once_make_one_seed_and_both_succeed() {
    fills_at_once(2);
}

#[test]
fn eight_fills_at_once_make_one_seed_and_all_succeed() {
    fills_at_once(8);
}

fn fills_at_once(count: usize) {
    let pod = Pod::new();
    let site = many(&pod, "seed");
    std::thread::scope(|scope| {
        let fills: Vec<_> = (0..count).map(|_| scope.spawn(|| pod.fill(pod.path("seed")))).collect();
        for fill in fills {
            fill.join().expect("a fill ends").expect(0);
        }
    });
    assert_eq!(pod.causes(), ["seed"]);
    assert_eq!(contents(&pod.volume()), site);
    assert_eq!(staging_leftovers(&pod.volume()), Vec::<PathBuf>::new());
}

#[test]
fn lost_and_found_does_not_count_as_content() {
    let pod = Pod::new();
    fs::create_dir(pod.volume().join("lost+found")).expect("it is made");
    fs::write(pod.volume().join("lost+found/#12"), "an orphan").expect("it is written");
    let before = listing(&pod.volume().join("lost+found"));
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    assert_eq!(contents(&pod.volume()), BTreeMap::from([("index.html".to_owned(), b"page".to_vec())]));
    assert_unchanged(&before, &listing(&pod.volume().join("lost+found")), "a fill");
}

#[test]
fn foreign_content_is_left_alone() {
    let pod = Pod::new();
    fs::create_dir(pod.volume().join("photos")).expect("it is made");
    fs::write(pod.volume().join("index.html"), "somebody's page").expect("it is written");
    fs::write(pod.volume().join("photos/a.jpg"), "somebody's photo").expect("it is written");
    let before = listing(&pod.volume());
    let run = pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    assert_unchanged(&before, &listing(&pod.volume()), "a fill of a volume with foreign content");
    assert!(!run.stderr.is_empty(), "the log says why nothing was filled");
}

#[test]
fn when_says_whether_a_changed_seed_is_taken() {
    let pod = Pod::new();
    let fill = |when: &str| pod.fill_with(&["--from", text(&pod.path("seed")), "--when", when]).expect(0);
    let page = || String::from_utf8(contents(&pod.volume())["index.html"].clone()).expect("text");
    pod.folder("seed", &[("index.html", "one"), ("old.html", "old")]);
    fill("empty");

    pod.folder("seed", &[("index.html", "two")]);
    fill("empty");
    assert_eq!(page(), "one", "not empty any more");
    fill("unmodified");
    assert_eq!(page(), "two", "nobody has uploaded since");
    assert!(!contents(&pod.volume()).contains_key("old.html"), "what the seed lost is gone");
    assert_eq!(pod.causes(), ["seed", "seed"]);

    let served = pod.serve();
    served.put("/site/index.html", "uploaded").expect(200);
    served.terminate().expect(0);
    pod.folder("seed", &[("index.html", "three")]);
    fill("unmodified");
    assert_eq!(page(), "uploaded", "somebody has uploaded since");
    fill("always");
    assert_eq!(page(), "three");
    fill("unmodified");
    assert_eq!(pod.causes(), ["seed", "seed", "patch", "seed"]);
}

/// Where a fill is killed: at a thread's n-th call of this name, which is still carried out.
const DEATHS: [(&str, u32); 13] = [
    ("mkdirat", 1),
    ("mkdirat", 7),
    ("flock", 1),
    ("openat2", 40),
    ("openat2", 300),
    ("syncfs", 1),
    ("syncfs", 2),
    ("renameat", 1),
    ("renameat", 100),
    ("linkat", 1),
    ("linkat", 150),
    ("symlinkat", 2),
    ("fsync", 6),
];

#[test]
fn a_fill_killed_at_any_moment_shows_nothing_or_all_and_is_finished_by_the_next() {
    let strace = need!("strace");
    let (mut killed, mut blank) = (0, 0);
    for (call, nth) in DEATHS {
        let pod = Pod::new();
        let site = many(&pod, "seed");
        let fill = pod.fill_command(&["--from", text(&pod.path("seed"))]);
        let mut command = Command::new(&strace);
        let inject = format!("inject={call}:signal=KILL:when={nth}");
        clean(&mut command).args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
        let run = command.arg(fill.get_program()).args(fill.get_args()).run();
        killed += u32::from(run.code.is_none());

        if is_blank(&pod.volume()) {
            blank += 1;
        } else if fs::metadata(pod.volume().join("..data")).is_ok() {
            // Links are made one by one before the flip: until it, they lead nowhere.
            assert_eq!(contents(&pod.volume()), site, "killed at {call} {nth}");
        }
        pod.fill(pod.path("seed")).expect(0);
        assert_eq!(contents(&pod.volume()), site, "finished after a kill at {call} {nth}");
        assert_eq!(pod.causes(), ["seed"]);
        assert_eq!(staging_leftovers(&pod.volume()), Vec::<PathBuf>::new());
    }
    assert!(killed >= 11 && blank >= 6, "the kills must meet a fill: {killed} killed, {blank} blank");
}

#[test]
fn a_site_may_have_more_folders_than_a_process_may_have_descriptors() {
    let pod = Pod::new();
    let names: Vec<_> = (0..600).map(|number| format!("{}/{number}/page.html", number % 30)).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let seed = pod.folder("seed", &files);
    let fill = pod.fill_command(&["--from", text(&seed)]);
    let mut limited = Command::new("prlimit");
    clean(&mut limited).arg("--nofile=96").arg(fill.get_program()).args(fill.get_args()).run().expect(0);
    assert_eq!(contents(&pod.volume()), contents(&seed));
}

#[test]
fn a_config_map_is_a_source() {
    let pod = Pod::new();
    let mount = pod.folder("seed", &[("..2026_11_25/index.html", "page"), ("..2026_11_25/style.css", "style")]);
    symlink("..2026_11_25", mount.join("..data")).expect("a link is made");
    symlink("..data/index.html", mount.join("index.html")).expect("a link is made");
    symlink("..data/style.css", mount.join("style.css")).expect("a link is made");
    pod.fill(&mount).expect(0);
    let site = contents(&pod.volume());
    assert_eq!(site.keys().collect::<Vec<_>>(), ["index.html", "style.css"]);
    assert_eq!(site["index.html"], b"page");
    let generation = fs::canonicalize(pod.volume().join("..data")).expect("it resolves");
    for entry in fs::read_dir(generation).expect("it lists").flatten() {
        assert!(entry.file_type().expect("it has one").is_file(), "a generation holds plain files: {entry:?}");
    }
}

#[test]
fn a_link_that_leaves_its_source_is_an_error_that_names_it() {
    for target in ["/etc/passwd", "../outside.html", "../../../../../../etc/passwd"] {
        let pod = Pod::new();
        fs::write(pod.path("outside.html"), "a secret").expect("it is written");
        let seed = pod.folder("seed", &[("index.html", "page")]);
        symlink(target, seed.join("evil.html")).expect("a link is made");
        let run = pod.fill(&seed);
        assert!(run.code.is_some_and(|code| code != 0), "{target}: {run:?}");
        assert!(run.stderr.contains("evil.html"), "{target}: the link is named: {}", run.stderr);
        assert!(is_blank(&pod.volume()), "{target}");
        assert_eq!(pod.journal().len(), 0, "{target}");
    }
}

#[test]
fn special_files_and_reserved_names_in_a_source_do_not_reach_the_volume() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page"), ("lost+found/x", "x"), ("a/..hidden/y", "y")]);
    let fifo = seed.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0).expect("a FIFO is made");
    let start = Instant::now();
    let run = pod.fill(&seed);
    assert!(start.elapsed() < Duration::from_secs(30), "nobody writes into the FIFO: it must not be opened");
    match run.code {
        // Left out, or refused: either is safe. A FIFO in a document root would hang the server.
        Some(0) => assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["index.html"]),
        _ => {
            assert!(run.stderr.contains("pipe") || run.stderr.contains("lost+found"), "{}", run.stderr);
            assert!(is_blank(&pod.volume()));
        }
    }
}

#[test]
fn the_first_source_that_is_there_wins() {
    let pod = Pod::new();
    let (absent, empty) = (pod.path("absent"), pod.folder("empty", &[]));
    let (first, second) = (pod.folder("first", &[("a.html", "first")]), pod.folder("second", &[("b.html", "second")]));
    let sources = [&absent, &empty, &first, &second].map(|path| ["--from", text(path)]);
    pod.fill_with(&sources.concat()).expect(0);
    assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["a.html"]);
}

#[test]
fn several_sources_come_from_one_variable_too() {
    let pod = Pod::new();
    let first = pod.folder("first", &[("a.html", "first")]);
    let mut command = pod.command(&["fill"]);
    command.env("LONGSHORE_VOLUME", pod.volume());
    command.env("LONGSHORE_FROM", format!("{}\n{}\n", pod.path("absent").display(), first.display()));
    command.run().expect(0);
    assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["a.html"]);
}

#[test]
fn an_absent_or_empty_source_is_exit_3_and_leaves_the_volume_blank() {
    for name in ["absent", "empty"] {
        let pod = Pod::new();
        let empty = pod.folder("empty", &[]);
        fs::create_dir(empty.join("folder")).expect("a folder without a file is made");
        let run = pod.fill(pod.path(name)).expect(3);
        assert!(run.stderr.contains("error: "), "{}", run.stderr);
        assert!(run.stderr.contains(text(&pod.path(name))), "the source is named: {}", run.stderr);
        assert!(is_blank(&pod.volume()));
        pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
        assert_eq!(contents(&pod.volume())["index.html"], b"page", "a later fill works");
    }
}
