//! Which release a hook was told of last, also over a restart.

use std::{path::PathBuf, sync::Arc};

use super::{Depot, Error};
use crate::entry::Committed;

/// A release that is shown, and that nobody was told of yet.
#[derive(Clone, Debug)]
pub struct Untold {
    /// Its entry.
    pub head: Arc<Committed>,
    /// The folder that has its files.
    pub tree: PathBuf,
    /// The same, from the volume's root: another container may have the volume elsewhere.
    pub tree_in_volume: PathBuf,
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
        let tree_in_volume = tree.path().strip_prefix(self.volume.root().path()).unwrap_or(tree.path()).into();
        let tree = std::path::absolute(tree.path()).unwrap_or_else(|_| tree.path().into());
        Ok(Some(Untold { head, tree, tree_in_volume }))
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
