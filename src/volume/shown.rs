//! What a volume remembers of the release that it shows.
//!
//! The file names the last entry whose publishing is complete, and is written anew after each. A publish begins with its
//! entry in the journal; so whoever dies on the way leaves a file that names another entry than the head, and the next
//! process compares the generation with the head, file by file. It need not be durable: a start compares anyway.
//!
//! It is also what tells that a journal is not the one that the volume has known: emptied, swapped, or restored from
//! before.

use serde::{Deserialize, Serialize};

use super::{
    Error, Home, Layout, Volume,
    home::{HOME, tree_of},
};
use crate::{
    digest::Digest,
    disk::{self, Directory, Staging},
    entry::{Committed, Mark, SiteId},
    manifest::Release,
};

const FILE: &str = "shown.json";
/// What the one generation of plain files is called.
pub(super) const FILES: &str = "files";

/// Which entry of which journal a generation shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The site.
    pub site: SiteId,
    /// The entry's number.
    pub seq: u64,
    /// The entry's digest.
    pub entry: Digest,
    /// The manifest's root.
    pub release: Digest,
    /// The root of the times.
    pub times: Digest,
    /// The generation's name.
    pub generation: String,
}

impl Shown {
    /// The generation `generation` shows the entry `head`.
    #[must_use]
    pub fn new(head: &Committed, generation: &str) -> Self {
        let entry = &head.entry;
        Self {
            site: entry.site.clone(),
            seq: entry.seq,
            entry: head.digest,
            release: entry.release,
            times: entry.times,
            generation: generation.into(),
        }
    }

    /// Manifest and times.
    #[must_use]
    pub fn release(&self) -> Release {
        Release { manifest: self.release, times: self.times }
    }

    /// The entry.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { site: self.site.clone(), seq: self.seq, entry: self.entry }
    }

    /// Whether it is the entry `head` that is shown.
    #[must_use]
    pub fn is(&self, head: &Committed) -> bool {
        self.entry == head.digest
    }
}

impl Volume {
    /// The name of the live generation: where the one link points, when that is one of ours. Plain files are the only
    /// generation of their volume.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn live(&self) -> Result<Option<String>, Error> {
        let Some(data) = self.layout().data() else {
            let shown = disk::if_there(self.root().stat(format!("{HOME}/{FILE}")))?;
            return Ok(shown.map(|_| FILES.into()));
        };
        let Some(target) = self.root().link_target(data)? else { return Ok(None) };
        let name = target.file_name().and_then(|name| name.to_str()).map(String::from);
        Ok(name.filter(|name| target.to_str() == Some(&*tree_of(name))))
    }

    /// The tree of a generation; none when it is gone.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tree(&self, home: &Home, generation: &str) -> Result<Option<Directory>, Error> {
        match self.layout() {
            Layout::Files => Ok(Some(self.root().clone())),
            _ => Ok(disk::if_directory(home.trees.directory(generation))?),
        }
    }

    /// The last entry that was shown completely, as far as that is remembered, whatever became of it since.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remembered(&self, home: &Home) -> Result<Option<Shown>, Error> {
        let bytes = disk::if_there(home.directory.read(FILE))?;
        // A power cut may have left it torn: then it tells nothing.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// What the volume is known to show; none when that has to be found out.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn shown(&self, home: &Home) -> Result<Option<Shown>, Error> {
        let live = self.live()?;
        Ok(self.remembered(home)?.filter(|shown| live.as_ref() == Some(&shown.generation)))
    }
}

impl Home {
    /// Once the change is complete.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remember_shown(&self, staging: &Staging, shown: &Shown) -> Result<(), disk::Error> {
        let bytes = serde_json::to_vec(shown).expect("it has nothing that JSON lacks");
        let name = staging.bytes(&bytes)?;
        // Of plain files nothing else tells which are ours.
        let is_needed = shown.generation == FILES;
        if is_needed {
            staging.sync([&*name].into_iter())?;
        }
        staging.directory().rename(name, &self.directory, FILE)?;
        if is_needed { self.directory.sync() } else { Ok(()) }
    }
}
