//! Which release a hook was told of last, also over a restart.

use std::sync::Arc;

use super::{Counts, Depot, Error, Notice};
use crate::{
    entry::Committed,
    manifest::{File, Tree},
};

/// A release that is shown, and that nobody was told of yet.
#[derive(Clone, Debug)]
pub struct Untold {
    /// Its entry, as it is committed.
    pub head: Arc<Committed>,
    /// What is to be told.
    pub notice: Notice,
}

impl Depot {
    /// The release that is shown, unless it was told already; also none while the head is not shown yet.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn untold(&self) -> Result<Option<Untold>, Error> {
        let Some(state) = self.state()? else { return Ok(None) };
        let Some(head) = self.shown_head(&state)? else { return Ok(None) };
        if state.store.told()? == Some(head.digest) {
            return Ok(None);
        }
        let Some(live) = self.volume.live()? else { return Ok(None) };
        let Some(tree) = self.volume.tree(&state.home, &live)? else { return Ok(None) };
        let (tree, tree_in_volume) = self.whereabouts(&tree);
        let (nodes, entry) = (state.store.nodes(), head.entry.clone());
        // The parent may have been cleaned away since: it is told all the same.
        let counts = Counts::between(nodes, entry.parent, entry.release);
        let site = Tree::<File>::new(nodes, entry.release).total()?;
        let notice = Notice { entry, counts, site, tree, tree_in_volume };
        Ok(Some(Untold { head, notice }))
    }

    /// Notes that `head` was told.
    ///
    /// # Errors
    /// When the disk refuses; it is then told once more.
    pub fn note_told(&self, head: &Committed) -> Result<(), Error> {
        let Some(state) = self.state()? else { return Ok(()) };
        Ok(state.store.note_told(&state.home.stage()?, head.digest)?)
    }
}
