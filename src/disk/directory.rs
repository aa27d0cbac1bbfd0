//! An open directory, and what can be done below it.
//!
//! Names are resolved with `openat2(2)`, `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`; where a sandbox lacks that call, one
//! component at a time with `O_NOFOLLOW`, which promises the same for names without `..`, and all of ours are.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{self, Access, AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps},
    io::Errno,
};

use super::{Error, Kind, Stat};
use crate::{
    digest::{Digest, Hasher},
    random,
};

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// A directory, held open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    fd: Arc<OwnedFd>,
    path: Arc<Path>,
}

const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Directory {
    /// Opens a directory that the operator named; links on the way there are the operator's own.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fd = fs::open(path, READ_DIRECTORY, Mode::empty()).map_err(|errno| Error {
            call: "open",
            path: path.into(),
            source: errno.into(),
        })?;
        Ok(Self { fd: Arc::new(fd), path: path.into() })
    }

    /// Where it was when it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn full(&self, name: &Path) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn failed(&self, call: &'static str, name: &Path) -> impl FnOnce(Errno) -> Error {
        let path = self.full(name);
        move |errno| Error { call, path, source: io::Error::from(errno) }
    }

    /// Opens `name` below, following no link.
    fn beneath(&self, name: &Path, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(&*self.fd, name, flags, Mode::from_raw_mode(mode), resolve) {
            Err(Errno::NOSYS) => self.walk(name, flags, mode),
            done => done,
        }
    }

    fn walk(&self, name: &Path, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
        let mut names = name.components().peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(component) = names.next() {
            let Component::Normal(component) = component else { return Err(Errno::XDEV) };
            let parent = at.as_ref().unwrap_or(&self.fd);
            let last = names.peek().is_none();
            let step = if last { flags } else { OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC };
            at = Some(fs::openat(parent, component, step | OFlags::NOFOLLOW, Mode::from_raw_mode(mode))?);
        }
        at.ok_or(Errno::INVAL)
    }

    /// Calls `act` with the directory that holds `name` and its last component.
    fn within<T>(
        &self,
        call: &'static str,
        name: &Path,
        act: impl FnOnce(&OwnedFd, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, Error> {
        let run = || match (name.parent().filter(|parent| !parent.as_os_str().is_empty()), name.file_name()) {
            (_, None) => Err(Errno::INVAL),
            (None, Some(last)) => act(&self.fd, last),
            (Some(parent), Some(last)) => act(&self.beneath(parent, OFlags::PATH | OFlags::DIRECTORY, 0)?, last),
        };
        run().map_err(self.failed(call, name))
    }

    /// The directory `name` below.
    ///
    /// # Errors
    /// When it is not there, or is no directory.
    pub fn directory(&self, name: impl AsRef<Path>) -> Result<Self, Error> {
        let name = name.as_ref();
        let fd = self.beneath(name, READ_DIRECTORY, 0).map_err(self.failed("openat2", name))?;
        Ok(Self { fd: Arc::new(fd), path: self.full(name).into() })
    }

    /// The directory `name` below, made with `mode` when it is not there.
    ///
    /// # Errors
    /// When it can be neither opened nor made.
    pub fn make_directory(&self, name: impl AsRef<Path>, mode: u32) -> Result<Self, Error> {
        let name = name.as_ref();
        let made = self.within("mkdir", name, |at, last| match fs::mkdirat(at, last, Mode::from_raw_mode(mode)) {
            Err(Errno::EXIST) => Ok(()),
            done => done,
        });
        made.and_then(|()| self.directory(name))
    }

    /// The plain file `name`, for reading.
    ///
    /// # Errors
    /// When it is not there, or is no plain file.
    pub fn file(&self, name: impl AsRef<Path>) -> Result<File, Error> {
        let name = name.as_ref();
        let open = || {
            // Without O_NONBLOCK the open of a FIFO would wait for a writer.
            let fd = self.beneath(name, OFlags::RDONLY | OFlags::NONBLOCK, 0)?;
            match Stat::from(fs::fstat(&fd)?).kind {
                Kind::File => Ok(File::from(fd)),
                Kind::Directory => Err(Errno::ISDIR),
                Kind::Link | Kind::Special => Err(Errno::INVAL),
            }
        };
        open().map_err(self.failed("openat2", name))
    }

    /// A new file `name`, for writing and reading; fails when anything is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, name: impl AsRef<Path>, mode: u32) -> Result<File, Error> {
        let name = name.as_ref();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        self.beneath(name, flags, mode).map(File::from).map_err(self.failed("openat2", name))
    }

    /// The plain file `name`, for writing and reading.
    ///
    /// # Errors
    /// When it is not there, or is no plain file.
    pub fn writable(&self, name: impl AsRef<Path>) -> Result<File, Error> {
        let name = name.as_ref();
        let open = || {
            let fd = self.beneath(name, OFlags::RDWR | OFlags::NONBLOCK, 0)?;
            if Stat::from(fs::fstat(&fd)?).kind == Kind::File { Ok(File::from(fd)) } else { Err(Errno::INVAL) }
        };
        open().map_err(self.failed("openat2", name))
    }

    /// A file without a name, for writing and reading. Where the file system has none (`O_TMPFILE`), it has one for a
    /// moment.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn nameless(&self) -> Result<File, Error> {
        let here = Path::new(".");
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match fs::openat(&*self.fd, here, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let name = format!(".nfs{}", random::uuid().simple());
                let file = self.create(&name, 0o600)?;
                self.unlink(&name)?;
                Ok(file)
            }
            made => made.map(File::from).map_err(self.failed("openat", here)),
        }
    }

    /// The file `name` to lock: made when it is not there, opened for reading where writing is not allowed.
    ///
    /// # Errors
    /// When it can be neither opened nor made.
    pub fn lock_file(&self, name: impl AsRef<Path>, mode: u32) -> Result<File, Error> {
        let name = name.as_ref();
        let open = || match self.beneath(name, OFlags::RDWR | OFlags::CREATE, mode) {
            // Where it is not there either, the reason is that it could not be made.
            Err(denied @ (Errno::ROFS | Errno::ACCESS | Errno::PERM)) => self
                .beneath(name, OFlags::RDONLY, 0)
                .map_err(|error| if error == Errno::NOENT { denied } else { error }),
            done => done,
        };
        open().map(File::from).map_err(self.failed("openat2", name))
    }

    /// The bytes of the small file `name`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: impl AsRef<Path>) -> Result<Vec<u8>, Error> {
        let name = name.as_ref();
        let mut bytes = Vec::new();
        let read = self.file(name)?.read_to_end(&mut bytes);
        read.map_err(|source| Error { call: "read", path: self.full(name), source })?;
        Ok(bytes)
    }

    /// The digest of the plain file `name`, read in pieces.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn digest(&self, name: impl AsRef<Path>) -> Result<Digest, Error> {
        let name = name.as_ref();
        let mut file = self.file(name)?;
        let (mut hasher, mut chunk) = (Hasher::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(filled) => hasher.update(&chunk[..filled]),
                Err(source) => return Err(Error { call: "read", path: self.full(name), source }),
            }
        }
    }

    /// An existing lock file, open for writing where that is allowed: NFS locks no other (flock(2)).
    ///
    /// # Errors
    /// When it is not there or cannot be opened.
    pub fn existing_lock_file(&self, name: impl AsRef<Path>) -> Result<File, Error> {
        let name = name.as_ref();
        let open = || match self.beneath(name, OFlags::RDWR, 0) {
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => self.beneath(name, OFlags::RDONLY, 0),
            done => done,
        };
        open().map(File::from).map_err(self.failed("openat2", name))
    }

    /// What `name` is; a link is not followed.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn stat(&self, name: impl AsRef<Path>) -> Result<Stat, Error> {
        self.within("lstat", name.as_ref(), |at, last| fs::statat(at, last, AtFlags::SYMLINK_NOFOLLOW)).map(Stat::from)
    }

    /// What the directory itself is.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn own_stat(&self) -> Result<Stat, Error> {
        fs::fstat(&*self.fd).map(Stat::from).map_err(self.failed("fstat", Path::new("")))
    }

    /// Gives the directory itself the permission bits `mode`.
    ///
    /// # Errors
    /// When it is somebody else's.
    pub fn set_own_mode(&self, mode: u32) -> Result<(), Error> {
        fs::fchmod(&*self.fd, Mode::from_raw_mode(mode)).map_err(self.failed("fchmod", Path::new("")))
    }

    /// The names of all entries, sorted, without `.` and `..`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn list(&self) -> Result<Vec<OsString>, Error> {
        let list = || {
            let mut names = Vec::new();
            for entry in fs::Dir::read_from(&*self.fd)? {
                let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
                if name != "." && name != ".." {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(self.failed("getdents", Path::new("")))
    }

    /// Where the link `name` points to; none when it is no link or not there.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn link_target(&self, name: impl AsRef<Path>) -> Result<Option<PathBuf>, Error> {
        self.within("readlink", name.as_ref(), |at, last| match fs::readlinkat(at, last, Vec::new()) {
            Ok(target) => Ok(Some(OsStr::from_bytes(target.as_bytes()).into())),
            Err(Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        })
    }

    /// Sets the times of `name` to now.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn touch(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        let now = Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        self.within("utimensat", name.as_ref(), |at, last| fs::utimensat(at, last, &times, AtFlags::SYMLINK_NOFOLLOW))
    }

    /// Makes the symbolic link `name` to `target`; fails when anything is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn symlink(&self, target: impl AsRef<Path>, name: impl AsRef<Path>) -> Result<(), Error> {
        self.within("symlink", name.as_ref(), |at, last| fs::symlinkat(target.as_ref(), at, last))
    }

    /// Gives the file `name` a second name in `to`; fails when anything is there.
    ///
    /// # Errors
    /// When it cannot be linked.
    pub fn link(&self, name: impl AsRef<Path>, to: &Self, as_name: impl AsRef<Path>) -> Result<(), Error> {
        let (name, as_name) = (name.as_ref(), as_name.as_ref());
        to.within("link", as_name, |at, last| match name.components().nth(1) {
            None => fs::linkat(&*self.fd, name, at, last, AtFlags::empty()),
            Some(_) => {
                let parent = name.parent().ok_or(Errno::INVAL)?;
                let parent = self.beneath(parent, OFlags::PATH | OFlags::DIRECTORY, 0)?;
                fs::linkat(&parent, name.file_name().ok_or(Errno::INVAL)?, at, last, AtFlags::empty())
            }
        })
    }

    /// Moves `name` into `to` as `as_name`, over whatever file is there.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn rename(&self, name: impl AsRef<Path>, to: &Self, as_name: impl AsRef<Path>) -> Result<(), Error> {
        to.within("rename", as_name.as_ref(), |at, last| fs::renameat(&*self.fd, name.as_ref(), at, last))
    }

    /// Moves `name` into `to` as `as_name`; fails when anything is there, and where the file system cannot promise that.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn rename_new(&self, name: impl AsRef<Path>, to: &Self, as_name: impl AsRef<Path>) -> Result<(), Error> {
        let name = name.as_ref();
        to.within("renameat2", as_name.as_ref(), |at, last| {
            fs::renameat_with(&*self.fd, name, at, last, RenameFlags::NOREPLACE)
        })
    }

    /// Lets `name` and `as_name` in `to`, whatever they are, take each other's place at once.
    ///
    /// # Errors
    /// When one is not there, or they cannot be moved; [`Error::lacks_exchange`] where the file system cannot do it.
    pub fn exchange(&self, name: impl AsRef<Path>, to: &Self, as_name: impl AsRef<Path>) -> Result<(), Error> {
        let name = name.as_ref();
        to.within("renameat2", as_name.as_ref(), |at, last| {
            fs::renameat_with(&*self.fd, name, at, last, RenameFlags::EXCHANGE)
        })
    }

    /// Whether this process may do what `access` says with `name`, which is no link.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn allows(&self, name: impl AsRef<Path>, access: Access) -> Result<bool, Error> {
        self.within("faccessat", name.as_ref(), |at, last| match fs::accessat(at, last, access, AtFlags::EACCESS) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(false),
            Err(errno) => Err(errno),
        })
    }

    /// Removes the file or link `name`.
    ///
    /// # Errors
    /// When it is not there or cannot be removed.
    pub fn unlink(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        self.within("unlink", name.as_ref(), |at, last| fs::unlinkat(at, last, AtFlags::empty()))
    }

    /// Removes the directory `name` if it is empty; tells whether it was.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_empty(&self, name: impl AsRef<Path>) -> Result<bool, Error> {
        match self.within("rmdir", name.as_ref(), |at, last| fs::unlinkat(at, last, AtFlags::REMOVEDIR)) {
            Ok(()) => Ok(true),
            Err(error) if error.source.kind() == io::ErrorKind::DirectoryNotEmpty || error.is_absent() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the file `name`, if it is there and a plain one, and the folders above that are empty then: also when it
    /// is gone already, since whoever removed it may have died before them.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_with_empty_folders(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        let name = name.as_ref();
        match super::if_path(self.stat(name))? {
            Some(stat) if stat.kind != Kind::File => return Ok(()),
            Some(_) => super::if_there(self.unlink(name)).map(drop)?,
            None => {}
        }
        for folder in name.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            if super::if_path(self.stat(folder))?.is_some_and(|stat| stat.kind == Kind::Directory)
                && !self.remove_empty(folder)?
            {
                break;
            }
        }
        Ok(())
    }

    /// Removes the directory `name` if there is nothing in it but directories in which there is nothing either; tells
    /// whether that was so.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_hollow(&self, name: impl AsRef<Path>) -> Result<bool, Error> {
        let directory = self.directory(&name)?;
        for entry in directory.list()? {
            if directory.stat(&entry)?.kind == Kind::Directory {
                directory.remove_hollow(&entry)?;
            }
        }
        self.remove_empty(name)
    }

    /// Removes `name` and, when it is a directory, all that is below it. Nothing there is fine.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_all(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        let name = name.as_ref();
        let Some(stat) = super::if_there(self.stat(name))? else { return Ok(()) };
        if stat.kind != Kind::Directory {
            return super::if_there(self.unlink(name)).map(drop);
        }
        let directory = self.directory(name)?;
        for entry in directory.list()? {
            directory.remove_all(Path::new(&entry))?;
        }
        let removed = self.within("rmdir", name, |at, last| fs::unlinkat(at, last, AtFlags::REMOVEDIR));
        super::if_there(removed).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::FileType;

    use super::*;

    #[test]
    fn no_link_leads_out_nor_on() {
        let scratch = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("another");
        std::fs::write(outside.path().join("secret"), "s").expect("written");
        std::fs::create_dir(scratch.path().join("real")).expect("made");
        std::fs::write(scratch.path().join("real/file"), "f").expect("written");
        symlink(outside.path(), scratch.path().join("out")).expect("linked");
        symlink("real", scratch.path().join("in")).expect("linked");
        symlink("real/file", scratch.path().join("leaf")).expect("linked");
        let directory = Directory::open(scratch.path()).expect("opened");
        assert_eq!(directory.read("real/file").expect("a plain file"), b"f");
        for name in ["out/secret", "in/file", "leaf", "../x", "/etc/passwd"] {
            let refused = [
                directory.read(name).is_err(),
                directory.walk(Path::new(name), OFlags::RDONLY, 0).is_err(),
                directory.create(format!("{name}/new"), 0o644).is_err(),
            ];
            assert_eq!(refused, [true; 3], "{name}");
        }
        assert!(directory.walk(Path::new("real/file"), OFlags::RDONLY, 0).is_ok());
    }

    #[test]
    fn a_fifo_is_refused_at_once() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(scratch.path()).expect("opened");
        fs::mknodat(directory.fd(), "pipe", FileType::Fifo, Mode::from_raw_mode(0o644), 0).expect("made");
        let error = directory.file("pipe").expect_err("it is no plain file");
        assert_eq!((error.call, error.path.ends_with("pipe")), ("openat2", true));
    }

    #[test]
    fn removing_stays_inside() {
        let scratch = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("another");
        std::fs::write(outside.path().join("kept"), "k").expect("written");
        std::fs::create_dir_all(scratch.path().join("tree/deep")).expect("made");
        symlink(outside.path(), scratch.path().join("tree/deep/out")).expect("linked");
        let directory = Directory::open(scratch.path()).expect("opened");
        directory.remove_all("tree").expect("removed");
        directory.remove_all("tree").expect("nothing there is fine");
        assert!(directory.list().expect("listed").is_empty());
        assert!(outside.path().join("kept").exists());
    }
}
