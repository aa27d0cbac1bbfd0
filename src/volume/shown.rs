//! What a volume remembers of the release that it shows.
//!
//! The file is taken away before the live generation changes and written when the change is complete. So it is either
//! true or missing, whatever dies in between; when it is missing, the generation is compared with the head, file by file.
//! It need not be durable: a start compares anyway.

use serde::{Deserialize, Serialize};

use super::{
    Error, Home, Volume,
    home::{DATA, tree_of},
};
use crate::{
    digest::Digest,
    disk::{self, Staging},
    entry::{Committed, SiteId},
};

const FILE: &str = "shown.json";

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

    /// Whether it is the entry `head` that is shown.
    #[must_use]
    pub fn is(&self, head: &Committed) -> bool {
        self.entry == head.digest
    }
}

impl Volume {
    /// The name of the live generation: where `..data` points, when that is one of ours.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn live(&self) -> Result<Option<String>, Error> {
        let Some(target) = self.root().link_target(DATA)? else { return Ok(None) };
        let name = target.file_name().and_then(|name| name.to_str()).map(String::from);
        Ok(name.filter(|name| target.to_str() == Some(&*tree_of(name))))
    }

    /// What the volume is known to show; none when that has to be found out.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn shown(&self, home: &Home) -> Result<Option<Shown>, Error> {
        let Some(bytes) = disk::if_there(home.directory.read(FILE))? else { return Ok(None) };
        // A power cut may have left it torn: then it tells nothing.
        let shown: Option<Shown> = serde_json::from_slice(&bytes).ok();
        let live = self.live()?;
        Ok(shown.filter(|shown| live.as_ref() == Some(&shown.generation)))
    }
}

impl Home {
    /// Before the live generation changes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn forget_shown(&self) -> Result<(), disk::Error> {
        disk::if_there(self.directory.unlink(FILE)).map(drop)
    }

    /// After the change is complete.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remember_shown(&self, staging: &Staging, shown: &Shown) -> Result<(), disk::Error> {
        let bytes = serde_json::to_vec(shown).expect("it has nothing that JSON lacks");
        let name = staging.bytes(&bytes)?;
        staging.directory().rename(name, &self.directory, FILE)
    }
}
