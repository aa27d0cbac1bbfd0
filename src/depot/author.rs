//! Who wants a change, and how far they reach: some may write below one folder only.
//!
//! What counts is the difference that a commit makes, whichever way it came about: an archive, a form, a deploy, a roll-back,
//! an upload in pieces. And since bytes of others must not come in under a name of one's own, such an author names only
//! objects that were sent for the same folder, or are live in it.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{Change, Depot, Error, State, plan::Plan};
use crate::{digest::Digest, path::SitePath};

/// Who wants a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// As the journal names them.
    pub name: String,
    /// The folder that they do not reach out of; none: they reach everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<SitePath>,
}

impl Author {
    /// Somebody who reaches everywhere.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), within: None }
    }

    /// Whether they reach the file or folder at `path`.
    #[must_use]
    pub fn reaches(&self, path: &SitePath) -> bool {
        let below = |within: &SitePath| path.as_str().strip_prefix(within.as_str());
        // The folder itself, and what lies below it, but not its neighbour with a longer name.
        self.within
            .as_ref()
            .is_none_or(|within| below(within).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// Whether they reach all that `other` reaches.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        match &other.within {
            Some(within) => self.reaches(within),
            None => self.within.is_none(),
        }
    }

    /// Fails for a file or folder that they do not reach.
    ///
    /// # Errors
    /// [`Error::OutOfReach`].
    pub fn check(&self, path: &SitePath) -> Result<(), Error> {
        match &self.within {
            Some(within) if !self.reaches(path) => {
                Err(Error::OutOfReach { path: path.as_str().into(), within: within.as_str().into() })
            }
            _ => Ok(()),
        }
    }

    /// Fails for what names a path that they do not reach, whether that would change anything or not: who may ask tells
    /// nobody what lies elsewhere.
    pub(super) fn check_change(&self, change: &Change) -> Result<(), Error> {
        if self.within.is_none() {
            return Ok(());
        }
        match change {
            Change::Put { folder, clear, files } => {
                if *clear && let Some(folder) = folder {
                    self.check(folder)?;
                }
                files.keys().try_for_each(|path| self.check(path))
            }
            Change::Remove(path) | Change::RemoveFolder(path) => self.check(path),
            Change::Deploy { set, remove, .. } => set.keys().chain(remove).try_for_each(|path| self.check(path)),
            Change::Restore(_) | Change::Adopt { .. } => Ok(()),
        }
    }

    /// Fails for a release that differs where they do not reach.
    pub(super) fn check_plan(&self, planned: &Plan) -> Result<(), Error> {
        match self.within {
            Some(_) => planned.changes.iter().try_for_each(|change| self.check(&change.path)),
            None => Ok(()),
        }
    }
}

/// The objects of one folder of one release.
#[derive(Debug)]
pub(super) struct LiveObjects {
    release: Digest,
    within: SitePath,
    digests: Arc<HashSet<Digest>>,
}

impl Depot {
    /// The objects that are live where `author` reaches; none when they reach everywhere.
    pub(super) fn live_objects(&self, author: &Author) -> Result<Option<Arc<HashSet<Digest>>>, Error> {
        let Some(within) = &author.within else { return Ok(None) };
        let Some(head) = self.head()? else { return Ok(Some(Arc::default())) };
        // Asked for each object that a client looks for.
        let mut last = self.live_objects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_ref().filter(|last| last.release == head.entry.release && last.within == *within) {
            return Ok(Some(last.digests.clone()));
        }
        let files = self.files(head.entry.release(), Some(within))?;
        let digests = Arc::new(files.into_iter().map(|listed| listed.file.digest).collect::<HashSet<_>>());
        *last = Some(LiveObjects { release: head.entry.release, within: within.clone(), digests: digests.clone() });
        Ok(Some(digests))
    }

    /// The size of an object that the store keeps, and that `author` may name.
    pub(super) fn kept_size(&self, state: &State, digest: &Digest, author: &Author) -> Result<Option<u64>, Error> {
        let may_name = self.live_objects(author)?.is_none_or(|live| live.contains(digest));
        if may_name { Ok(state.store.object_size(digest)?) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_reached_and_its_neighbour_is_not() {
        let path = |text: &str| text.parse::<SitePath>().expect("a path");
        let author = Author { name: "ci".into(), within: Some(path("blog")) };
        assert!(author.reaches(&path("blog")) && author.reaches(&path("blog/a/b.html")));
        for outside in ["blogs/a", "blo", "index.html", "a/blog/x", "Blog/x"] {
            assert!(!author.reaches(&path(outside)), "{outside}");
        }
        assert!(Author::named("all").reaches(&path("index.html")));
        let below = Author { name: "x".into(), within: Some(path("blog/drafts")) };
        assert!(author.includes(&below) && author.includes(&author) && !below.includes(&author));
        assert!(Author::named("all").includes(&author) && !author.includes(&Author::named("all")));
    }
}
