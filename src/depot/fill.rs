//! Filling: the first source that is there becomes the site's seed.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Author, Depot, Error, Occasion, Outcome, Proposal, When};
use crate::{
    entry::{Cause, Committed},
    source::{Kind, Location, Progress, Source},
    volume::{self, Lock, Survey},
};

/// What filling came to.
#[derive(Clone, Debug)]
pub enum Filled {
    /// The source was committed and is live.
    Seeded(Outcome),
    /// The site has a release, and `when` says that it stays.
    Kept(Arc<Committed>),
    /// The volume holds somebody else's content, which was left alone.
    Foreign(Vec<String>),
}

impl Depot {
    /// Fills the volume from the first of `locations` that is there, by the rule `when`.
    ///
    /// # Errors
    /// [`Error::Pinned`] while the release is pinned; when no source is there, one cannot be read, or the volume cannot be written to.
    pub fn fill(
        &self,
        locations: &[Location],
        when: When,
        occasion: Occasion,
        runtime: &Handle,
        progress: &Progress,
    ) -> Result<Filled, Error> {
        self.check_divergence()?;
        let head = self.head()?;
        if head.is_none()
            && let Survey::Foreign(names) = self.volume.survey()?
        {
            return Ok(Filled::Foreign(names));
        }
        if let Some(head) = head.filter(|head| !Self::may_seed(Some(head), when)) {
            return Ok(Filled::Kept(head));
        }
        // Asked again under the lock; here so that no source is read for nothing.
        if let Some(state) = self.state()? {
            Self::check_unpinned(&state)?;
        }
        let mut absent = None;
        for location in locations {
            let source = Source::open(location, runtime)?;
            let mut filled = self.fill_from(&source, when, occasion, progress);
            if filled.as_ref().is_err_and(|error| self.made_room(error)) {
                filled = self.fill_from(&source, when, occasion, progress);
            }
            match filled {
                Err(Error::Source(error)) if matches!(error.kind(), Kind::Absent | Kind::Empty) => {
                    tracing::info!(source = %location, "nothing there: {error}");
                    absent = Some(error);
                }
                done => return done,
            }
        }
        Err(absent.map_or(Error::Nothing, Error::Source))
    }

    fn fill_from(&self, source: &Source, when: When, occasion: Occasion, progress: &Progress) -> Result<Filled, Error> {
        // Asked before anything is written: a volume whose sources are all absent stays blank.
        source.mark()?;
        // A seed that is live already, as at every start of a pod, is only read. One that was seen to change is not read
        // twice for that.
        if occasion != Occasion::Changed
            && let Some(head) = self.head()?
            && !self.should_seed(Some(&head), self.release_of(source)?, when, occasion)?
        {
            return Ok(Filled::Kept(head));
        }
        let ingest = self.ingest()?;
        let _turn = match self.head()? {
            Some(_) => None,
            None => self.turn_to_fill()?,
        };
        if let Some(head) = self.head()?.filter(|head| !Self::may_seed(Some(head), when)) {
            return Ok(Filled::Kept(head));
        }
        ingest.source(source, progress)?;
        let (staging, change) = ingest.into_change(None, true);
        let by = Author::named(if occasion == Occasion::Fill { "fill" } else { "follow" });
        let condition = |head: Option<&Committed>, release| self.should_seed(head, release, when, occasion);
        let proposal = Proposal { condition: Some(&condition), ..Proposal::new(change, Cause::Seed, &by) };
        let outcome = self.commit(&staging, &proposal)?;
        Ok(if outcome.is_new { Filled::Seeded(outcome) } else { Filled::Kept(outcome.head) })
    }

    fn turn_to_fill(&self) -> Result<Option<Lock>, Error> {
        let Some(state) = self.state()? else { return Ok(None) };
        match state.home.turn_to_fill(self.patience) {
            // It was stopped, perhaps for ever: two who fill do no harm.
            Err(volume::Error::Locked { .. }) => Ok(None),
            turn => Ok(Some(turn?)),
        }
    }
}
