//! A place out of sight for one operation: what is written here shows nowhere until it is renamed out.
//!
//! Each staging directory holds a lock file that its process keeps locked, so that sweeping takes only what nobody works
//! on; it goes when its owner is dropped.

use std::{
    fs::File,
    io::{Read, Write as _},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::{
    fs::{self, FlockOperation},
    io::Errno,
};

use super::{Abilities, Directory, Error, FileSystem, place::dress_file, sync::close};
use crate::{
    digest::{Digest, Hasher},
    planted, random,
};

const LOCK: &str = "lock";
/// How often a sweeper may come in between.
const TRIES: usize = 8;
/// Bytes read at a time: what a worker holds of a file, however large.
const CHUNK: usize = 128 * 1024;

/// Bytes of a file that is synced before it is published, too: that syncs it under a lock, for which everybody else waits,
/// and should have nothing left to do by then.
const LARGE: u64 = 16 * 1024 * 1024;

/// A locked directory for the files of one operation.
#[derive(Debug)]
pub struct Staging {
    directory: Directory,
    parent: Directory,
    name: String,
    /// None where nothing is kept.
    lock: Option<File>,
    file_system: FileSystem,
    count: AtomicUsize,
    mode: u32,
    abilities: Abilities,
}

/// A file that was written to a staging directory, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The digest of its bytes, computed while they passed.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
    /// Whether it is to be executable.
    pub executable: bool,
    /// When it was modified where it came from, in whole seconds since 1970, if that is known.
    pub modified: Option<i64>,
    /// Its name in the staging directory.
    pub name: String,
}

/// Why a file could not be staged: the reader's fault or the disk's.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The bytes stopped coming.
    #[error("the content could not be read")]
    Read(#[source] std::io::Error),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] Error),
}

impl Staging {
    /// A new staging directory below `parent`, with the permission bits `mode`.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub fn create(parent: &Directory, mode: u32) -> Result<Self, Error> {
        // A sweeper takes a directory whose lock file is not there or not locked yet for what a dead process left.
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::try_create(parent, mode) {
                Ok(Some(staging)) => return Ok(staging),
                Ok(None) => {}
                Err(error) if error.is_absent() && tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn try_create(parent: &Directory, mode: u32) -> Result<Option<Self>, Error> {
        let name = random::uuid().simple().to_string();
        let directory = parent.make_directory(&name, mode)?;
        let lock = directory.create(LOCK, mode & 0o660)?;
        match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked.map_err(directory.failed("flock", Path::new(LOCK)))?,
        }
        directory.stat(LOCK)?;
        let file_system = directory.file_system()?;
        let (parent, count, abilities) = (parent.clone(), AtomicUsize::new(0), Abilities::default());
        Ok(Some(Self { directory, parent, name, lock: Some(lock), file_system, count, mode, abilities }))
    }

    /// One that keeps nothing and makes nothing, for work that is only rehearsed near `directory`: its files are hashed.
    ///
    /// # Errors
    /// When the directory cannot be asked.
    pub fn nowhere(directory: &Directory) -> Result<Self, Error> {
        let (directory, parent, file_system) = (directory.clone(), directory.clone(), directory.file_system()?);
        let (name, count, abilities) = (String::new(), AtomicUsize::new(0), Abilities::default());
        Ok(Self { directory, parent, name, lock: None, file_system, count, mode: 0o700, abilities })
    }

    /// Whether nothing is kept here.
    #[must_use]
    pub fn is_nowhere(&self) -> bool {
        self.lock.is_none()
    }

    /// Works by what the file system can do, for whoever has tried.
    #[must_use]
    pub fn with(mut self, abilities: Abilities) -> Self {
        self.abilities = abilities;
        self
    }

    /// What the file system can do, as far as this knows.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// The directory itself.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A name that nothing here has yet.
    #[must_use]
    pub fn fresh_name(&self) -> String {
        self.count.fetch_add(1, Ordering::Relaxed).to_string()
    }

    /// A folder for a tree that is being built.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn fresh_folder(&self, mode: u32) -> Result<(String, Directory), Error> {
        let name = format!("tree-{}", self.fresh_name());
        let folder = self.directory.make_directory(&name, mode)?;
        Ok((name, folder))
    }

    /// Writes what `content` gives to a new file, hashing as it goes. Memory does not grow with the file.
    ///
    /// # Errors
    /// When `content` fails, or the disk.
    pub fn file(&self, content: &mut dyn Read, executable: bool) -> Result<Staged, StageError> {
        if self.is_nowhere() {
            let (digest, size) = pass(content, |_| Ok(()))?;
            return Ok(Staged { digest, size, executable, modified: None, name: String::new() });
        }
        let name = self.fresh_name();
        let written = self.write(content, executable, &name);
        if written.is_err() {
            // What was half written frees its space at once; the directory itself may serve a second try.
            drop(self.directory.unlink(&name));
        }
        written
    }

    fn write(&self, content: &mut dyn Read, executable: bool, name: &str) -> Result<Staged, StageError> {
        let mut file = self.directory.create(name, 0o600)?;
        let failed = |call, source| Error { call, path: self.directory.path().join(name), source };
        let (digest, size) = pass(content, |chunk| file.write_all(chunk).map_err(|error| failed("write", error)))?;
        if size >= LARGE {
            planted::sync(None, || fs::fdatasync(&file)).map_err(|errno| failed("fdatasync", errno.into()))?;
        }
        close(file).map_err(|errno| failed("close", errno.into()))?;
        Ok(Staged { digest, size, executable, modified: None, name: name.into() })
    }

    /// Writes `bytes` to a new file, not yet synced; gives its name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn bytes(&self, bytes: &[u8]) -> Result<String, Error> {
        let name = self.fresh_name();
        let mut file = self.directory.create(&name, self.mode & 0o666)?;
        let failed = |call, source| Error { call, path: self.directory.path().join(&name), source };
        file.write_all(bytes).map_err(|error| failed("write", error))?;
        close(file).map_err(|errno| failed("close", errno.into()))?;
        Ok(name)
    }

    /// Gives a staged file the mtime and mode that it is published with.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn dress(&self, staged: &Staged, mtime: i64) -> Result<(), Error> {
        dress_file(&self.directory, &staged.name, mtime, staged.executable)
    }

    /// Makes the files `names` durable.
    ///
    /// # Errors
    /// When the disk says so; final.
    pub fn sync<'a>(&self, names: impl ExactSizeIterator<Item = &'a str>) -> Result<(), Error> {
        if self.file_system.syncs_at_once(names.len()) {
            return self.directory.sync_file_system();
        }
        for name in names {
            self.directory.sync_file(name)?;
        }
        Ok(())
    }

    /// A nameless file for work that needs seeking; it is gone when it is closed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch(&self) -> Result<File, Error> {
        if self.is_nowhere() {
            return self.directory.nameless();
        }
        let name = self.fresh_name();
        let file = self.directory.create(&name, 0o600)?;
        self.directory.unlink(&name)?;
        Ok(file)
    }

    /// Removes staging directories below `parent` that no process holds; tells how many.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn sweep(parent: &Directory) -> Result<usize, Error> {
        let mut swept = 0;
        for name in parent.list()? {
            let name = Path::new(&name);
            let is_gone = match parent.directory(name).and_then(|directory| directory.existing_lock_file(LOCK)) {
                Ok(lock) => match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => parent.remove_all(name).map(|()| true),
                    Err(_) => Ok(false),
                },
                Err(error) if error.is_absent() => sweep_unlocked(parent, name),
                // Somebody else's, perhaps at work.
                Err(_) => Ok(false),
            };
            let is_gone = match is_gone {
                // What another user left and closed to us only takes space.
                Err(error) if error.is_denied() => {
                    tracing::warn!(%error, "a staging directory stays");
                    false
                }
                done => done?,
            };
            swept += usize::from(is_gone);
        }
        Ok(swept)
    }
}

/// Gives `content` to `take`, a chunk at a time, and tells its digest and size.
fn pass(content: &mut dyn Read, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(Digest, u64), StageError> {
    let (mut hasher, mut size, mut chunk) = (Hasher::new(), 0_u64, vec![0; CHUNK]);
    loop {
        let filled = match content.read(&mut chunk) {
            Ok(0) => return Ok((hasher.finish(), size)),
            Ok(filled) => filled,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StageError::Read(error)),
        };
        hasher.update(&chunk[..filled]);
        take(&chunk[..filled])?;
        size += filled as u64;
    }
}

/// Removes a directory that has no lock file: newborn, or of somebody who died while making or removing it. An empty one
/// goes at once, and whoever is just making it makes another. In one that holds anything a lock file was there before
/// that: when it is not there now, its owner is gone.
fn sweep_unlocked(parent: &Directory, name: &Path) -> Result<bool, Error> {
    let Some(directory) = super::if_there(parent.directory(name))? else { return Ok(false) };
    if directory.list()?.is_empty() {
        return parent.remove_empty(name);
    }
    match super::if_there(directory.stat(LOCK))? {
        Some(_) => Ok(false),
        None => parent.remove_all(name).map(|()| true),
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.is_nowhere() {
            return;
        }
        if let Err(error) = self.parent.remove_all(&self.name) {
            tracing::warn!(%error, "a staging directory stays until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent() -> (tempfile::TempDir, Directory) {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(scratch.path()).expect("opened");
        (scratch, directory)
    }

    #[test]
    fn what_is_staged_is_hashed_and_gone_with_its_owner() {
        let (_scratch, parent) = parent();
        let staging = Staging::create(&parent, 0o700).expect("made");
        let staged = staging.file(&mut &b"abc"[..], false).expect("staged");
        assert_eq!((staged.digest, staged.size), (Digest::of("abc"), 3));
        drop(staging);
        assert!(parent.list().expect("listed").is_empty());
    }

    #[test]
    fn sweeping_leaves_what_is_in_use() {
        let (_scratch, parent) = parent();
        let used = Staging::create(&parent, 0o700).expect("made");
        let left = parent.make_directory("left", 0o700).expect("made");
        drop(left.create(LOCK, 0o600).expect("made"));
        parent.make_directory("newborn", 0o700).expect("made");
        let half = parent.make_directory("half-removed", 0o700).expect("made");
        drop(half.create("tree-0", 0o600).expect("made"));
        assert_eq!(Staging::sweep(&parent).expect("swept"), 3);
        assert_eq!(parent.list().expect("listed").len(), 1);
        assert!(used.directory().stat(LOCK).is_ok());
    }

    #[test]
    fn a_reader_that_fails_leaves_nothing() {
        struct Cut;
        impl Read for Cut {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("cut"))
            }
        }
        let (_scratch, parent) = parent();
        let staging = Staging::create(&parent, 0o700).expect("made");
        let failed = staging.file(&mut Read::chain(&b"half"[..], Cut), false);
        assert!(matches!(failed, Err(StageError::Read(_))));
        assert_eq!(staging.directory().list().expect("listed"), [LOCK]);
    }
}
