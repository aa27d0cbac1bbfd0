//! One line of the journal: "from now on the site is release R".

use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{digest::Digest, manifest::Release, random};

/// Why an entry came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Filled from a source.
    Seed,
    /// A deploy of the whole site.
    Upload,
    /// Files changed by hand.
    Patch,
    /// An old release again.
    Rollback,
    /// What somebody copied in without us.
    Adopt,
    /// Something that a later version knows.
    #[serde(other)]
    Unknown,
}

impl Cause {
    /// Its word in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Upload => "upload",
            Self::Patch => "patch",
            Self::Rollback => "rollback",
            Self::Adopt => "adopt",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a rollback without a target may go back to such an entry.
    #[must_use]
    pub fn is_landmark(self) -> bool {
        matches!(self, Self::Seed | Self::Upload | Self::Adopt)
    }
}

/// 128 random bits that the first entry makes: one site is never taken for another.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteId(String);

impl SiteId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(random::name())
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An entry of the journal. Its digest is that of its line in the file, so a field that this version does not know is
/// kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The format: 1.
    pub version: u32,
    /// 1, 2, 3 …
    pub seq: u64,
    /// The operation that made it: told apart from others after an unclear answer.
    pub op: Uuid,
    /// The site.
    pub site: SiteId,
    /// The digest of the entry before.
    pub previous: Option<Digest>,
    /// The root of the manifest.
    pub release: Digest,
    /// The root of the times.
    pub times: Digest,
    /// The release that it was made from.
    pub parent: Option<Digest>,
    /// Why.
    pub cause: Cause,
    /// Who: a token's name, or a verb of the command line.
    pub by: String,
    /// What they said about it.
    pub message: Option<String>,
    /// When, by the clock of the machine that wrote it; never used for order.
    pub at: DateTime<Utc>,
}

impl Entry {
    /// Manifest and times.
    #[must_use]
    pub fn release(&self) -> Release {
        Release { manifest: self.release, times: self.times }
    }

    /// Now, to the millisecond.
    #[must_use]
    pub fn now() -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }

    /// Its line in the journal.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("an entry has nothing that JSON lacks");
        line.push(b'\n');
        line
    }
}

/// Which entry of which site: what a volume or a process remembers of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The site.
    pub site: SiteId,
    /// The entry's number.
    pub seq: u64,
    /// The digest of its line.
    pub entry: Digest,
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "entry {} of the site {}", self.seq, self.site)
    }
}

/// An entry that is in the journal, with its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The entry.
    pub entry: Entry,
    /// The digest of its line.
    pub digest: Digest,
}

impl Committed {
    /// Which one it is.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { site: self.entry.site.clone(), seq: self.entry.seq, entry: self.digest }
    }
}
