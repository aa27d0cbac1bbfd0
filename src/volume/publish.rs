//! Making a prepared release visible by one rename.
//!
//! The order, and what a crash leaves: while preparing, links for new names are made (they dangle: a 404, as before) and
//! the new `..data` is staged, so that publishing itself needs no space; then comes the one rename; then the links of
//! names that are gone are removed. Each step can be done again, and a start recomputes all of them.

use std::path::Path;

use super::{
    Error, FindObject, Home, Volume,
    home::{DATA, NEXT_DATA, through_data, tree_of},
};
use crate::{
    disk::{self, Kind, Staging, Wanted, place},
    manifest::{Nodes, Release},
    path::SitePath,
};

/// A change to a volume that is staged, durable, and not yet visible.
#[derive(Debug)]
pub enum Prepared {
    /// The link `..data` turns to another generation.
    Flip {
        /// The generation.
        generation: String,
        /// The names at its root, sorted.
        top: Vec<Box<str>>,
    },
    /// One file in the live generation is replaced, or added in a folder that is there.
    Replace {
        /// Where.
        path: SitePath,
        /// Its name in the staging directory.
        staged: String,
        /// The live generation.
        generation: String,
    },
    /// One file in the live generation goes; its folder stays.
    Remove {
        /// Which.
        path: SitePath,
        /// The live generation.
        generation: String,
    },
}

impl Prepared {
    /// The generation that shows the release when this is published.
    #[must_use]
    pub fn generation(&self) -> &str {
        match self {
            Self::Flip { generation, .. } | Self::Replace { generation, .. } | Self::Remove { generation, .. } => {
                generation
            }
        }
    }
}

impl Volume {
    /// Stages one file for the live generation.
    ///
    /// # Errors
    /// When the object or the disk cannot be read or written; [`Error::InTheWay`] when its name at the root is taken.
    pub fn prepare_file(
        &self,
        staging: &Staging,
        generation: String,
        path: SitePath,
        (object, name): (&disk::Directory, &str),
        wanted: &Wanted,
    ) -> Result<Prepared, Error> {
        self.check_free([path.top()].into_iter())?;
        if path.parent().is_none() && !self.is_our_link(path.top())? {
            self.link(path.top())?;
            self.root().sync()?;
        }
        let staged = staging.fresh_name();
        if place(object, name, staging.directory(), &staged, wanted)? {
            staging.directory().sync_file(&staged)?;
        }
        Ok(Prepared::Replace { path, staged, generation })
    }

    /// Whether `path` in this generation is a plain file or free, in a folder that is there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn can_rename(&self, home: &Home, generation: &str, path: &SitePath) -> Result<bool, Error> {
        let Some(tree) = disk::if_directory(home.trees.directory(generation))? else { return Ok(false) };
        let Some(folder) = disk::if_directory(folder_of(&tree, path))? else { return Ok(false) };
        Ok(disk::if_there(folder.stat(path.name()))?.is_none_or(|stat| stat.kind == Kind::File))
    }

    /// Builds a generation for `release`, reusing what the live one has.
    ///
    /// # Errors
    /// When the release or the disk cannot be read or written; [`Error::InTheWay`] when a name at the root is taken.
    pub fn prepare_generation(
        &self,
        home: &Home,
        staging: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        objects: &FindObject<'_>,
    ) -> Result<Prepared, Error> {
        let top = release.top(nodes)?;
        self.check_free(top.iter().map(|name| &**name))?;
        let live = self.live()?;
        let generation = home.build(staging, nodes, release, live.as_deref(), objects)?;
        // In the root itself, as kubelet does: that shows that the root can be written, before there is no way back.
        disk::if_there(self.root().unlink(NEXT_DATA))?;
        self.root().symlink(tree_of(&generation), NEXT_DATA)?;
        self.link_all(&top, &self.our_links()?)?;
        self.root().sync()?;
        Ok(Prepared::Flip { generation, top })
    }

    fn check_free<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        // A link there is replaced, whatever it leads to; anything else would refuse the rename when it is too late.
        if disk::if_there(self.root().stat(DATA))?.is_some_and(|stat| stat.kind != Kind::Link) {
            return Err(Error::InTheWay { path: DATA.into() });
        }
        for name in names {
            if disk::if_there(self.root().stat(name))?.is_some() && !self.is_our_link(name)? {
                return Err(Error::InTheWay { path: name.into() });
            }
        }
        Ok(())
    }

    /// Makes what was prepared visible, durably. The caller holds the lock. What it costs grows with the names at the
    /// root for a flip, and not at all with the site for one file.
    ///
    /// # Errors
    /// When the disk refuses; the next start finishes.
    pub fn publish(&self, home: &Home, staging: &Staging, prepared: &Prepared) -> Result<(), Error> {
        home.forget_shown()?;
        match prepared {
            Prepared::Flip { top, .. } => {
                let old = self.live()?;
                self.root().rename(NEXT_DATA, self.root(), DATA)?;
                self.root().sync()?;
                if let Some(old) = old {
                    home.retire(&old);
                }
                self.unlink_others(top, &self.our_links()?)
            }
            Prepared::Replace { path, staged, generation } => {
                let tree = home.trees.directory(generation)?;
                staging.directory().rename(staged, &tree, path)?;
                Ok(folder_of(&tree, path)?.sync()?)
            }
            Prepared::Remove { path, generation } => {
                let tree = home.trees.directory(generation)?;
                disk::if_there(tree.unlink(path))?;
                folder_of(&tree, path)?.sync()?;
                if path.parent().is_none() && self.is_our_link(path.top())? {
                    disk::if_there(self.root().unlink(path.top()))?;
                }
                Ok(())
            }
        }
    }

    /// Drops what was prepared and is not to be published after all. The caller holds the lock.
    ///
    /// # Errors
    /// When the disk refuses; the next start does it then.
    pub fn abandon(&self, home: &Home, prepared: &Prepared) -> Result<(), Error> {
        let live = self.live()?.map(|live| disk::if_there(home.trees.directory(live))).transpose()?.flatten();
        for name in self.our_links()? {
            let leads = live.as_ref().map_or(Ok(None), |live| disk::if_there(live.stat(&name)));
            if leads?.is_none() {
                self.root().unlink(&name)?;
            }
        }
        match prepared {
            Prepared::Flip { generation, .. } => {
                disk::if_there(self.root().unlink(NEXT_DATA))?;
                Ok(home.trees.remove_all(generation)?)
            }
            Prepared::Replace { .. } | Prepared::Remove { .. } => Ok(()),
        }
    }

    /// Makes the root's links those of `top`, where a crash or somebody else left others.
    ///
    /// # Errors
    /// [`Error::InTheWay`] when one of the names is taken; when the disk refuses.
    pub fn mend_links(&self, top: &[Box<str>]) -> Result<(), Error> {
        let links = self.our_links()?;
        // All that can be linked, also when one of them cannot.
        let linked = self.link_all(top, &links);
        self.unlink_others(top, &links)?;
        self.root().sync()?;
        linked
    }

    fn link_all(&self, top: &[Box<str>], links: &[String]) -> Result<(), Error> {
        let mut done = Ok(());
        for name in top {
            if links.binary_search_by(|link| (**link).cmp(name)).is_err() {
                done = done.and(self.link(name));
            }
        }
        done
    }

    fn unlink_others(&self, top: &[Box<str>], links: &[String]) -> Result<(), Error> {
        for gone in links.iter().filter(|link| top.binary_search_by(|name| (**name).cmp(link)).is_err()) {
            disk::if_there(self.root().unlink(gone))?;
        }
        Ok(())
    }

    /// Makes the root's link for `name`; never over anything.
    fn link(&self, name: &str) -> Result<(), Error> {
        match self.root().symlink(through_data(name), name) {
            Err(error) if error.is_taken() => {
                if self.is_our_link(name)? {
                    Ok(())
                } else {
                    Err(Error::InTheWay { path: name.into() })
                }
            }
            done => Ok(done?),
        }
    }
}

fn folder_of(tree: &disk::Directory, path: &SitePath) -> Result<disk::Directory, disk::Error> {
    match Path::new(path.as_str()).parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => tree.directory(parent),
        None => Ok(tree.clone()),
    }
}
