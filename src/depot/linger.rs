//! Which files outlive the release that had them, and for how long.
//!
//! What a deploy or a seed drops may linger. What somebody deletes, and all that lingers when somebody rolls back, goes
//! at once: whoever does that wants it gone.

use super::{Change, Depot, Error, State, plan::Plan};
use crate::{
    disk::Staging,
    entry::{Cause, Committed, Entry},
    manifest::{File, Tree},
    path::SitePath,
    volume::{Home, Lingering},
};

/// What lingers before a commit and after it.
#[derive(Debug)]
pub(super) struct Linger {
    pub(super) before: Lingering,
    pub(super) after: Lingering,
}

impl Linger {
    /// Whether something begins or ends to linger: then the live generation is not only one rename away.
    pub(super) fn changes(&self) -> bool {
        self.before.files().map(|(path, _)| path).ne(self.after.files().map(|(path, _)| path))
    }
}

impl Linger {
    /// Before the entry: what may be there from now on is on the list.
    pub(super) fn begin(&self, home: &Home, staging: &Staging) -> Result<(), Error> {
        let both = self.before.and(&self.after);
        if both != self.before {
            home.keep_lingering(staging, &both)?;
        }
        Ok(())
    }

    /// Once the release is shown: what is gone leaves the list. Where it stays there, it is looked for when its time ends.
    pub(super) fn end(&self, home: &Home, staging: &Staging) {
        if self.before.and(&self.after) != self.after
            && let Err(error) = home.keep_lingering(staging, &self.after)
        {
            tracing::warn!(%error, "what does not linger any more stays on the list");
        }
    }
}

impl Depot {
    /// What lingers once `change` has made `plan` of the head.
    pub(super) fn linger(&self, state: &State, change: &Change, plan: &Plan) -> Result<Linger, Error> {
        let before = state.home.lingering()?;
        let mut after = before.clone();
        match change {
            Change::Restore(_) => after = Lingering::default(),
            Change::Remove(path) => purge(&mut after, path),
            Change::RemoveFolder(path) => purge(&mut after, path),
            Change::Put { .. } | Change::Deploy { .. } if !self.keep.linger.is_zero() => {
                let until = now().saturating_add(self.keep.linger.as_secs());
                for difference in &plan.changes {
                    if let (Some(was), None) = (difference.was, difference.is) {
                        after.add(difference.path.clone(), was, until);
                    }
                }
            }
            // What somebody removed by hand is to be gone.
            Change::Put { .. } | Change::Deploy { .. } | Change::Adopt { .. } => {}
        }
        make_way(&mut after, &Tree::new(state.store.nodes(), plan.release.manifest))?;
        Ok(Linger { before, after })
    }

    /// What lingers beside `head`, for whoever applies it.
    pub(super) fn lingering(&self, state: &State, head: &Committed) -> Result<Linger, Error> {
        let before = state.home.lingering()?;
        // Who rolled back may have died before what lingered was gone.
        let mut after = if head.entry.cause == Cause::Rollback { Lingering::default() } else { before.clone() };
        make_way(&mut after, &Tree::new(state.store.nodes(), head.entry.release))?;
        Ok(Linger { before, after })
    }

    /// Removes, for a `change` that leaves the release as it is, what only lingers; tells whether there was one. The caller holds the lock.
    pub(super) fn purge(
        &self,
        state: &State,
        staging: &Staging,
        head: &Committed,
        change: &Change,
    ) -> Result<bool, Error> {
        let before = state.home.lingering()?;
        let mut after = before.clone();
        match change {
            Change::Remove(path) | Change::RemoveFolder(path) => purge(&mut after, path),
            Change::Restore(_) => after = Lingering::default(),
            _ => return Ok(false),
        }
        if after == before {
            return Ok(false);
        }
        self.end_lingering(state, staging, head, &before, &after)?;
        Ok(true)
    }

    /// Whether something lingers at `gone`, or below it.
    pub(super) fn would_purge(state: &State, gone: &SitePath) -> Result<bool, Error> {
        let before = state.home.lingering()?;
        let mut after = before.clone();
        purge(&mut after, gone);
        Ok(after != before)
    }

    /// Removes what has lingered long enough. The caller holds the lock, and the volume shows `head`.
    pub(super) fn expire(&self, state: &State, head: &Committed) -> Result<(), Error> {
        let before = state.home.lingering()?;
        let mut after = before.clone();
        after.retain(|_, until| Ok::<_, Error>(until > now()))?;
        if after != before {
            let staging = state.home.stage()?;
            self.end_lingering(state, &staging, head, &before, &after)?;
        }
        Ok(())
    }

    /// The files go first and the list follows: killed in between, they are looked for again.
    fn end_lingering(
        &self,
        state: &State,
        staging: &Staging,
        head: &Committed,
        before: &Lingering,
        after: &Lingering,
    ) -> Result<(), Error> {
        let release = Tree::<File>::new(state.store.nodes(), head.entry.release);
        if let Some(tree) = self.volume.live()?.map(|live| self.volume.tree(&state.home, &live)).transpose()?.flatten()
        {
            for path in before.without(after) {
                if release.find(path)?.is_none() {
                    tree.remove_with_empty_folders(path)?;
                }
            }
        }
        state.home.keep_lingering(staging, after)?;
        self.settle_links(state, head)?;
        Ok(())
    }
}

fn purge(lingering: &mut Lingering, gone: &SitePath) {
    let below = format!("{gone}/");
    let kept = lingering.retain(|path, _| Ok::<_, Error>(path != gone && !path.as_str().starts_with(&below)));
    kept.expect("nothing fails here");
}

/// Nothing lingers where the release has something: at its path, at a folder above, or below it.
fn make_way(lingering: &mut Lingering, release: &Tree<'_, File>) -> Result<(), Error> {
    lingering.retain(|path, _| {
        let above = std::iter::successors(path.parent(), SitePath::parent);
        for at in std::iter::once(path.clone()).chain(above) {
            if release.find(&at)?.is_some() {
                return Ok(false);
            }
        }
        Ok(!release.is_folder(path)?)
    })
}

fn now() -> u64 {
    u64::try_from(Entry::now().timestamp()).unwrap_or_default()
}
