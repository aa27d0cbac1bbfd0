//! The journal: entries 1, 2, 3 … , each a file that is made once and never changed.
//!
//! An entry appears whole or not at all: it is written and synced under another name and then linked to its number, which
//! fails when the number is taken. That alone decides who wins; locks only save work. Each entry holds the digest of the
//! one before, so that a journal that was cut, swapped or restored from elsewhere shows.
//!
//! Old entries are folded into segments, files that stand for a range of numbers and hold those of them that are kept.
//! The newest entry always is a file, so the folder stays short, and no hint of where the head lies is needed: it is the
//! highest number in a listing.

mod fold;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod history;
mod listing;
mod segment;
#[cfg(test)]
mod tests;

#[cfg(feature = "planted")]
mod early;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::io::Errno;

pub use history::{Content, History, Piece};

use super::Error;
use crate::{
    digest::Digest,
    disk::{self, Directory, Staging},
    entry::{Committed, Entry, SiteId},
};
use listing::{Listing, file_name};
use segment::Line;

/// What became of an entry.
#[derive(Debug)]
pub enum Appended {
    /// It is the new head.
    Won(Arc<Committed>),
    /// Somebody else's entry has the number.
    Lost,
}

/// The journal's folder.
#[derive(Debug)]
pub struct Journal {
    directory: Directory,
    /// The newest entry seen so far: where looking for the head begins.
    seen: Mutex<Option<Arc<Committed>>>,
}

impl Journal {
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory, seen: Mutex::new(None) }
    }

    /// The newest entry; none in a journal that has not begun. Costs two look-ups when nothing is new.
    ///
    /// # Errors
    /// When an entry cannot be read or breaks the chain, or one that was the head is gone.
    pub fn head(&self) -> Result<Option<Arc<Committed>>, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut head) = seen.clone().map_or_else(|| self.newest(), |head| Ok(Some(head)))? else {
            return Ok(None);
        };
        loop {
            let seq = head.entry.seq;
            match self.file(seq + 1)? {
                Some(next) if next.committed.entry.previous != Some(head.digest) => {
                    let why = "it does not follow from the entry before".into();
                    return Err(Error::Damaged { what: format!("journal entry {}", seq + 1), why });
                }
                Some(next) => head = next.committed,
                // Entries are folded oldest first: while this one is a file, the next cannot have been folded away.
                None if self.is_file(seq)? => break,
                None => head = self.newest_since(&head)?,
            }
        }
        *seen = Some(head.clone());
        Ok(Some(head))
    }

    /// The newest entry that this process has seen, whatever became of it.
    #[must_use]
    pub fn seen(&self) -> Option<Arc<Committed>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what this process has seen: the head is looked for anew.
    pub fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The same folder, for somebody who has seen nothing of it.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(self.directory.clone())
    }

    /// The number of the newest entry that is a file, readable or not; with its folder and name.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn newest_file(&self) -> Result<Option<(u64, &Directory, String)>, Error> {
        Ok(self.list()?.files.last().map(|seq| (*seq, &self.directory, file_name(*seq))))
    }

    /// Whether the journal of the site `site` has the entry `seq` with this digest, or once had an entry that it does not
    /// keep any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn has(&self, site: &SiteId, seq: u64, digest: &Digest) -> Result<bool, Error> {
        if let Some(there) = self.read(seq)? {
            return Ok(there.digest == *digest);
        }
        let Some(range) = self.list()?.segment(seq) else { return Ok(false) };
        if range.last == seq && self.segment(range)?.is_some_and(|segment| segment.head != *digest) {
            return Ok(false);
        }
        // What was dropped tells its site no more, but what follows on it does.
        Ok(self.newest()?.is_some_and(|newest| newest.entry.site == *site))
    }

    /// The newest entry, found by listing.
    fn newest(&self) -> Result<Option<Arc<Committed>>, Error> {
        let damaged = |why: &str| Error::Damaged { what: "the journal".into(), why: why.into() };
        let mut tried = None;
        loop {
            let listing = self.list()?;
            let Some(seq) = listing.files.last().copied() else {
                let is_blank = listing.segments.is_empty();
                return if is_blank { Ok(None) } else { Err(damaged("its newest entry is missing")) };
            };
            let Some(line) = self.file(seq)? else {
                // Folded meanwhile, when there is a newer one now.
                if tried == Some(seq) {
                    return Err(damaged("its newest entry comes and goes"));
                }
                tried = Some(seq);
                continue;
            };
            if let Some(range) = listing.segment(seq - 1)
                && let Some(segment) = self.segment(range)?
                && segment.range.last == seq - 1
                && line.committed.entry.previous != Some(segment.head)
            {
                return Err(damaged("its newest entry does not follow from the one before"));
            }
            return Ok(Some(line.committed));
        }
    }

    /// The newest entry, when `known`, once the newest, is no file any more: it must have been folded.
    fn newest_since(&self, known: &Committed) -> Result<Arc<Committed>, Error> {
        let seq = known.entry.seq;
        let gone = || Error::Damaged { what: "the journal".into(), why: format!("entry {seq}, which it had, is gone") };
        let newest = self.newest()?.filter(|newest| newest.entry.seq > seq).ok_or_else(gone)?;
        self.list()?.segment(seq).ok_or_else(gone)?;
        if self.read(seq)?.is_some_and(|there| there.digest != known.digest) {
            return Err(gone());
        }
        Ok(newest)
    }

    /// Whether there is something to fold though every entry is kept.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn is_long(&self) -> Result<bool, Error> {
        Ok(self.list()?.is_long())
    }

    fn list(&self) -> Result<Listing, Error> {
        Ok(Listing::of(&self.directory.list()?))
    }

    fn is_file(&self, seq: u64) -> Result<bool, Error> {
        Ok(disk::if_there(self.directory.stat(file_name(seq)))?.is_some())
    }

    /// The entry `seq`, when it is a file.
    fn file(&self, seq: u64) -> Result<Option<Line>, Error> {
        let text = disk::if_there(self.directory.read(file_name(seq)))?;
        text.map(|text| Line::parse(seq, &text)).transpose()
    }

    /// Appends `entry` if its number is free.
    ///
    /// # Errors
    /// Before the entry is there: as the disk says, and nothing happened. After: [`Error::OutcomeUnknown`].
    pub fn append(&self, staging: &Staging, entry: Entry) -> Result<Appended, Error> {
        #[cfg(feature = "planted")]
        if let Some(pretended) = self.acknowledge_early(&entry) {
            return Ok(pretended);
        }
        let line = entry.to_line();
        let (seq, op) = (entry.seq, entry.op);
        let staged = staging.bytes(&line)?;
        staging.sync([&*staged].into_iter())?;
        let linked = match staging.directory().link(&staged, &self.directory, file_name(seq)) {
            Err(error) if has_no_links(&error) => {
                staging.directory().rename_new(&staged, &self.directory, file_name(seq))
            }
            linked => linked,
        };
        if let Err(error) = linked {
            // A file server may have done it and lost the answer: the entry itself tells.
            return match self.file(seq) {
                Ok(Some(there)) if there.committed.entry.op == op => self.settle(there.committed),
                Ok(Some(_)) => Ok(Appended::Lost),
                Ok(None) if is_refusal(&error) => Err(error.into()),
                // Neither made nor not made, as far as we can see: a file server may yet do it.
                _ => Err(Error::OutcomeUnknown { op, source: error }),
            };
        }
        let unknown = |error| match error {
            Error::Disk(source) => Error::OutcomeUnknown { op, source },
            other => other,
        };
        if self.is_late(seq).map_err(unknown)? {
            self.directory.unlink(file_name(seq)).map_err(|source| Error::OutcomeUnknown { op, source })?;
            return Ok(Appended::Lost);
        }
        self.settle(Arc::new(Committed { entry, digest: Digest::of(&line) }))
    }

    /// Whether the number `seq`, which was free, was so only since its entry has been folded: whoever lost the lock, as on
    /// a file server, may be that slow. Its entry goes on from one that must still be a file otherwise.
    fn is_late(&self, seq: u64) -> Result<bool, Error> {
        match seq - 1 {
            0 => Ok(!self.list()?.segments.is_empty()),
            before => Ok(!self.is_file(before)?),
        }
    }

    fn settle(&self, committed: Arc<Committed>) -> Result<Appended, Error> {
        let op = committed.entry.op;
        self.directory.sync().map_err(|source| Error::OutcomeUnknown { op, source })?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(committed.clone());
        Ok(Appended::Won(committed))
    }
}

/// Whether the call was refused for a reason for which nothing can have been done.
fn is_refusal(error: &disk::Error) -> bool {
    let other = [Errno::MLINK, Errno::NOENT, Errno::NOTDIR, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL];
    let is_other = other.iter().any(|errno| error.source.raw_os_error() == Some(errno.raw_os_error()));
    error.is_full() || error.is_denied() || error.is_shortage() || is_other
}

fn has_no_links(error: &disk::Error) -> bool {
    let errno = error.source.raw_os_error();
    error.source.kind() == io::ErrorKind::Unsupported
        || [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS].iter().any(|no| errno == Some(no.raw_os_error()))
}
