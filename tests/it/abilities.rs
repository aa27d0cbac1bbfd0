//! What the file system of a volume can and cannot do: tried when something is about to be written, told, and used.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    archive::tar,
    image::Image,
    listing::{contents, listing},
    part::{need, part},
    pod::{LONGSHORE, Pod, open_to_all, text},
    run::{Run, Runs as _, clean},
};

/// `longshore fill` where `calls` fail as on a file system that lacks them; its trace, and how it ended.
fn fill_without(pod: &Pod, calls: &str, errno: &str, flags: &[&str]) -> Option<(String, Run)> {
    let strace = part("strace")?;
    let trace = pod.path("trace");
    let (volume, seed) = (pod.volume(), pod.path("seed"));
    let mut command = Command::new(strace);
    clean(&mut command).args(["-f", "-o", text(&trace), "-e", "trace=mkdirat,linkat,symlinkat,renameat2"]);
    if !calls.is_empty() {
        command.args(["-e", &format!("inject={calls}:error={errno}")]);
    }
    command.args([LONGSHORE, "fill", "--volume", text(&volume), "--from", text(&seed)]).args(flags);
    let run = command.run();
    Some((fs::read_to_string(trace).expect("a trace reads"), run))
}

fn seeded() -> Pod {
    let pod = Pod::new();
    pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a"), ("assets/b.css", "b")]);
    pod
}

#[test]
fn without_symbolic_links_another_layout_is_named_and_works() {
    let pod = seeded();
    for flags in [&[][..], &["--link", "html"]] {
        let Some((_, run)) = fill_without(&pod, "symlinkat", "EPERM", flags) else { return };
        let run = run.expect(6);
        assert!(run.stderr.contains("symbolic links") && run.stderr.contains("--layout files"), "{}", run.stderr);
    }
    let Some((_, run)) = fill_without(&pod, "symlinkat", "EPERM", &["--layout", "files"]) else { return };
    run.expect(0);
    assert_eq!(contents(&pod.volume()), contents(&pod.path("seed")));
}

#[test]
fn without_hard_links_a_release_is_copied_and_that_is_said_once() {
    let pod = seeded();
    let Some((trace, run)) = fill_without(&pod, "linkat", "EPERM", &[]) else { return };
    let run = run.expect(0);
    assert_eq!(run.stderr.matches("no hard links: each release takes its full size").count(), 1, "{}", run.stderr);
    assert_eq!(contents(&pod.volume()), contents(&pod.path("seed")));
    for name in ["index.html", "assets/a.css"] {
        assert_eq!(fs::metadata(pod.volume().join(name)).expect("there").nlink(), 1, "{name} is a copy");
    }
    // The trial, and the journal's entry, which goes another way then: no file is tried by itself.
    assert_eq!(trace.matches("linkat(").count() - trace.matches("symlinkat(").count(), 2, "{trace}");
}

#[test]
fn a_trial_comes_once_and_only_before_a_write() {
    let pod = seeded();
    for (expected, when) in [(1, "the first"), (0, "the second, which has nothing to do")] {
        let Some((trace, run)) = fill_without(&pod, "", "", &[]) else { return };
        run.expect(0);
        assert_eq!(trace.matches("RENAME_EXCHANGE").count(), expected, "{when} fill: {trace}");
    }
    let left = listing(&pod.volume()).into_keys().filter(|path| path.to_string_lossy().contains("trial"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

/// Blocks that a file system has handed out.
fn used(at: &Path) -> u64 {
    let about = rustix::fs::statvfs(at).expect("a mounted file system answers");
    (about.f_blocks - about.f_bfree) * about.f_frsize
}

fn reflinks_keep_each_release_apart(mkfs: &str, flags: &[&str]) {
    const LARGE: usize = 24 << 20;
    let pod = seeded();
    let Some(_image) = Image::mount(&pod.volume(), mkfs, flags, 320) else { return };
    open_to_all(&pod.volume());
    let large = crate::faults::noise(LARGE);
    fs::write(pod.path("seed/large.bin"), &large).expect("written");
    pod.fill(pod.path("seed")).expect(0);
    let live = |name: &str| pod.volume().join("..data").join(name);
    assert_eq!(fs::metadata(live("large.bin")).expect("there").nlink(), 1, "a file of its own");

    let served = pod.serve();
    let (before, files) = (used(&pod.volume()), contents(&pod.volume()));
    served.patch("/site/", tar(&[("one.html", b"one"), ("two.html", b"two")])).expect(200);
    let grown = used(&pod.volume()).saturating_sub(before);
    assert!(grown < LARGE as u64 / 4, "the second generation shares blocks, it took {grown}");
    assert_eq!(contents(&pod.volume()).len(), files.len() + 2);

    // As `kubectl exec … > index.html` would: the next release has the page again, since the object is another file.
    fs::write(live("index.html"), "by hand").expect("written in place");
    served.patch("/site/", tar(&[("one.html", b"1"), ("two.html", b"2")])).expect(200);
    assert_eq!(fs::read_to_string(live("index.html")).expect("read"), "page");
    assert!(fs::read(live("large.bin")).expect("read") == large, "the large file is what it was");
}

#[test]
fn reflinks_keep_each_release_apart_on_xfs() {
    reflinks_keep_each_release_apart("mkfs.xfs", &["-q"]);
}

#[test]
fn reflinks_keep_each_release_apart_on_btrfs() {
    reflinks_keep_each_release_apart("mkfs.btrfs", &["-q"]);
}

#[test]
fn hard_links_save_the_inodes_where_there_are_no_reflinks() {
    let _root = need!("root");
    let pod = seeded();
    let Some(_image) = Image::mount(&pod.volume(), "mkfs.ext4", &["-q"], 64) else { return };
    open_to_all(&pod.volume());
    pod.fill(pod.path("seed")).expect(0);
    assert_eq!(fs::metadata(pod.volume().join("index.html")).expect("there").nlink(), 2, "with the object");
}
