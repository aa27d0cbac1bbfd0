//! Removing what nothing names.
//!
//! First entries that are not kept go from the journal, durably; whatever the journal has after that, is whole. Then what
//! its entries name is marked, without the lock, since that takes long; and what is not marked is removed under the lock,
//! some at a time, each time after marking what was committed meanwhile. A commit holds that lock from admitting its
//! objects to its entry, so that it either is over, and marked, or has not begun, and looks at the disk for what is there.
//! What a running upload sends lies in its staging directory until then.
//!
//! Whoever dies on the way leaves things that nothing names, for the next cleaning.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Depot, Error, State,
    retain::{self, Kept},
    verify::Reach,
    watch::{Moment, Watch},
};
use crate::{
    digest::Digest,
    disk::{self, Staging},
    entry::Entry,
    manifest::{File, Time},
    store::{self, Room},
};

const WATCHED: &str = "watched.json";
/// What is removed before others get their turn.
const SLICE: usize = 1_000;
/// And how long they get: another process looks for the lock every few milliseconds.
const PAUSE: Duration = Duration::from_millis(20);
/// A cleaning this young is not done again for somebody who needs room.
const YOUNG: Duration = Duration::from_secs(2);

/// What a cleaning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Entries of the journal.
    pub entries: usize,
    /// Objects.
    pub objects: u64,
    /// Nodes of manifests and times.
    pub nodes: u64,
    /// Bytes of the objects that nothing else had either.
    pub bytes: u64,
}

impl Cleaned {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Says in one line what was removed, if anything was.
    pub fn log(&self) {
        if !self.is_nothing() {
            let Self { entries, objects, nodes, bytes } = *self;
            tracing::info!(entries, objects, nodes, bytes, "removed what is not kept any more");
        }
    }
}

/// What the entries up to a number name.
#[derive(Default)]
struct Marked {
    reach: Reach,
    newest: u64,
    /// The releases that a rollback may go back to.
    releases: BTreeSet<Digest>,
}

impl Depot {
    /// Removes from the journal what is not kept any more, and from the store what nothing names; and holds back what a
    /// rollback on a full disk needs. One thread at a time.
    ///
    /// # Errors
    /// When the journal or a manifest is damaged: then nothing is removed; when the disk refuses.
    pub fn clean(&self) -> Result<Cleaned, Error> {
        let mut last = self.cleaned.lock().unwrap_or_else(PoisonError::into_inner);
        self.cramped.store(false, Ordering::SeqCst);
        let cleaned = self.clean_now();
        self.expire_sent();
        if let Some(state) = self.state()? {
            state.home.bound_quarantine()?;
        }
        *last = Some(Instant::now());
        cleaned
    }

    /// Whether `error` is that of a full volume, and trying again does no harm.
    pub(super) fn is_full(&self, error: &Error) -> bool {
        // A sync that failed is final, but for what is staged: that is thrown away, and written anew.
        let is_staged = |error: &disk::Error| matches!(self.state(), Ok(Some(state)) if error.path.starts_with(state.home.staging.path()));
        let may_repeat = |error: &disk::Error| error.is_full() && (!error.is_sync() || is_staged(error));
        !self.is_adrift() && error.disk().is_some_and(may_repeat)
    }

    /// Whether something was removed, after a write failed with `error`, so that it may be tried once more.
    pub(super) fn made_room(&self, error: &Error) -> bool {
        self.is_full(error) && self.make_room()
    }

    /// Cleans, for a write that needs room, unless that was done a moment ago; tells whether it is worth another try.
    pub fn make_room(&self) -> bool {
        let start = Instant::now();
        match *self.cleaned.lock().unwrap_or_else(PoisonError::into_inner) {
            // Somebody else's, for which this one waited.
            Some(last) if last > start => return true,
            Some(last) if last.elapsed() < YOUNG => return false,
            _ => {}
        }
        match self.clean() {
            Ok(cleaned) => !cleaned.is_nothing(),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the volume is full and cannot be cleaned");
                false
            }
        }
    }

    /// Asks for a cleaning soon: a write found no room.
    pub fn note_cramped(&self) {
        self.cramped.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked for a cleaning since the last one.
    #[must_use]
    pub fn is_cramped(&self) -> bool {
        self.cramped.load(Ordering::SeqCst)
    }

    fn clean_now(&self) -> Result<Cleaned, Error> {
        let Some(state) = self.state()? else { return Ok(Cleaned::default()) };
        // What a journal that was swapped does not name may be wanted when the right one comes back.
        if self.is_adrift() || self.divergence()?.is_some() || state.store.journal().head()?.is_none() {
            return Ok(Cleaned::default());
        }
        let dropped = self.drop_entries(&state).or_else(|error| {
            let is_full = error.disk().is_some_and(disk::Error::is_full);
            // It takes little room, and then makes much.
            if is_full && self.release_reserve(&state)? { self.drop_entries(&state) } else { Err(error) }
        });
        let entries = match dropped {
            Err(error) if error.disk().is_some_and(disk::Error::is_full) => {
                tracing::warn!(%error, "no room to shorten the journal");
                0
            }
            dropped => dropped?,
        };
        let mut cleaned = Cleaned { entries, ..Cleaned::default() };
        let mut marked = Marked::default();
        marked.advance(&state)?;
        self.mark_shown(&state, &mut marked)?;
        let mut waiting = Vec::new();
        for byte in 0..=u8::MAX {
            for room in [Room::Objects, Room::Manifests] {
                let digests = state.store.shelf(room, byte)?.digests.into_iter().map(|digest| (room, digest));
                waiting.extend(digests.filter(|named| !marked.has(named)));
            }
            while waiting.len() > SLICE {
                let later = waiting.split_off(SLICE);
                self.remove(&state, &mut marked, &waiting, &mut cleaned)?;
                waiting = later;
                thread::sleep(PAUSE);
            }
        }
        self.remove(&state, &mut marked, &waiting, &mut cleaned)?;
        match self.keep_reserve(&state, &marked.releases) {
            // Nobody can roll back there either.
            Err(error) if error.disk().is_some_and(disk::Error::is_denied) => {}
            kept => kept?,
        }
        Ok(cleaned)
    }

    /// Drops from the journal what is old enough; tells how many entries.
    fn drop_entries(&self, state: &State) -> Result<usize, Error> {
        let journal = state.store.journal();
        let mut entries = Vec::new();
        for committed in journal.history()? {
            let Entry { seq, cause, .. } = committed?.entry;
            entries.push(Kept { seq, cause });
        }
        entries.reverse();
        let (Some(head), known) = (entries.last(), entries.iter().map(|entry| entry.seq).collect()) else {
            return Ok(0);
        };
        // However old: nothing is written for a journal that keeps everything.
        let is_whole = retain::dropped(&entries, &self.keep, |_| Duration::MAX).is_empty();
        if is_whole && !journal.is_long()? {
            return Ok(0);
        }
        let _lock = self.lock(state, self.patience)?;
        self.check_divergence()?;
        let staging = state.home.stage()?;
        let dropped = match is_whole {
            true => BTreeSet::new(),
            false => {
                let watch = self.look(state, &staging, head.seq)?;
                retain::dropped(&entries, &self.keep, |seq| watch.age(seq))
            }
        };
        let folded = journal.fold(&staging, &known, &dropped);
        if let Err(store::Error::Unsynced(error)) = &folded {
            // A second sync would succeed and prove nothing.
            self.adrift.store(true, Ordering::SeqCst);
            tracing::error!(%error, "the journal may not be durable: nothing more is written until the next start");
        }
        Ok(folded?)
    }

    /// Counts the time since the last look. The caller holds the lock.
    fn look(&self, state: &State, staging: &Staging, head: u64) -> Result<Watch, Error> {
        let home = &state.home.directory;
        // A power cut may have left it torn: counting begins anew, and what is old stays longer.
        let read = disk::if_there(home.read(WATCHED))?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut last = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Moment { clock: Entry::now().timestamp_millis(), steady: Instant::now() };
        let watch = Watch::next(read, last.as_ref(), now, head, self.keep.time);
        let name = staging.bytes(&serde_json::to_vec(&watch).expect("it has nothing that JSON lacks"))?;
        staging.directory().rename(name, home, WATCHED)?;
        *last = Some(watch.clone().written(now.steady));
        Ok(watch)
    }

    /// Marks what the volume shows, where that is not the head: another entry is being published, or was by somebody who
    /// died.
    fn mark_shown(&self, state: &State, marked: &mut Marked) -> Result<(), Error> {
        if let Some(shown) = self.volume.remembered(&state.home)? {
            marked.reach.follow::<File>(state, shown.release)?;
            marked.reach.follow::<Time>(state, shown.times)?;
            // It may be of a journal that is gone.
            marked.reach.lost.clear();
        }
        Ok(())
    }

    /// Removes those of `waiting` that nothing names now.
    fn remove(
        &self,
        state: &State,
        marked: &mut Marked,
        waiting: &[(Room, Digest)],
        cleaned: &mut Cleaned,
    ) -> Result<(), Error> {
        if waiting.is_empty() {
            return Ok(());
        }
        let _lock = self.lock(state, self.patience)?;
        self.check_divergence()?;
        marked.advance(state)?;
        for named in waiting.iter().filter(|named| !marked.has(named)) {
            let Some(bytes) = state.store.remove(named.0, &named.1)? else { continue };
            cleaned.bytes += bytes;
            match named.0 {
                Room::Objects => cleaned.objects += 1,
                Room::Manifests => cleaned.nodes += 1,
            }
        }
        Ok(())
    }
}

impl Marked {
    /// Marks what entries name that have come since.
    fn advance(&mut self, state: &State) -> Result<(), Error> {
        let known = self.newest;
        for committed in state.store.journal().history()? {
            let Entry { seq, release, times, cause, .. } = committed?.entry;
            if seq <= known {
                break;
            }
            self.reach.follow::<File>(state, release)?;
            self.reach.follow::<Time>(state, times)?;
            if cause.is_landmark() || seq > self.newest {
                self.releases.insert(release);
            }
            self.newest = self.newest.max(seq);
        }
        match self.reach.lost.keys().next() {
            // What it named cannot be told, and may be what mends it.
            Some(node) => {
                let why = "it cannot be read; nothing is removed while an entry needs it".into();
                Err(store::Error::Damaged { what: format!("manifest node {node}"), why }.into())
            }
            None => Ok(()),
        }
    }

    fn has(&self, (room, digest): &(Room, Digest)) -> bool {
        match room {
            Room::Objects => self.reach.objects.contains_key(digest),
            Room::Manifests => self.reach.nodes.contains_key(digest),
        }
    }
}
