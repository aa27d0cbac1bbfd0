//! Making a prepared release visible: by one rename, but for the layout `files`.
//!
//! The order, and what a crash leaves: while preparing, links for new names are made (they dangle: a 404, as before) and
//! the new link is staged, so that publishing itself needs no space; then comes the one rename; then the links of names
//! that are gone are removed. Each step can be done again, and a start recomputes all of them.

use std::path::Path;

use super::{Error, Home, Layout, Salvage, Volume, home::NEXT_DATA, shown::FILES};
use crate::{
    disk::{self, Kind, Staging, Wanted, place},
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
    /// Plain files at the root, one after the other.
    Files {
        /// Where, in order, and its name in the staging directory.
        put: Vec<(SitePath, String)>,
        /// What goes after that.
        remove: Vec<SitePath>,
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
            Self::Files { .. } => FILES,
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
        if self.layout() == &Layout::Docroot && path.parent().is_none() && !self.is_our_link(path.top())? {
            self.link(path.top())?;
            self.root().sync()?;
        }
        let staged = staging.fresh_name();
        if place(object, name, staging.directory(), &staged, wanted, staging.abilities())? {
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

    /// Makes what was prepared visible, durably. The caller holds the lock. What it costs grows with the names at the
    /// root for a flip, and not at all with the site for one file.
    ///
    /// # Errors
    /// When the disk refuses; the next start finishes.
    pub fn publish(
        &self,
        home: &Home,
        staging: &Staging,
        prepared: &Prepared,
        salvage: &Salvage<'_>,
    ) -> Result<(), Error> {
        match prepared {
            Prepared::Flip { top, .. } => {
                let old = self.live()?;
                if let Some(data) = self.layout().data()
                    && !self.is_pending(data)?
                {
                    self.root().rename(NEXT_DATA, self.root(), data)?;
                }
                self.exchange_pending(home)?;
                self.root().sync()?;
                if let Some(old) = old {
                    home.retire(&old);
                }
                self.unlink_others(top, &self.our_links()?)
            }
            Prepared::Replace { path, staged, generation } => {
                let tree = home.trees.directory(generation)?;
                home.salvage(&tree, path.as_ref(), path.as_ref(), salvage);
                staging.directory().rename(staged, &tree, path)?;
                Ok(folder_of(&tree, path)?.sync()?)
            }
            Prepared::Remove { path, generation } => {
                let tree = home.trees.directory(generation)?;
                home.salvage(&tree, path.as_ref(), path.as_ref(), salvage);
                disk::if_there(tree.unlink(path))?;
                folder_of(&tree, path)?.sync()?;
                if path.parent().is_none() && self.is_our_link(path.top())? {
                    disk::if_there(self.root().unlink(path.top()))?;
                }
                Ok(())
            }
            Prepared::Files { put, remove } => self.publish_files(home, staging, put, remove, salvage),
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
            Prepared::Replace { .. } | Prepared::Remove { .. } | Prepared::Files { .. } => Ok(()),
        }
    }
}

fn folder_of(tree: &disk::Directory, path: &SitePath) -> Result<disk::Directory, disk::Error> {
    match Path::new(path.as_str()).parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => tree.directory(parent),
        None => Ok(tree.clone()),
    }
}
