//! Preparing the turn of the one link to a new generation.

use super::{
    Error, FindObject, Home, Lingering, Prepared, Volume,
    home::{NEXT_DATA, tree_of},
};
use crate::{
    disk::{self, Staging},
    manifest::{self, Nodes, Release},
};

impl Volume {
    /// Builds a generation for `release` and what lingers beside it, reusing what the live one has.
    ///
    /// # Errors
    /// When the release or the disk cannot be read or written; [`Error::InTheWay`] when a name at the root is taken.
    pub fn prepare_generation(
        &self,
        home: &Home,
        staging: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        lingering: &Lingering,
        objects: &FindObject<'_>,
    ) -> Result<Prepared, Error> {
        let live = self.live()?;
        self.prepare_flip(home, staging, nodes, release, (live.as_deref(), lingering), objects)
    }

    /// As [`Volume::prepare_generation`], of objects alone: nothing of the live generation is taken over, nor what lingers.
    ///
    /// # Errors
    /// As there.
    pub fn prepare_anew(
        &self,
        home: &Home,
        staging: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        objects: &FindObject<'_>,
    ) -> Result<Prepared, Error> {
        self.prepare_flip(home, staging, nodes, release, (None, &Lingering::default()), objects)
    }

    fn prepare_flip(
        &self,
        home: &Home,
        staging: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        (live, lingering): (Option<&str>, &Lingering),
        objects: &FindObject<'_>,
    ) -> Result<Prepared, Error> {
        let top = self.top(nodes, release, lingering)?;
        self.check_free(top.iter().map(|name| &**name))?;
        let generation = home.build(staging, nodes, release, live, lingering, objects)?;
        // In the root itself, as kubelet does: that shows that the root can be written, before there is no way back.
        disk::if_there(self.root().unlink(NEXT_DATA))?;
        self.root().symlink(tree_of(&generation), NEXT_DATA)?;
        self.link_all(&top, &self.our_links()?)?;
        self.root().sync()?;
        Ok(Prepared::Flip { generation, top })
    }

    /// Removes the next link where a process died before it turned it. The caller holds the lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn drop_next(&self) -> Result<(), Error> {
        // Asked first: a read-only file system refuses also what would change nothing.
        let target = self.root().link_target(NEXT_DATA)?;
        if target.is_some_and(|target| target.starts_with(tree_of(""))) {
            disk::if_there(self.root().unlink(NEXT_DATA))?;
        }
        Ok(())
    }

    /// The names of the root's links while `release` is shown, sorted.
    ///
    /// # Errors
    /// When the release cannot be read.
    pub fn top(
        &self,
        nodes: &dyn Nodes,
        release: Release,
        lingering: &Lingering,
    ) -> Result<Vec<Box<str>>, manifest::Error> {
        let mut top = release.top(nodes)?;
        top.extend(lingering.tops().into_iter().map(Box::from));
        top.sort_unstable();
        top.dedup();
        Ok(top)
    }
}
