//! What an adoption exchanged out: finished, read again, and removed only when the journal has all of it.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Depot, Error, State,
    adopt::{Adoption, turn},
};
use crate::{
    entry::Committed,
    manifest::{File, Tree},
    volume::{Found, Replaced, Waiting},
};

/// Somebody who had a file open when it was exchanged out may write to it for this long.
const GRACE: Duration = Duration::from_secs(2);

/// Exchanges, and since when this process knows of them.
pub(super) type Seen = HashMap<String, Instant>;

impl Depot {
    /// Finishes the exchanges of the head, if it is shown, and gives up those whose entry was never made. The caller holds
    /// the lock.
    pub(super) fn finish_exchange(&self, state: &State, head: Option<&Committed>) -> Result<(), Error> {
        let mut is_pending = false;
        for replaced in self.volume.replaced(&state.home)? {
            match head {
                Some(head) if turn(&head.entry) == replaced.turn => is_pending = !replaced.pending()?.is_empty(),
                _ => replaced.forget_pending()?,
            }
        }
        let is_shown = |head| Ok::<_, Error>(self.volume.shown(&state.home)?.is_some_and(|shown| shown.is(head)));
        if is_pending && head.map_or(Ok(false), is_shown)? {
            self.volume.exchange_pending(&state.home)?;
        }
        Ok(())
    }

    /// Removes what was exchanged out a moment ago, once it was read again and the journal has it. What somebody wrote
    /// meanwhile is adopted, too. The caller holds the lock, and the volume shows the head.
    pub(super) fn settle_replaced(&self, state: &State, head: &Arc<Committed>) -> Result<Waiting, Error> {
        let all = self.volume.replaced(&state.home)?;
        let mut seen = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|turn, _| all.iter().any(|replaced| replaced.turn == *turn));
        let mut waiting = Waiting::Nothing;
        for replaced in all {
            let since = *seen.entry(replaced.turn.clone()).or_insert_with(Instant::now);
            if since.elapsed() < GRACE || !self.settle_one(state, head, &replaced)? {
                waiting = Waiting::Briefly;
            }
        }
        Ok(waiting)
    }

    /// Tells whether it is gone.
    fn settle_one(&self, state: &State, head: &Arc<Committed>, replaced: &Replaced) -> Result<bool, Error> {
        let nodes = state.store.nodes();
        let seq = replaced.turn.split('-').next().and_then(|seq| seq.parse().ok()).unwrap_or(0);
        let entry = state.store.journal().read(seq)?.filter(|entry| turn(&entry.entry) == replaced.turn);
        let adopted = entry.map(|entry| Tree::<File>::new(nodes, entry.entry.release));
        let live = Tree::<File>::new(nodes, head.entry.release);
        let foreign = self.volume.foreign_in(replaced)?;
        let mut written = Vec::new();
        for found in foreign.files {
            let digest = found.base.digest(&found.path)?;
            let was = adopted.as_ref().map(|adopted| adopted.find(&found.path)).transpose()?.flatten();
            let now = found.base.stat(&found.path)?;
            if (now.mtime, now.mtime_nanos, now.size) != (found.stat.mtime, found.stat.mtime_nanos, found.stat.size) {
                // Somebody writes to it just now.
                return Ok(false);
            }
            if was.is_some_and(|was| was.digest == digest)
                || adopted.is_none() && state.store.holds(&digest, now.size)?
            {
                continue;
            }
            // Who uploaded to the path meanwhile meant it.
            if was == live.find(&found.path)? {
                written.push(found);
            } else {
                self.keep_aside(state, head, &found)?;
            }
        }
        for unfit in foreign.unfit {
            tracing::warn!(%unfit, "was put by hand into a folder while it was adopted, and goes");
        }
        if !written.is_empty() {
            if state.store.pin()?.is_some() {
                // It waits where it is until it may become an entry.
                return Ok(false);
            }
            let why = "what was written while it was adopted";
            self.adopt(state, Some(head), Adoption { files: written, why, ..Adoption::default() })?;
            // Looked at once more from there.
            return Ok(false);
        }
        replaced.remove()?;
        Ok(true)
    }

    fn keep_aside(&self, state: &State, head: &Committed, found: &Found) -> Result<(), Error> {
        let path = Path::new(found.path.as_str());
        let kept = state.home.quarantine(&found.base, path, head.entry.seq, path)?;
        tracing::warn!(path = %found.path, kept = %kept.display(), "was changed by hand while it was replaced: kept aside");
        Ok(())
    }
}
