//! Building a generation: a complete tree of plain files that shows a release.
//!
//! Each file is a link to the live generation's where size, mtime and mode are those wanted, else a link to the object,
//! else a copy of it. Nothing here is visible: the tree grows in a staging directory and is then moved among the others
//! under a name of 128 random bits, which nobody can guess before `..data` tells it.

use super::{Error, FindObject, Home, Lingering};
use crate::{
    disk::{self, Abilities, Directory, Staging, Wanted, place},
    manifest::{File, Folder, Nodes, Release},
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
        lingering: &Lingering,
        objects: &FindObject<'_>,
    ) -> Result<String, Error> {
        let Grown { staged, root, unsynced } = self.grow(staging, nodes, release, live, lingering, objects)?;
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

    /// Builds a tree that shows `release`, for others to read before it is published; it is gone with `proposal`.
    ///
    /// # Errors
    /// When the release cannot be read or the disk refuses.
    pub fn grow_proposal(
        &self,
        proposal: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        live: Option<&str>,
        objects: &FindObject<'_>,
    ) -> Result<Directory, Error> {
        Ok(self.grow(proposal, nodes, release, live, &Lingering::default(), objects)?.root)
    }

    fn grow(
        &self,
        staging: &Staging,
        nodes: &dyn Nodes,
        release: Release,
        live: Option<&str>,
        lingering: &Lingering,
        objects: &FindObject<'_>,
    ) -> Result<Grown, Error> {
        let live = live.map(|name| disk::if_there(self.trees.directory(name))).transpose()?.flatten();
        let (staged, root) = staging.fresh_folder(self.open_mode)?;
        let able = staging.abilities();
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
            fill(&directory, folder, old.as_ref(), objects, able, &mut unsynced)?;
            unsynced.push(Unsynced { folder: folder.path.clone(), copy: None });
            Ok(())
        })?;
        if let Some(live) = &live {
            self.carry(live, &root, lingering, able, &mut unsynced)?;
        }
        Ok(Grown { staged, root, unsynced })
    }
}

/// A tree in a staging directory that is not durable yet.
struct Grown {
    staged: String,
    root: Directory,
    unsynced: Vec<Unsynced>,
}

impl Home {
    /// Takes over from the live generation what lingers, where it is still what it was.
    fn carry(
        &self,
        live: &Directory,
        root: &Directory,
        lingering: &Lingering,
        able: Abilities,
        unsynced: &mut Vec<Unsynced>,
    ) -> Result<(), Error> {
        for (path, File { digest, size, executable }) in lingering.files() {
            let Some(stat) = disk::if_path(live.stat(path))? else { continue };
            if !stat.is(size, stat.mtime, executable) {
                continue;
            }
            let mut folders: Vec<_> = std::iter::successors(path.parent(), SitePath::parent).collect();
            folders.reverse();
            for folder in &folders {
                root.make_directory(folder, self.open_mode)?;
            }
            let wanted = Wanted { digest, size, mtime: stat.mtime, executable };
            match place(live, path, root, path, &wanted, able) {
                // Somebody wrote over it: nothing that a release needs.
                Err(error) if error.is_damaged() => drop(disk::if_there(root.unlink(path))?),
                copied => {
                    let copy = copied?.then(|| path.name().into());
                    unsynced.push(Unsynced { folder: path.parent(), copy });
                    unsynced.extend(folders.into_iter().map(|folder| Unsynced { folder: Some(folder), copy: None }));
                }
            }
        }
        Ok(())
    }
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
    able: Abilities,
    unsynced: &mut Vec<Unsynced>,
) -> Result<(), Error> {
    for (name, file, mtime) in &folder.files {
        let wanted = Wanted { digest: file.digest, size: file.size, mtime: *mtime, executable: file.executable };
        let alike = |old: &Directory| {
            let stat = disk::if_there(old.stat(&**name))?;
            Ok::<_, disk::Error>(stat.is_some_and(|stat| stat.is(file.size, *mtime, file.executable)))
        };
        let placed = match old {
            Some(old) if alike(old)? => place(old, &**name, directory, &**name, &wanted, able),
            _ => objects(&file.digest)
                .and_then(|(objects, object)| place(&objects, object, directory, &**name, &wanted, able)),
        };
        if placed.map_err(|error| Error::of_content(&folder.below(name), error))? {
            unsynced.push(Unsynced { folder: folder.path.clone(), copy: Some(name.clone()) });
        }
    }
    Ok(())
}
