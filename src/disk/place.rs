//! A second name for a file's bytes: a link where it is safe, a copy where it is not.
//!
//! A hard link shares mode and mtime with all its other names, so it serves only when those are what is wanted, and an
//! inode with more than one name is never touched. Comparing size and mtime first also keeps a file that somebody
//! overwrote in place from being carried into the next release.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{self, Mode, Timespec, Timestamps},
    io::Errno,
};

use super::{Directory, Error};

/// Sets what a published file shows: 0644 or 0755, and its mtime. Only for a file with one name.
pub(super) fn dress(file: &File, mtime: i64, executable: bool) -> Result<(), Errno> {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    fs::fchmod(file, Mode::from_raw_mode(if executable { 0o755 } else { 0o644 }))?;
    fs::futimens(file, &Timestamps { last_access: time, last_modification: time })
}

/// Puts the bytes of `from/name` at `to/as_name`, which must be free, with this mtime and executable bit; tells whether
/// it had to copy. A copy is not yet synced.
///
/// # Errors
/// When the file is missing, or can be neither linked nor copied.
pub fn place(
    from: &Directory,
    name: impl AsRef<Path>,
    to: &Directory,
    as_name: impl AsRef<Path>,
    mtime: i64,
    executable: bool,
) -> Result<bool, Error> {
    let (name, as_name) = (name.as_ref(), as_name.as_ref());
    let stat = from.stat(name)?;
    if stat.is(stat.size, mtime, executable) {
        match from.link(name, to, as_name) {
            Ok(()) => return Ok(false),
            Err(error) if !asks_for_a_copy(&error) => return Err(error),
            Err(_) => {}
        }
    }
    let mut source = from.file(name)?;
    let mut copy = to.create(as_name, 0o600)?;
    let failed = |call, source| Error { call, path: to.path().join(as_name), source };
    if fs::ioctl_ficlone(&copy, &source).is_err() {
        // Uses copy_file_range(2) where it can.
        io::copy(&mut source, &mut copy).map_err(|error| failed("write", error))?;
    }
    dress(&copy, mtime, executable).map_err(|errno| failed("fchmod", errno.into()))?;
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
        assert!(!place(&directory, "first", &directory, "twin", 1_000, false).expect("placed"), "the twin is a link");
        assert!(place(&directory, "first", &directory, "later", 2_000, false).expect("placed"), "other mtime");
        assert!(place(&directory, "first", &directory, "tool", 1_000, true).expect("placed"), "other mode");
        assert_eq!(directory.stat("first").expect("there").mtime, 1_000);
        assert!(directory.stat("later").expect("there").is(0, 2_000, false));
        assert!(directory.stat("tool").expect("there").is(0, 1_000, true));
    }
}
