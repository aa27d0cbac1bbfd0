//! A directory: an image's baked content, or a ConfigMap, Secret or other volume that is mounted.
//!
//! Everything is opened relative to one descriptor of the root, by `openat2` with `RESOLVE_BENEATH`: whatever links are in
//! the tree or are put there meanwhile, nothing outside is read. Links that stay inside are followed, since kubelet's own
//! layout is made of them; names that begin with `..` are that layout's inner side and skipped.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    sync::atomic::AtomicBool,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

use super::{
    Error, Item, Reading,
    delivery::Undelivered,
    tree::{Entry, Fetched, Listing, MOST_FILES, Tree},
};
use crate::path::SitePath;

/// An open directory.
pub(super) struct Directory {
    root: OwnedFd,
    place: String,
}

/// Folders in one walk. Links to folders multiply what lies behind them, so that a small tree can seem endless.
const MOST_FOLDERS: usize = 100_000;

/// A walk through all folders.
#[derive(Default)]
struct Walk {
    listing: Listing,
    folders: usize,
    /// Device and inode of each folder on the way down.
    ancestors: Vec<(u64, u64)>,
}

/// Changes with a file's content, as far as a file system tells: size, times, inode.
pub(super) fn version(stat: &Stat) -> String {
    let Stat { st_size, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec, st_dev, st_ino, .. } = stat;
    format!("{st_size} {st_mtime}.{st_mtime_nsec} {st_ctime}.{st_ctime_nsec} {st_dev}:{st_ino}")
}

/// Why something that is neither file nor folder is refused.
pub(super) fn is_no_file(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "is a FIFO: only files and folders are taken",
        FileType::Socket => "is a socket: only files and folders are taken",
        FileType::CharacterDevice | FileType::BlockDevice => "is a device: only files and folders are taken",
        _ => "is neither a file nor a folder",
    }
}

fn entry(stat: &Stat) -> Entry {
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    #[expect(clippy::unnecessary_cast, reason = "the field differs in type by architecture")]
    let modified = stat.st_mtime as i64;
    Entry { size, executable: stat.st_mode & 0o100 != 0, modified, version: version(stat) }
}

impl Directory {
    /// `root` is the directory, `place` its name for messages.
    pub(super) fn new(root: OwnedFd, place: String) -> Self {
        Self { root, place }
    }

    /// Opens what `path` leads to, as long as that is inside.
    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // The kernel answers EAGAIN when a rename anywhere made it unsure whether `..` stayed inside.
        for _ in 0..128 {
            match rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                outcome => return outcome,
            }
        }
        Err(Errno::AGAIN)
    }

    fn io(&self, call: &'static str, path: &str, errno: Errno) -> Error {
        Error::io(call, format_args!("{}/{path}", self.place), errno)
    }

    fn refused(&self, path: &str, why: &str) -> Error {
        Error::refused(&self.place, path, why)
    }

    /// The names in a folder, with `..` and `..data` left out.
    fn names(&self, folder: &str, file: OwnedFd) -> Result<Vec<CString>, Error> {
        let failed = |errno| self.io("getdents64", folder, errno);
        let mut names = Vec::new();
        for name in Dir::new(file).map_err(failed)? {
            let name = name.map_err(failed)?.file_name().to_owned();
            let is_skipped = name.to_bytes() == b"."
                || name.to_bytes().starts_with(b"..")
                || folder.is_empty() && name.to_bytes() == b"lost+found";
            if !is_skipped {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Adds everything in `folder` (empty for the root).
    fn walk(&self, folder: &str, walk: &mut Walk) -> Result<(), Error> {
        let name = if folder.is_empty() { "." } else { folder };
        let file = match self.open(name, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(file) => file,
            // It vanished, and the next list will not have it.
            Err(Errno::NOENT | Errno::NOTDIR) if !folder.is_empty() => return Ok(()),
            Err(errno) => return Err(self.io("openat2", folder, errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| self.io("fstat", folder, errno))?;
        let inode = (stat.st_dev, stat.st_ino);
        if walk.ancestors.contains(&inode) {
            return Err(self.refused(folder, "is a link to a folder that it lies in: a loop"));
        }
        if walk.folders == MOST_FOLDERS {
            return Err(self.refused(folder, "is one folder too many: at most 100,000 are walked"));
        }
        walk.folders += 1;
        walk.ancestors.push(inode);
        for name in self.names(folder, file)? {
            let mut full = folder.as_bytes().to_vec();
            if !folder.is_empty() {
                full.push(b'/');
            }
            full.extend(name.as_bytes());
            let path =
                SitePath::from_bytes(&full).map_err(|source| Error::Path { place: self.place.clone(), source })?;
            self.add(path, walk)?;
        }
        walk.ancestors.pop();
        Ok(())
    }

    /// Adds one entry, or what is below it.
    fn add(&self, path: SitePath, walk: &mut Walk) -> Result<(), Error> {
        let Some(stat) = self.look(path.as_str())? else { return Ok(()) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if walk.listing.len() >= MOST_FILES => {
                Err(self.refused(path.as_str(), "is one file too many: at most a million are taken"))
            }
            FileType::RegularFile => {
                walk.listing.insert(path, entry(&stat));
                Ok(())
            }
            FileType::Directory => self.walk(path.as_str(), walk),
            other => Err(self.refused(path.as_str(), is_no_file(other))),
        }
    }

    /// What `path` is, or what it leads to; nothing when it vanished.
    fn look(&self, path: &str) -> Result<Option<Stat>, Error> {
        let failed = |errno| self.io("openat2", path, errno);
        let file = match self.open(path, OFlags::PATH) {
            Ok(file) => file,
            Err(Errno::XDEV) => return Err(self.refused(path, "is a link that leaves the source")),
            Err(Errno::LOOP) => return Err(self.refused(path, "is a link that leads to itself")),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let is_there = self.open(path, OFlags::PATH | OFlags::NOFOLLOW).is_ok();
                let why = "is a link that leads to nothing";
                return if is_there { Err(self.refused(path, why)) } else { Ok(None) };
            }
            Err(errno) => return Err(failed(errno)),
        };
        rustix::fs::statat(&file, "", AtFlags::EMPTY_PATH).map(Some).map_err(failed)
    }
}

impl Tree for Directory {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn width(&self) -> usize {
        4
    }

    fn list(&self) -> Result<Listing, Error> {
        let mut walk = Walk::default();
        self.walk("", &mut walk)?;
        if walk.listing.is_empty() { Err(Error::Empty { place: self.place() }) } else { Ok(walk.listing) }
    }

    fn fetch(&self, path: &SitePath, entry: &Entry, reading: &Reading<'_>, _: &AtomicBool) -> Result<Fetched, Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match self.open(path.as_str(), flags) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NXIO) => return Ok(Fetched::Moved),
            Err(errno) => return Err(self.io("openat2", path.as_str(), errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| self.io("fstat", path.as_str(), errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || self::entry(&stat) != *entry {
            return Ok(Fetched::Moved);
        }
        let Entry { size, executable, modified, .. } = *entry;
        let item = Item { path: path.clone(), executable, size: Some(size), modified: Some(modified) };
        let mut still = Still { file: file.into(), version: entry.version.clone() };
        match reading.deliver(&item, &mut still) {
            Ok(bytes) => Ok(Fetched::Whole(bytes)),
            Err(Undelivered::Sink(source)) => Err(Error::Sink { path: item.path, source }),
            Err(Undelivered::Content(_)) if !still.is_still() => Ok(Fetched::Moved),
            Err(Undelivered::Content(error)) => Err(Error::io("read", format_args!("{}/{path}", self.place), error)),
        }
    }
}

/// A file that must not change while it is read: its end comes only if it did not.
struct Still {
    file: File,
    version: String,
}

impl Still {
    fn is_still(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| version(&stat) == self.version)
    }
}

impl Read for Still {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        if read == 0 && !buffer.is_empty() && !self.is_still() {
            return Err(io::Error::other("it changed while it was read"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
