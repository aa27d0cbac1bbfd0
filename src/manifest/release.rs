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
        Self::descend(nodes, &self.root(), visit)
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

    /// The site's root, for whoever visits folder by folder.
    #[must_use]
    pub fn root(&self) -> Unread {
        Unread { path: None, manifest: self.manifest, times: Some(self.times) }
    }

    fn descend<E: From<Error>>(
        nodes: &dyn Nodes,
        unread: &Unread,
        visit: &mut dyn FnMut(&Folder) -> Result<(), E>,
    ) -> Result<(), E> {
        let (folder, below) = unread.read(nodes)?;
        visit(&folder)?;
        below.iter().try_for_each(|below| Self::descend(nodes, below, visit))
    }
}

/// A folder of a release that has not been read yet.
#[derive(Clone, Debug)]
pub struct Unread {
    /// Where it is; none for the site's root.
    pub path: Option<SitePath>,
    manifest: Digest,
    times: Option<Digest>,
}

impl Unread {
    /// The folder, and the folders in it.
    ///
    /// # Errors
    /// When a node cannot be read, or a file has no time.
    pub fn read(&self, nodes: &dyn Nodes) -> Result<(Folder, Vec<Self>), Error> {
        let entries = Tree::<File>::new(nodes, self.manifest).folder(None)?.unwrap_or_default();
        let mut times = match self.times {
            Some(root) => Tree::<Time>::new(nodes, root).folder(None)?.unwrap_or_default(),
            None => Directory::new(),
        };
        let mut folder = Folder { path: self.path.clone(), files: Vec::new(), folders: Vec::new() };
        let mut below = Vec::new();
        for (key, item) in entries {
            let time = times.remove(&key);
            match (item, time) {
                (Item::Leaf(file), Some(Item::Leaf(Time { mtime: Some(mtime), .. }))) => {
                    folder.below(&key).parse::<SitePath>()?;
                    folder.files.push((key, file, mtime));
                }
                (Item::Leaf(_), _) => return Err(Error::NoTime(key.into())),
                (Item::Folder(manifest, _), time) => {
                    let name = key.trim_end_matches('/');
                    let path = Some(folder.below(name).parse()?);
                    let times = match time {
                        Some(Item::Folder(times, ())) => Some(times),
                        _ => None,
                    };
                    folder.folders.push(name.into());
                    below.push(Self { path, manifest, times });
                }
            }
        }
        Ok((folder, below))
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.manifest, out)
    }
}
