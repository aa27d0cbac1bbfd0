//! What a folder holds, exactly: to show that nothing was written.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Each path below a folder (`""` is the folder itself) with what `lstat` says of it.
pub(crate) type Listing = BTreeMap<PathBuf, String>;

/// Everything that a write would change: inode, mode, owner, links, size, the times to the nanosecond, a link's target.
pub(crate) fn listing(root: &Path) -> Listing {
    list(root, true)
}

/// As [`listing`], without the times of directories: a file that came and went leaves no other trace.
pub(crate) fn listing_without_directory_times(root: &Path) -> Listing {
    list(root, false)
}

fn list(root: &Path, directory_times: bool) -> Listing {
    let mut listing = Listing::new();
    let mut paths = vec![root.to_path_buf()];
    while let Some(path) = paths.pop() {
        // A file may be removed while a server under test is running.
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        let mut line = format!("inode {} mode {:o} owner {}:{}", about.ino(), about.mode(), about.uid(), about.gid());
        if about.is_dir() {
            paths.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            line += &format!(" links {} size {}", about.nlink(), about.size());
        }
        if directory_times || !about.is_dir() {
            let (mtime, ctime) = ((about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()));
            line += &format!(" mtime {}.{:09} ctime {}.{:09}", mtime.0, mtime.1, ctime.0, ctime.1);
        }
        if about.is_symlink() {
            line += &format!(" -> {}", fs::read_link(&path).unwrap_or_default().display());
        }
        listing.insert(path.strip_prefix(root).expect("it lies below").to_path_buf(), line);
    }
    listing
}

/// Panics with what differs, if anything does.
#[track_caller]
pub(crate) fn assert_unchanged(before: &Listing, after: &Listing, what: &str) {
    unchanged(before, after).unwrap_or_else(|differences| panic!("{what} changed what it must not:{differences}"));
}

/// Otherwise what differs, a line each.
pub(crate) fn unchanged(before: &Listing, after: &Listing) -> Result<(), String> {
    let mut differences = String::new();
    for (path, line) in before {
        match after.get(path) {
            None => differences += &format!("\n  gone:    {}", path.display()),
            Some(now) if now != line => {
                differences += &format!("\n  changed: {}\n    {line}\n    {now}", path.display())
            }
            Some(_) => {}
        }
    }
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        differences += &format!("\n  new:     {}", path.display());
    }
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// The plain files below a folder, links followed, each with its bytes: what an application reads.
pub(crate) fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut paths: Vec<PathBuf> = visible(root);
    while let Some(path) = paths.pop() {
        let about = fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if about.is_dir() {
            paths.extend(fs::read_dir(&path).expect("a folder lists").flatten().map(|entry| entry.path()));
        } else {
            let name = path.strip_prefix(root).expect("it lies below").to_str().expect("a UTF-8 name").to_owned();
            files.insert(name, fs::read(&path).expect("a file reads"));
        }
    }
    files
}

/// What stands at a volume's root for an application: neither our state nor the file system's own names.
pub(crate) fn visible(volume: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(volume).expect("a volume lists").flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_str().unwrap_or_default();
        name.starts_with("..") || name == ".longshore" || name == "lost+found"
    };
    entries.filter(|path| !ours(path)).collect()
}

/// Whether a reader finds nothing: no release, nothing at the root.
pub(crate) fn is_blank(volume: &Path) -> bool {
    visible(volume).is_empty() && fs::symlink_metadata(volume.join("..data")).is_err()
}

/// What uploads and fills left half done: everything below `staging/<process>/` but the process's lock.
pub(crate) fn staging_leftovers(volume: &Path) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for folder in [".longshore/staging", ".longshore/uploads", ".longshore/proposed"] {
        let staging = volume.join(folder);
        for path in list(&staging, false).into_keys() {
            if path.components().count() >= 2 && path.file_name().is_none_or(|name| name != "lock") {
                left.push(staging.join(path));
            }
        }
    }
    left
}
