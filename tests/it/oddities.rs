//! What disks do that nobody expects: links that run out, bytes shared by files that should not share more, a volume that
//! was put back from a copy.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::json;
use tar::EntryType;

use crate::{
    archive::{Tar, tar},
    image::Image,
    listing::{assert_unchanged, contents, listing_without_directory_times},
    part::need,
    pod::{LONGSHORE, Pod, open_to_all, text},
    run::{Runs as _, clean},
};

/// ext4 gives a file so many names.
const MOST_NAMES: u64 = 65_000;

/// As on a file server that gives a file 177 names: what is too many for it is copied.
#[test]
fn links_that_run_out_early() {
    let strace = need!("strace");
    let pod = Pod::new();
    let mut archive = Tar::new();
    for number in 0..400 {
        archive = archive.file(&format!("{}/{number}.txt", number % 7), b"the same");
    }
    let (seed, volume) = (pod.path("seed.tar"), pod.volume());
    fs::write(&seed, archive.finish()).expect("written");
    let mut command = Command::new(strace);
    // The first call is the trial, the last one the journal's.
    clean(&mut command).args(["-f", "-o", "/dev/null", "-e", "trace=linkat"]);
    command.args(["-e", "inject=linkat:error=EMLINK:when=178..401"]);
    command.args([LONGSHORE, "fill", "--volume", text(&volume), "--from", text(&seed)]).run().expect(0);
    let site = contents(&volume);
    assert_eq!(site.len(), 400);
    assert!(site.values().all(|bytes| bytes == b"the same"));
    let names = |path: &String| fs::metadata(volume.join(path)).expect("there").nlink();
    assert_eq!(site.keys().filter(|path| names(path) == 177).count(), 176, "linked, with the object");
    assert_eq!(site.keys().filter(|path| names(path) == 1).count(), 224, "copied");
    let served = pod.serve();
    served.patch("/site/", tar(&[("0/0.txt", b"another"), ("new.html", b"new")])).expect(200);
    assert_eq!(contents(&volume).values().filter(|bytes| *bytes == b"the same").count(), 399);
}

#[test]
fn more_files_of_the_same_bytes_than_a_file_may_have_names() {
    if std::env::var_os("TORTURE").is_none() {
        // Minutes, for what `links_that_run_out_early` shows in a second: `make torture` runs it.
        return;
    }
    let _root = need!("root");
    let pod = Pod::new();
    let flags = ["-q", "-N", "200000", "-b", "4096"];
    let Some(_image) = Image::mount(&pod.volume(), "mkfs.ext4", &flags, 700) else { return };
    open_to_all(&pod.volume());
    const FILES: u64 = 70_000;
    let mut archive = Tar::new();
    for number in 0..FILES {
        archive = archive.file(&format!("{}/{number}.txt", number / 1_000), b"the same");
    }
    let seed = pod.path("seed.tar");
    fs::write(&seed, archive.finish()).expect("written");
    pod.fill(&seed).expect(0);
    let names = |path: &str| fs::metadata(pod.volume().join(path)).expect("there").nlink();
    let (first, last) = (names("0/0.txt"), names("69/69999.txt"));
    assert!(first >= MOST_NAMES / 2 && last < MOST_NAMES / 2, "linked while that went ({first}), then copied ({last})");

    // A second generation beside the first, and one file of the many.
    let served = pod.serve();
    served.patch("/site/", tar(&[("0/0.txt", b"another"), ("new.html", b"new")])).expect(200);
    served.put("/site/69/69999.txt", "another").expect(200);
    let site = contents(&pod.volume());
    assert_eq!(site.len() as u64, FILES + 1);
    let same = site.values().filter(|bytes| **bytes == b"the same").count() as u64;
    assert_eq!(same, FILES - 2);
}

fn mtime(pod: &Pod, path: &str) -> i64 {
    fs::metadata(pod.volume().join(path)).expect("there").mtime()
}

#[test]
fn the_same_bytes_at_two_paths_keep_a_time_each() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/one.txt", "first")])).expect(0);
    let served = pod.serve();
    let mut times = Vec::new();
    for path in ["a/one.txt", "a/two.txt", "three.txt"] {
        served.put(&format!("/site/{path}"), "the same").expect(if path == "a/one.txt" { 200 } else { 201 });
        times.push((path, mtime(&pod, path)));
        // A change within the second of the one before gets the next second.
        std::thread::sleep(Duration::from_millis(2_100));
    }
    assert!(times[0].1 < times[1].1 && times[1].1 < times[2].1, "{times:?}");
    // A new generation, and a rollback to the one before.
    served.patch("/site/", tar(&[("index.html", b"new"), ("b/new.html", b"new")])).expect(200);
    for (path, time) in &times {
        assert_eq!(mtime(&pod, path), *time, "{path} over a deploy");
    }
    served.put("/site/a/one.txt", "another").expect(200);
    assert_eq!(fs::read(pod.volume().join("a/two.txt")).expect("read"), b"the same");
    served.rollback(&json!({ "to": 5 })).expect(200);
    for (path, time) in &times {
        assert_eq!(mtime(&pod, path), *time, "{path} over a rollback");
    }
}

#[test]
fn the_same_bytes_are_a_page_and_a_program() {
    let pod = Pod::new();
    let both = |page, program| {
        Tar::new().entry(EntryType::Regular, "run.txt", "", page, b"#!/bin/sh\n").entry(
            EntryType::Regular,
            "bin/run",
            "",
            program,
            b"#!/bin/sh\n",
        )
    };
    let seed = pod.path("seed.tar");
    fs::write(&seed, both(0o644, 0o755).finish()).expect("written");
    pod.fill(&seed).expect(0);
    let modes = || {
        ["run.txt", "bin/run"]
            .map(|path| fs::metadata(pod.volume().join(path)).expect("there").permissions().mode() & 0o777)
    };
    assert_eq!(modes(), [0o644, 0o755]);
    let served = pod.serve();
    served.patch("/site/", tar(&[("index.html", b"new"), ("b/new.html", b"new")])).expect(200);
    assert_eq!(modes(), [0o644, 0o755], "after a deploy");
    served.patch("/site/", both(0o755, 0o644).finish()).expect(200);
    assert_eq!(modes(), [0o755, 0o644], "exchanged");
    served.rollback(&json!({ "to": 1 })).expect(200);
    assert_eq!(modes(), [0o644, 0o755], "after a rollback");
}

/// `kubectl exec … sh -c 'echo x > index.html'` as root writes through every name that the bytes have.
#[test]
fn what_is_written_through_a_link_is_never_published_as_what_was_there() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/b.css", "b")])).expect(0);
    let served = pod.serve();
    let release = pod.release();
    fs::write(pod.volume().join("index.html"), "by hand").expect("written");

    let answer = served.patch("/site/", tar(&[("one.html", b"1"), ("c/two.html", b"2")]));
    let live = |path: &str| fs::read(pod.volume().join(path)).unwrap_or_default();
    if answer.status == 200 {
        // Taken over or put back: in either case what is shown is what the release says.
        let answer = served.get("/site/index.html").expect(200);
        assert_eq!(answer.body, live("index.html"), "one release, one page");
    } else {
        assert_eq!(answer.problem(), "damaged");
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("index.html")), "{answer}");
        assert_eq!(pod.release(), release, "nothing was committed");
        assert_ne!(served.get("/site/index.html").status, 200, "it is not handed out as the release's page");
        // The cure: the same file again.
        served.put("/site/index.html", "page").expect(200);
        served.patch("/site/", tar(&[("one.html", b"1"), ("c/two.html", b"2")])).expect(200);
        assert_eq!(live("index.html"), b"page");
        assert_eq!(served.get("/site/index.html").expect(200).text(), "page");
    }
    // Back to the first release: its page is its page, or the way back is refused; never other bytes.
    let back = served.rollback(&json!({ "to": release }));
    if back.status == 200 {
        assert_eq!(live("index.html"), b"page", "the first release has its own page");
    } else {
        back.problem();
    }
}

/// Copies a volume as a snapshot does: all of it, with or without the times.
fn copy(from: &Path, to: &Path, flags: &[&str]) {
    let _ = fs::remove_dir_all(to);
    Command::new("cp").args(flags).args([text(from), text(to)]).run().expect(0);
}

fn a_snapshot_put_back(flags: &[&str]) -> (Pod, PathBuf) {
    let pod = Pod::new();
    let snapshot = pod.path("snapshot");
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/b.css", "b"), ("a/c.css", "c")])).expect(0);
    let served = pod.serve();
    served.put("/site/index.html", "in the snapshot").expect(200);
    copy(&pod.volume(), &snapshot, flags);
    served.put("/site/index.html", "after it").expect(200);
    served.patch("/site/", tar(&[("d/new.html", b"new"), ("a/b.css", b"B")])).expect(200);
    served.terminate().expect(0);
    copy(&snapshot, &pod.volume(), flags);
    open_to_all(&pod.volume());
    (pod, snapshot)
}

#[test]
fn a_snapshot_that_is_put_back_is_served_and_goes_on() {
    let (pod, _) = a_snapshot_put_back(&["-a"]);
    let before = listing_without_directory_times(&pod.volume());
    let served = pod.serve();
    assert_eq!(served.get("/site/index.html").expect(200).text(), "in the snapshot");
    assert_eq!(served.releases().len(), 2, "what came after the snapshot never was");
    assert_unchanged(&before, &listing_without_directory_times(&pod.volume()), "a start on a snapshot");
    served.put("/site/index.html", "a new life").expect(200);
    served.patch("/site/", tar(&[("d/e.html", b"e"), ("a/b.css", b"2")])).expect(200);
    assert_eq!(fs::read(pod.volume().join("index.html")).expect("read"), b"a new life");
    served.rollback(&json!({ "to": 1 })).expect(200);
    assert_eq!(fs::read(pod.volume().join("index.html")).expect("read"), b"page");
}

/// `cp -r` sets every time anew and gives every name a file of its own.
#[test]
fn a_copy_without_times_is_served_and_set_right_by_the_next_deploy() {
    let (pod, _) = a_snapshot_put_back(&["-r"]);
    let served = pod.serve();
    assert_eq!(served.get("/site/index.html").expect(200).text(), "in the snapshot");
    assert_eq!(contents(&pod.volume())["a/c.css"], b"c");
    served.patch("/site/", tar(&[("d/e.html", b"e"), ("a/b.css", b"2")])).expect(200);
    assert_eq!(fs::read(pod.volume().join("a/c.css")).expect("read"), b"c");
    let modified = served.get("/site/a/c.css").expect(200).header("last-modified").to_owned();
    assert!(!modified.is_empty());
    served.terminate().expect(0);
    let before = listing_without_directory_times(&pod.volume());
    drop(pod.serve());
    assert_unchanged(&before, &listing_without_directory_times(&pod.volume()), "all is as it should be again");
}
