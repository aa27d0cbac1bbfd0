//! Looking at releases: what is in one, what two differ in, which operation became which entry.

use std::{fs, sync::Arc};

use uuid::Uuid;

use super::{Depot, Error, State, Target};
use crate::{
    digest::Digest,
    disk,
    entry::Committed,
    manifest::{File, Release, Sum, Tree},
    path::SitePath,
    volume,
};

/// A file of a release.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Where.
    pub path: SitePath,
    /// Digest, size and mode.
    pub file: File,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// A path in which two releases differ.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Where.
    pub path: SitePath,
    /// What the first has there.
    pub was: Option<File>,
    /// What the second has there.
    pub is: Option<File>,
}

impl Depot {
    /// The entry that `target` names.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn entry(&self, target: &Target) -> Result<Arc<Committed>, Error> {
        let head = self.head()?.ok_or_else(|| Error::NoSuchRelease("before the first".into()))?;
        self.find_entry(target, head.entry.release)
    }

    /// The entry that the operation `op` became.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn operation(&self, op: Uuid) -> Result<Option<Arc<Committed>>, Error> {
        let Some(state) = self.state()? else { return Ok(None) };
        for committed in state.store.journal().history()? {
            let committed = committed?;
            if committed.entry.op == op {
                return Ok(Some(committed));
            }
        }
        Ok(None)
    }

    /// The files of `release` below `folder`, sorted by path.
    ///
    /// # Errors
    /// When the release cannot be read.
    pub fn files(&self, release: Release, folder: Option<&SitePath>) -> Result<Vec<Listed>, Error> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        let below = folder.map(|folder| format!("{folder}/"));
        let mut files = Vec::new();
        release.visit::<Error>(state.store.nodes(), &mut |each| {
            for (name, file, mtime) in &each.files {
                let path = each.below(name);
                if below.as_ref().is_none_or(|below| path.starts_with(below)) {
                    let path = path.parse().map_err(crate::manifest::Error::from)?;
                    files.push(Listed { path, file: *file, mtime: *mtime });
                }
            }
            Ok(())
        })?;
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    /// How many files `release` has, and their bytes.
    ///
    /// # Errors
    /// When the release cannot be read.
    pub fn total(&self, release: Digest) -> Result<Sum, Error> {
        let Some(state) = self.state()? else { return Ok(Sum::default()) };
        Ok(Tree::<File>::new(state.store.nodes(), release).total()?)
    }

    /// Where `one` and `other` differ, sorted by path.
    ///
    /// # Errors
    /// When a release cannot be read.
    pub fn differences(&self, one: Digest, other: Digest) -> Result<Vec<Changed>, Error> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        let nodes = state.store.nodes();
        let (one, other) = (Tree::<File>::new(nodes, one), Tree::new(nodes, other));
        let mut differences = Vec::new();
        one.compare::<Error>(&other, &mut |path, was, is| {
            differences.push(Changed { path, was, is });
            Ok(())
        })?;
        differences.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(differences)
    }

    /// The bytes of a file of some release, opened.
    ///
    /// # Errors
    /// When they are not there, or of another size.
    pub fn content(&self, path: &SitePath, file: File) -> Result<fs::File, Error> {
        let state = self.state()?.ok_or_else(|| Error::NotFound(path.as_str().into()))?;
        content(&state, path, file)
    }
}

pub(super) fn content(state: &State, path: &SitePath, file: File) -> Result<fs::File, Error> {
    let (objects, name) = state.store.object(&file.digest)?;
    let content = objects.file(&name)?;
    if objects.stat(&name)?.size == file.size {
        return Ok(content);
    }
    let (path, source) = (path.as_str().into(), std::io::ErrorKind::InvalidData.into());
    let source = disk::Error { call: "read", path: objects.path().join(name), source };
    Err(volume::Error::Damaged { path, source }.into())
}
