//! Building a generation: a complete tree of plain files that shows a release.
//!
//! Each file is a link to the live generation's where size, mtime and mode are those wanted, else a link to the object,
//! else a copy of it. Nothing here is visible: the tree grows in a staging directory and is then moved among the others
//! under a name of 128 random bits, which nobody can guess before `..data` tells it.

use std::collections::HashMap;

use super::{Error, FindObject, Home};
use crate::{
    disk::{self, Directory, Staging, place},
    manifest::{Folder, Nodes, Release},
    path::SitePath,
    random,
};

impl Home {
    /// Builds a generation that shows `release` and makes it durable; gives its name.
    ///
    /// # Errors
    /// When the release cannot be read or the disk refuses; the rest goes with the staging directory.
    pub(super) fn build(
        &self,
        staging: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        live: Option<&str>,
        objects: &FindObject<'_>,
    ) -> Result<String, Error> {
        let live = live.map(|name| disk::if_there(self.trees.directory(name))).transpose()?.flatten();
        let (staged, root) = staging.fresh_folder(self.open_mode)?;
        let mut made = HashMap::from([(None, root.clone())]);
        let mut unsynced = Vec::new();
        release.visit::<Error>(nodes, &mut |folder| {
            let Some(directory) = made.remove(&folder.path) else {
                unreachable!("a parent is visited before what is in it")
            };
            let old = live.as_ref().map(|live| match &folder.path {
                Some(path) => disk::if_there(live.directory(path)),
                None => Ok(Some(live.clone())),
            });
            let old = old.transpose()?.flatten();
            fill(&directory, folder, old.as_ref(), objects, &mut unsynced)?;
            for name in &folder.folders {
                let path = below(folder.path.as_ref(), name)?;
                made.insert(Some(path), directory.make_directory(&**name, self.open_mode)?);
            }
            unsynced.push((directory, None));
            Ok(())
        })?;
        if staging.directory().file_system()?.syncs_at_once(unsynced.len()) {
            root.sync_file_system()?;
        } else {
            for (directory, file) in unsynced {
                match file {
                    Some(name) => directory.sync_file(&*name)?,
                    None => directory.sync()?,
                }
            }
        }
        let name = random::name();
        staging.directory().rename_new(staged, &self.trees, &name)?;
        self.trees.sync()?;
        Ok(name)
    }
}

fn below(folder: Option<&SitePath>, name: &str) -> Result<SitePath, Error> {
    let path = match folder {
        Some(folder) => format!("{folder}/{name}").parse(),
        None => name.parse(),
    };
    Ok(path.map_err(crate::manifest::Error::from)?)
}

/// Puts the files of `folder` into `directory`; notes copies that are still to be synced.
fn fill(
    directory: &Directory,
    folder: &Folder,
    old: Option<&Directory>,
    objects: &FindObject<'_>,
    unsynced: &mut Vec<(Directory, Option<Box<str>>)>,
) -> Result<(), Error> {
    for (name, file, mtime) in &folder.files {
        let alike = |old: &Directory| {
            let stat = disk::if_there(old.stat(&**name))?;
            Ok::<_, disk::Error>(stat.is_some_and(|stat| stat.is(file.size, *mtime, file.executable)))
        };
        let copied = match old {
            Some(old) if alike(old)? => place(old, &**name, directory, &**name, *mtime, file.executable)?,
            _ => {
                let (objects, object) = objects(&file.digest)?;
                place(&objects, object, directory, &**name, *mtime, file.executable)?
            }
        };
        if copied {
            unsynced.push((directory.clone(), Some(name.clone())));
        }
    }
    Ok(())
}
