//! The second verb: the volume shows the journal's head.

use std::{sync::PoisonError, time::Duration};

use super::{Depot, Error, State};
use crate::{
    digest::Digest,
    disk::Staging,
    entry::{Committed, Entry},
    volume::{self, Shown, Waiting},
};

/// What a start found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Staging directories of processes that are gone, removed.
    pub swept: usize,
    /// Old generations removed.
    pub generations: usize,
    /// The entry that had to be applied, since the volume did not show it.
    pub applied: Option<u64>,
}

impl Recovered {
    /// Whether there was nothing to do.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Depot {
    /// Finishes or undoes whatever an earlier process left, and makes the volume show the head. Compares every file
    /// with the manifest (size, mtime, mode), and writes nothing when all is as it should be.
    ///
    /// # Errors
    /// When the journal is damaged, the disk refuses, or another process keeps the lock.
    pub fn recover(&self) -> Result<Recovered, Error> {
        let Some(state) = self.state()? else { return Ok(Recovered::default()) };
        let _lock = self.lock(&state, self.patience)?;
        let now = Entry::now().timestamp();
        let mut recovered = Recovered {
            swept: Staging::sweep(&state.home.staging, now)?,
            generations: self.volume.sweep_old_generations(&state.home, now)?,
            applied: None,
        };
        let Some(head) = state.store.journal().head()? else { return Ok(recovered) };
        let release = head.entry.release();
        let live = self.volume.live()?;
        let is_live = match &live {
            Some(live) => state.home.shows(state.store.nodes(), live, release)?,
            None => false,
        };
        let top = release.top(state.store.nodes()).map_err(Error::Manifest)?;
        let is_linked = self.volume.links_are(&top)?;
        let done = match &live {
            Some(live) if is_live => self.settle_links(&state, &head, live, (!is_linked).then_some(&*top)),
            _ => self.apply_anew(&state, &head),
        };
        match done {
            Ok(false) => {}
            Ok(true) => recovered.applied = Some(head.entry.seq),
            // What somebody did by hand, out of an old habit, must not keep the application from starting.
            Err(error) if live.is_some() && is_by_hand(&error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the volume shows what it can");
            }
            Err(error) => return Err(error),
        }
        Ok(recovered)
    }

    /// Mends the root's links, when there are some to mend, and notes what is shown; tells whether it mended.
    fn settle_links(
        &self,
        state: &State,
        head: &Committed,
        live: &str,
        mend: Option<&[Box<str>]>,
    ) -> Result<bool, Error> {
        if !self.volume.shown(&state.home)?.is_some_and(|shown| shown.is(head)) {
            let staging = Staging::create(&state.home.staging, state.home.mode)?;
            state.home.remember_shown(&staging, &Shown::new(head, live))?;
        }
        if let Some(top) = mend {
            self.volume.mend_links(top)?;
        }
        Ok(mend.is_some())
    }

    fn apply_anew(&self, state: &State, head: &Committed) -> Result<bool, Error> {
        let staging = Staging::create(&state.home.staging, state.home.mode)?;
        self.apply(state, &staging, head)?;
        Ok(true)
    }

    /// Looks after the volume between commits: shows the head where another process died before it did, and removes
    /// generations whose readers have had their time; tells whether some still wait. Does nothing while somebody else has
    /// the lock.
    ///
    /// # Errors
    /// When the journal is damaged or the disk refuses.
    pub fn tend(&self) -> Result<Waiting, Error> {
        let Some(state) = self.state()? else { return Ok(Waiting::Nothing) };
        let _lock = match self.lock(&state, Duration::ZERO) {
            Err(Error::Volume(volume::Error::Locked { .. })) => return Ok(Waiting::Long),
            lock => lock?,
        };
        if let Some(head) = state.store.journal().head()?
            && !self.is_adrift()
            && !self.volume.shown(&state.home)?.is_some_and(|shown| shown.is(&head))
        {
            let staging = Staging::create(&state.home.staging, state.home.mode)?;
            self.catch_up(&state, &staging, &head)?;
        }
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.volume.sweep_generations(&state.home, &mut retired)?)
    }

    /// Before a commit: shows the head where a process died, or wrote without showing. The caller holds the lock.
    pub(super) fn catch_up(&self, state: &State, staging: &Staging, head: &Committed) -> Result<(), Error> {
        let shown = self.volume.shown(&state.home)?;
        if shown.is_some_and(|shown| shown.is(head)) {
            return Ok(());
        }
        if let Some(live) = self.volume.live()?
            && state.home.shows(state.store.nodes(), &live, head.entry.release())?
        {
            state.home.remember_shown(staging, &Shown::new(head, &live))?;
            return Ok(());
        }
        tracing::info!(seq = head.entry.seq, "the volume does not show the head yet: applying it");
        self.apply(state, staging, head)
    }

    pub(super) fn apply(&self, state: &State, staging: &Staging, head: &Committed) -> Result<(), Error> {
        let objects = |digest: &Digest| state.store.object(digest);
        let (nodes, release) = (state.store.nodes(), head.entry.release());
        let prepared = self.volume.prepare_generation(&state.home, staging, nodes, release, &objects)?;
        self.publish(state, staging, &prepared, head)
    }
}

/// Whether somebody put something in the way of a link, or wrote over a file in place.
fn is_by_hand(error: &Error) -> bool {
    matches!(error, Error::Volume(volume::Error::InTheWay { .. } | volume::Error::Damaged { .. }))
}
