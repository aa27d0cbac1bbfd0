//! What somebody decided to do without: a history that the journal does not have any more.
//!
//! Processes that were running meanwhile remember its last entry, and would take the journal for a wrong one for ever.

use super::{Error, Home};
use crate::{
    disk::{self, Staging},
    entry::Mark,
};

const FILE: &str = "reconciled.json";

impl Home {
    /// The last history that was given up: up to which entry.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn given_up(&self) -> Result<Option<Mark>, Error> {
        let bytes = disk::if_there(self.directory.read(FILE))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Notes that a history is given up, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn give_up(&self, staging: &Staging, mark: &Mark) -> Result<(), Error> {
        let name = staging.bytes(&serde_json::to_vec(mark).expect("it has nothing that JSON lacks"))?;
        staging.sync([&*name].into_iter())?;
        staging.directory().rename(name, &self.directory, FILE)?;
        Ok(self.directory.sync()?)
    }
}
