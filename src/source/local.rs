//! A local path: a directory, or an archive in a file. Which of the two is found out each time, since a mount may come
//! later and a pipeline may put one in the other's place.

use std::{
    fs::File,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::{Error, Reading, Summary, archive, directory, directory::Directory, tree};
use crate::digest::Digest;

/// A local path.
pub(super) struct Local {
    path: PathBuf,
}

enum Found {
    Directory(Directory),
    Archive(File),
}

impl Local {
    /// The path, not looked at yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn find(&self) -> Result<Found, Error> {
        // Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Err(Error::Absent { place: self.place() }),
            Err(errno) => return Err(Error::io("open", self.place(), errno)),
        };
        let stat = self.stat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Found::Directory(Directory::new(file, self.place()))),
            FileType::RegularFile => Ok(Found::Archive(file.into())),
            other => Err(Error::refused(self.place(), "the source itself", directory::is_no_file(other))),
        }
    }

    fn stat(&self, file: impl AsFd) -> Result<Stat, Error> {
        rustix::fs::fstat(file).map_err(|errno| Error::io("fstat", self.place(), errno))
    }

    fn version(&self, file: &File) -> Result<String, Error> {
        self.stat(file).map(|stat| directory::version(&stat))
    }

    /// See [`super::Source::mark`].
    pub(super) fn mark(&self) -> Result<Digest, Error> {
        match self.find()? {
            Found::Directory(directory) => tree::mark(&directory),
            Found::Archive(file) => Ok(Digest::of(self.version(&file)?)),
        }
    }

    /// See [`super::Source::read`].
    pub(super) fn read(&self, reading: &Reading<'_>) -> Result<Summary, Error> {
        let file = match self.find()? {
            Found::Directory(directory) => return tree::read(&directory, reading),
            Found::Archive(file) => file,
        };
        let before = self.version(&file)?;
        let outcome = archive::read_file(&self.place(), &file, reading);
        // An archive that is being written looks damaged; that it is being written is the truth.
        if self.version(&file)? != before {
            return Err(Error::Restless { place: self.place() });
        }
        outcome
    }
}
