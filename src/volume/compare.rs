//! Whether a generation shows a release, told by names, sizes, times and modes.
//!
//! That is exact for what Longshore itself did, at any moment it may have died, since a pair (path, mtime) always means
//! the same bytes. It does not notice somebody who restores the mtime after writing: digests do, when they are read.

use std::path::Path;

use super::{Error, Home, Volume, home::through_data};
use crate::{
    disk,
    manifest::{Nodes, Release},
};

/// The walk ends at the first difference.
enum Stop {
    Differs,
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Home {
    /// Whether the generation `name` shows just `release`.
    ///
    /// # Errors
    /// When the release or the disk cannot be read.
    pub fn shows(&self, nodes: &dyn Nodes, name: &str, release: Release) -> Result<bool, Error> {
        let Some(tree) = disk::if_there(self.trees.directory(name))? else { return Ok(false) };
        let compared = release.visit::<Stop>(nodes, &mut |folder| {
            let directory = match &folder.path {
                Some(path) => disk::if_directory(tree.directory(path))?.ok_or(Stop::Differs)?,
                None => tree.clone(),
            };
            let mut names = directory.list()?;
            // An NFS client's name for a file that was replaced while somebody has it open.
            names.retain(|name| !name.as_encoded_bytes().starts_with(b".nfs"));
            if names != folder.names() {
                return Err(Stop::Differs);
            }
            for (name, file, mtime) in &folder.files {
                if !directory.stat(&**name)?.is(file.size, *mtime, file.executable) {
                    return Err(Stop::Differs);
                }
            }
            Ok(())
        });
        match compared {
            Ok(()) => Ok(true),
            Err(Stop::Differs) => Ok(false),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}

impl Volume {
    /// Whether the root has our links for just the names `top`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn links_are(&self, top: &[Box<str>]) -> Result<bool, Error> {
        Ok(self.our_links()? == top.iter().map(|name| String::from(&**name)).collect::<Vec<_>>())
    }

    /// The names of our links at the root, sorted.
    pub(super) fn our_links(&self) -> Result<Vec<String>, Error> {
        let mut links = Vec::new();
        for name in self.root().list()? {
            let Some(name) = name.to_str() else { continue };
            if self.root().link_target(name)?.is_some_and(|target| target == Path::new(&through_data(name))) {
                links.push(name.into());
            }
        }
        Ok(links)
    }
}
