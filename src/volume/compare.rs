//! Whether a generation shows a release, told by names, sizes, times and modes.
//!
//! That is exact for what Longshore itself did, at any moment it may have died, since a pair (path, mtime) always means
//! the same bytes. It does not notice somebody who restores the mtime after writing: digests do, when they are read.

use std::ffi::OsStr;

use super::{Error, Home, Layout, Lingering, Volume, home::HOME, survey::is_the_file_systems};
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

impl Volume {
    /// Whether the generation `name` shows just `release`, and perhaps what lingers.
    ///
    /// # Errors
    /// When the release or the disk cannot be read.
    pub fn shows(
        &self,
        home: &Home,
        nodes: &dyn Nodes,
        name: &str,
        release: Release,
        lingering: &Lingering,
    ) -> Result<bool, Error> {
        let Some(tree) = self.tree(home, name)? else { return Ok(false) };
        let is_root = self.layout() == &Layout::Files;
        let compared = release.visit::<Stop>(nodes, &mut |folder| {
            let directory = match &folder.path {
                Some(path) => disk::if_directory(tree.directory(path))?.ok_or(Stop::Differs)?,
                None => tree.clone(),
            };
            let wanted = folder.names();
            let mut names = directory.list()?;
            names.retain(|name| {
                // An NFS client's name for a file that was replaced while somebody has it open.
                let is_removed = name.as_encoded_bytes().starts_with(b".nfs");
                let is_state = is_root && folder.path.is_none() && (is_the_file_systems(name) || name == HOME);
                let lingers = || name.to_str().is_some_and(|name| lingering.explains(&folder.below(name)));
                let is_wanted = || wanted.binary_search_by(|wanted| OsStr::new(wanted).cmp(name)).is_ok();
                is_wanted() || !is_removed && !is_state && !lingers()
            });
            if names != wanted {
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
