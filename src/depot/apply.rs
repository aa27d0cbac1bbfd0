//! The second verb: the volume shows the journal's head.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{Depot, Error, State};
use crate::{
    disk::Staging,
    entry::{Committed, Entry},
    volume::{self, Shown, Waiting},
};

/// Time between two looks at the root's links while nothing else tells that one is missing.
const LINKS: Duration = Duration::from_mins(1);

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
    /// While the volume shows a release, whatever keeps another from being shown (a full disk, a lock that is held, what
    /// somebody did by hand) is a warning: the application beside us must start.
    ///
    /// # Errors
    /// When the journal is a later version's; when nothing is shown, also when it is damaged, the disk refuses, or another
    /// process keeps the lock.
    pub fn recover(&self) -> Result<Recovered, Error> {
        let divergence = self.divergence();
        let Some(state) = self.state()? else { return Ok(Recovered::default()) };
        let tried = match divergence {
            // Nothing is shown over what is shown, until somebody decides.
            Ok(Some(_)) => return Ok(Recovered::default()),
            Ok(None) => self.try_recover(&state),
            Err(error) => Err(error),
        };
        self.expire_sent();
        let is_bearable = |error: &Error| !matches!(error, Error::Store(_)) || error.is_damaged();
        match tried {
            Err(error) if is_bearable(&error) && self.shows_something(&state)? => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the volume goes on showing what it shows");
                Ok(Recovered::default())
            }
            done => done,
        }
    }

    fn shows_something(&self, state: &State) -> Result<bool, Error> {
        let live = self.volume.live()?;
        Ok(live.map(|live| self.volume.tree(&state.home, &live)).transpose()?.flatten().is_some())
    }

    fn try_recover(&self, state: &State) -> Result<Recovered, Error> {
        let _lock = self.lock(state, self.patience)?;
        let now = Entry::now().timestamp();
        let seq = state.store.journal().head()?.map_or(0, |head| head.entry.seq);
        let mut recovered = Recovered {
            swept: state.home.sweep_staging()?,
            generations: self
                .with_salvage(state, seq, |salvage| self.volume.sweep_old_generations(&state.home, now, salvage))?,
            applied: None,
        };
        let Some(head) = state.store.journal().head()? else {
            self.finish_exchange(state, None)?;
            self.volume.drop_next()?;
            // Made for a first release whose process died before its entry.
            if self.volume.live()?.is_none() && !self.volume.links_are(&[])? {
                self.volume.mend_links(&[])?;
            }
            return Ok(recovered);
        };
        self.finish_exchange(state, Some(&head))?;
        let live = self.volume.live()?;
        let is_noted = self.volume.shown(&state.home)?.is_some_and(|shown| shown.is(&head));
        let is_shown = live.as_ref().map_or(Ok(false), |live| self.shows(state, live, &head))?;
        let staging = || state.home.stage();
        match &live {
            // No process of ours died on the way to the head, so somebody changed files by hand: not ours to undo.
            _ if is_noted && !is_shown => {
                tracing::warn!("files on the volume were changed by hand: they stay until a release replaces them");
            }
            Some(live) if is_shown && !is_noted => {
                state.home.remember_shown(&staging()?, &Shown::new(&head, live))?;
            }
            Some(_) if is_shown => {}
            _ => {
                self.apply(state, &staging()?, &head)?;
                recovered.applied = Some(head.entry.seq);
            }
        }
        self.finish_exchange(state, Some(&head))?;
        self.volume.drop_next()?;
        if self.settle_links(state, &head)? {
            recovered.applied = Some(head.entry.seq);
        }
        Ok(recovered)
    }

    pub(super) fn shows(&self, state: &State, generation: &str, head: &Committed) -> Result<bool, Error> {
        let (nodes, release, lingering) = (state.store.nodes(), head.entry.release(), state.home.lingering()?);
        Ok(self.volume.shows(&state.home, nodes, generation, release, &lingering)?)
    }

    /// Makes the root's links those of the head; tells whether there was something to do.
    pub(super) fn settle_links(&self, state: &State, head: &Committed) -> Result<bool, Error> {
        let lingering = state.home.lingering()?;
        let top = self.volume.top(state.store.nodes(), head.entry.release(), &lingering).map_err(Error::Manifest)?;
        if self.volume.links_are(&top)? {
            return Ok(false);
        }
        self.volume.mend_links(&top)?;
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
        if self.divergence()?.is_some() {
            return Ok(Waiting::Nothing);
        }
        let _lock = match self.lock(&state, Duration::ZERO) {
            Err(Error::Adrift | Error::Volume(volume::Error::Locked { .. })) => return Ok(Waiting::Long),
            lock => lock?,
        };
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let head = state.store.journal().head()?;
        let seq = head.as_ref().map_or(0, |head| head.entry.seq);
        let mut waiting = self
            .with_salvage(&state, seq, |salvage| self.volume.sweep_generations(&state.home, &mut retired, salvage))?;
        if let Some(head) = head
            && !self.is_adrift()
        {
            let is_shown = self.volume.shown(&state.home)?.is_some_and(|shown| shown.is(&head));
            if !is_shown {
                let staging = state.home.stage()?;
                self.catch_up(&state, &staging, &head)?;
            }
            if self.settle_replaced(&state, &head)? == Waiting::Briefly {
                waiting = Waiting::Briefly;
            }
            // Looking at the links takes a call for each name at the root.
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            // A link that somebody removed is a file removed, where such changes are taken over.
            if !is_shown || !self.adopts && looked.is_none_or(|at| at.elapsed() > LINKS) {
                self.settle_links(&state, &head)?;
                *looked = Some(Instant::now());
            }
            self.expire(&state, &head)?;
        }
        Ok(waiting)
    }

    /// Before a commit: shows the head where a process died, or wrote without showing. The caller holds the lock.
    pub(super) fn catch_up(&self, state: &State, staging: &Staging, head: &Committed) -> Result<(), Error> {
        self.show(state, staging, head)?;
        self.finish_exchange(state, Some(head))
    }

    fn show(&self, state: &State, staging: &Staging, head: &Committed) -> Result<(), Error> {
        let shown = self.volume.shown(&state.home)?;
        if shown.is_some_and(|shown| shown.is(head)) {
            return Ok(());
        }
        if let Some(live) = self.volume.live()?
            && self.shows(state, &live, head)?
        {
            state.home.remember_shown(staging, &Shown::new(head, &live))?;
            return Ok(());
        }
        // What a death before its entry left must not be taken for what may be exchanged.
        self.finish_exchange(state, Some(head))?;
        self.apply(state, staging, head)?;
        tracing::info!(seq = head.entry.seq, "the volume did not show the head yet: applied it");
        Ok(())
    }

    pub(super) fn apply(&self, state: &State, staging: &Staging, head: &Committed) -> Result<(), Error> {
        let linger = self.lingering(state, head)?;
        let prepared = self.prepare_all(state, staging, head.entry.release(), &linger)?;
        self.publish(state, staging, &prepared, head)
    }
}
