//! Putting our links in the place of what somebody else put at the root, so that a reader always finds one or the other.
//!
//! An adoption first makes its links out of sight, below `replaced/<turn>/links`: their names are what it is going to
//! exchange. That is durable before its entry is, so whoever comes after a death in between knows what is left to be
//! done: the entry says whether. Each exchange is one `renameat2(RENAME_EXCHANGE)`. Where a file system lacks it, the old
//! is renamed away and the link in, and for that moment nothing is there.
//!
//! What was exchanged out lies in `replaced/<turn>/entries` until it was read again: somebody may still write to it.

use std::ffi::OsString;

use super::{
    Error, Foreign, Home, Layout, Volume,
    home::{HOME, NEXT_DATA, through_data},
};
use crate::disk::{self, Directory, Kind};

const REPLACED: &str = "replaced";
const LINKS: &str = "links";
const ENTRIES: &str = "entries";

/// What one adoption exchanged, or is about to.
#[derive(Debug)]
pub struct Replaced {
    /// Which adoption.
    pub turn: String,
    /// All of them.
    parent: Directory,
    links: Directory,
    entries: Directory,
}

impl Volume {
    /// Makes the links for `names`, durably, before the entry of the adoption `turn`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn prepare_exchange(&self, home: &Home, turn: &str, names: &[OsString]) -> Result<(), Error> {
        let parent = home.directory.make_directory(REPLACED, home.mode)?;
        let folder = parent.make_directory(turn, home.mode)?;
        folder.make_directory(ENTRIES, home.mode)?;
        let links = folder.make_directory(LINKS, home.mode)?;
        for name in names {
            links.symlink(through_data(&name.to_string_lossy()), name)?;
        }
        [&links, &folder, &parent, &home.directory].into_iter().try_for_each(Directory::sync)?;
        Ok(())
    }

    /// Whether what lies at the root's `name` is about to be exchanged.
    pub(super) fn is_pending(&self, name: &str) -> Result<bool, Error> {
        let Some(parent) = disk::if_directory(self.root().directory(HOME).and_then(|home| home.directory(REPLACED)))?
        else {
            return Ok(false);
        };
        for turn in parent.list()? {
            let link = std::path::Path::new(&turn).join(LINKS).join(name);
            if disk::if_there(parent.stat(link))?.is_some_and(|stat| stat.kind == Kind::Link) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What adoptions left to be done or looked at, oldest first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn replaced(&self, home: &Home) -> Result<Vec<Replaced>, Error> {
        let Some(parent) = disk::if_directory(home.directory.directory(REPLACED))? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for turn in parent.list()? {
            let turn = turn.to_string_lossy().into_owned();
            let folder = |name: &str| disk::if_directory(parent.directory(format!("{turn}/{name}")));
            match (folder(LINKS)?, folder(ENTRIES)?) {
                (Some(links), Some(entries)) => all.push(Replaced { turn, parent: parent.clone(), links, entries }),
                // Somebody died while making or removing it: nothing is in it.
                _ => parent.remove_all(&turn)?,
            }
        }
        Ok(all)
    }

    /// Does all exchanges that are pending. One that fails is said and left for later: the entry behind it stands, and
    /// what is in its place has the same bytes.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn exchange_pending(&self, home: &Home) -> Result<(), Error> {
        for replaced in self.replaced(home)? {
            let mut done = false;
            for name in replaced.pending()? {
                match self.exchange(&replaced, &name) {
                    Ok(()) => done = true,
                    Err(error) => {
                        tracing::warn!(%error, "what was adopted stays in the place of its link");
                        disk::if_there(replaced.links.unlink(&name))?;
                    }
                }
            }
            if done {
                self.root().sync()?;
                replaced.entries.sync()?;
                replaced.links.sync()?;
            }
        }
        Ok(())
    }

    fn exchange(&self, replaced: &Replaced, name: &OsString) -> Result<(), Error> {
        let Replaced { links, entries, .. } = replaced;
        if matches!(self.layout(), Layout::Link(_)) && disk::if_there(self.root().stat(NEXT_DATA))?.is_some() {
            // The one link that leads to the new generation.
            self.root().rename(NEXT_DATA, links, name)?;
        }
        match disk::if_there(self.root().stat(name))? {
            Some(stat) if stat.kind == Kind::Link => links.unlink(name)?,
            Some(_) => match links.exchange(name, self.root(), name) {
                Ok(()) => links.rename(name, entries, name)?,
                Err(error) if error.lacks_exchange() => {
                    self.root().rename(name, entries, name)?;
                    self.put_in(links, name)?;
                }
                Err(error) => return Err(error.into()),
            },
            None => self.put_in(links, name)?,
        }
        Ok(())
    }

    /// Never over anything.
    fn put_in(&self, links: &Directory, name: &OsString) -> Result<(), Error> {
        if let Some(target) = links.link_target(name)? {
            self.root().symlink(target, name)?;
            links.unlink(name)?;
        }
        Ok(())
    }

    /// What `replaced` holds that was at the root, as [`Volume::foreign`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn foreign_in(&self, replaced: &Replaced) -> Result<Foreign, Error> {
        let mut foreign = Foreign::default();
        for (folder, name) in replaced.all()? {
            match self.layout() {
                Layout::Link(_) => self.look_into(folder, &name, &mut foreign)?,
                _ => foreign.look(folder, &name)?,
            }
        }
        Ok(foreign)
    }
}

impl Replaced {
    /// The names that are still to be exchanged.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn pending(&self) -> Result<Vec<OsString>, Error> {
        let mut names = self.links.list()?;
        let mut kept = Ok(());
        names.retain(|name| match disk::if_there(self.links.stat(name)) {
            Ok(stat) => stat.is_some_and(|stat| stat.kind == Kind::Link),
            Err(error) => {
                kept = Err(error);
                false
            }
        });
        kept?;
        Ok(names)
    }

    /// Gives up what is still to be exchanged.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget_pending(&self) -> Result<(), Error> {
        for name in self.pending()? {
            disk::if_there(self.links.unlink(&name))?;
        }
        Ok(())
    }

    /// What was exchanged out; killed between two renames, it may still lie where the link was.
    fn all(&self) -> Result<Vec<(&Directory, OsString)>, Error> {
        let mut all = Vec::new();
        for name in self.links.list()? {
            if disk::if_there(self.links.stat(&name))?.is_some_and(|stat| stat.kind != Kind::Link) {
                all.push((&self.links, name));
            }
        }
        all.extend(self.entries.list()?.into_iter().map(|name| (&self.entries, name)));
        Ok(all)
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self) -> Result<(), Error> {
        Ok(self.parent.remove_all(&self.turn)?)
    }
}
