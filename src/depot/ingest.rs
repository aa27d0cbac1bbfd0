//! Files on their way in: hashed and written out of sight while they come.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek as _, Write as _},
    sync::{Mutex, PoisonError},
};

use super::{Change, Depot, Error, Limits, allowance::Allowance};
use crate::{
    disk::{self, Staged, Staging},
    path::SitePath,
    source::{self, Format, Progress, Reading, Summary},
};

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// What one operation has taken in so far. Dropped without a commit, it leaves nothing.
#[derive(Debug)]
pub struct Ingest {
    /// Where the files lie.
    pub staging: Staging,
    files: Mutex<BTreeMap<SitePath, Staged>>,
    /// What may still come in.
    allowance: Allowance,
}

impl Depot {
    /// Begins to take files in.
    ///
    /// # Errors
    /// When the volume cannot be written to, or holds somebody else's content.
    pub fn ingest(&self) -> Result<Ingest, Error> {
        let state = self.state_for_writing()?;
        let staging = state.home.stage()?;
        Ok(Ingest::of(staging, *self.limits()))
    }

    /// As [`Depot::ingest`], for files that are put into the site beside what is live; `clears` names the folder that they
    /// replace. With `dry_run` as [`Depot::ingest_nowhere`].
    ///
    /// # Errors
    /// As [`Depot::ingest`].
    pub fn ingest_beside(&self, clears: Option<Option<&SitePath>>, dry_run: bool) -> Result<Ingest, Error> {
        let mut ingest = if dry_run { self.ingest_nowhere() } else { self.ingest() }?;
        ingest.allowance.beside(self.live(clears)?);
        Ok(ingest)
    }
}

impl Ingest {
    pub(super) fn of(staging: Staging, limits: Limits) -> Self {
        let disk = (!staging.is_nowhere()).then(|| staging.directory().clone());
        Self { staging, files: Mutex::default(), allowance: Allowance::new(limits, disk) }
    }

    /// The rest of `content`, put on the disk without a name: what is to be read only once it is all here.
    ///
    /// # Errors
    /// When the content ends early; when the disk refuses.
    pub fn spool(&self, content: &mut dyn Read) -> Result<File, Error> {
        let mut file = self.staging.scratch()?;
        let failed =
            |call, source| Error::from(disk::Error { call, path: self.staging.directory().path().into(), source });
        let mut chunk = vec![0; CHUNK];
        loop {
            match content.read(&mut chunk) {
                Ok(0) => break,
                Ok(filled) => file.write_all(&chunk[..filled]).map_err(|error| failed("write", error))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::of_content(error)),
            }
        }
        file.rewind().map_err(|error| failed("lseek", error))?;
        Ok(file)
    }

    pub(super) fn scratch(&self) -> io::Result<File> {
        self.staging.scratch().map_err(|error| io::Error::new(error.source.kind(), error))
    }

    /// Takes one file in; a second time, in place of the first.
    ///
    /// # Errors
    /// When the content ends early or is more than may come in; when the disk refuses.
    pub fn file(&self, path: SitePath, executable: bool, content: &mut dyn Read) -> Result<Staged, Error> {
        let staged = self.stage(&path, None, executable, content)?;
        self.put(path, staged.clone());
        Ok(staged)
    }

    fn stage(
        &self,
        path: &SitePath,
        size: Option<u64>,
        executable: bool,
        content: &mut dyn Read,
    ) -> Result<Staged, Error> {
        let bound = self.allowance.begin(path, size, &self.files)?;
        Ok(self.staging.file(&mut self.allowance.file(bound, content), executable)?)
    }

    fn put(&self, path: SitePath, staged: Staged) {
        let size = staged.size;
        let before = self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path, staged);
        self.allowance.took(size, before.as_ref().map(|before| before.size));
        self.discard(before);
    }

    /// Takes all files of `source` in, however large: it is the operator's.
    ///
    /// # Errors
    /// As the source says; when the disk refuses.
    pub fn source(&self, source: &source::Source, progress: &Progress) -> Result<Summary, Error> {
        self.reading(None, false, progress, |reading| source.read(reading)).map_err(unwrap_own)
    }

    /// Takes all files of an archive in, to lie in `folder` (or in the whole site).
    ///
    /// # Errors
    /// When it is no archive, or not the `announced` kind, or holds what may not come in, or more than that.
    pub fn archive(
        &self,
        folder: Option<&SitePath>,
        announced: Option<Format>,
        bytes: &mut dyn Read,
    ) -> Result<Summary, Error> {
        let (progress, mut bytes) = (Progress::default(), self.allowance.archive(bytes));
        self.reading(folder, true, &progress, |reading| source::read_archive(&mut bytes, announced, reading))
            .map_err(unwrap_own)
    }

    /// What was taken in, as a change that puts it; with `clear`, in place of what lies in `folder`.
    #[must_use]
    pub fn into_change(self, folder: Option<SitePath>, clear: bool) -> (Staging, Change) {
        let (staging, files) = self.into_parts();
        (staging, Change::Put { folder, clear, files })
    }

    /// The files by their names, and where they lie.
    pub(super) fn into_parts(self) -> (Staging, BTreeMap<SitePath, Staged>) {
        (self.staging, self.files.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn reading<T>(
        &self,
        folder: Option<&SitePath>,
        is_limited: bool,
        progress: &Progress,
        read: impl FnOnce(&Reading<'_>) -> T,
    ) -> T {
        let place = |path: &SitePath| match folder {
            Some(folder) => folder.join(path),
            None => Ok(path.clone()),
        };
        read(&Reading {
            sink: &|item, content| {
                let path = place(&item.path).map_err(|error| Error::from(crate::manifest::Error::from(error)))?;
                let staged = match is_limited {
                    true => self.stage(&path, item.size, item.executable, content)?,
                    false => self.staging.file(content, item.executable).map_err(Error::from)?,
                };
                self.put(path, Staged { modified: item.modified, ..staged });
                Ok(())
            },
            forget: &|path| {
                if let Ok(path) = place(path) {
                    let before = self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
                    self.discard(before);
                }
            },
            scratch: &|| self.scratch(),
            progress,
            is_one_of_many: is_limited,
        })
    }

    fn discard(&self, staged: Option<Staged>) {
        if let Some(staged) = staged
            && !self.staging.is_nowhere()
            && let Err(error) = self.staging.directory().unlink(&staged.name)
        {
            tracing::debug!(%error, "a file that was taken in twice stays until the end");
        }
    }
}

/// An error that our own sink or bound gave to the source comes back as what it was.
pub(super) fn unwrap_own(error: source::Error) -> Error {
    match error {
        source::Error::Sink { path, source } => match source.downcast::<Error>() {
            Ok(own) => *own,
            Err(source) => Error::Source(source::Error::Sink { path, source }),
        },
        source::Error::Body { source } => match source.downcast::<Error>() {
            Ok(own) => own,
            Err(source) => Error::Source(source::Error::Body { source }),
        },
        other => Error::Source(other),
    }
}
