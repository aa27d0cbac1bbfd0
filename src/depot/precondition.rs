//! What a client believes to be live, so that its write loses nobody's update (RFC 9110, section 13).

use super::Error;
use crate::{
    digest::Digest,
    entry::Committed,
    manifest::{File, Nodes, Tree},
    path::SitePath,
};

/// Entity tags of a header, as digests. One that is no digest of ours matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever is there.
    Any,
    /// One of these.
    These(Vec<Digest>),
}

impl Tags {
    fn have(&self, current: Option<Digest>) -> bool {
        match self {
            Self::Any => current.is_some(),
            Self::These(tags) => current.is_some_and(|current| tags.contains(&current)),
        }
    }
}

/// What must hold of a file, or of the whole site, when a write is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The file whose tag counts; none: the site's, which is its release id.
    pub file: Option<SitePath>,
    /// What must be there.
    pub matches: Option<Tags>,
    /// What must not be there.
    pub matches_not: Option<Tags>,
}

impl Precondition {
    /// Checks it under the lock.
    pub(super) fn check(&self, nodes: &dyn Nodes, head: Option<&Committed>) -> Result<(), Error> {
        if self.matches.is_none() && self.matches_not.is_none() {
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
            && !self.matches_not.as_ref().is_some_and(|tags| tags.have(current));
        if holds { Ok(()) } else { Err(Error::Precondition { current }) }
    }
}
