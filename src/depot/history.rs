//! What the site was, and going back to it.

use std::{collections::BTreeSet, str::FromStr, sync::Arc};

use super::{Author, Change, Depot, Error, Guard, Outcome, Precondition, Proposal, State, gate::MOST_ASKS};
use crate::{
    digest::Digest,
    disk::Staging,
    entry::{Cause, Committed},
};

/// Characters of a release id that a person may leave it at.
const SHORTEST: usize = 8;

/// Which release to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The last other deploy, seed or adoption.
    Before,
    /// The entry of this number.
    Seq(u64),
    /// The release whose id begins so.
    Release(String),
}

/// A wish to go back.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// Where to.
    pub target: Target,
    /// The live release that it is made for; another one refuses it.
    pub parent: Option<Digest>,
    /// What else must hold.
    pub precondition: Precondition,
    /// What it may do to the site.
    pub guard: Guard,
    /// Whether it is only thought through.
    pub dry_run: bool,
    /// Who.
    pub by: Author,
}

impl Rollback {
    /// To `target`, whatever is live.
    #[must_use]
    pub fn new(target: Target, by: Author) -> Self {
        let (parent, precondition, guard) = (None, Precondition::default(), Guard::default());
        Self { target, parent, precondition, guard, dry_run: false, by }
    }
}

/// A text that names no release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a release is named by its number in the journal or by its id, {SHORTEST} to 64 lower-case hexadecimal characters"
)]
pub struct NotATarget;

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() < SHORTEST {
            return text.parse().map(Self::Seq).map_err(|_| NotATarget);
        }
        if text.len() <= 64 && is_hex(text) { Ok(Self::Release(text.into())) } else { Err(NotATarget) }
    }
}

impl Depot {
    /// At most `limit` entries, newest first: of those before the entry `before`, or of all.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<Arc<Committed>>, Error> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        let is_before = |seq| before.is_none_or(|before| seq < before);
        let history = state.store.journal().history()?;
        let history = history.skip_while(|each| each.as_ref().is_ok_and(|each| !is_before(each.entry.seq)));
        Ok(history.take(limit).collect::<Result<_, _>>()?)
    }

    /// Makes the release that its target names live again, with the times it had.
    ///
    /// # Errors
    /// When there is no such release, `parent` is not live, or the disk refuses.
    pub fn roll_back(&self, wish: &Rollback) -> Result<Outcome, Error> {
        self.check_divergence()?;
        let state = self.state()?.ok_or(Error::NothingBefore)?;
        match self.try_roll_back(&state, wish) {
            // What is held back is for this.
            Err(error) if !wish.dry_run && self.is_full(&error) && self.release_reserve(&state)? => {
                tracing::warn!(%error, "the volume is full: the reserve is used for this rollback");
                self.note_cramped();
                self.try_roll_back(&state, wish)
            }
            done => done,
        }
    }

    fn try_roll_back(&self, state: &State, wish: &Rollback) -> Result<Outcome, Error> {
        let staging = if wish.dry_run { Staging::nowhere(&state.home.staging)? } else { state.home.stage()? };
        let mut overtaken = 0;
        loop {
            let current = state.store.journal().head()?.ok_or(Error::NothingBefore)?.entry.release;
            if wish.parent.is_some_and(|parent| parent != current) {
                return Err(Error::Stale { current: Some(current) });
            }
            let found = self.find_entry(&wish.target, current)?;
            let message = format!("back to {} of entry {}", found.entry.release, found.entry.seq);
            let change = Change::Restore(found.entry.release());
            let proposal = Proposal {
                parent: Some(current),
                precondition: wish.precondition.clone(),
                guard: Some(wish.guard),
                message: Some(message),
                ..Proposal::new(change, Cause::Rollback, &wish.by)
            };
            match self.commit(&staging, &proposal) {
                // Somebody published meanwhile: what lies before that is another release.
                Err(Error::Stale { .. }) if wish.parent.is_none() => {
                    overtaken += 1;
                    // Who is asked each time may take as long each time.
                    if self.asks_for(&proposal.change) && overtaken == MOST_ASKS {
                        return Err(Error::Overtaken);
                    }
                }
                done => return done,
            }
        }
    }

    pub(super) fn find_entry(&self, target: &Target, current: Digest) -> Result<Arc<Committed>, Error> {
        let state = self.state()?.ok_or(Error::NothingBefore)?;
        let journal = state.store.journal();
        match target {
            Target::Seq(seq) => match journal.read(*seq)? {
                Some(committed) => Ok(committed),
                None if (1..journal.head()?.map_or(0, |head| head.entry.seq)).contains(seq) => {
                    Err(Error::NotKept(*seq))
                }
                None => Err(Error::NoSuchRelease(seq.to_string())),
            },
            Target::Before => {
                for committed in journal.history()? {
                    let committed = committed?;
                    if committed.entry.cause.is_landmark() && committed.entry.release != current {
                        return Ok(committed);
                    }
                }
                Err(Error::NothingBefore)
            }
            Target::Release(prefix) => {
                let mut newest = None;
                let mut ids = BTreeSet::new();
                for committed in journal.history()? {
                    let committed = committed?;
                    if committed.entry.release.to_string().starts_with(prefix) {
                        ids.insert(committed.entry.release);
                        newest.get_or_insert(committed);
                        // A whole id can have no second meaning: the rest of the journal need not be read.
                        if prefix.len() == 64 {
                            break;
                        }
                    }
                }
                if ids.len() > 1 {
                    return Err(Error::Ambiguous(prefix.clone()));
                }
                newest.ok_or_else(|| Error::NoSuchRelease(prefix.clone()))
            }
        }
    }
}
