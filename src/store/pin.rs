//! The pin: while it is there, no entry is made, so that the release stays the one that somebody chose.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Error, Store};
use crate::{
    digest::Digest,
    disk::{self, Staging},
};

const FILE: &str = "pin.json";

/// Who pinned the release, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Who.
    pub by: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What was live then; none when nothing was.
    pub release: Option<Digest>,
}

impl Store {
    /// The pin, when there is one. Read each time: another process on the volume may have set it.
    ///
    /// # Errors
    /// When it cannot be read: whoever cannot tell must not write.
    pub fn pin(&self) -> Result<Option<Pin>, Error> {
        let Some(bytes) = disk::if_there(self.home.read(FILE))? else { return Ok(None) };
        let damaged =
            |error: serde_json::Error| Error::Damaged { what: ".longshore/pin.json".into(), why: error.to_string() };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Sets the pin, durably, in place of any that is there. Only under the volume's lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn set_pin(&self, staging: &Staging, pin: &Pin) -> Result<(), Error> {
        let bytes = serde_json::to_vec(pin).expect("it has nothing that JSON lacks");
        let name = staging.bytes(&bytes)?;
        staging.sync([&*name].into_iter())?;
        staging.directory().rename(name, &self.home, FILE)?;
        Ok(self.home.sync()?)
    }

    /// Removes the pin, durably. Only under the volume's lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_pin(&self) -> Result<(), Error> {
        disk::if_there(self.home.unlink(FILE))?;
        Ok(self.home.sync()?)
    }
}
