//! A release as a volume shows it: the manifest's files, each with its time.

use std::fmt;

use super::{Directory, Error, File, Item, Nodes, Time, Tree};
use crate::{digest::Digest, path::SitePath};

/// The roots of a manifest and its times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The manifest's root: the release id.
    pub manifest: Digest,
    /// The root of the times.
    pub times: Digest,
}

/// One folder of a release: what is to lie in a directory, sorted.
#[derive(Debug)]
pub struct Folder {
    /// Where it is; none for the site's root.
    pub path: Option<SitePath>,
    /// The files in it: name, content, mtime.
    pub files: Vec<(Box<str>, File, i64)>,
    /// The names of the folders in it.
    pub folders: Vec<Box<str>>,
}

impl Folder {
    /// The path of `name` in it.
    #[must_use]
    pub fn below(&self, name: &str) -> String {
        self.path.as_ref().map_or_else(|| name.into(), |path| format!("{path}/{name}"))
    }

    /// The names of all entries, sorted as `list` sorts.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let files = self.files.iter().map(|(name, ..)| &**name);
        let mut names: Vec<_> = files.chain(self.folders.iter().map(|name| &**name)).collect();
        names.sort_unstable();
        names
    }
}

impl Release {
    /// Calls `visit` for each folder, a parent before what is in it.
    ///
    /// # Errors
    /// When a node cannot be read, a file has no time, or `visit` fails.
    pub fn visit<E: From<Error>>(
        &self,
        nodes: &dyn Nodes,
        visit: &mut dyn FnMut(&Folder) -> Result<(), E>,
    ) -> Result<(), E> {
        self.descend(nodes, None, Some(self.times), visit)
    }

    /// The names at the site's root.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn top(&self, nodes: &dyn Nodes) -> Result<Vec<Box<str>>, Error> {
        let root = Tree::<File>::new(nodes, self.manifest).folder(None)?.unwrap_or_default();
        let mut names: Vec<Box<str>> = root.into_keys().map(|key| key.trim_end_matches('/').into()).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn descend<E: From<Error>>(
        &self,
        nodes: &dyn Nodes,
        path: Option<SitePath>,
        times: Option<Digest>,
        visit: &mut dyn FnMut(&Folder) -> Result<(), E>,
    ) -> Result<(), E> {
        let entries = Tree::<File>::new(nodes, self.manifest).folder(None)?.unwrap_or_default();
        let mut times = match times {
            Some(root) => Tree::<Time>::new(nodes, root).folder(None)?.unwrap_or_default(),
            None => Directory::new(),
        };
        let mut folder = Folder { path, files: Vec::new(), folders: Vec::new() };
        let mut below = Vec::new();
        let full = |name: &str| match &folder.path {
            Some(path) => format!("{path}/{name}").parse::<SitePath>(),
            None => name.parse(),
        };
        for (key, item) in entries {
            let time = times.remove(&key);
            match (item, time) {
                (Item::Leaf(file), Some(Item::Leaf(Time { mtime: Some(mtime), .. }))) => {
                    full(&key).map_err(Error::from)?;
                    folder.files.push((key, file, mtime));
                }
                (Item::Leaf(_), _) => return Err(Error::NoTime(key.into()).into()),
                (Item::Folder(manifest, _), time) => {
                    let name = key.trim_end_matches('/');
                    let path = full(name).map_err(Error::from)?;
                    let times = match time {
                        Some(Item::Folder(times, ())) => Some(times),
                        _ => None,
                    };
                    folder.folders.push(name.into());
                    below.push((path, manifest, times));
                }
            }
        }
        visit(&folder)?;
        for (path, manifest, times) in below {
            Self { manifest, times: self.times }.descend(nodes, Some(path), times, visit)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.manifest, out)
    }
}
