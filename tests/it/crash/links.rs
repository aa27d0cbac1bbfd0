//! A file system that gives an inode few names: EFS knows 177.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::errno::Errno;

use super::{
    format, oracle,
    session::{Judge, Session, Told},
};
use crate::{
    archive::tar,
    part::need,
    pod::Pod,
    tracer::{Call, Verdict},
};

const NAMES: u64 = 177;
const FILES: usize = 400;

/// Says of a volume what EFS would; counts how often.
fn efs(volume: PathBuf) -> (Judge, Arc<AtomicUsize>) {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let judge = move |call: &Call| {
        let is_full = || fs::symlink_metadata(volume.join(&call.path)).is_ok_and(|about| about.nlink() >= NAMES);
        if call.name == "linkat" && is_full() {
            count.fetch_add(1, Ordering::SeqCst);
            return Verdict::Fail(Errno::EMLINK);
        }
        Verdict::Run
    };
    (Arc::new(judge), refused)
}

/// Every inode below `.longshore` with how many names it has there.
fn names(folder: &Path, found: &mut BTreeMap<u64, u64>) {
    for entry in fs::read_dir(folder).expect("a folder lists").flatten() {
        let about = fs::symlink_metadata(entry.path()).expect("it is there");
        if about.is_dir() {
            names(&entry.path(), found);
        } else {
            *found.entry(about.ino()).or_default() += 1;
        }
    }
}

#[test]
fn a_site_of_identical_files_needs_more_names_than_an_inode_has() {
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    let pod = Pod::in_memory();
    let (judge, refused) = efs(pod.volume());
    let mut session = Session::new(&pod, &[], &[], Some(judge));
    let paths: Vec<_> = (0..FILES).map(|n| format!("{}/{n}.txt", n % 3)).collect();
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), "the same bytes")).collect();
    let is_shown = |files: &[(&str, &str)]| {
        let site = oracle::shown(&pod.volume());
        assert_eq!(site.len(), files.len());
        assert!(files.iter().all(|(path, text)| site[*path] == text.as_bytes()));
        let mut found = BTreeMap::new();
        names(&pod.volume().join(".longshore"), &mut found);
        assert!(found.values().all(|count| *count <= NAMES), "no inode has more names than it may");
        assert_eq!(format::head(&pod.volume()).expect("all is there").map(|head| head.len()), Some(files.len()));
    };
    session.fill(&files, &[]);
    assert_eq!(session.told, Told::Done, "{}", session.log);
    assert!(refused.load(Ordering::SeqCst) > 0, "the limit was not met: {}", session.log);
    is_shown(&files);

    session.serve(&[]);
    session.put("/site/more.txt", "the same bytes");
    assert_eq!(session.told, Told::Done, "{}", session.log);
    let more: Vec<_> = files.iter().chain(&[("more.txt", "the same bytes")]).copied().collect();
    is_shown(&more);
    let bytes: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_bytes())).collect();
    session.put("/site/", tar(&bytes));
    assert_eq!(session.told, Told::Done, "{}", session.log);
    is_shown(&files);
    session.end();
}
