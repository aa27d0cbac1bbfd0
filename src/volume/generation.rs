//! Building a generation: a complete tree of plain files that shows a release.
//!
//! Each file is a link to the live generation's where size, mtime and mode are those wanted, else a link to the object,
//! else a copy of it. Nothing here is visible: the tree grows in a staging directory and is then moved among the others
//! under a name of 128 random bits, which nobody can guess before `..data` tells it.

use super::{Error, FindObject, Home};
use crate::{
    disk::{self, Directory, Staging, Wanted, place},
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
        // Paths, not open directories: a site may have more folders than a process may have descriptors.
        let mut unsynced = Vec::new();
        release.visit::<Error>(nodes, &mut |folder| {
            let (directory, old) = match &folder.path {
                Some(path) => {
                    let old = live.as_ref().map(|live| disk::if_directory(live.directory(path))).transpose()?;
                    (root.make_directory(path, self.open_mode)?, old.flatten())
                }
                None => (root.clone(), live.clone()),
            };
            fill(&directory, folder, old.as_ref(), objects, &mut unsynced)?;
            unsynced.push(Unsynced { folder: folder.path.clone(), copy: None });
            Ok(())
        })?;
        if staging.directory().file_system()?.syncs_at_once(unsynced.len()) {
            root.sync_file_system()?;
        } else {
            unsynced.iter().try_for_each(|one| one.sync(&root))?;
        }
        let name = random::name();
        staging.directory().rename(staged, &self.trees, &name)?;
        self.trees.sync()?;
        Ok(name)
    }
}

fn below(folder: Option<&SitePath>, name: &str) -> String {
    folder.map_or_else(|| name.into(), |folder| format!("{folder}/{name}"))
}

/// A folder of the tree, or a copy in it, that is not durable yet.
struct Unsynced {
    folder: Option<SitePath>,
    copy: Option<Box<str>>,
}

impl Unsynced {
    fn sync(&self, root: &Directory) -> Result<(), disk::Error> {
        let folder = self.folder.as_ref().map_or_else(|| Ok(root.clone()), |folder| root.directory(folder))?;
        match &self.copy {
            Some(name) => folder.sync_file(&**name),
            None => folder.sync(),
        }
    }
}

/// Puts the files of `folder` into `directory`; notes copies that are still to be synced.
fn fill(
    directory: &Directory,
    folder: &Folder,
    old: Option<&Directory>,
    objects: &FindObject<'_>,
    unsynced: &mut Vec<Unsynced>,
) -> Result<(), Error> {
    for (name, file, mtime) in &folder.files {
        let wanted = Wanted { digest: file.digest, size: file.size, mtime: *mtime, executable: file.executable };
        let alike = |old: &Directory| {
            let stat = disk::if_there(old.stat(&**name))?;
            Ok::<_, disk::Error>(stat.is_some_and(|stat| stat.is(file.size, *mtime, file.executable)))
        };
        let placed = match old {
            Some(old) if alike(old)? => place(old, &**name, directory, &**name, &wanted),
            _ => {
                objects(&file.digest).and_then(|(objects, object)| place(&objects, object, directory, &**name, &wanted))
            }
        };
        let copied = placed.map_err(|error| match error.is_damaged() {
            true => Error::Damaged { path: below(folder.path.as_ref(), name), source: error },
            false => error.into(),
        })?;
        if copied {
            unsynced.push(Unsynced { folder: folder.path.clone(), copy: Some(name.clone()) });
        }
    }
    Ok(())
}
