//! Reading many files that somebody else may be changing.
//!
//! The list of files is taken, what is new in it is read, and the list is taken again: only when it equals what was read
//! is the content one state of the source rather than a mixture of two. A ConfigMap that kubelet swaps and a bucket that
//! a pipeline syncs both change in the middle of a reading now and then; a source that never comes to rest is an error.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::{Error, Reading, Summary};
use crate::{
    digest::{Digest, Hasher},
    path::SitePath,
};

/// Files in one source; the list is held in memory.
pub(super) const MOST_FILES: usize = 1_000_000;
/// Readings before a source that changes each time is given up.
const MOST_READINGS: usize = 3;
/// Between two readings of a source that changes.
const MOMENT: Duration = Duration::from_millis(250);

/// What a list tells of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes.
    pub(super) size: u64,
    /// Whether its owner may execute it.
    pub(super) executable: bool,
    /// When it was modified, in whole seconds since 1970.
    pub(super) modified: i64,
    /// Changes with the content: an entity tag, or times and inode.
    pub(super) version: String,
}

/// All files of a source, by name.
pub(super) type Listing = BTreeMap<SitePath, Entry>;

/// How one file's reading ended, when it is no error.
pub(super) enum Fetched {
    /// Handed over.
    Whole(u64),
    /// It is no longer what the list said; the next list will tell.
    Moved,
    /// It turned out not to be a file (a bucket's mark for a folder).
    Nothing,
}

/// A source of many files.
pub(super) trait Tree: Sync {
    /// The source, for messages.
    fn place(&self) -> String;

    /// Files read at once: each costs a thread and a buffer.
    fn width(&self) -> usize;

    /// All files; an error when there is none.
    fn list(&self) -> Result<Listing, Error>;

    /// Hands one file over. When `stop` is set, another file failed and this one is not worth its time.
    fn fetch(&self, path: &SitePath, entry: &Entry, reading: &Reading<'_>, stop: &AtomicBool)
    -> Result<Fetched, Error>;
}

/// The digest of a list.
pub(super) fn mark(tree: &dyn Tree) -> Result<Digest, Error> {
    let mut hasher = Hasher::new();
    let mut line = String::new();
    for (path, Entry { size, executable, version, .. }) in &tree.list()? {
        line.clear();
        // A path holds no control character, so that lines are unambiguous. Writing to a string does not fail.
        let _ = writeln!(line, "{path}\0{size}\0{executable}\0{version}");
        hasher.update(line.as_bytes());
    }
    Ok(hasher.finish())
}

/// Hands all files over, until the source holds still.
pub(super) fn read(tree: &dyn Tree, reading: &Reading<'_>) -> Result<Summary, Error> {
    let mut have = BTreeMap::<SitePath, (Entry, Option<u64>)>::new();
    let mut moved = Listing::new();
    for round in 0.. {
        let listing = tree.list()?;
        have.retain(|path, _| {
            let stays = listing.contains_key(path);
            if !stays {
                (reading.forget)(path);
            }
            stays
        });
        let missing: Vec<_> =
            listing.iter().filter(|(path, entry)| have.get(path).is_none_or(|(held, _)| held != *entry)).collect();
        if missing.is_empty() {
            return summary(tree, &have);
        }
        if let Some((path, _)) = missing.iter().find(|(path, entry)| moved.get(path) == Some(entry)) {
            return Err(Error::refused(tree.place(), path, "is listed, but cannot be read as it is listed"));
        }
        if round == MOST_READINGS {
            return Err(Error::Restless { place: tree.place() });
        }
        if !moved.is_empty() {
            // Whoever is writing may be done in a moment.
            thread::sleep(MOMENT);
        }
        reading.progress.expect(listing.len() as u64, listing.values().map(|entry| entry.size).sum());
        moved.clear();
        for ((path, entry), fetched) in missing.iter().zip(fetch_all(tree, &missing, reading)?) {
            let held = match fetched {
                Fetched::Whole(bytes) => Some(bytes),
                Fetched::Nothing => None,
                Fetched::Moved => {
                    moved.insert((*path).clone(), (*entry).clone());
                    continue;
                }
            };
            have.insert((*path).clone(), ((*entry).clone(), held));
        }
    }
    unreachable!("the rounds end above")
}

fn summary(tree: &dyn Tree, have: &BTreeMap<SitePath, (Entry, Option<u64>)>) -> Result<Summary, Error> {
    let mut sum = Summary::default();
    for bytes in have.values().filter_map(|(_, bytes)| *bytes) {
        sum.files += 1;
        sum.bytes += bytes;
    }
    if sum.files == 0 { Err(Error::Empty { place: tree.place() }) } else { Ok(sum) }
}

/// Reads the files on a few threads, in the order of the list; the first error ends all.
fn fetch_all(tree: &dyn Tree, missing: &[(&SitePath, &Entry)], reading: &Reading<'_>) -> Result<Vec<Fetched>, Error> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failure = Mutex::new(None);
    let work = || {
        let mut done = Vec::new();
        while !stop.load(Relaxed) {
            let index = next.fetch_add(1, Relaxed);
            let Some((path, entry)) = missing.get(index) else { break };
            match tree.fetch(path, entry, reading, &stop) {
                Ok(fetched) => done.push((index, fetched)),
                Err(error) => {
                    // Only the first failure is one: the others may be its echo.
                    if !stop.swap(true, Relaxed) {
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                }
            }
        }
        done
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..tree.width().min(missing.len())).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    done.sort_unstable_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, fetched)| fetched).collect())
}
