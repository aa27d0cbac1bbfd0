use std::{
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::Path,
};

use super::super::{
    Kind, Source, Summary,
    basket::{Basket, expected},
};
use crate::source::{Error, Location};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

fn open(path: &Path) -> Source {
    Source::open(&Location::from(path.to_path_buf()), runtime().handle()).expect("a path is never refused")
}

fn read(path: &Path) -> (Basket, Result<Summary, Error>) {
    let basket = Basket::default();
    let outcome = basket.fill(|reading| open(path).read(reading));
    (basket, outcome)
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    folder
}

/// The kind and the text of the error with its causes.
fn refusal(path: &Path) -> (Kind, String) {
    let error = read(path).1.expect_err("it is refused");
    (error.kind(), format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)))
}

#[test]
fn reads_files_and_their_executable_bit() {
    let folder = folder(&[("index.html", "hi"), ("a/b/c d.css", "x"), ("bin/run", "#!"), ("lost+found/x", "no")]);
    fs::set_permissions(folder.path().join("bin/run"), fs::Permissions::from_mode(0o700)).expect("a mode");
    let (basket, outcome) = read(folder.path());
    assert_eq!(outcome.expect("it is plain"), Summary { files: 3, bytes: 5 });
    assert_eq!(basket.files(), expected([("index.html", "hi"), ("a/b/c d.css", "x"), ("bin/run*", "#!")]));
    assert_eq!((basket.progress.files(), basket.progress.bytes(), basket.progress.totals()), (3, 5, Some((3, 5))));
}

#[test]
fn reads_a_config_map_mount() {
    let folder =
        folder(&[("..2026_01_01/index.html", "hi"), ("..2026_01_01/style.css", "x"), ("..2025/index.html", "old")]);
    symlink("..2026_01_01", folder.path().join("..data")).expect("a link");
    for name in ["index.html", "style.css"] {
        symlink(format!("..data/{name}"), folder.path().join(name)).expect("a link");
    }
    let (basket, outcome) = read(folder.path());
    outcome.expect("kubelet made it");
    assert_eq!(basket.files(), expected([("index.html", "hi"), ("style.css", "x")]));
}

#[test]
fn follows_links_inside() {
    let folder = folder(&[("a/x", "1"), ("b/y", "2")]);
    symlink("../a", folder.path().join("b/a")).expect("a link");
    symlink("b/a/../b/y", folder.path().join("z")).expect("a link");
    assert_eq!(
        read(folder.path()).0.files(),
        expected([("a/x", "1"), ("b/a/x", "1"), ("b/y", "2")]).into_iter().chain([("z".into(), "2".into())]).collect()
    );
}

#[test]
fn refuses_links_that_leave_dangle_or_loop() {
    for (target, why) in [
        ("/etc/passwd", "leaves"),
        ("../../etc/passwd", "leaves"),
        ("nowhere", "leads to nothing"),
        ("link", "leads to itself"),
        (".", "a loop"),
        ("/proc/self/root/etc/passwd", "leaves"),
    ] {
        let folder = folder(&[("index.html", "hi")]);
        symlink(target, folder.path().join("link")).expect("a link");
        let (kind, text) = refusal(folder.path());
        assert_eq!(kind, Kind::Refused);
        assert!(
            text.contains("\"link\"") && text.contains(why) || text.contains("link/") && text.contains(why),
            "{text}"
        );
    }
}

#[test]
fn refuses_what_is_no_file_without_hanging() {
    let folder = folder(&[("index.html", "hi")]);
    let fifo = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    assert!(refusal(folder.path()).1.contains("\"pipe\" is a FIFO"));
    assert!(refusal(&fifo).1.contains("is a FIFO"));
    fs::remove_file(&fifo).expect("it is there");
    let _socket = std::os::unix::net::UnixListener::bind(&fifo).expect("a socket");
    assert!(refusal(folder.path()).1.contains("\"pipe\" is a socket"));
}

#[test]
fn refuses_names_that_a_site_cannot_have() {
    for name in [&b"a\xff"[..], b"a\nb", b"a\\b", b".longshore"] {
        let folder = folder(&[("index.html", "hi")]);
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), "x").expect("a file");
        assert_eq!(refusal(folder.path()).0, Kind::Refused);
    }
}

#[test]
fn tells_absent_from_empty() {
    let folder = folder(&[("..data/x", "1"), ("lost+found/y", "2")]);
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    assert_eq!(open(folder.path()).mark().expect_err("no file").kind(), Kind::Empty);
    assert_eq!(refusal(folder.path()).0, Kind::Empty);
    assert_eq!(open(&folder.path().join("no")).mark().expect_err("nothing").kind(), Kind::Absent);
}

#[test]
fn marks_change_with_the_content() {
    let folder = folder(&[("a", "1"), ("b", "2")]);
    let mark = || open(folder.path()).mark().expect("a mark");
    let before = mark();
    assert_eq!(before, mark());
    fs::write(folder.path().join("b"), "3").expect("a file");
    assert_ne!(before, mark());
}

#[test]
fn reads_again_what_changed_meanwhile() {
    let folder = folder(&[("a", "old"), ("b", "old"), ("gone", "x")]);
    let root = folder.path().to_path_buf();
    let once = std::sync::Once::new();
    let change = move |_: &super::Item| {
        once.call_once(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::write(root.join("a"), "newer").expect("a file");
            fs::write(root.join("b"), "newer").expect("a file");
            fs::remove_file(root.join("gone")).expect("it is there");
            fs::write(root.join("c"), "new").expect("a file");
        });
    };
    let basket = Basket::with(change);
    let summary = basket.fill(|reading| open(folder.path()).read(reading)).expect("it came to rest");
    assert_eq!(basket.files(), expected([("a", "newer"), ("b", "newer"), ("c", "new")]));
    assert_eq!(summary, Summary { files: 3, bytes: 13 });
}

#[test]
fn gives_up_on_what_never_rests() {
    let folder = folder(&[("a", "x")]);
    let path = folder.path().join("a");
    let change = move |_: &super::Item| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(&path, "y").expect("a file");
    };
    let basket = Basket::with(change);
    let error = basket.fill(|reading| open(folder.path()).read(reading)).expect_err("it never rests");
    assert!(matches!(error, Error::Restless { .. }), "{error}");
}

#[test]
fn says_whose_error_it_was() {
    let folder = folder(&[("a", "x")]);
    let progress = super::super::Progress::default();
    let outcome = open(folder.path()).read(&super::super::Reading {
        sink: &|_, _| Err("full".into()),
        forget: &|_| (),
        scratch: &|| tempfile::tempfile(),
        progress: &progress,
        is_one_of_many: false,
    });
    assert!(matches!(outcome, Err(Error::Sink { source, .. }) if source.to_string() == "full"));
    let outcome = open(folder.path()).read(&super::super::Reading {
        sink: &|_, _| Ok(()),
        forget: &|_| (),
        scratch: &|| tempfile::tempfile(),
        progress: &progress,
        is_one_of_many: false,
    });
    assert!(matches!(outcome, Err(Error::Sink { .. })), "a taker that does not read is an error");
}

#[test]
fn never_ends_a_file_that_changed_meanwhile() {
    let folder = folder(&[("a", "old")]);
    let path = folder.path().join("a");
    let once = std::sync::Once::new();
    let change = move |_: &super::Item| {
        once.call_once(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            fs::write(&path, "new").expect("a file");
        });
    };
    let basket = Basket::with(change);
    basket.fill(|reading| open(folder.path()).read(reading)).expect("it came to rest");
    assert_eq!(basket.files(), expected([("a", "new")]));
    assert_eq!(basket.progress.files(), 1, "the first reading had no end");
}

#[test]
fn forgets_what_vanished_after_it_was_read() {
    let folder = folder(&[("gone", "x"), ("z", "y")]);
    let gone = folder.path().join("gone");
    let vanish = move |item: &super::Item| {
        if item.path.as_str() == "z" {
            // Long enough for another thread to have read it.
            std::thread::sleep(std::time::Duration::from_millis(200));
            fs::remove_file(&gone).expect("it is there");
        }
    };
    let basket = Basket::with(vanish);
    let summary = basket.fill(|reading| open(folder.path()).read(reading)).expect("it came to rest");
    assert_eq!(basket.files(), expected([("z", "y")]));
    assert_eq!(summary, Summary { files: 1, bytes: 1 });
    assert_eq!(basket.progress.files(), 2, "it was read first");
}
