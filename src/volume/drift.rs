//! What the volume shows that the release does not have, or has otherwise: what somebody did by hand.
//!
//! Told by names, sizes, times and modes, as in [`Volume::shows`], but all of it. What the file system leaves there and
//! what lingers does not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
};

use super::{
    Error, Foreign, Home, Layout, Lingering, Volume,
    foreign::{Found, is_a_leftover_of_nfs},
    home::HOME,
    survey::is_the_file_systems,
};
use crate::{
    disk::{self, Directory, Kind, Stat},
    manifest::{Folder, Nodes, Release},
    path::SitePath,
};

/// What became of a path.
#[derive(Clone, Debug)]
pub enum Drifted {
    /// A file that the release does not have there.
    Added(Found),
    /// A file with another size, mtime or mode.
    Changed(Found),
    /// A file that is not there.
    Removed,
    /// A link of the root that is not there.
    Unlinked,
    /// Something that no site can have.
    Unfit(String),
}

/// Where a path lies. What lies at the root hides what lies behind the link of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the live generation.
    Live,
    /// In place of one of the root's links, or beside them.
    Root,
}

/// All that differs.
#[derive(Clone, Debug, Default)]
pub struct Drift(pub BTreeMap<(Place, String), Drifted>);

impl Drifted {
    /// Whether nothing happened to it since it was `before`.
    #[must_use]
    pub fn is_still(&self, before: &Self) -> bool {
        let seen = |stat: &Stat| (stat.size, stat.mtime, stat.mtime_nanos, stat.mode, stat.ctime);
        match (self, before) {
            (Self::Added(is), Self::Added(was)) | (Self::Changed(is), Self::Changed(was)) => {
                seen(&is.stat) == seen(&was.stat)
            }
            (Self::Removed, Self::Removed) | (Self::Unlinked, Self::Unlinked) => true,
            (Self::Unfit(is), Self::Unfit(was)) => is == was,
            _ => false,
        }
    }
}

impl Drift {
    fn note(&mut self, place: Place, path: impl Into<String>, what: Drifted) {
        self.0.insert((place, path.into()), what);
    }

    fn note_foreign(&mut self, place: Place, foreign: Foreign) {
        for found in foreign.files {
            self.note(place, found.path.as_str(), Drifted::Added(found.clone()));
        }
        for unfit in foreign.unfit {
            self.note(place, unfit.path, Drifted::Unfit(unfit.why));
        }
    }
}

impl Volume {
    /// What differs from `release` and what lingers beside it. The caller holds the lock.
    ///
    /// # Errors
    /// When the release or the disk cannot be read.
    pub fn drift(
        &self,
        home: &Home,
        nodes: &dyn Nodes,
        release: Release,
        lingering: &Lingering,
    ) -> Result<Drift, Error> {
        let mut drift = Drift::default();
        if let Some(tree) = self.live()?.map(|live| self.tree(home, &live)).transpose()?.flatten() {
            release.visit::<Error>(nodes, &mut |folder| self.drift_in(&mut drift, &tree, folder, lingering))?;
        }
        match self.layout() {
            Layout::Docroot => {
                let names = self.foreign_names()?;
                drift.note_foreign(Place::Root, self.foreign(&names)?);
                for name in self.top(nodes, release, lingering)? {
                    if disk::if_there(self.root().stat(&*name))?.is_none() {
                        drift.note(Place::Root, name, Drifted::Unlinked);
                    }
                }
            }
            Layout::Link(_) => {
                let names = self.in_the_way([].into_iter())?;
                if !names.is_empty() {
                    self.note_folder(&mut drift, self.foreign(&names)?, nodes, release)?;
                }
            }
            Layout::Files => {}
        }
        Ok(drift)
    }

    /// A real folder in place of the one link: what is in it, and what the release has besides.
    fn note_folder(
        &self,
        drift: &mut Drift,
        foreign: Foreign,
        nodes: &dyn Nodes,
        release: Release,
    ) -> Result<(), Error> {
        let found: BTreeSet<String> = foreign.files.iter().map(|found| found.path.as_str().into()).collect();
        drift.note_foreign(Place::Root, foreign);
        release.visit::<Error>(nodes, &mut |folder| {
            for (name, ..) in &folder.files {
                let path = folder.below(name);
                if !found.contains(&path) {
                    drift.note(Place::Root, path, Drifted::Removed);
                }
            }
            Ok(())
        })
    }

    fn drift_in(
        &self,
        drift: &mut Drift,
        tree: &Directory,
        folder: &Folder,
        lingering: &Lingering,
    ) -> Result<(), Error> {
        let is_root = folder.path.is_none();
        let directory = match &folder.path {
            Some(path) => disk::if_directory(tree.directory(path))?,
            None => Some(tree.clone()),
        };
        let Some(directory) = directory else {
            for (name, ..) in &folder.files {
                drift.note(Place::Live, folder.below(name), Drifted::Removed);
            }
            return Ok(());
        };
        for (name, file, mtime) in &folder.files {
            let path = folder.below(name);
            let found = |stat| {
                Ok::<_, Error>(Found {
                    path: path.parse().map_err(crate::manifest::Error::from)?,
                    base: tree.clone(),
                    stat,
                })
            };
            match disk::if_there(directory.stat(&**name))? {
                Some(stat) if stat.is(file.size, *mtime, file.executable) => {}
                Some(stat) if stat.kind == Kind::File => {
                    drift.note(Place::Live, path.clone(), Drifted::Changed(found(stat)?))
                }
                Some(stat) if stat.kind == Kind::Directory => {
                    drift.note(Place::Live, path.clone(), Drifted::Removed);
                    self.note_below(drift, tree, &path)?;
                }
                Some(_) => drift.note(Place::Live, path.clone(), Drifted::Unfit("no plain file any more".into())),
                None => drift.note(Place::Live, path.clone(), Drifted::Removed),
            }
        }
        let wanted = folder.names();
        for name in directory.list()? {
            let is_file = |name: &OsStr| {
                Ok::<_, Error>(disk::if_there(directory.stat(name))?.is_some_and(|stat| stat.kind != Kind::Directory))
            };
            let path = folder.below(&name.to_string_lossy());
            let is_state = self.layout() == &Layout::Files && is_root && (is_the_file_systems(&name) || name == HOME);
            let is_wanted = wanted.binary_search_by(|wanted| OsStr::new(wanted).cmp(&name)).is_ok();
            let is_folder = folder.folders.iter().any(|folder| name == **folder);
            if is_a_leftover_of_nfs(&name) || is_state || (is_wanted && (!is_folder || !is_file(&name)?)) {
                continue;
            }
            if !lingering.explains(&path) {
                self.note_below(drift, tree, &path)?;
            }
        }
        Ok(())
    }

    /// Notes what lies at `path` of `tree`, and below, as added.
    fn note_below(&self, drift: &mut Drift, tree: &Directory, path: &str) -> Result<(), Error> {
        let mut foreign = Foreign::default();
        foreign.look_at(tree, path)?;
        drift.note_foreign(Place::Live, foreign);
        Ok(())
    }

    /// Whether the root's entry or the path of the live generation is as the release has it, told by one look. Folders
    /// count as they are there. `path` is relative to the root.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn is_expected_at_root(&self, name: &str) -> Result<bool, Error> {
        Ok(is_the_file_systems(OsStr::new(name))
            || disk::if_there(self.root().stat(name))?.is_none()
            || self.is_ours(OsStr::new(name))?)
    }

    /// The path within the live generation that `path`, relative to the volume's root, is; none when it is none.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn path_in_live(&self, path: &str) -> Result<Option<SitePath>, Error> {
        Ok(match (self.layout(), self.live()?) {
            (Layout::Files, Some(_)) => path.parse().ok(),
            (_, Some(live)) => {
                path.strip_prefix(&*super::home::tree_of(&live)).and_then(|path| path.strip_prefix('/')?.parse().ok())
            }
            (_, None) => None,
        })
    }
}
