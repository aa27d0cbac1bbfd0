//! What is said of a release to another program: what it is, what it changes, and where its files lie.

use std::path::PathBuf;

use super::{Depot, Error, plan::Difference};
use crate::{
    digest::Digest,
    disk::Directory,
    entry::Entry,
    manifest::{Nodes, Sum, Tree},
};

/// A release that others are told of, or asked about.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its entry; before it is made, the one that it would get.
    pub entry: Entry,
    /// How it differs from its parent; none when nobody can tell any more.
    pub counts: Option<Counts>,
    /// What is in it.
    pub site: Sum,
    /// The folder that has its files.
    pub tree: PathBuf,
    /// The same, from the volume's root: another container may have the volume elsewhere.
    pub tree_in_volume: PathBuf,
}

/// How much a release changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files set.
    pub changed: u64,
    /// Files removed.
    pub removed: u64,
    /// Bytes of the files set.
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, set: Option<u64>) {
        match set {
            Some(bytes) => {
                self.changed += 1;
                self.bytes += bytes;
            }
            None => self.removed += 1,
        }
    }

    pub(super) fn of(changes: &[Difference]) -> Self {
        let mut counts = Self::default();
        changes.iter().for_each(|change| counts.add(change.is.map(|(file, _)| file.size)));
        counts
    }

    /// Of what `release` changes in `parent`; none when one of them cannot be read any more.
    pub(super) fn between(nodes: &dyn Nodes, parent: Option<Digest>, release: Digest) -> Option<Self> {
        let mut counts = Self::default();
        let tree = Tree::<crate::manifest::File>::new(nodes, release);
        let compared = match parent {
            Some(parent) => Tree::new(nodes, parent).compare::<Error>(&tree, &mut |_, _, is| {
                counts.add(is.map(|file| file.size));
                Ok(())
            }),
            None => tree.each::<Error>(&mut |_, _, is| {
                counts.add(is.map(|file| file.size));
                Ok(())
            }),
        };
        compared.ok().map(|()| counts)
    }
}

impl Depot {
    /// Where a tree lies: as this process sees it, and from the volume's root.
    pub(super) fn whereabouts(&self, tree: &Directory) -> (PathBuf, PathBuf) {
        let below = tree.path().strip_prefix(self.volume.root().path()).unwrap_or(tree.path());
        (std::path::absolute(tree.path()).unwrap_or_else(|_| tree.path().into()), below.into())
    }
}
