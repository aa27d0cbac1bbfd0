//! The names in one archive: each file once, and no name both file and folder.

use std::collections::HashSet;

use super::super::{Error, tree::MOST_FILES};
use crate::path::SitePath;

/// The names seen so far.
pub(super) struct Names<'a> {
    place: &'a str,
    /// Bytes that all names may have: names compress well, so a small archive can hold very many.
    most: u64,
    files: HashSet<SitePath>,
    folders: HashSet<SitePath>,
    bytes: u64,
}

impl<'a> Names<'a> {
    /// None seen; `place` is the archive.
    pub(super) fn new(place: &'a str, most: u64) -> Self {
        Self { place, most, files: HashSet::new(), folders: HashSet::new(), bytes: 0 }
    }

    /// Takes the name of a file.
    pub(super) fn file(&mut self, name: &[u8]) -> Result<SitePath, Error> {
        let path = self.parse(without_dots(name))?;
        if self.files.contains(&path) {
            return Err(self.refused(&path, "is there twice"));
        }
        if self.folders.contains(&path) {
            return Err(self.refused(&path, "is both a file and a folder"));
        }
        self.parents(&path)?;
        self.bytes += path.as_str().len() as u64;
        self.files.insert(path.clone());
        Ok(path)
    }

    /// Takes the name of a folder; folders are made by their files, so this only checks. `./` is the archive's root.
    pub(super) fn folder(&mut self, name: &[u8]) -> Result<(), Error> {
        let name = without_dots(name);
        let name = name.strip_suffix(b"/").unwrap_or(name);
        if name.is_empty() || name == b"." {
            return Ok(());
        }
        let path = self.parse(name)?;
        self.parents(&path)?;
        self.inside(path)
    }

    fn parse(&self, name: &[u8]) -> Result<SitePath, Error> {
        if self.files.len() >= MOST_FILES || self.bytes > self.most {
            let most = self.most >> 20;
            let why = format!("it holds too many names: at most a million files, {most} MiB of names");
            return Err(Error::malformed(self.place, why));
        }
        SitePath::from_bytes(name).map_err(|source| Error::Path { place: self.place.into(), source })
    }

    fn parents(&mut self, path: &SitePath) -> Result<(), Error> {
        let mut path = path.clone();
        while let Some(parent) = path.parent() {
            if self.folders.contains(&parent) {
                break;
            }
            self.inside(parent.clone())?;
            path = parent;
        }
        Ok(())
    }

    fn inside(&mut self, folder: SitePath) -> Result<(), Error> {
        if self.files.contains(&folder) {
            return Err(self.refused(&folder, "is both a file and a folder"));
        }
        let length = folder.as_str().len() as u64;
        if self.folders.insert(folder) {
            self.bytes += length;
        }
        Ok(())
    }

    fn refused(&self, path: &SitePath, why: &str) -> Error {
        Error::refused(self.place, path, why)
    }
}

/// The name without the `./` that `tar -C folder .` puts in front.
fn without_dots(mut name: &[u8]) -> &[u8] {
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    name
}
