//! The layout `files`: the release as plain files at the volume's root.
//!
//! Each file appears whole, by a rename, but one after the other: assets first, then the HTML that names them, then
//! deletions. A reader in between may find a new page beside an old image, never half a file. What lies at the root
//! besides the release and our own directory is not ours: it is never written over, and never removed.

use std::collections::BTreeSet;

use super::{Error, FindObject, Home, Prepared, Salvage, Volume};
use crate::{
    disk::{self, Kind, Staging, Wanted, place},
    path::SitePath,
};

/// A file that is to lie at the root of the volume, or below.
#[derive(Debug)]
pub struct Put {
    /// Where.
    pub path: SitePath,
    /// What.
    pub wanted: Wanted,
    /// Whether the file that may lie there is ours.
    pub replaces: bool,
}

impl Volume {
    /// Stages files, and checks that they and the removal of `remove` meet nothing that is not ours.
    ///
    /// # Errors
    /// [`Error::InTheWay`] when something else lies in the way; when the disk refuses.
    pub fn prepare_files(
        &self,
        staging: &Staging,
        mut put: Vec<Put>,
        remove: Vec<SitePath>,
        objects: &FindObject<'_>,
    ) -> Result<Prepared, Error> {
        let going: BTreeSet<&SitePath> = remove.iter().collect();
        put.iter().try_for_each(|put| self.check_way(put, &going))?;
        put.sort_by_cached_key(|put| (is_page(&put.path), put.path.clone()));
        let (mut staged, mut copies) = (Vec::new(), Vec::new());
        for Put { path, wanted, .. } in put {
            let name = staging.fresh_name();
            let (folder, object) = objects(&wanted.digest)?;
            let copied = place(&folder, object, staging.directory(), &name, &wanted, staging.abilities());
            if copied.map_err(|error| Error::of_content(path.as_str(), error))? {
                copies.push(name.clone());
            }
            staged.push((path, name));
        }
        staging.sync(copies.iter().map(|name| &**name))?;
        Ok(Prepared::Files { put: staged, remove })
    }

    /// After the entry it would be too late to find something in the way.
    fn check_way(&self, Put { path, replaces, .. }: &Put, going: &BTreeSet<&SitePath>) -> Result<(), Error> {
        let in_the_way = |path: &SitePath| Error::InTheWay { path: path.as_str().into() };
        for folder in folders_above(path) {
            match disk::if_there(self.root().stat(folder.as_str()))? {
                None => return Ok(()),
                Some(stat) if stat.kind == Kind::Directory => {}
                Some(stat) if stat.kind == Kind::File && going.contains(&folder) => return Ok(()),
                Some(_) => return Err(in_the_way(&folder)),
            }
        }
        match disk::if_there(self.root().stat(path.as_str()))?.map(|stat| stat.kind) {
            None => Ok(()),
            Some(Kind::File) if *replaces => Ok(()),
            Some(Kind::Directory) => self.check_goes(path, going),
            Some(_) => Err(in_the_way(path)),
        }
    }

    /// Whether all that lies in `folder` is on its way out.
    fn check_goes(&self, folder: &SitePath, going: &BTreeSet<&SitePath>) -> Result<(), Error> {
        for name in self.root().directory(folder.as_str())?.list()? {
            let path = format!("{folder}/{}", name.to_string_lossy());
            let below: Option<SitePath> = path.parse().ok();
            match (below, self.root().stat(&path)?.kind) {
                (Some(below), Kind::Directory) => self.check_goes(&below, going)?,
                (Some(below), Kind::File) if going.contains(&below) => {}
                _ => return Err(Error::InTheWay { path }),
            }
        }
        Ok(())
    }

    pub(super) fn publish_files(
        &self,
        home: &Home,
        staging: &Staging,
        put: &[(SitePath, String)],
        remove: &[SitePath],
        salvage: &Salvage<'_>,
    ) -> Result<(), Error> {
        let mut touched = BTreeSet::new();
        for (path, name) in put {
            for folder in folders_above(path) {
                match disk::if_there(self.root().stat(folder.as_str()))?.map(|stat| stat.kind) {
                    Some(Kind::Directory) => continue,
                    // A file of the release before, where this one has a folder.
                    Some(_) => self.root().unlink(folder.as_str())?,
                    None => {}
                }
                self.root().make_directory(folder.as_str(), home.open_mode)?;
                touched.insert(folder.parent());
            }
            if disk::if_there(self.root().stat(path.as_str()))?.is_some_and(|stat| stat.kind == Kind::Directory) {
                let below = format!("{path}/");
                for gone in remove.iter().filter(|gone| gone.as_str().starts_with(&below)) {
                    home.salvage(self.root(), gone.as_ref(), gone.as_ref(), salvage);
                    self.remove_file(gone, &mut touched)?;
                }
                // Whoever removed the files before us may have died before the folders.
                if disk::if_path(self.root().stat(path.as_str()))?.is_some_and(|stat| stat.kind == Kind::Directory) {
                    self.root().remove_hollow(path.as_str())?;
                }
            }
            home.salvage(self.root(), path.as_ref(), path.as_ref(), salvage);
            staging.directory().rename(name, self.root(), path.as_str())?;
            touched.insert(path.parent());
        }
        for gone in remove {
            home.salvage(self.root(), gone.as_ref(), gone.as_ref(), salvage);
            self.remove_file(gone, &mut touched)?;
        }
        self.sync_folders(&touched)
    }

    fn remove_file(&self, path: &SitePath, touched: &mut BTreeSet<Option<SitePath>>) -> Result<(), Error> {
        self.root().remove_with_empty_folders(path)?;
        touched.insert(path.parent());
        touched.extend(folders_above(path).into_iter().map(|folder| folder.parent()));
        Ok(())
    }

    fn sync_folders(&self, touched: &BTreeSet<Option<SitePath>>) -> Result<(), Error> {
        if self.root().file_system()?.syncs_at_once(touched.len()) {
            return Ok(self.root().sync_file_system()?);
        }
        for folder in touched {
            match folder {
                None => self.root().sync()?,
                // It may be gone again.
                Some(folder) => {
                    if let Some(folder) = disk::if_directory(self.root().directory(folder.as_str()))? {
                        folder.sync()?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The folders above a path, outermost first.
fn folders_above(path: &SitePath) -> Vec<SitePath> {
    let mut folders: Vec<_> = std::iter::successors(path.parent(), SitePath::parent).collect();
    folders.reverse();
    folders
}

/// A page names assets, so they come first.
fn is_page(path: &SitePath) -> bool {
    let name = path.name().to_ascii_lowercase();
    [".html", ".htm", ".xhtml"].iter().any(|end| name.ends_with(end))
}
