//! Look-ups of many paths in one tree.

use std::collections::{HashMap, hash_map::Entry};

use crate::{
    manifest::{self, Directory, Item, Leaf, Tree},
    path::SitePath,
};

/// A tree, each of whose folders is read once: a look-up of its own for each of a thousand paths would read a flat folder
/// of a hundred thousand files a thousand times.
pub(super) struct Folders<'a, L: Leaf> {
    tree: Option<Tree<'a, L>>,
    read: HashMap<Option<SitePath>, Directory<L>>,
}

impl<'a, L: Leaf> Folders<'a, L> {
    /// Of no tree: nothing is there.
    pub(super) fn of(tree: Option<Tree<'a, L>>) -> Self {
        Self { tree, read: HashMap::new() }
    }

    /// The paths of leaves that are `wanted`, in all folders that were read.
    pub(super) fn all(&self, wanted: impl Fn(&L) -> bool) -> Result<Vec<SitePath>, manifest::Error> {
        let mut paths = Vec::new();
        for (folder, directory) in &self.read {
            for (name, item) in directory {
                if matches!(item, Item::Leaf(leaf) if wanted(leaf)) {
                    paths.push(match folder {
                        Some(folder) => format!("{folder}/{name}").parse()?,
                        None => name.parse()?,
                    });
                }
            }
        }
        Ok(paths)
    }

    /// What lies at `path`.
    pub(super) fn find(&mut self, path: &SitePath) -> Result<Option<L>, manifest::Error> {
        Ok(match self.around(path)?.and_then(|directory| directory.get(path.name())) {
            Some(Item::Leaf(leaf)) => Some(leaf.clone()),
            _ => None,
        })
    }

    /// Whether `path` is a folder.
    pub(super) fn is_folder(&mut self, path: &SitePath) -> Result<bool, manifest::Error> {
        let key = format!("{}/", path.name());
        Ok(self.around(path)?.is_some_and(|directory| directory.contains_key(&*key)))
    }

    /// The folder that `path` lies in.
    fn around(&mut self, path: &SitePath) -> Result<Option<&Directory<L>>, manifest::Error> {
        let Some(tree) = &self.tree else { return Ok(None) };
        let folder = path.parent();
        Ok(Some(match self.read.entry(folder) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let directory = tree.folder(unread.key().as_ref())?.unwrap_or_default();
                unread.insert(directory)
            }
        }))
    }
}
