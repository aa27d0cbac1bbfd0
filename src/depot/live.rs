//! Reading what is live, by path.

use std::fs;

use super::{Depot, Error, State, look::content};
use crate::{
    manifest::{File, Release, Time, Tree},
    path::SitePath,
};

/// A live file, opened: what is read is what the digest says, whatever is published meanwhile.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub path: SitePath,
    /// Digest, size and mode.
    pub file: File,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Its bytes.
    pub content: fs::File,
}

/// What a folder answers with.
const INDEX: &str = "index.html";

impl Depot {
    /// The live file at `path`, or the `index.html` of the folder `path` (none: the site's root).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, path: Option<&SitePath>) -> Result<Option<Found>, Error> {
        let mut served = self.serve()?;
        while let Some((state, seq, release)) = served {
            match find_in(&state, release, path) {
                // What was live when we looked may have been removed since it is not.
                Err(error) if error.is_damaged() => {
                    served = self.serve()?;
                    if served.as_ref().is_none_or(|(_, now, _)| *now == seq) {
                        return Err(error);
                    }
                }
                found => return found,
            }
        }
        Ok(None)
    }
}

fn find_in(state: &State, release: Release, path: Option<&SitePath>) -> Result<Option<Found>, Error> {
    let files = Tree::<File>::new(state.store.nodes(), release.manifest);
    let index: SitePath = match path {
        Some(path) => format!("{path}/{INDEX}").parse(),
        None => INDEX.parse(),
    }
    .map_err(crate::manifest::Error::from)?;
    let direct = path.map(|path| Ok::<_, Error>(files.find(path)?.map(|file| (path.clone(), file))));
    let found = match direct.transpose()?.flatten() {
        Some(found) => Some(found),
        None => files.find(&index)?.map(|file| (index, file)),
    };
    let Some((path, file)) = found else { return Ok(None) };
    let time = Tree::<Time>::new(state.store.nodes(), release.times).find(&path)?;
    let mtime = time.and_then(|time| time.mtime).unwrap_or_default();
    let content = content(state, &path, file)?;
    Ok(Some(Found { content, path, file, mtime }))
}
