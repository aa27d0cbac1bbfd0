//! A change to a tree: what to set, remove and clear, folder by folder.
//!
//! Only the directories above a change are read and written; the rest is named by the digest it had.

use std::collections::{BTreeMap, HashSet};

use super::{
    Error, Nodes,
    node::{self, Directory, Item, Leaf},
};
use crate::{digest::Digest, path::SitePath};

/// Changes to one folder and what lies below it.
#[derive(Clone, Debug)]
pub struct Edits<L> {
    clear: bool,
    leaves: BTreeMap<Box<str>, Option<L>>,
    folders: BTreeMap<Box<str>, Edits<L>>,
}

impl<L> Default for Edits<L> {
    fn default() -> Self {
        Self { clear: false, leaves: BTreeMap::new(), folders: BTreeMap::new() }
    }
}

/// A tree after its edits.
#[derive(Debug)]
pub struct Edited {
    /// The new root.
    pub root: Digest,
    /// The nodes that the old tree did not have.
    pub nodes: Vec<(Digest, Vec<u8>)>,
}

impl<L: Leaf> Edits<L> {
    /// Puts `leaf` at `path`; its folders are made.
    pub fn set(&mut self, path: &SitePath, leaf: L) {
        self.leaf(path, Some(leaf));
    }

    /// Removes the file `path`, and folders that it leaves empty.
    pub fn remove(&mut self, path: &SitePath) {
        self.leaf(path, None);
    }

    /// Drops whatever lies in `folder` (or the whole tree) before anything is set there.
    pub fn clear(&mut self, folder: Option<&SitePath>) {
        let mut at = self;
        for name in folder.iter().flat_map(|folder| folder.components()) {
            at = at.folders.entry(name.into()).or_default();
        }
        at.clear = true;
    }

    fn leaf(&mut self, path: &SitePath, leaf: Option<L>) {
        let mut at = self;
        if let Some(parent) = path.parent() {
            for name in parent.components() {
                at = at.folders.entry(name.into()).or_default();
            }
        }
        at.leaves.insert(path.name().into(), leaf);
    }

    /// The tree `root` with these edits.
    ///
    /// # Errors
    /// When a node cannot be read, or a file would lie under a file or in a folder's place.
    pub fn apply(&self, nodes: &dyn Nodes, root: Option<&Digest>) -> Result<Edited, Error> {
        let mut new = Vec::new();
        let root = match self.apply_to(nodes, root, "", &mut new)? {
            Some((root, _)) => root,
            None => keep(&Directory::<L>::new(), &HashSet::new(), &mut new).0,
        };
        Ok(Edited { root, nodes: new })
    }

    fn apply_to(
        &self,
        nodes: &dyn Nodes,
        old: Option<&Digest>,
        path: &str,
        new: &mut Vec<(Digest, Vec<u8>)>,
    ) -> Result<Option<(Digest, L::Total)>, Error> {
        let mut known = HashSet::new();
        let mut directory = Directory::new();
        if let Some(old) = old.filter(|_| !self.clear) {
            directory = node::decode::<L>(nodes, old, &mut |digest| {
                known.insert(digest);
            })?;
        }
        for (name, _) in self.leaves.iter().filter(|(_, leaf)| leaf.is_none()) {
            directory.remove(name);
        }
        for (name, edits) in &self.folders {
            let key: Box<str> = format!("{name}/").into();
            let below = match directory.get(&key) {
                Some(Item::Folder(digest, _)) => Some(*digest),
                _ => None,
            };
            match edits.apply_to(nodes, below.as_ref(), &format!("{path}{key}"), new)? {
                None => drop(directory.remove(&key)),
                Some(_) if !L::SHARES_NAMES && directory.contains_key(name) => {
                    return Err(Error::IsFile(format!("{path}{name}")));
                }
                Some((digest, total)) => drop(directory.insert(key, Item::Folder(digest, total))),
            }
        }
        for (name, leaf) in self.leaves.iter().filter_map(|(name, leaf)| leaf.as_ref().map(|leaf| (name, leaf))) {
            if !L::SHARES_NAMES && directory.contains_key(&*format!("{name}/")) {
                return Err(Error::IsFolder(format!("{path}{name}")));
            }
            directory.insert(name.clone(), Item::Leaf(leaf.clone()));
        }
        Ok((!directory.is_empty()).then(|| keep(&directory, &known, new)))
    }
}

/// Encodes `directory` and hands on the nodes that are not `known`.
fn keep<L: Leaf>(
    directory: &Directory<L>,
    known: &HashSet<Digest>,
    new: &mut Vec<(Digest, Vec<u8>)>,
) -> (Digest, L::Total) {
    let encoded = node::encode(directory);
    new.extend(encoded.nodes.into_iter().filter(|(digest, _)| !known.contains(digest)));
    (encoded.root, encoded.total)
}
