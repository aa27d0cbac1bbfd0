//! Taking over what somebody else put on the volume: it becomes an entry of its own, so that it can be gone back to,
//! before anything of ours takes its place.
//!
//! The bytes are read, hashed and copied; the new generation is built of the copies; then each real entry of the root is
//! exchanged for its link. A reader finds the same bytes all the while.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    sync::{Arc, atomic::Ordering},
};

use super::{Change, Depot, Error, State, plan::plan};
use crate::{
    disk::{self, Staging},
    entry::{Cause, Committed, Entry, SiteId},
    manifest::{File, Time, Tree},
    path::SitePath,
    random,
    store::Admitted,
    volume::{Foreign, Found, Layout, Salvage, Survey},
};

/// What is to be taken over.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    /// Files as they were found.
    pub(super) files: Vec<Found>,
    /// Files that are not there any more.
    pub(super) remove: Vec<SitePath>,
    /// The root's entries that give way to links.
    pub(super) exchange: Vec<OsString>,
    /// Why, for the journal.
    pub(super) why: &'static str,
}

impl Depot {
    /// Fails when the volume holds somebody else's content that cannot be taken over, before anything is written.
    pub(super) fn check_adoptable(&self) -> Result<(), Error> {
        match self.volume.survey()? {
            Survey::Empty => Ok(()),
            Survey::Foreign(_) => refuse_unfit(&self.volume.foreign(&self.volume.foreign_names()?)?),
        }
    }

    /// Before the first entry: takes over what lies on the volume. Tells whether there was anything. A seed leaves it
    /// alone.
    pub(super) fn adopt_first(&self, state: &State, cause: Cause) -> Result<bool, Error> {
        let names = self.volume.foreign_names()?;
        if names.is_empty() {
            return Ok(false);
        }
        if cause == Cause::Seed {
            return Err(Error::Foreign(names.iter().map(|name| name.to_string_lossy().into()).collect()));
        }
        let foreign = self.volume.foreign(&names)?;
        refuse_unfit(&foreign)?;
        say_empty(&foreign);
        if foreign.files.is_empty() {
            // In the way or not, nothing of it is lost.
            return Ok(false);
        }
        let exchange = self.with_files(names, &foreign);
        let why = "what was on the volume before the first upload";
        self.adopt(state, None, Adoption { files: foreign.files, remove: Vec::new(), exchange, why })?;
        Ok(true)
    }

    /// Takes over what lies where a commit needs a name. Tells whether there was anything that could be.
    pub(super) fn adopt_in_the_way(&self, state: &State, path: &str) -> Result<bool, Error> {
        let head = state.store.journal().head()?;
        let nodes = state.store.nodes();
        let lingering = state.home.lingering()?;
        let first = path.split('/').next().unwrap_or(path);
        let mut tops: BTreeSet<Box<str>> = BTreeSet::from([first.into()]);
        if let Some(head) = &head {
            tops.extend(self.volume.top(nodes, head.entry.release(), &lingering)?);
        }
        let names = match self.volume.layout() {
            Layout::Files => vec![first.into()],
            _ => self.volume.in_the_way(tops.iter().map(|name| &**name))?,
        };
        let mut foreign = self.volume.foreign(&names)?;
        if self.volume.layout() == &Layout::Files
            && let Some(head) = &head
        {
            self.drop_own(state, head, &mut foreign)?;
            foreign.files.retain(|found| !lingering.explains(found.path.as_str()));
        }
        refuse_unfit(&foreign)?;
        say_empty(&foreign);
        let mut removed = false;
        let exchange = self.with_files(names.clone(), &foreign);
        for name in names.iter().filter(|name| !exchange.contains(name)) {
            if disk::if_directory(self.volume.root().directory(name))?.is_some() {
                removed |= self.volume.root().remove_hollow(name)?;
            }
        }
        if foreign.files.is_empty() {
            return Ok(removed);
        }
        let why = "what somebody put in the way by hand";
        let adoption = Adoption { files: foreign.files, remove: Vec::new(), exchange, why };
        let can_exchange = !adoption.exchange.is_empty();
        Ok(self.adopt(state, head.as_deref(), adoption)?.is_some() || can_exchange)
    }

    /// Of the root's entries `names`, those that have files and so a link.
    fn with_files(&self, names: Vec<OsString>, foreign: &Foreign) -> Vec<OsString> {
        match self.volume.layout() {
            Layout::Files => Vec::new(),
            Layout::Link(_) => names.into_iter().filter(|_| !foreign.files.is_empty()).collect(),
            Layout::Docroot => {
                let tops: BTreeSet<&str> = foreign.files.iter().map(|found| found.path.top()).collect();
                names.into_iter().filter(|name| name.to_str().is_some_and(|name| tops.contains(name))).collect()
            }
        }
    }

    /// Drops from what was found the files that are the head's own.
    fn drop_own(&self, state: &State, head: &Committed, foreign: &mut Foreign) -> Result<(), Error> {
        let files = Tree::<File>::new(state.store.nodes(), head.entry.release);
        let times = Tree::<Time>::new(state.store.nodes(), head.entry.times);
        let mut kept = Vec::new();
        for found in foreign.files.drain(..) {
            let mtime = times.find(&found.path)?.and_then(|time| time.mtime);
            let is_own = match (files.find(&found.path)?, mtime) {
                (Some(file), Some(mtime)) => found.stat.is(file.size, mtime, file.executable),
                _ => false,
            };
            if !is_own {
                kept.push(found);
            }
        }
        foreign.files = kept;
        Ok(())
    }

    /// Commits `adoption` on `head` and shows it; none when the head has all of it already. The caller holds the lock, and
    /// where nothing is exchanged the volume shows `head`.
    pub(super) fn adopt(
        &self,
        state: &State,
        head: Option<&Committed>,
        adoption: Adoption,
    ) -> Result<Option<Arc<Committed>>, Error> {
        let Adoption { files, remove, exchange, why } = adoption;
        self.check_room_for(&files)?;
        let staging = Staging::create(&state.home.staging, state.home.mode)?;
        let mut taken = BTreeMap::new();
        for Found { path, base, stat } in files {
            let Some(mut content) = disk::if_path(base.file(&path))? else { continue };
            let staged = staging.file(&mut content, stat.mode & 0o111 != 0)?;
            taken.insert(path, (staged, stat.mtime));
        }
        let (count, gone) = (taken.len(), remove.len());
        let change = Change::Adopt { files: taken, remove };
        let now = Entry::now();
        let Some(planned) = plan(state.store.nodes(), head, &change, now.timestamp())? else {
            if let Some(head) = head.filter(|_| !exchange.is_empty()) {
                self.volume.prepare_exchange(&state.home, &turn(&head.entry), &exchange)?;
                self.volume.exchange_pending(&state.home)?;
            }
            return Ok(None);
        };
        let message = match gone {
            0 => format!("{why}: {count} files"),
            _ => format!("{why}: {count} files, {gone} removed"),
        };
        let entry = Entry {
            version: 1,
            seq: head.map_or(1, |head| head.entry.seq + 1),
            op: random::uuid(),
            site: head.map_or_else(SiteId::random, |head| head.entry.site.clone()),
            previous: head.map(|head| head.digest),
            release: planned.release.manifest,
            times: planned.release.times,
            parent: head.map(|head| head.entry.release),
            cause: Cause::Adopt,
            by: "adopt".into(),
            message: Some(message),
            at: now,
        };
        if !exchange.is_empty() {
            self.finish_exchange(state, head)?;
            self.volume.prepare_exchange(&state.home, &turn(&entry), &exchange)?;
        }
        // A head that could not be shown yet, since something lay in its way, is shown with this.
        let shown = self.volume.shown(&state.home)?;
        let is_shown = exchange.is_empty() && head.is_some_and(|head| shown.is_some_and(|shown| shown.is(head)));
        let mut admitted = Admitted::default();
        let settled = self.settle(state, &staging, &change, &planned, entry, is_shown, &mut admitted);
        match &settled {
            Ok(Some(head)) => {
                self.adopted.fetch_add(1, Ordering::Relaxed);
                let (seq, release) = (head.entry.seq, head.entry.release);
                tracing::info!(seq, %release, files = count, removed = gone, why, "adopted");
            }
            // Its entry may be there.
            Err(Error::OutcomeUnknown { .. }) => {}
            _ => self.volume.replaced(&state.home)?.iter().try_for_each(crate::volume::Replaced::forget_pending)?,
        }
        settled
    }

    /// A copy is made of each file: better to say before it begins that there is no room.
    fn check_room_for(&self, files: &[Found]) -> Result<(), Error> {
        let needed = files.iter().fold(0_u64, |sum, found| sum.saturating_add(found.stat.size));
        let room = self.volume.room()?;
        if needed > room.bytes || files.len() as u64 > room.inodes {
            tracing::warn!(
                needed,
                free = room.bytes,
                files = files.len(),
                "no room to take over what is on the volume"
            );
            let path = self.volume.root().path().into();
            return Err(disk::Error { call: "write", path, source: io::ErrorKind::StorageFull.into() }.into());
        }
        Ok(())
    }

    /// Adoptions that this process committed since it was last asked.
    pub fn take_adopted(&self) -> u64 {
        self.adopted.swap(0, Ordering::Relaxed)
    }

    /// Calls `act` with who knows what is kept, for what goes away while `head` is shown.
    pub(super) fn with_salvage<T>(&self, state: &State, seq: u64, act: impl FnOnce(&Salvage<'_>) -> T) -> T {
        let knows = |digest: &crate::digest::Digest, size| state.store.holds(digest, size).unwrap_or(true);
        act(&Salvage { seq, knows: &knows })
    }
}

/// The name of an adoption's exchange, which tells its entry.
pub(super) fn turn(entry: &Entry) -> String {
    format!("{:020}-{}", entry.seq, entry.op.simple())
}

fn refuse_unfit(foreign: &Foreign) -> Result<(), Error> {
    if foreign.unfit.is_empty() { Ok(()) } else { Err(Error::Unfit(foreign.unfit.clone())) }
}

fn say_empty(foreign: &Foreign) {
    if !foreign.empty.is_empty() {
        tracing::info!(folders = ?foreign.empty, "empty folders are no part of a release");
    }
}
