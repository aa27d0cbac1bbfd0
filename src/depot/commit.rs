//! The first verb: one entry more in the journal, shown before anybody is told.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use uuid::Uuid;

use super::{
    Change, Changed, Counts, Depot, Error, Proposal, State,
    folders::Folders,
    gate::{Passed, Tried},
    plan::{Difference, Overlay, Plan, plan},
};
use crate::{
    digest::Digest,
    disk::{self, Kind, Staging, Stat},
    entry::{Committed, Entry},
    manifest::{Time, Tree},
    path::SitePath,
    planted::Mistake,
    store::{self, Admitted, Appended},
    volume::{self, Prepared, Shown},
};

/// Adoptions that one commit may need, one after the other.
const MOST_ADOPTIONS: usize = 64;

/// What became of a proposal.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The head afterwards.
    pub head: Arc<Committed>,
    /// Whether a new entry was made; not when nothing changed or its condition said no.
    pub is_new: bool,
    /// Whether the change made a path that was not there before.
    pub creates: bool,
    /// Files set.
    pub changed: u64,
    /// Files removed.
    pub removed: u64,
    /// Bytes of the files set.
    pub bytes: u64,
    /// When nothing of it was done: the paths that would change. Then `head` is what would be.
    pub rehearsed: Option<Vec<Changed>>,
}

impl Outcome {
    pub(super) fn nothing(head: Arc<Committed>) -> Self {
        Self { head, is_new: false, creates: false, changed: 0, removed: 0, bytes: 0, rehearsed: None }
    }

    pub(super) fn of(head: Arc<Committed>, changes: &[Difference]) -> Self {
        let Counts { changed, removed, bytes } = Counts::of(changes);
        let creates = changes.iter().any(|change| change.was.is_none());
        Self { head, is_new: true, creates, changed, removed, bytes, rehearsed: None }
    }
}

impl Depot {
    /// Commits `proposal`, whose files lie in `staging`, and shows it. One whose files lie nowhere is only rehearsed.
    ///
    /// # Errors
    /// Before the entry is made: as the cause says, and the old release stands. After: [`Error::OutcomeUnknown`].
    pub fn commit(&self, staging: &Staging, proposal: &Proposal<'_>) -> Result<Outcome, Error> {
        if let Change::Put { clear: true, files, .. } = &proposal.change
            && files.is_empty()
        {
            return Err(Error::Nothing);
        }
        proposal.by.check_change(&proposal.change)?;
        if staging.is_nowhere() {
            return self.rehearse(proposal);
        }
        match self.commit_through_gate(staging, proposal) {
            Err(error) if self.made_room(&error) => match self.commit_through_gate(staging, proposal) {
                // What was staged is gone with what an adoption needed.
                Err(again) if again.disk().is_some_and(disk::Error::is_absent) => Err(error),
                done => done,
            },
            done => done,
        }
    }

    /// Commits `proposal`, unless somebody is to be asked first about what it makes of the head.
    pub(super) fn try_commit(
        &self,
        staging: &Staging,
        proposal: &Proposal<'_>,
        passed: Option<&Passed>,
    ) -> Result<Tried, Error> {
        let state = self.state_for_writing()?;
        let _lock = self.lock(&state, self.patience)?;
        self.check_divergence()?;
        Self::check_unpinned(&state)?;
        let (mut admitted, mut adoptions) = (Admitted::default(), 0);
        loop {
            let path = match self.attempt(&state, staging, proposal, passed, &mut admitted) {
                Err(Error::Volume(volume::Error::InTheWay { path })) => path,
                done => return done,
            };
            // What lies there becomes an entry of its own; then it may go.
            adoptions += 1;
            match self.adopt_in_the_way(&state, &path) {
                // Its entry may name what was admitted for this one.
                Ok(true) if adoptions < MOST_ADOPTIONS => admitted = Admitted::default(),
                done => {
                    state.store.withdraw(staging, &admitted);
                    return Err(done.err().unwrap_or_else(|| volume::Error::InTheWay { path }.into()));
                }
            }
        }
    }

    /// One try, until something lies in the way. What it admitted for the entry stays for the next try then.
    fn attempt(
        &self,
        state: &State,
        staging: &Staging,
        proposal: &Proposal<'_>,
        passed: Option<&Passed>,
        admitted: &mut Admitted,
    ) -> Result<Tried, Error> {
        loop {
            let head = state.store.journal().head()?;
            let current = head.as_ref().map(|head| head.entry.release);
            if proposal.parent.is_some() && proposal.parent != current {
                return Err(Error::Stale { current });
            }
            if head.is_none() && self.adopt_first(state, proposal.cause)? {
                continue;
            }
            proposal.precondition.check(state.store.nodes(), head.as_deref())?;
            Self::check_kept(state, &proposal.change, current)?;
            let mut is_shown = true;
            if let Some(head) = &head {
                match self.catch_up(state, staging, head) {
                    // The head cannot be shown any more; what follows on it perhaps can.
                    Err(error) if error.is_damaged() => {
                        is_shown =
                            self.mend(state, staging, &proposal.change)? && self.catch_up(state, staging, head).is_ok();
                    }
                    caught_up => caught_up?,
                }
            }
            let now = passed.and_then(|passed| passed.at(head.as_deref())).unwrap_or_else(Entry::now);
            self.check_folders(proposal)?;
            let planned = plan(state.store.nodes(), head.as_deref(), &proposal.change, now.timestamp());
            if let (Err(Error::NotFound(_)), Some(head)) = (&planned, &head)
                && self.purge(state, staging, head, &proposal.change)?
            {
                return Ok(Tried::Done(Outcome::nothing(head.clone())));
            }
            let planned = planned?;
            let Some(planned) = planned else {
                let head = head.ok_or(Error::Nothing)?;
                self.check_tops(&proposal.change)?;
                self.purge(state, staging, &head, &proposal.change)?;
                if self.mend(state, staging, &proposal.change)? || self.hides(state, &head, &proposal.change)? {
                    self.apply(state, staging, &head)?;
                }
                return Ok(Tried::Done(Outcome::nothing(head)));
            };
            if let Some(condition) = proposal.condition
                && !condition(head.as_deref(), planned.release.manifest)?
            {
                return Ok(Tried::Done(Outcome::nothing(head.ok_or(Error::Nothing)?)));
            }
            proposal.by.check_plan(&planned)?;
            if let Some(guard) = proposal.guard {
                let nodes = Overlay::new(state.store.nodes(), &planned.nodes);
                guard.check(proposal, &nodes, head.as_deref(), &planned)?;
                self.check_size(proposal, &nodes, head.as_deref(), &planned)?;
            }
            self.check_objects(state, &proposal.change, &planned)?;
            let entry = proposal.entry(head.as_deref(), planned.release, now);
            if self.asks_for(&proposal.change) && !passed.is_some_and(|passed| passed.is_for(&entry)) {
                return Ok(Tried::Asks(Box::new(self.propose(state, staging, &planned, entry)?)));
            }
            match self.settle(state, staging, &proposal.change, &planned, entry, is_shown, admitted)? {
                Some(head) => return Ok(Tried::Done(Outcome::of(head, &planned.changes))),
                // Another process wrote without the lock (a file server that lost it): start again from its entry.
                None => {
                    // Its entry may name what we brought: that is not ours to take back any more.
                    *admitted = Admitted::default();
                    continue;
                }
            }
        }
    }

    /// The release that a change goes back to, or begins from, may have been dropped since it was found, and its nodes
    /// with it, though this process remembers some. Now that nothing can be removed, it is looked for once more.
    pub(super) fn check_kept(state: &State, change: &Change, current: Option<Digest>) -> Result<(), Error> {
        let (release, times) = match change {
            Change::Restore(release) => (release.manifest, Some(release.times)),
            Change::Deploy { base: Some(base), .. } if current != Some(*base) => (*base, None),
            _ => return Ok(()),
        };
        for committed in state.store.journal().history()? {
            let entry = &committed?.entry;
            if entry.release == release && times.is_none_or(|times| entry.times == times) {
                return Ok(());
            }
        }
        Err(Error::NoSuchRelease(release.to_string()))
    }

    /// What is to be there already may yet be hidden by what somebody put in the place of a link.
    fn check_tops(&self, change: &Change) -> Result<(), Error> {
        let tops: BTreeSet<&str> = match change {
            Change::Put { files, .. } => files.keys().map(SitePath::top).collect(),
            Change::Deploy { set, .. } => set.keys().map(SitePath::top).collect(),
            _ => return Ok(()),
        };
        match self.volume.in_the_way(tops.into_iter())?.first() {
            Some(name) => Err(volume::Error::InTheWay { path: name.to_string_lossy().into() }.into()),
            None => Ok(()),
        }
    }

    /// Whether all is there that a client says it has sent, now that nobody can remove anything.
    pub(super) fn check_objects(&self, state: &State, change: &Change, planned: &Plan) -> Result<(), Error> {
        let Change::Deploy { objects, .. } = change else { return Ok(()) };
        let mut missing = BTreeSet::new();
        for (file, _) in planned.changes.iter().filter_map(|change| change.is) {
            if !objects.contains_key(&file.digest) && state.store.object_size(&file.digest)? != Some(file.size) {
                missing.insert(file.digest);
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing.into_iter().collect())) }
    }

    /// Whether somebody changed by hand what `change` puts: the release has it, and the volume shows something else.
    fn hides(&self, state: &State, head: &Committed, change: &Change) -> Result<bool, Error> {
        let Change::Put { files, .. } = change else { return Ok(false) };
        let Some(live) = self.volume.live()? else { return Ok(false) };
        let Some(tree) = self.volume.tree(&state.home, &live)? else { return Ok(false) };
        // Each folder is read once, however many of its files were sent.
        let mut times = Folders::of(Some(Tree::<Time>::new(state.store.nodes(), head.entry.times)));
        for (path, staged) in files {
            let mtime = times.find(path)?.and_then(|time| time.mtime);
            let stat = disk::if_path(tree.stat(path))?;
            let is_shown = |stat: Stat| {
                stat.kind == Kind::File && mtime.is_some_and(|mtime| stat.is(staged.size, mtime, staged.executable))
            };
            if !stat.is_some_and(is_shown) {
                tracing::info!(%path, "was changed by hand: what was sent now replaces it");
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts what was sent in place of objects that somebody wrote over; tells whether there were any. The same file sent
    /// again is the cure when no other copy is left.
    fn mend(&self, state: &State, staging: &Staging, change: &Change) -> Result<bool, Error> {
        let Change::Put { files, .. } = change else { return Ok(false) };
        let mut mended = false;
        for (path, staged) in files {
            if state.store.is_damaged(&staged.digest, staged.size, files.len() == 1)? {
                tracing::warn!(%path, digest = %staged.digest, "was changed from outside: what was sent now replaces it");
                let now = Entry::now().timestamp();
                state.store.replace(staging, staged, now)?;
                mended = true;
            }
        }
        Ok(mended)
    }

    /// Stages, appends the entry and publishes; none when another entry has its number. After an error before the entry
    /// the old release stands; what was prepared goes, at once or with the next sweep. `is_shown` tells that the volume
    /// shows the entry's parent, so that one file in it may be renamed.
    #[expect(clippy::too_many_arguments, reason = "each is one thing that the entry is made of")]
    pub(super) fn settle(
        &self,
        state: &State,
        staging: &Staging,
        change: &Change,
        planned: &Plan,
        entry: Entry,
        is_shown: bool,
        admitted: &mut Admitted,
    ) -> Result<Option<Arc<Committed>>, Error> {
        let (op, parent) = (entry.op, entry.parent.filter(|_| is_shown));
        let ready = state.store.admit(staging, &planned.files, &planned.nodes, admitted);
        let prepared = ready.map_err(Error::from).and_then(|()| {
            let linger = self.linger(state, change, planned)?;
            // Until it is shown, both may be there.
            linger.begin(&state.home, staging)?;
            Ok((self.prepare(state, staging, parent, planned, &linger)?, linger))
        });
        let (prepared, linger) = prepared.inspect_err(|error| {
            if !matches!(error, Error::Volume(volume::Error::InTheWay { .. })) {
                state.store.withdraw(staging, admitted);
            }
        })?;
        if Mistake::FlipBeforeManifest.is_made() {
            let seq = entry.seq;
            self.with_salvage(state, seq, |salvage| self.volume.publish(&state.home, staging, &prepared, salvage))?;
        }
        match state.store.journal().append(staging, entry) {
            Ok(Appended::Won(head)) => {
                if !Mistake::FlipBeforeManifest.is_made() {
                    let published = self.publish(state, staging, &prepared, &head);
                    published.map_err(|error| self.set_adrift(op, error))?;
                }
                linger.end(&state.home, staging);
                Ok(Some(head))
            }
            Ok(Appended::Lost) => {
                self.volume.abandon(&state.home, &prepared)?;
                Ok(None)
            }
            Err(error @ store::Error::OutcomeUnknown { .. }) => Err(self.set_adrift(op, error.into())),
            Err(error) => {
                state.store.withdraw(staging, admitted);
                self.volume.abandon(&state.home, &prepared)?;
                Err(error.into())
            }
        }
    }

    pub(super) fn publish(
        &self,
        state: &State,
        staging: &Staging,
        prepared: &Prepared,
        head: &Committed,
    ) -> Result<(), Error> {
        let seq = head.entry.seq.saturating_sub(1);
        self.with_salvage(state, seq, |salvage| self.volume.publish(&state.home, staging, prepared, salvage))?;
        let shown = Shown::new(head, prepared.generation());
        if let Err(error) = state.home.remember_shown(staging, &shown) {
            // It is shown all the same; the next one to look compares file by file.
            tracing::warn!(%error, "cannot note what the volume shows");
        }
        Ok(())
    }

    fn set_adrift(&self, op: Uuid, error: Error) -> Error {
        self.adrift.store(true, Ordering::SeqCst);
        tracing::error!(%op, %error, "the outcome is unknown: nothing more is written until the next start");
        Error::OutcomeUnknown { op, source: Box::new(error) }
    }
}
