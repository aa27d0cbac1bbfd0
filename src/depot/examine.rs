//! What a doctor asks of a site, each question by itself: on a broken volume some have no answer.

use std::time::Duration;

use super::{Depot, Error};
use crate::volume::{self, Survey};

/// What a site is like, as far as a question about its head goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteCondition {
    /// The volume shows the head.
    Shown,
    /// The volume does not show the head yet: the next start does that.
    NotShown,
    /// It shows the head, but for what somebody changed by hand.
    ChangedByHand,
    /// The volume has shown what the journal does not have.
    Diverged,
}

impl Depot {
    /// How volume and journal go together; none while neither has anything.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn condition(&self) -> Result<Option<SiteCondition>, Error> {
        if self.find_divergence()?.is_some() {
            return Ok(Some(SiteCondition::Diverged));
        }
        let Some(state) = self.state()? else { return Ok(None) };
        let Some(head) = state.store.journal().head()? else { return Ok(None) };
        let live = self.volume.live()?;
        let is_noted = self.volume.shown(&state.home)?.is_some_and(|shown| shown.is(&head));
        let is_shown = live.map_or(Ok(false), |live| self.shows(&state, &live, &head))?;
        Ok(Some(match (is_noted, is_shown) {
            (_, true) => SiteCondition::Shown,
            (true, false) => SiteCondition::ChangedByHand,
            (false, false) => SiteCondition::NotShown,
        }))
    }

    /// Names at the root that are not ours: in the way of the site, which has not begun or has entries of these names.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn in_the_way(&self) -> Result<Vec<String>, Error> {
        let state = self.state()?;
        let head = match &state {
            Some(state) => state.store.journal().head()?,
            None => None,
        };
        let (Some(state), Some(head)) = (state, head) else {
            return Ok(match self.volume.survey()? {
                Survey::Foreign(names) => names,
                Survey::Empty => Vec::new(),
            });
        };
        let lingering = state.home.lingering()?;
        let top = self.volume.top(state.store.nodes(), head.entry.release(), &lingering)?;
        let names = self.volume.in_the_way(top.iter().map(|name| &**name))?;
        Ok(names.iter().map(|name| name.to_string_lossy().into_owned()).collect())
    }

    /// Whether another process keeps the volume's lock for as long as `patience`.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub fn is_locked(&self, patience: Duration) -> Result<bool, Error> {
        let Some(state) = self.state()? else { return Ok(false) };
        if !state.home.has_lock()? {
            return Ok(false);
        }
        match state.home.lock(patience) {
            Err(volume::Error::Locked { .. }) => Ok(true),
            lock => Ok(lock.map(|_| false)?),
        }
    }

    /// How the volume shows a release.
    #[must_use]
    pub fn layout(&self) -> &volume::Layout {
        self.volume.layout()
    }
}
