//! `longshore verify`: each thing that can be wrong on a volume is named, and nothing else is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    archive::tar,
    listing::{assert_unchanged, contents, listing},
    mount::Tmpfs,
    pod::{Pod, text},
    run::{Run, Runs as _},
    uploads::hex,
};

impl Pod {
    /// `longshore verify` with these flags besides `--volume`.
    pub(crate) fn verify(&self, flags: &[&str]) -> Run {
        self.command(&[&["verify", "--volume", text(&self.volume())], flags].concat()).run()
    }
}

const PAGE: &[u8] = b"the page of the first release";

/// A volume of three releases, nobody at work on it.
fn pod_with(flags: &[&str]) -> Pod {
    let pod = Pod::new();
    let page = std::str::from_utf8(PAGE).expect("text");
    let seed = pod.folder("seed", &[("index.html", page), ("assets/app.js", "script"), ("assets/deep/x.css", "style")]);
    pod.fill_with(&[&["--from", text(&seed)], flags].concat()).expect(0);
    let served = pod.serve();
    served.put("/site/", tar(&[("index.html", b"second"), ("assets/app.js", b"script"), ("tool", b"t")])).expect(200);
    served.put("/site/more.txt", "more").expect(201);
    served.terminate().expect(0);
    pod
}

fn pod() -> Pod {
    pod_with(&[])
}

fn object(pod: &Pod, bytes: &[u8]) -> PathBuf {
    let digest = hex(bytes);
    pod.volume().join(".longshore/objects").join(&digest[..2]).join(&digest[2..])
}

/// Changes one bit, and nothing that `stat` tells; other names of the inode show it, too.
fn flip(file: &Path) {
    let modified = fs::metadata(file).expect("it is there").modified().expect("a time");
    let mut bytes = fs::read(file).expect("it reads");
    bytes[0] ^= 1;
    fs::write(file, bytes).expect("it is written");
    fs::File::options().write(true).open(file).expect("it opens").set_modified(modified).expect("its time is set");
}

/// The lines that name something wrong.
fn findings(run: &Run) -> Vec<&str> {
    let lines: Vec<_> = run.stdout.lines().collect();
    let (summary, lines) = lines.split_last().expect("a summary");
    assert!(summary.starts_with("read "), "{}", run.stdout);
    lines.iter().copied().filter(|line| !line.starts_with("note: ")).collect()
}

#[track_caller]
fn assert_finds(run: Run, starts: &[&str]) -> Run {
    assert_eq!(run.code, Some(if starts.is_empty() { 0 } else { 4 }), "{run:#?}");
    let found = findings(&run);
    for start in starts {
        assert!(found.iter().any(|line| line.starts_with(start)), "{start:?} is not among {found:#?}");
    }
    for line in &found {
        assert!(starts.iter().any(|start| line.starts_with(start)), "{line:?} is a surprise");
    }
    run
}

#[test]
fn a_volume_without_a_release_has_nothing_to_verify() {
    let pod = Pod::new();
    assert!(pod.verify(&[]).expect(0).stdout.contains("nothing to verify"));
    fs::write(pod.volume().join("theirs.html"), "theirs").expect("it is written");
    let run = pod.verify(&[]).expect(0);
    assert!(run.stdout.contains("nothing to verify") && run.stdout.contains("theirs.html"), "{}", run.stdout);
    assert!(!pod.volume().join(".longshore").exists());
}

#[test]
fn a_volume_that_is_as_it_should_be_is_said_to_be_and_nothing_is_written() {
    for flags in [&[][..], &["--link", "html"], &["--layout", "files"]] {
        let pod = pod_with(flags);
        let before = listing(&pod.volume());
        let run = assert_finds(pod.verify(&[]), &[]);
        assert!(run.stdout.contains("all is right") && run.stdout.contains("3 entries"), "{}", run.stdout);
        assert_unchanged(&before, &listing(&pod.volume()), "verify");
    }
}

#[test]
fn a_flipped_bit_is_named_with_the_releases_that_need_it() {
    let pod = pod();
    let journal = pod.journal();
    flip(&object(&pod, PAGE));
    let run = assert_finds(pod.verify(&[]), &[&format!("damaged object {} (29 bytes): index.html", hex(PAGE))]);
    let release = journal[0].0["release"].as_str().expect("a release");
    assert!(run.stdout.contains(&format!("index.html of release {release} (entry 1)")), "{}", run.stdout);
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
}

#[test]
fn a_bit_flipped_through_a_hard_link_is_named_twice() {
    let pod = pod();
    flip(&pod.volume().join("index.html"));
    assert_finds(pod.verify(&[]), &[&format!("damaged object {}", hex(b"second")), "damaged file index.html"]);
}

#[test]
fn what_is_missing_is_named() {
    let pod = pod();
    fs::remove_file(object(&pod, PAGE)).expect("it is removed");
    fs::remove_file(pod.volume().join("..data/tool")).expect("it is removed");
    fs::remove_file(pod.volume().join("more.txt")).expect("the link is removed");
    fs::write(pod.volume().join("..data/assets/by-hand.txt"), "x").expect("it is written");
    let object = format!("missing object {}", hex(PAGE));
    let expected = [&*object, "missing file tool", "missing link more.txt", "foreign assets/by-hand.txt"];
    assert_finds(pod.verify(&[]), &expected);
}

#[test]
fn a_damaged_node_and_a_damaged_entry_are_named() {
    let pod = pod();
    let manifest = pod.journal()[0].0["release"].as_str().expect("a release").to_owned();
    flip(&pod.volume().join(".longshore/manifests").join(&manifest[..2]).join(&manifest[2..]));
    let run = assert_finds(pod.verify(&[]), &[&format!("damaged manifest node {manifest}")]);
    assert!(run.stdout.contains("the root of release"), "{}", run.stdout);
    let pod = self::pod();
    let entry = pod.volume().join(format!(".longshore/journal/{:020}.json", 2));
    let line = fs::read_to_string(&entry).expect("it reads");
    fs::write(&entry, line.replace("upload", "uplaod")).expect("it is written");
    // It is an entry still, with a cause that a later version may know, but entry 3 follows upon another.
    assert_finds(pod.verify(&[]), &["damaged journal entry 3"]);
    fs::write(&entry, "{").expect("it is written");
    assert_finds(pod.verify(&[]), &["damaged journal entry 2"]);
    fs::remove_file(&entry).expect("it is removed");
    assert_finds(pod.verify(&[]), &["missing journal entry 2"]);
}

#[test]
fn modes_and_times_count_but_for_what_kubelet_does() {
    let pod = pod();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is set");
    let tree = fs::canonicalize(pod.volume().join("..data")).expect("it is published");
    // With an fsGroup kubelet adds `u+rw,g+rw` to files, and `g+rwxs` to folders, all over the volume.
    let mut ahead = vec![pod.volume()];
    while let Some(path) = ahead.pop() {
        let about = fs::symlink_metadata(&path).expect("it is there");
        if about.is_dir() {
            ahead.extend(fs::read_dir(&path).expect("it lists").flatten().map(|entry| entry.path()));
            mode(&path, about.permissions().mode() | 0o2770);
        } else if about.is_file() {
            mode(&path, about.permissions().mode() | 0o660);
        }
    }
    assert_finds(pod.verify(&[]), &[]);
    mode(&tree.join("assets"), 0o700);
    fs::write(tree.join("copy"), "second").expect("it is written");
    fs::rename(tree.join("copy"), tree.join("index.html")).expect("it is replaced");
    assert_finds(pod.verify(&[]), &["damaged folder assets/: it has the mode 0700", "damaged file index.html"]);
}

#[test]
fn what_nothing_names_is_told_and_no_mistake() {
    let pod = pod();
    let stray = object(&pod, b"stray");
    fs::create_dir_all(stray.parent().expect("it has one")).expect("it is made");
    fs::write(&stray, "stray").expect("it is written");
    fs::set_permissions(&stray, fs::Permissions::from_mode(0o644)).expect("its mode is set");
    let run = assert_finds(pod.verify(&[]), &[]);
    assert!(run.stdout.contains("note: nothing names 1 objects"), "{}", run.stdout);
    // A later upload of these bytes would find it and publish it.
    fs::write(&stray, "strax").expect("it is written");
    assert_finds(pod.verify(&[]), &[&format!("damaged object {}: nothing needs it", hex(b"stray"))]);
}

#[test]
fn a_busy_server_is_no_finding() {
    let pod = pod();
    let served = pod.serve();
    let serve = |number: u32| {
        let text = number.to_string();
        served.put("/site/index.html", text.clone()).expect(200);
        served.put("/site/", tar(&[("index.html", text.as_bytes()), (&format!("{number}.txt"), b"x")])).expect(200);
        served.rollback(&json!({})).expect(200);
    };
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| (0..6).for_each(|_| drop(assert_finds(pod.verify(&[]), &[]))));
        (0..).take_while(|_| !verifying.is_finished()).for_each(serve);
        verifying.join().expect("it found nothing");
    });
    assert!(!contents(&pod.volume()).is_empty());
}

fn repair(pod: &Pod, flags: &[&str]) -> Run {
    pod.verify(&[&["--repair"], flags].concat())
}

/// What was set aside, by name.
fn quarantine(pod: &Pod) -> Vec<(String, Vec<u8>)> {
    let mut kept: Vec<_> = Vec::new();
    let mut ahead = vec![pod.volume().join(".longshore/quarantine")];
    while let Some(path) = ahead.pop() {
        if path.is_dir() {
            ahead.extend(fs::read_dir(&path).expect("it lists").flatten().map(|entry| entry.path()));
        } else if let Ok(bytes) = fs::read(&path) {
            kept.push((path.file_name().expect("a name").to_string_lossy().into_owned(), bytes));
        }
    }
    kept.sort();
    kept
}

#[test]
fn what_is_written_through_a_hard_link_is_mended_from_the_seed() {
    for flags in [&[][..], &["--link", "html"], &["--layout", "files"]] {
        let pod = Pod::new();
        let seed = pod.folder("seed", &[("index.html", "page"), ("assets/app.js", "script")]);
        pod.fill_with(&[&["--from", text(&seed)], flags].concat()).expect(0);
        let root = pod.volume().join(if flags.contains(&"html") { "html" } else { "" });
        let before = contents(&root);
        let modified = |name: &str| fs::metadata(root.join(name)).expect("it is there").modified().expect("a time");
        let (page, script) = (modified("index.html"), listing(&root.join("assets")));
        fs::write(root.join("index.html"), "x").expect("it is written, as root would");
        let object = format!("damaged object {} (4 bytes): index.html of release", hex(b"page"));
        assert_finds(pod.verify(&[]), &[&object, "damaged file index.html"]);
        let unmended = repair(&pod, &[]).expect(4);
        assert!(unmended.stdout.contains(&format!("missing object {}", hex(b"page"))), "{}", unmended.stdout);
        assert!(unmended.stdout.contains(&pod.release()), "the release that needs it is named: {}", unmended.stdout);
        let run = repair(&pod, &["--from", text(&seed)]).expect(0);
        assert!(run.stdout.contains(&format!("restored object {}", hex(b"page"))), "{}", run.stdout);
        assert!(run.stdout.contains("restored file index.html"), "{}", run.stdout);
        assert_eq!((contents(&root), modified("index.html")), (before, page));
        assert_unchanged(&script, &listing(&root.join("assets")), "a repair of something else");
        assert!(quarantine(&pod).iter().any(|(_, bytes)| bytes == b"x"), "{:?}", quarantine(&pod));
        let before = listing(&pod.volume());
        assert!(repair(&pod, &[]).expect(0).stdout.contains("all is right"));
        assert_unchanged(&before, &listing(&pod.volume()), "a repair of nothing");
    }
}

#[test]
fn an_object_is_mended_from_the_volume_and_a_file_from_its_object() {
    let pod = pod();
    let (object, tree) = (object(&pod, b"second"), pod.volume().join("..data"));
    // The object and the live file become two inodes, as where a file system has no links.
    fs::copy(&object, pod.path("copy")).expect("it is copied");
    fs::remove_file(&object).expect("it is removed");
    fs::copy(pod.path("copy"), &object).expect("it is put back");
    flip(&object);
    let run = repair(&pod, &[]).expect(0);
    assert!(run.stdout.contains("from a copy on the volume"), "{}", run.stdout);
    assert_eq!(quarantine(&pod), [(hex(b"second"), b"recond".to_vec())]);
    fs::remove_file(&object).expect("it is removed");
    repair(&pod, &[]).expect(0);
    assert_eq!(fs::read(&object).expect("it is there again"), b"second");

    // Now what is shown: everything that can be wrong with it at once.
    let before = contents(&pod.volume());
    fs::remove_file(tree.join("index.html")).expect("it is removed");
    fs::write(tree.join("index.html"), "somebody's").expect("it is written");
    fs::remove_dir_all(tree.join("assets")).expect("it is removed");
    fs::write(tree.join("assets"), "in the way").expect("it is written");
    fs::remove_file(tree.join("tool")).expect("it is removed");
    fs::create_dir(tree.join("tool")).expect("it is made");
    fs::write(tree.join("extra"), "extra").expect("it is written");
    fs::set_permissions(tree.join("more.txt"), fs::Permissions::from_mode(0o600)).expect("its mode is set");
    fs::remove_file(pod.volume().join("index.html")).expect("the link is removed");
    fs::write(pod.volume().join("index.html"), "copied over the link").expect("it is written");
    fs::remove_file(pod.volume().join("tool")).expect("the link is removed");
    let run = repair(&pod, &[]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(contents(&pod.volume()), before);
    assert!(fs::symlink_metadata(pod.volume().join("index.html")).expect("it is there").is_symlink());
    assert_eq!(fs::metadata(tree.join("more.txt")).expect("it is there").permissions().mode() & 0o777, 0o644);
    let kept: Vec<_> = quarantine(&pod).into_iter().map(|(_, bytes)| bytes).collect();
    for bytes in ["somebody's", "in the way", "extra", "copied over the link"] {
        assert!(kept.iter().any(|kept| kept == bytes.as_bytes()), "{bytes} is kept");
    }
    fs::remove_file(pod.volume().join("..data")).expect("it is removed");
    assert_finds(pod.verify(&[]), &["missing link ..data"]);
    repair(&pod, &[]).expect(0);
    assert_eq!(contents(&pod.volume()), before);
}

#[test]
fn a_node_is_mended_from_a_seed_or_from_what_is_shown() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page"), ("assets/app.js", "script")]);
    pod.fill(&seed).expect(0);
    let damage = || {
        for shard in fs::read_dir(pod.volume().join(".longshore/manifests")).expect("it lists").flatten() {
            fs::read_dir(shard.path()).expect("it lists").flatten().for_each(|node| flip(&node.path()));
        }
    };
    damage();
    let run = pod.verify(&[]).expect(4);
    let lines = findings(&run);
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("the root of release"), 2, "the roots of manifest and times: {lines:#?}");
    assert_eq!(count("nothing that can be read needs it"), 2, "what lies below: {lines:#?}");
    // What lies below them comes to light with them.
    let run = repair(&pod, &["--from", text(&seed)]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_finds(pod.verify(&[]), &[]);
    let served = pod.serve();
    served.put("/site/index.html", "second").expect(200);
    served.terminate().expect(0);
    damage();
    fs::remove_dir_all(&seed).expect("it is removed");
    let run = repair(&pod, &[]).expect(4);
    let first = pod.journal()[0].0["release"].as_str().expect("a release").to_owned();
    assert!(run.stdout.contains(&format!("missing manifest node {first}")), "{}", run.stdout);
}

#[test]
fn a_repair_beside_a_server_is_what_the_server_then_serves() {
    let pod = pod();
    let served = pod.serve();
    fs::write(pod.volume().join("index.html"), "x").expect("it is written");
    served.get("/site/index.html").expect(500);
    let seed = pod.folder("seed", &[("any.html", "second")]);
    let run = repair(&pod, &["--from", text(&seed)]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(served.get("/site/index.html").expect(200).text(), "second");
    served.put("/site/new/folder/x", "x").expect(201);
    assert_eq!(fs::read(pod.volume().join("index.html")).expect("it is shown"), b"second");
    served.terminate().expect(0);
    assert_finds(pod.verify(&[]), &[]);
}

#[test]
fn a_read_only_volume_is_verified() {
    let pod = Pod::new();
    let Some(disk) = Tmpfs::mount(&pod.volume(), "size=16m") else { return };
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    disk.make_read_only();
    assert_finds(pod.verify(&[]), &[]);
    disk.make_writable();
    fs::write(pod.volume().join("index.html"), "x").expect("it is written");
    disk.make_read_only();
    assert_finds(pod.verify(&[]), &["damaged object", "damaged file index.html"]);
    let run = repair(&pod, &["--from", text(&pod.path("seed"))]).expect(6);
    assert!(run.stderr.contains("Read-only file system"), "{}", run.stderr);
}
