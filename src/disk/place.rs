//! A second name for a file's bytes: a reflink or a hard link where it is safe, a copy where it is not.
//!
//! A reflink is a file of its own that shares blocks until one of the two is written to: it costs an inode, and what
//! somebody writes through one name stays there. So it comes first. On a file system without, a hard link is next.
//!
//! A hard link shares mode and mtime with all its other names, so it serves only when those are what is wanted, and an
//! inode with more than one name is never touched. Comparing size and mtime first, and hashing what is copied, also keeps
//! a file that somebody overwrote in place, through all its names, from being carried into the next release.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
};

use rustix::{
    fs::{self, Mode, Timespec, Timestamps},
    io::Errno,
};

use super::{Abilities, Directory, Error, sync::close};
use crate::digest::{Digest, Hasher};

/// Bytes copied at a time.
const CHUNK: usize = 128 * 1024;

/// Sets what a published file shows: 0644 or 0755, and its mtime. Only for a file with one name.
pub(super) fn dress(file: &File, mtime: i64, executable: bool) -> Result<(), Errno> {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    fs::fchmod(file, Mode::from_raw_mode(if executable { 0o755 } else { 0o644 }))?;
    fs::futimens(file, &Timestamps { last_access: time, last_modification: time })
}

/// Sets what a published file shows, by its name: 0644 or 0755, and its mtime. Only for a file with one name.
///
/// # Errors
/// When it is somebody else's, or the disk refuses.
pub fn dress_file(directory: &Directory, name: &str, mtime: i64, executable: bool) -> Result<(), Error> {
    let file = directory.file(name)?;
    dress(&file, mtime, executable).map_err(directory.failed("fchmod", Path::new(name)))
}

/// What a placed file is to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
    /// Whole seconds since 1970.
    pub mtime: i64,
    /// 0755 rather than 0644.
    pub executable: bool,
}

/// Puts the bytes of `from/name` at `to/as_name`, which must be free, in the way that the `abilities` of the file system
/// allow; tells whether that made a new file, which is not yet synced.
///
/// # Errors
/// When the file is missing, or can be neither linked nor copied; [`Error::is_damaged`] when its bytes are others.
pub fn place(
    from: &Directory,
    name: impl AsRef<Path>,
    to: &Directory,
    as_name: impl AsRef<Path>,
    wanted: &Wanted,
    abilities: Abilities,
) -> Result<bool, Error> {
    let (name, as_name) = (name.as_ref(), as_name.as_ref());
    let damaged = || Error {
        call: "read",
        path: from.path().join(name),
        source: io::Error::new(io::ErrorKind::InvalidData, "its bytes are not what they were"),
    };
    let stat = from.stat(name)?;
    if stat.size != wanted.size {
        return Err(damaged());
    }
    if stat.is(wanted.size, wanted.mtime, wanted.executable) && stat.has_mode(wanted.executable) {
        // As a link does, it trusts what looks alike: nothing is read.
        if abilities.reflinks && reflink(from, name, to, as_name, wanted)? {
            return Ok(true);
        }
        if abilities.hard_links {
            match from.link(name, to, as_name) {
                Ok(()) => return Ok(false),
                Err(error) if !asks_for_a_copy(&error) => return Err(error),
                Err(_) => {}
            }
        }
    }
    let mut source = from.file(name)?;
    let mut copy = to.create(as_name, 0o600)?;
    let failed = |call, source| Error { call, path: to.path().join(as_name), source };
    // A reflink of what does not look alike is read all the same.
    let cloned = abilities.reflinks && fs::ioctl_ficlone(&copy, &source).is_ok();
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let filled = source.read(&mut chunk).map_err(|error| failed("read", error))?;
        if filled == 0 {
            break;
        }
        hasher.update(&chunk[..filled]);
        if !cloned {
            copy.write_all(&chunk[..filled]).map_err(|error| failed("write", error))?;
        }
    }
    if hasher.finish() != wanted.digest {
        return Err(damaged());
    }
    dress(&copy, wanted.mtime, wanted.executable).map_err(|errno| failed("fchmod", errno.into()))?;
    close(copy).map_err(|errno| failed("close", errno.into()))?;
    Ok(true)
}

/// Makes a reflink with the times and mode that are wanted; tells whether this file could be.
fn reflink(from: &Directory, name: &Path, to: &Directory, as_name: &Path, wanted: &Wanted) -> Result<bool, Error> {
    let source = from.file(name)?;
    let clone = to.create(as_name, 0o600)?;
    if fs::ioctl_ficlone(&clone, &source).is_err() {
        to.unlink(as_name)?;
        return Ok(false);
    }
    dress(&clone, wanted.mtime, wanted.executable).map_err(to.failed("fchmod", as_name))?;
    close(clone).map_err(to.failed("close", as_name))?;
    Ok(true)
}

/// Too many links (ext4: 65,000; some file servers: few), another file system, none at all, or another owner's file
/// where `fs.protected_hardlinks` is set.
fn asks_for_a_copy(error: &Error) -> bool {
    [Errno::MLINK, Errno::XDEV, Errno::PERM, Errno::OPNOTSUPP, Errno::ACCESS]
        .iter()
        .any(|errno| error.source.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_shared_only_by_files_that_look_alike() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(scratch.path()).expect("opened");
        let first = directory.create("first", 0o600).expect("made");
        dress(&first, 1_000, false).expect("dressed");
        let wanted = |mtime, executable| Wanted { digest: Digest::of(""), size: 0, mtime, executable };
        let copies = |name: &str, mtime, executable| {
            let wanted = wanted(mtime, executable);
            place(&directory, "first", &directory, name, &wanted, Abilities::default()).expect("placed")
        };
        assert!(!copies("twin", 1_000, false), "the twin is a link");
        assert!(copies("later", 2_000, false), "other mtime");
        assert!(copies("tool", 1_000, true), "other mode");
        let first = scratch.path().join("first");
        std::fs::set_permissions(&first, std::os::unix::fs::PermissionsExt::from_mode(0o664)).expect("as kubelet does");
        assert!(!copies("writable for a group", 1_000, false));
        std::fs::set_permissions(&first, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("by hand");
        assert!(copies("readable again", 1_000, false), "nobody could read a link");
        assert_eq!(directory.stat("first").expect("there").mtime, 1_000);
        assert!(directory.stat("later").expect("there").is(0, 2_000, false));
        assert!(directory.stat("tool").expect("there").is(0, 1_000, true));
    }

    #[test]
    fn what_somebody_wrote_through_a_link_is_not_carried_on() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(scratch.path()).expect("opened");
        std::fs::write(scratch.path().join("first"), "good").expect("written");
        let wanted = Wanted { digest: Digest::of("good"), size: 4, mtime: 1_000, executable: false };
        let able = Abilities::default();
        place(&directory, "first", &directory, "copy", &wanted, able).expect("placed");
        for bytes in ["evil", "longer"] {
            std::fs::write(scratch.path().join("first"), bytes).expect("written");
            let error = place(&directory, "first", &directory, bytes, &wanted, able).expect_err("it is another file");
            assert!(error.is_damaged(), "{error}");
        }
    }

    #[test]
    fn without_links_each_is_a_file_of_its_own() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(scratch.path()).expect("opened");
        dress(&directory.create("first", 0o600).expect("made"), 1_000, false).expect("dressed");
        let wanted = Wanted { digest: Digest::of(""), size: 0, mtime: 1_000, executable: false };
        // Reflinks are promised, and most temporary folders have none: the next way is taken.
        let ways = [(false, true, 2), (true, true, 3), (false, false, 1)];
        for (index, (reflinks, hard_links, links)) in ways.into_iter().enumerate() {
            let (name, able) = (index.to_string(), Abilities { reflinks, hard_links, ..Abilities::default() });
            let is_new = place(&directory, "first", &directory, &name, &wanted, able).expect("placed");
            let stat = directory.stat(&name).expect("there");
            assert!(stat.is(0, 1_000, false));
            assert!(is_new && stat.links == 1 || !is_new && stat.links == links, "{name}: {stat:?}");
        }
        assert_eq!(directory.stat("2").expect("there").links, 1);
    }
}
