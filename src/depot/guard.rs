//! What keeps a slip from emptying a site: a build that came out half, the wrong folder, an empty manifest.

use super::{Change, Error, Proposal, plan::Plan};
use crate::{
    entry::{Cause, Committed},
    manifest::{File, Nodes, Sum, Tree},
};

/// How many files a write may remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxDelete {
    /// As many.
    Files(u64),
    /// As many of a hundred that are live.
    Percent(u64),
    /// All.
    All,
}

/// What a client's write may do to a site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// How many files it may remove; none: as is usual for the change.
    pub max_delete: Option<MaxDelete>,
    /// Whether it may leave no file at all.
    pub allow_empty: bool,
}

impl Guard {
    /// Fails when `planned` does more than this allows. Asked under the lock, with the head that it was planned from.
    pub(super) fn check(
        self,
        proposal: &Proposal<'_>,
        nodes: &dyn Nodes,
        head: Option<&Committed>,
        planned: &Plan,
    ) -> Result<(), Error> {
        let total = |release| Ok::<_, Error>(Tree::<File>::new(nodes, release).total()?.files);
        let Sum { files: left, .. } = Tree::<File>::new(nodes, planned.release.manifest).total()?;
        if left == 0 && !self.allow_empty {
            return Err(Error::EmptySite);
        }
        let Some(head) = head else { return Ok(()) };
        let files = total(head.entry.release)?;
        let removed = planned.changes.iter().filter(|change| change.is.is_none()).count() as u64;
        let is_too_much = match self.max_delete {
            Some(MaxDelete::All) => false,
            Some(MaxDelete::Files(most)) => removed > most,
            Some(MaxDelete::Percent(most)) => u128::from(removed) * 100 > u128::from(most) * u128::from(files),
            // A seed can be had again; a build whose names have hashes in them replaces as many as it removes; and who
            // names what is to go, or goes back, means it.
            None => {
                let names_it =
                    matches!(proposal.change, Change::Remove(_) | Change::RemoveFolder(_) | Change::Restore(_));
                !names_it && head.entry.cause != Cause::Seed && removed > files / 2 && left < files.div_ceil(2)
            }
        };
        if is_too_much { Err(Error::TooManyDeletions { removed, files }) } else { Ok(()) }
    }
}
