//! Removing generations that nothing shows any more.
//!
//! A reader that opened a file keeps it, whatever is removed; but one that is just walking down the old tree, or reads it
//! over a network file system, needs it a moment longer. So a generation that was replaced stays for a grace, told by
//! the time since this process first saw that it is not live. `fill` waits for that on a local file system; elsewhere it
//! leaves it to the next process, which at its start removes what is old by the clock.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::{Duration, Instant},
};

use super::{Error, Home, Salvage, Volume};
use crate::disk::{self, Directory, FileSystem};

/// How long a replaced generation stays on a local file system.
const GRACE: Duration = Duration::from_secs(2);
/// And where a reader on another machine may have it open.
const NETWORK_GRACE: Duration = Duration::from_secs(120);

/// Generations that are not live, and since when this process knows.
#[derive(Debug, Default)]
pub struct Retired {
    since: HashMap<String, Instant>,
    /// Those that this process may not remove: said once.
    kept: HashSet<String>,
}

/// What is left to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing.
    Nothing,
    /// Something, within seconds.
    Briefly,
    /// Something, within minutes.
    Long,
}

impl Home {
    /// Marks a generation that was live until now: its status change tells a process that starts later since when.
    pub(super) fn retire(&self, generation: &str) {
        if let Err(error) = self.trees.touch(generation) {
            tracing::debug!(%error, "a replaced generation goes by its age");
        }
    }

    /// Removes a generation; what somebody put into it or changed in it by hand is kept aside. Tells whether that was
    /// allowed: what another user left and closed to us only takes space.
    fn remove_generation(&self, name: &str, live: Option<&Directory>, salvage: &Salvage<'_>) -> Result<bool, Error> {
        let remove = || {
            if let Some(tree) = disk::if_directory(self.trees.directory(name))? {
                self.salvage_all(&tree, live, Path::new(""), salvage)?;
            }
            self.trees.remove_all(name)
        };
        match remove() {
            Err(error) if error.is_denied() => {
                let cure = error.cure();
                tracing::warn!(%error, cure, "an old generation stays: it is another user's");
                Ok(false)
            }
            done => Ok(done.map(|()| true)?),
        }
    }
}

impl Volume {
    /// Removes generations whose grace is over; tells whether all that wait will have had theirs soon. The caller holds
    /// the lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep_generations(
        &self,
        home: &Home,
        retired: &mut Retired,
        salvage: &Salvage<'_>,
    ) -> Result<Waiting, Error> {
        let live = self.live()?;
        let tree = live.as_ref().map(|live| self.tree(home, live)).transpose()?.flatten();
        let local = self.root().file_system()? == FileSystem::Local;
        let grace = if local { GRACE } else { NETWORK_GRACE };
        let now = Instant::now();
        let mut known = HashMap::new();
        for name in home.trees.list()? {
            let Some(name) = name.to_str().filter(|name| Some(*name) != live.as_deref()) else { continue };
            if retired.kept.contains(name) {
                continue;
            }
            let since = *retired.since.get(name).unwrap_or(&now);
            if now.duration_since(since) < grace {
                known.insert(name.to_owned(), since);
                continue;
            }
            if !home.remove_generation(name, tree.as_ref(), salvage)? {
                retired.kept.insert(name.to_owned());
            }
        }
        retired.since = known;
        Ok(match (retired.since.is_empty(), local) {
            (true, _) => Waiting::Nothing,
            (false, true) => Waiting::Briefly,
            (false, false) => Waiting::Long,
        })
    }

    /// Removes, for a process that will not be here when the grace is over, what was replaced longer than an hour ago.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep_old_generations(&self, home: &Home, now: i64, salvage: &Salvage<'_>) -> Result<usize, Error> {
        const OLD: i64 = 3_600;
        let live = self.live()?;
        let tree = live.as_ref().map(|live| self.tree(home, live)).transpose()?.flatten();
        let mut swept = 0;
        for name in home.trees.list()? {
            let stat = disk::if_there(home.trees.stat(&name))?;
            if name.to_str() != live.as_deref() && stat.is_some_and(|stat| stat.ctime + OLD < now) {
                swept += usize::from(home.remove_generation(&name.to_string_lossy(), tree.as_ref(), salvage)?);
            }
        }
        Ok(swept)
    }
}
