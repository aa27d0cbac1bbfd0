//! What a client believes to be live, so that its write loses nobody's update (RFC 9110, section 13).

use serde::{Deserialize, Serialize};

use super::Error;
use crate::{
    digest::Digest,
    entry::Committed,
    manifest::{File, Nodes, Time, Tree},
    path::SitePath,
};

/// Entity tags of a header, as digests. One that is no digest of ours matches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tags {
    /// `*`: whatever is there.
    Any,
    /// One of these.
    These(Vec<Digest>),
}

impl Tags {
    /// Whether they name what is there.
    #[must_use]
    pub fn have(&self, current: Option<Digest>) -> bool {
        match self {
            Self::Any => current.is_some(),
            Self::These(tags) => current.is_some_and(|current| tags.contains(&current)),
        }
    }
}

/// What must hold of a file, or of the whole site, when a write is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precondition {
    /// The file whose tag counts; none: the site's, which is its release id.
    pub file: Option<SitePath>,
    /// What must be there.
    pub matches: Option<Tags>,
    /// What must not be there.
    pub matches_not: Option<Tags>,
    /// The second (since 1970) after which it must not have changed. Not asked where `matches` is: that is more exact.
    pub unmodified_since: Option<i64>,
}

impl Precondition {
    /// Checks it under the lock.
    pub(super) fn check(&self, nodes: &dyn Nodes, head: Option<&Committed>) -> Result<(), Error> {
        if *self == (Self { file: self.file.clone(), ..Self::default() }) {
            return Ok(());
        }
        let current = match (&self.file, head) {
            (_, None) => None,
            (None, Some(head)) => Some(head.entry.release),
            (Some(path), Some(head)) => {
                Tree::<File>::new(nodes, head.entry.release).find(path)?.map(|file| file.digest)
            }
        };
        let holds = self.matches.as_ref().is_none_or(|tags| tags.have(current))
            && !self.matches_not.as_ref().is_some_and(|tags| tags.have(current))
            && self.is_unmodified(nodes, head)?;
        if holds { Ok(()) } else { Err(Error::Precondition { current }) }
    }

    /// What has no time, since nothing is there, cannot be compared (RFC 9110, section 13.1.4).
    fn is_unmodified(&self, nodes: &dyn Nodes, head: Option<&Committed>) -> Result<bool, Error> {
        let (Some(since), None, Some(head)) = (self.unmodified_since, &self.matches, head) else { return Ok(true) };
        let modified = match &self.file {
            None => Some(head.entry.at.timestamp()),
            Some(path) => Tree::<Time>::new(nodes, head.entry.times).find(path)?.and_then(|time| time.mtime),
        };
        Ok(modified.is_none_or(|modified| modified <= since))
    }
}
