//! Files that the release does not have any more and that stay reachable for a while: a page that is open in a browser
//! still finds the assets of its own release.
//!
//! They lie in the live generation at the paths they had, never where the release has something. They are no part of the
//! release: a comparison lets them be there or not, so the list may be ahead of the volume or behind it, whoever dies.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Error, Home};
use crate::{
    digest::Digest,
    disk::{self, Staging},
    manifest::File,
    path::SitePath,
};

const FILE: &str = "lingering.json";

/// What lingers, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lingering(BTreeMap<SitePath, (File, u64)>);

/// One file as it is written down.
#[derive(Serialize, Deserialize)]
struct Line {
    path: String,
    digest: Digest,
    size: u64,
    executable: bool,
    until: u64,
}

impl Home {
    /// What lingers on the volume; nothing when the list is torn.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn lingering(&self) -> Result<Lingering, Error> {
        let Some(bytes) = disk::if_there(self.directory.read(FILE))? else { return Ok(Lingering::default()) };
        let lines: Vec<Line> = serde_json::from_slice(&bytes).unwrap_or_default();
        let parsed = lines.into_iter().filter_map(|Line { path, digest, size, executable, until }| {
            Some((path.parse().ok()?, (File { digest, size, executable }, until)))
        });
        Ok(Lingering(parsed.collect()))
    }

    /// Writes the list down, durably: what is not on it counts as somebody else's.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_lingering(&self, staging: &Staging, lingering: &Lingering) -> Result<(), Error> {
        if lingering.0.is_empty() {
            disk::if_there(self.directory.unlink(FILE))?;
            return Ok(self.directory.sync()?);
        }
        let lines = lingering.0.iter().map(|(path, (file, until))| {
            let File { digest, size, executable } = *file;
            Line { path: path.as_str().into(), digest, size, executable, until: *until }
        });
        let lines: Vec<_> = lines.collect();
        let name = staging.bytes(&serde_json::to_vec(&lines).expect("it has nothing that JSON lacks"))?;
        staging.sync([&*name].into_iter())?;
        staging.directory().rename(name, &self.directory, FILE)?;
        Ok(self.directory.sync()?)
    }
}

impl Lingering {
    /// Whether nothing lingers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets the file at `path` linger.
    pub fn add(&mut self, path: SitePath, file: File, until: u64) {
        self.0.insert(path, (file, until));
    }

    /// Keeps those that are `wanted`, told by path and end.
    ///
    /// # Errors
    /// The first of `wanted`.
    pub fn retain<E>(&mut self, mut wanted: impl FnMut(&SitePath, u64) -> Result<bool, E>) -> Result<(), E> {
        let mut kept = BTreeMap::new();
        for (path, (file, until)) in std::mem::take(&mut self.0) {
            if wanted(&path, until)? {
                kept.insert(path, (file, until));
            }
        }
        self.0 = kept;
        Ok(())
    }

    /// These and those of `other`, whose ends count.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.0.extend(other.0.iter().map(|(path, file)| (path.clone(), *file)));
        both
    }

    /// The paths that `other` does not have.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a SitePath> {
        self.0.keys().filter(|path| !other.0.contains_key(*path))
    }

    /// Each file.
    pub fn files(&self) -> impl Iterator<Item = (&SitePath, File)> {
        self.0.iter().map(|(path, (file, _))| (path, *file))
    }

    /// The names at the root that lead to what lingers.
    #[must_use]
    pub fn tops(&self) -> BTreeSet<&str> {
        self.0.keys().map(SitePath::top).collect()
    }

    /// Whether `path` lingers, or is a folder above something that does.
    #[must_use]
    pub fn explains(&self, path: &str) -> bool {
        let below = |key: &SitePath| key.as_str().strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let Ok(start) = path.parse::<SitePath>() else { return false };
        // What begins with `path` stands together, but names such as `a.b` come between `a` and `a/b`.
        self.0.contains_key(&start)
            || self.0.range(start..).take_while(|(key, _)| key.as_str().starts_with(path)).any(|(key, _)| below(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_above_what_lingers_is_explained() {
        let mut lingering = Lingering::default();
        let file = File { digest: Digest::of(""), size: 0, executable: false };
        for path in ["a.css", "a/b/c.js", "a/d.js"] {
            lingering.add(path.parse().expect(path), file, 1);
        }
        for path in ["a", "a/b", "a.css", "a/b/c.js"] {
            assert!(lingering.explains(path), "{path}");
        }
        for path in ["b", "a/b/c", "a/b/c.js/x", "a.c"] {
            assert!(!lingering.explains(path), "{path}");
        }
        assert_eq!(lingering.tops().into_iter().collect::<Vec<_>>(), ["a", "a.css"]);
    }
}
