//! What is known of a write before its first byte comes, held against the limits: whoever sends too much should not have
//! to send it to learn so.

use std::collections::BTreeMap;

use super::{
    Change, Depot, Error, Proposal,
    plan::{Overlay, Plan},
    preview::NoNodes,
};
use crate::{
    digest::Digest,
    entry::Committed,
    manifest::{File, Nodes, Sum, Tree},
    path::SitePath,
};

/// What a body is to become.
#[derive(Clone, Debug)]
pub enum Coming {
    /// The file at a path of the site.
    File(SitePath),
    /// An object, which is in no site yet.
    Object,
    /// Files, packed in some way.
    Files,
    /// More of what was let in before.
    Piece,
}

impl Depot {
    /// Fails when a body of `bytes` (0 where nobody says) can only be refused, by its size or for want of room.
    ///
    /// # Errors
    /// [`Error::Exceeded`], [`Error::NoRoom`]; when the disk cannot be asked.
    pub fn check_announced(&self, coming: &Coming, bytes: u64) -> Result<(), Error> {
        // Before the journal is read: what is wrong with it may be that it is another one.
        self.check_divergence()?;
        match coming {
            Coming::Files => self.limits.body(bytes)?,
            Coming::Piece => {}
            Coming::Object => {
                self.limits.file(bytes)?;
                self.limits.site(Sum::default(), Sum { files: 1, bytes })?;
            }
            Coming::File(path) => {
                self.limits.file(bytes)?;
                self.check_beside(path, bytes)?;
            }
        }
        let root = self.volume.root();
        self.limits.room(bytes, self.room()?, root.capacity()?)
    }

    /// Fails when a file of `bytes` at `path` makes the site too large.
    fn check_beside(&self, path: &SitePath, bytes: u64) -> Result<(), Error> {
        let file = |others: Sum| Sum { files: others.files + 1, bytes: others.bytes.saturating_add(bytes) };
        let state = self.state()?;
        let head = state.as_ref().map(|state| state.store.journal().head()).transpose()?.flatten();
        let (Some(state), Some(head)) = (state, head) else {
            return Ok(self.limits.site(Sum::default(), file(Sum::default()))?);
        };
        let tree = Tree::<File>::new(state.store.nodes(), head.entry.release);
        let live = tree.total()?;
        // What it replaces is only looked for where that matters.
        if self.limits.site(live, file(live)).is_ok() {
            return Ok(());
        }
        let old = tree.find(path)?.map_or(Sum::default(), |old| Sum { files: 1, bytes: old.size });
        let others = Sum { files: live.files.saturating_sub(old.files), bytes: live.bytes.saturating_sub(old.bytes) };
        Ok(self.limits.site(live, file(others))?)
    }

    /// Fails for a deploy beyond a limit, before anybody is asked to send an object for it.
    pub(super) fn check_deploy(
        &self,
        base: Option<Digest>,
        set: &BTreeMap<SitePath, File>,
        remove: &[SitePath],
    ) -> Result<(), Error> {
        let state = self.state()?;
        let nodes: &dyn Nodes = state.as_ref().map_or(&NoNodes, |state| state.store.nodes());
        let total = |root: Option<Digest>| match root {
            Some(root) => Tree::<File>::new(nodes, root).total(),
            None => Ok(Sum::default()),
        };
        let head = self.head()?.map(|head| head.entry.release);
        let live = total(head)?;
        let most = set.values().fold(total(base)?, |sum, file| Sum {
            files: sum.files.saturating_add(1),
            bytes: sum.bytes.saturating_add(file.size),
        });
        // Only what comes close is worth the work of laying one over the other.
        if self.limits.site(live, most).is_ok() {
            return Ok(());
        }
        let change = Change::Deploy { base, set: set.clone(), remove: remove.to_vec(), objects: Default::default() };
        let tree = base.map(|base| Tree::new(nodes, base));
        let edited = change.edits(tree.as_ref())?.apply(nodes, base.as_ref())?;
        let new = Tree::<File>::new(&Overlay::new(nodes, &edited.nodes), edited.root).total()?;
        Ok(self.limits.site(live, new)?)
    }

    /// Fails when what a client sends makes more folders than it may: asked before any memory is taken for them.
    pub(super) fn check_folders(&self, proposal: &Proposal<'_>) -> Result<(), Error> {
        match proposal.guard {
            Some(_) => Ok(self.limits.folders(proposal.change.folders())?),
            None => Ok(()),
        }
    }

    /// Fails when `planned` is larger than a client may make a site. Asked under the lock, with the head that it was
    /// planned from.
    pub(super) fn check_size(
        &self,
        proposal: &Proposal<'_>,
        nodes: &dyn Nodes,
        head: Option<&Committed>,
        planned: &Plan,
    ) -> Result<(), Error> {
        if matches!(proposal.change, Change::Restore(_)) {
            return Ok(());
        }
        let total = |root| Tree::<File>::new(nodes, root).total();
        let live = head.map(|head| total(head.entry.release)).transpose()?.unwrap_or_default();
        Ok(self.limits.site(live, total(planned.release.manifest)?)?)
    }
}
