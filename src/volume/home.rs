//! The names and modes of what Longshore keeps on a volume.
//!
//! `.longshore` and `trees` can be walked through but not listed, since the web server reads a generation through them
//! as another user; everything else is closed to it. Where the volume's root is setgid (`fsGroup`), the group may
//! write: the next process may have another uid, as on OpenShift.

use std::sync::{Arc, OnceLock};

use super::{Error, Layout, Volume};
use crate::disk::{self, Abilities, Directory, Staging};

/// The directory of Longshore's own state.
pub(super) const HOME: &str = ".longshore";
/// The link whose rename publishes.
pub(super) const DATA: &str = "..data";
/// The next [`DATA`], just before its rename.
pub(super) const NEXT_DATA: &str = "..data_tmp";
/// Generations, below [`HOME`].
pub(super) const TREES: &str = "trees";
/// Tells the layout, and a version of Longshore that does not know it to keep its hands off.
pub(super) const FORMAT: &str = "format";
const STAGING: &str = "staging";
pub(super) const UPLOADS: &str = "uploads";
/// Trees that a hook reads before they are published.
const PROPOSED: &str = "proposed";

const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// Longshore's own directory on a volume.
#[derive(Clone, Debug)]
pub struct Home {
    /// `.longshore` itself.
    pub directory: Directory,
    /// Generations.
    pub trees: Directory,
    /// Staging directories.
    pub staging: Directory,
    /// Mode of closed directories; files in them get its read and write bits.
    pub mode: u32,
    /// Mode of a generation's directories.
    pub open_mode: u32,
    /// What this process knows of the file system.
    abilities: Arc<OnceLock<Abilities>>,
}

impl Home {
    /// The folder of what is sent ahead of a release.
    ///
    /// # Errors
    /// When it is not there.
    pub fn uploads(&self) -> Result<Directory, disk::Error> {
        self.directory.directory(UPLOADS)
    }
}

impl Volume {
    /// Whether a group shares the volume: then what we make is writable for it.
    fn group_bits(&self) -> Result<u32, disk::Error> {
        Ok(if self.root.own_stat()?.mode & SETGID == 0 { 0 } else { 0o070 })
    }

    /// Our directory when it is there, complete.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn home(&self) -> Result<Option<Home>, Error> {
        let Some(directory) = disk::if_there(self.root.directory(HOME))? else { return Ok(None) };
        let trees = disk::if_there(directory.directory(TREES))?;
        let staging = disk::if_there(directory.directory(STAGING))?;
        // Another process may have begun it since we looked.
        if let Some(has) = Layout::of(&self.root)?.filter(|has| *has != self.layout) {
            return Err(Error::Layout { has, wanted: self.layout.clone() });
        }
        let (Some(trees), Some(staging)) = (trees, staging) else { return Ok(None) };
        let group = self.group_bits()?;
        let (mode, open_mode) = (0o700 | group, 0o755 | group);
        Ok(Some(Home { directory, trees, staging, mode, open_mode, abilities: Arc::default() }))
    }

    /// Our directory, made where it is missing, with the store's `folders` in it. Does nothing twice.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn make_home(&self, folders: &[&str]) -> Result<Home, Error> {
        let group = self.group_bits()?;
        let root = self.root.own_stat()?;
        if root.mode & STICKY != 0 && root.mode & 0o002 != 0 && root.uid != rustix::process::geteuid().as_raw() {
            tracing::warn!(
                volume = %self.root.path().display(),
                "the volume's root is sticky and another user's: where fs.protected_symlinks is 1, others cannot follow \
                 our links; `chmod -t` on it cures that"
            );
        }
        let directory = self.root.make_directory(HOME, 0o711 | group)?;
        let mode = 0o700 | group;
        for folder in folders {
            directory.make_directory(folder, mode)?;
        }
        directory.make_directory(UPLOADS, mode)?;
        let staging = directory.make_directory(STAGING, mode)?;
        let abilities = Arc::new(OnceLock::new());
        if disk::if_there(directory.stat(FORMAT))?.is_none() {
            let new = stage(&staging, mode, &abilities)?;
            // A layout is for good: one that cannot work here is refused before it is written down.
            if self.layout.data().is_some() && !new.abilities().symlinks {
                return Err(Error::NoSymlinks { layout: self.layout.clone() });
            }
            let written = new.bytes(self.layout.to_line().as_bytes())?;
            new.sync([&*written].into_iter())?;
            new.directory().rename(written, &directory, FORMAT)?;
        }
        // Last, so that what is complete has its format.
        let trees = directory.make_directory(TREES, 0o711 | group)?;
        directory.sync()?;
        self.root.sync()?;
        Ok(Home { directory, trees, staging, mode, open_mode: 0o755 | group, abilities })
    }
}

impl Home {
    /// A staging directory for one operation, which works by what the file system can do: tried once in a process, here,
    /// since somebody is about to write.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn stage(&self) -> Result<Staging, disk::Error> {
        stage(&self.staging, self.mode, &self.abilities)
    }

    /// A staging directory that others may walk into who are told its name, as they may into a generation.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn propose(&self) -> Result<Staging, disk::Error> {
        // As for generations: walked through, not listed.
        let mode = self.mode | 0o011;
        stage(&self.directory.make_directory(PROPOSED, mode)?, mode, &self.abilities)
    }

    /// Removes staging directories of processes that are gone; tells how many.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn sweep_staging(&self) -> Result<usize, disk::Error> {
        let proposed = disk::if_there(self.directory.directory(PROPOSED))?;
        let swept = proposed.map(|proposed| Staging::sweep(&proposed)).transpose()?;
        Ok(Staging::sweep(&self.staging)? + swept.unwrap_or_default())
    }
}

fn stage(parent: &Directory, mode: u32, known: &OnceLock<Abilities>) -> Result<Staging, disk::Error> {
    let staging = Staging::create(parent, mode)?;
    if known.get().is_none() {
        match staging.try_abilities() {
            Ok(abilities) => tell(*known.get_or_init(|| abilities)),
            // Perhaps the disk is full: each file then finds its own way.
            Err(error) => tracing::debug!(%error, "what the file system can do is not known yet"),
        }
    }
    let abilities = known.get().copied().unwrap_or_default();
    Ok(staging.with(abilities))
}

fn tell(abilities: Abilities) {
    tracing::debug!(?abilities, "what the file system can do");
    let missing = abilities.missing();
    if !missing.is_empty() {
        tracing::warn!("the volume has {}", missing.join("; "));
    }
}

/// The target of the root's link for `name`.
pub(super) fn through_data(name: &str) -> String {
    format!("{DATA}/{name}")
}

/// Where a generation lies, relative to the volume's root: the target of the one link.
#[must_use]
pub fn tree_of(generation: &str) -> String {
    format!("{HOME}/{TREES}/{generation}")
}
