//! The journal: entries 1, 2, 3 … , each a file that is made once and never changed.
//!
//! An entry appears whole or not at all: it is written and synced under another name and then linked to its number, which
//! fails when the number is taken. That alone decides who wins; locks only save work. Each entry holds the digest of the
//! one before, so that a journal that was cut, swapped or restored from elsewhere shows.

use std::{
    ffi::OsStr,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::io::Errno;

use super::Error;
use crate::{
    digest::Digest,
    disk::{self, Directory, Staging},
    entry::{Committed, Entry},
};

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

fn file_name(seq: u64) -> String {
    format!("{seq:020}.json")
}

fn sequence(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(".json")?;
    digits.parse().ok().filter(|seq| file_name(*seq) == format!("{digits}.json"))
}

impl Journal {
    pub(super) fn new(directory: Directory) -> Self {
        Self { directory, seen: Mutex::new(None) }
    }

    /// The newest entry; none in a journal that has not begun. Costs one look-up when nothing is new.
    ///
    /// # Errors
    /// When an entry cannot be read or breaks the chain.
    pub fn head(&self) -> Result<Option<Arc<Committed>>, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() {
            let newest = self.directory.list()?.iter().filter_map(|name| sequence(name)).max();
            *seen = newest.map(|seq| self.read(seq)).transpose()?.flatten();
        }
        let mut next = seen.as_ref().map_or(1, |head| head.entry.seq + 1);
        while let Some(entry) = self.read(next)? {
            if entry.entry.previous != seen.as_ref().map(|head| head.digest) {
                let why = "it does not follow from the entry before".into();
                return Err(Error::Damaged { what: format!("journal entry {next}"), why });
            }
            *seen = Some(entry);
            next += 1;
        }
        Ok(seen.clone())
    }

    /// The numbers of all entries, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn numbers(&self) -> Result<Vec<u64>, disk::Error> {
        Ok(self.directory.list()?.iter().filter_map(|name| sequence(name)).collect())
    }

    /// The entry `seq`, when it is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, seq: u64) -> Result<Option<Arc<Committed>>, Error> {
        let Some(line) = disk::if_there(self.directory.read(file_name(seq)))? else { return Ok(None) };
        let damaged = |why: String| Error::Damaged { what: format!("journal entry {seq}"), why };
        let entry: Entry = serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
        if entry.version > 1 {
            return Err(Error::Newer { seq, version: entry.version });
        }
        if entry.seq != seq || entry.version != 1 {
            return Err(damaged(format!("it says seq {} of format {}", entry.seq, entry.version)));
        }
        Ok(Some(Arc::new(Committed { entry, digest: Digest::of(&line) })))
    }

    /// The entries from the head back to the oldest kept, newest first.
    ///
    /// # Errors
    /// When the head cannot be read; later ones fail by themselves.
    pub fn history(&self) -> Result<impl Iterator<Item = Result<Arc<Committed>, Error>> + '_, Error> {
        let head = self.head()?;
        let mut next = head.as_ref().map_or(0, |head| head.entry.seq);
        Ok(std::iter::from_fn(move || {
            let seq = next;
            next = next.saturating_sub(1);
            if seq == 0 { None } else { self.read(seq).transpose() }
        }))
    }

    /// Appends `entry` if its number is free.
    ///
    /// # Errors
    /// Before the entry is there: as the disk says, and nothing happened. After: [`Error::OutcomeUnknown`].
    pub fn append(&self, staging: &Staging, entry: Entry) -> Result<Appended, Error> {
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
            return match self.read(seq) {
                Ok(Some(there)) if there.entry.op == op => self.settle(there),
                Ok(Some(_)) => Ok(Appended::Lost),
                Ok(None) if is_refusal(&error) => Err(error.into()),
                // Neither made nor not made, as far as we can see: a file server may yet do it.
                _ => Err(Error::OutcomeUnknown { op, source: error }),
            };
        }
        self.settle(Arc::new(Committed { entry, digest: Digest::of(&line) }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Cause, SiteId};

    struct Site {
        _scratch: tempfile::TempDir,
        journal: Journal,
        staging: Staging,
    }

    fn site() -> Site {
        let scratch = tempfile::tempdir().expect("a directory");
        let root = Directory::open(scratch.path()).expect("opened");
        let journal = Journal::new(root.make_directory("journal", 0o700).expect("made"));
        let staging = Staging::create(&root.make_directory("staging", 0o700).expect("made"), 0o700).expect("made");
        Site { _scratch: scratch, journal, staging }
    }

    fn entry(seq: u64, previous: Option<Digest>) -> Entry {
        Entry {
            version: 1,
            seq,
            op: crate::random::uuid(),
            site: SiteId::random(),
            previous,
            release: Digest::of("r"),
            times: Digest::of("t"),
            parent: None,
            cause: Cause::Seed,
            by: "test".into(),
            message: None,
            at: Entry::now(),
        }
    }

    #[test]
    fn only_one_entry_gets_a_number() {
        let site = site();
        let Appended::Won(first) = site.journal.append(&site.staging, entry(1, None)).expect("appended") else {
            panic!("nobody else was there")
        };
        assert!(matches!(site.journal.append(&site.staging, entry(1, None)), Ok(Appended::Lost)));
        assert_eq!(site.journal.head().expect("read"), Some(first));
    }

    #[test]
    fn an_entry_of_another_history_is_noticed() {
        let site = site();
        assert!(matches!(site.journal.append(&site.staging, entry(1, None)), Ok(Appended::Won(_))));
        let foreign = entry(2, Some(Digest::of("another first entry"))).to_line();
        let name = site.staging.bytes(&foreign).expect("staged");
        site.staging.directory().rename(name, &site.journal.directory, file_name(2)).expect("moved");
        assert!(matches!(site.journal.head(), Err(Error::Damaged { .. })));
    }

    #[test]
    fn what_a_later_version_adds_is_no_error() {
        let mut line: serde_json::Value = serde_json::from_slice(&entry(1, None).to_line()).expect("JSON");
        line["cause"] = "condemn".into();
        line["digests"] = serde_json::json!([]);
        let entry: Entry = serde_json::from_value(line).expect("it is read");
        assert_eq!(entry.cause, Cause::Unknown);
    }
}
