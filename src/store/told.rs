//! The entry that a hook was told of last.

use super::Store;
use crate::{
    digest::Digest,
    disk::{self, Staging},
};

const FILE: &str = "told";

impl Store {
    /// The entry that was told last. By its digest: after a reconciliation another entry may have its number.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn told(&self) -> Result<Option<Digest>, disk::Error> {
        let bytes = disk::if_there(self.home.read(FILE))?;
        Ok(bytes.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.trim().parse().ok()))
    }

    /// Notes that `entry` was told.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note_told(&self, staging: &Staging, entry: Digest) -> Result<(), disk::Error> {
        let name = staging.bytes(format!("{entry}\n").as_bytes())?;
        staging.sync([&*name].into_iter())?;
        staging.directory().rename(name, &self.home, FILE)
    }
}
