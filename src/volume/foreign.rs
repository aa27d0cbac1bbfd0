//! What somebody else put on a volume: plain files, which can be taken over, and what no site can have.
//!
//! Everything is looked at through descriptors and no link is followed, so that what is read is on this volume.

use std::{
    ffi::{OsStr, OsString},
    fmt,
};

use rustix::fs::Access;

use super::{Error, Layout, Volume, survey::is_the_file_systems};
use crate::{
    disk::{self, Directory, Kind, Stat},
    path::SitePath,
};

/// A plain file that somebody else put there.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it belongs in the site; and below `base`.
    pub path: SitePath,
    /// The folder that the path begins at.
    pub base: Directory,
    /// What it was when it was looked at.
    pub stat: Stat,
}

/// What cannot become part of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// Where it lies.
    pub path: String,
    /// Why it cannot.
    pub why: String,
}

impl fmt::Display for Unfit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} ({})", self.path, self.why)
    }
}

/// What somebody else put on a volume.
#[derive(Debug, Default)]
pub struct Foreign {
    /// The files.
    pub files: Vec<Found>,
    /// What is none.
    pub unfit: Vec<Unfit>,
    /// Folders without a file in them.
    pub empty: Vec<String>,
}

impl Foreign {
    /// Adds what lies at `name` in `base`, and below.
    ///
    /// # Errors
    /// When the disk refuses for another reason than that it is not ours to read.
    pub fn look(&mut self, base: &Directory, name: &OsStr) -> Result<(), disk::Error> {
        let device = base.own_stat()?.device;
        self.look_below(base, base, name, &name.to_string_lossy(), device)
    }

    /// Adds what lies at the path `path` below `base`, and below that.
    ///
    /// # Errors
    /// As [`Foreign::look`].
    pub fn look_at(&mut self, base: &Directory, path: &str) -> Result<(), disk::Error> {
        let device = base.own_stat()?.device;
        match path.rsplit_once('/') {
            Some((folder, name)) => {
                let Some(folder) = disk::if_directory(base.directory(folder))? else { return Ok(()) };
                self.look_below(base, &folder, OsStr::new(name), path, device)
            }
            None => self.look_below(base, base, OsStr::new(path), path, device),
        }
    }

    fn unfit(&mut self, path: &str, why: impl Into<String>) {
        self.unfit.push(Unfit { path: path.into(), why: why.into() });
    }

    fn look_below(
        &mut self,
        base: &Directory,
        parent: &Directory,
        name: &OsStr,
        path: &str,
        device: u64,
    ) -> Result<(), disk::Error> {
        // Gone again.
        let Some(stat) = disk::if_there(parent.stat(name))? else { return Ok(()) };
        // Lossily made of other bytes, it is no path that leads there.
        let site: Result<SitePath, _> = match name.to_str() {
            Some(_) => path.parse(),
            None => SitePath::from_bytes(name.as_encoded_bytes()),
        };
        match (stat.kind, site) {
            _ if stat.device != device => self.unfit(path, "something else is mounted there"),
            (Kind::Link, _) => self.unfit(path, "a symbolic link"),
            (Kind::Special, _) => self.unfit(path, "a device, a FIFO or a socket"),
            (Kind::File | Kind::Directory, Err(error)) => self.unfit(path, error.to_string()),
            (Kind::File, Ok(_)) if !parent.allows(name, Access::READ_OK)? => self.unfit(path, "it may not be read"),
            (Kind::File, Ok(path)) => self.files.push(Found { path, base: base.clone(), stat }),
            (Kind::Directory, Ok(_)) => {
                // It is moved and removed in the end, which writes to it.
                if !parent.allows(name, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)? {
                    self.unfit(path, "a folder that may not be read and written");
                    return Ok(());
                }
                let folder = parent.directory(name)?;
                let before = (self.files.len(), self.unfit.len());
                for name in folder.list()? {
                    if !is_a_leftover_of_nfs(&name) {
                        let path = format!("{path}/{}", name.to_string_lossy());
                        self.look_below(base, &folder, &name, &path, device)?;
                    }
                }
                if before == (self.files.len(), self.unfit.len()) {
                    self.empty.push(path.into());
                }
            }
        }
        Ok(())
    }
}

/// An NFS client's name for a file that was removed while somebody has it open.
pub(super) fn is_a_leftover_of_nfs(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".nfs")
}

impl Volume {
    /// The names at the root that are not ours, as [`Volume::survey`] has them, all of them.
    ///
    /// # Errors
    /// When the root cannot be listed.
    pub fn foreign_names(&self) -> Result<Vec<OsString>, Error> {
        let mut names = Vec::new();
        for name in self.root().list()? {
            if !is_the_file_systems(&name) && !self.is_ours(&name)? {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Of the root's entries `names`, those that are in the way of a link of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn in_the_way<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Vec<OsString>, Error> {
        let is_real = |name: &str| {
            Ok::<_, Error>(disk::if_there(self.root().stat(name))?.is_some_and(|stat| stat.kind != Kind::Link))
        };
        match self.layout() {
            Layout::Link(name) => Ok(if is_real(name)? { vec![OsString::from(&**name)] } else { Vec::new() }),
            Layout::Files => Ok(Vec::new()),
            Layout::Docroot => {
                let mut found = Vec::new();
                for name in names {
                    if disk::if_there(self.root().stat(name))?.is_some() && !self.is_our_link(name)? {
                        found.push(name.into());
                    }
                }
                Ok(found)
            }
        }
    }

    /// What lies at the root's entries `names`, and below. For the layout `link` a path begins in its folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn foreign(&self, names: &[OsString]) -> Result<Foreign, Error> {
        let mut foreign = Foreign::default();
        for name in names {
            match self.layout() {
                Layout::Link(_) => self.look_into(self.root(), name, &mut foreign)?,
                _ => foreign.look(self.root(), name)?,
            }
        }
        Ok(foreign)
    }

    /// What lies in the folder `name` of `parent`: it stands for the site's root.
    pub(super) fn look_into(&self, parent: &Directory, name: &OsStr, foreign: &mut Foreign) -> Result<(), Error> {
        let text = name.to_string_lossy();
        let Some(folder) = disk::if_directory(parent.directory(name))? else {
            foreign.unfit(&text, "no folder");
            return Ok(());
        };
        if folder.own_stat()?.device != parent.own_stat()?.device {
            foreign.unfit(&text, "something else is mounted there");
        } else if !parent.allows(name, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)? {
            foreign.unfit(&text, "a folder that may not be read and written");
        } else {
            for name in folder.list()? {
                if !is_the_file_systems(&name) {
                    foreign.look(&folder, &name)?;
                }
            }
            if foreign.files.is_empty() && foreign.unfit.is_empty() {
                foreign.empty.push(text.into());
            }
        }
        Ok(())
    }
}
