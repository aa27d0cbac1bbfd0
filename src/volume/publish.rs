//! Making a prepared release visible by one rename.
//!
//! The order, and what a crash leaves: links for new names first (they dangle: a 404, as before), then the one rename,
//! then the links of names that are gone. Each step can be done again, and a start recomputes all of them.

use std::path::Path;

use super::{
    Error, FindObject, Home, Volume,
    layout::{DATA, through_data, tree_of},
};
use crate::{
    disk::{self, Staging, place},
    manifest::{Nodes, Release},
    path::SitePath,
};

/// A change to a volume that is staged, durable, and not yet visible.
#[derive(Debug)]
pub struct Prepared {
    step: Step,
    /// The names at the site's root, sorted.
    top: Vec<Box<str>>,
}

/// How a release becomes visible.
#[derive(Debug)]
pub enum Step {
    /// The link `..data` turns to this generation.
    Flip(String),
    /// One file in the live generation is replaced, or added in a folder that is there.
    Replace {
        /// Where.
        path: SitePath,
        /// Its name in the staging directory.
        staged: String,
        /// The live generation.
        generation: String,
    },
    /// One file in the live generation goes.
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
        match &self.step {
            Step::Flip(generation) | Step::Replace { generation, .. } | Step::Remove { generation, .. } => generation,
        }
    }
}

impl Volume {
    /// Stages one file for the live generation.
    ///
    /// # Errors
    /// When the object or the disk cannot be read or written.
    pub fn prepare_file(
        &self,
        staging: &Staging,
        (object, name): (&disk::Directory, &str),
        mtime: i64,
        executable: bool,
    ) -> Result<String, Error> {
        let staged = staging.fresh_name();
        if place(object, name, staging.directory(), &staged, mtime, executable)? {
            staging.directory().sync_file(&staged)?;
        }
        Ok(staged)
    }

    /// Builds a generation for `release`, reusing what the live one has.
    ///
    /// # Errors
    /// When the release or the disk cannot be read or written.
    pub fn prepare_generation(
        &self,
        home: &Home,
        staging: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        objects: &FindObject<'_>,
    ) -> Result<Step, Error> {
        let live = self.live()?;
        home.build(staging, nodes, release, live.as_deref(), objects).map(Step::Flip)
    }

    /// Puts a step and the names it leaves at the root together, and looks whether those names are free.
    ///
    /// # Errors
    /// [`Error::InTheWay`] when something that is not ours has one of the names.
    pub fn prepare(&self, step: Step, top: Vec<Box<str>>) -> Result<Prepared, Error> {
        for name in &top {
            if disk::if_there(self.root().stat(&**name))?.is_some() && !self.is_our_link(name)? {
                return Err(Error::InTheWay { path: String::from(&**name) });
            }
        }
        Ok(Prepared { step, top })
    }

    /// Makes what was prepared visible, durably. The caller holds the lock.
    ///
    /// # Errors
    /// When the disk refuses; the next start finishes.
    pub fn publish(&self, home: &Home, staging: &Staging, prepared: &Prepared) -> Result<(), Error> {
        home.forget_shown()?;
        let links = self.our_links()?;
        for name in &prepared.top {
            if links.binary_search_by(|link| (**link).cmp(name)).is_err() {
                self.link(name)?;
            }
        }
        match &prepared.step {
            Step::Flip(generation) => {
                let name = staging.fresh_name();
                staging.directory().symlink(tree_of(generation), &name)?;
                staging.directory().rename(&name, self.root(), DATA)?;
            }
            Step::Replace { path, staged, generation } => {
                let tree = home.trees.directory(generation)?;
                staging.directory().rename(staged, &tree, path)?;
                folder_of(&tree, path)?.sync()?;
            }
            Step::Remove { path, generation } => {
                let tree = home.trees.directory(generation)?;
                disk::if_there(tree.unlink(path))?;
                folder_of(&tree, path)?.sync()?;
            }
        }
        self.root().sync()?;
        for gone in links.iter().filter(|link| prepared.top.binary_search_by(|name| (**name).cmp(link)).is_err()) {
            disk::if_there(self.root().unlink(gone))?;
        }
        Ok(())
    }

    /// Makes the root's links those of `top`, where a crash or somebody else left others.
    ///
    /// # Errors
    /// As [`Volume::prepare`]; when the disk refuses.
    pub fn mend_links(&self, top: &[Box<str>]) -> Result<(), Error> {
        let links = self.our_links()?;
        for name in top {
            if links.binary_search_by(|link| (**link).cmp(name)).is_err() {
                self.link(name)?;
            }
        }
        for gone in links.iter().filter(|link| top.binary_search_by(|name| (**name).cmp(link)).is_err()) {
            disk::if_there(self.root().unlink(gone))?;
        }
        Ok(self.root().sync()?)
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
