//! When a source's content becomes an entry.
//!
//! Two things must not happen: that a seed goes over what people uploaded (unless they asked for it), and that the old
//! and the new pods of a rollout, each with its own seed, commit in turn without end. So, but for the explicit
//! `fill --when always`, a seed that the journal has had is stale unless its source was seen to change.

use super::{Depot, Error};
use crate::{
    digest::Digest,
    entry::{Cause, Committed},
};

/// When a source's content is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Only to an empty volume.
    #[default]
    Empty,
    /// Also when the seed has changed and nobody has uploaded since the last seed.
    Unmodified,
    /// Whenever it differs from what is live.
    Always,
}

/// Why a source is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// `fill` runs.
    Fill,
    /// A follower begins.
    FirstLook,
    /// A follower saw the source change.
    Changed,
    /// A follower saw the site change, and the source as before.
    SiteChanged,
}

impl Depot {
    /// Whether `head` lets a seed in at all, before anybody knows what is in it.
    pub(super) fn may_seed(head: Option<&Committed>, when: When) -> bool {
        match (head, when) {
            (None, _) | (Some(_), When::Always) => true,
            (Some(_), When::Empty) => false,
            (Some(head), When::Unmodified) => head.entry.cause == Cause::Seed,
        }
    }

    /// Whether the seed `release` is to follow on `head`.
    pub(super) fn should_seed(
        &self,
        head: Option<&Committed>,
        release: Digest,
        when: When,
        occasion: Occasion,
    ) -> Result<bool, Error> {
        let Some(live) = head else { return Ok(true) };
        if live.entry.release == release || !Self::may_seed(head, when) {
            return Ok(false);
        }
        if occasion == Occasion::Changed || (when, occasion) == (When::Always, Occasion::Fill) {
            return Ok(true);
        }
        let mut newest = None;
        if let Some(state) = self.state()? {
            for committed in state.store.journal().history()? {
                let entry = &committed?.entry;
                if entry.cause == Cause::Seed {
                    newest.get_or_insert(entry.release);
                    if entry.release == release {
                        // Ours was the last seed: what lies over it is an upload, which only `always` replaces.
                        return Ok(when == When::Always && newest == Some(release));
                    }
                }
            }
        }
        Ok(true)
    }
}
