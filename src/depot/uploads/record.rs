//! What is known of an upload, on the volume.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    depot::{Author, Error, Precondition},
    digest::Digest,
    disk::{Directory, Growing, Staging},
    entry::Entry,
    path::SitePath,
    store,
};

const FILE: &str = "upload.json";

/// What a client wants of an upload.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who.
    pub by: Author,
    /// How many bytes will come, if the client knows.
    pub length: Option<u64>,
    /// What it says of it, as it came.
    pub metadata: String,
    /// Where the file is to be published; none: it becomes an object.
    pub path: Option<SitePath>,
    /// The digest that the bytes must have.
    pub digest: Option<Digest>,
    /// What must hold when the file is published.
    pub precondition: Precondition,
}

/// What an upload became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of the entry that was live then, when it was meant for a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Its release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Digest>,
}

/// An upload, as `upload.json` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) by: Author,
    at: DateTime<Utc>,
    pub(super) length: Option<u64>,
    pub(super) metadata: String,
    pub(super) path: Option<SitePath>,
    pub(super) digest: Option<Digest>,
    pub(super) precondition: Precondition,
    /// The digest of all its bytes. From then on they must not be written to: a release may name the same file.
    pub(super) whole: Option<Digest>,
    pub(super) finished: Option<Finished>,
}

impl Record {
    pub(super) fn new(wanted: Wanted) -> Self {
        let Wanted { by, length, metadata, path, digest, precondition } = wanted;
        let (at, whole, finished) = (Entry::now(), None, None);
        Self { version: 1, by, at, length, metadata, path, digest, precondition, whole, finished }
    }

    /// The record in `folder`.
    ///
    /// # Errors
    /// When it is not there, or a later version's.
    pub(super) fn read(folder: &Directory) -> Result<Self, Error> {
        let record: Self = serde_json::from_slice(&folder.read(FILE)?).map_err(|error| damaged(&error.to_string()))?;
        if record.version == 1 { Ok(record) } else { Err(damaged("a later version of Longshore wrote it")) }
    }

    /// Writes it to `folder`, durably, in place of any that is there.
    pub(super) fn write(&self, staging: &Staging, folder: &Directory) -> Result<(), Error> {
        let name = staging.bytes(&serde_json::to_vec(self).expect("it has nothing that JSON lacks"))?;
        staging.sync([&*name].into_iter())?;
        staging.directory().rename(name, folder, FILE)?;
        Ok(folder.sync()?)
    }

    /// The most that its note may say before it is finished: a client that is told the offset of the end believes that all
    /// is done, so one byte is held back.
    pub(super) fn most(&self) -> u64 {
        self.length.map_or(u64::MAX, |length| length.saturating_sub(1))
    }

    /// Where it goes on, while it is not finished.
    pub(super) fn offset(&self, folder: &Directory) -> Result<u64, Error> {
        match (self.whole, self.length) {
            (Some(_), Some(length)) => Ok(length.saturating_sub(1)),
            _ => Ok(Growing::kept(folder)?.min(self.most())),
        }
    }
}

fn damaged(why: &str) -> Error {
    store::Error::Damaged { what: format!(".longshore/uploads/…/{FILE}"), why: why.into() }.into()
}
