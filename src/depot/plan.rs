//! What a change makes of the head: the new release, and what has to be written for it.

use std::{
    collections::{HashMap, HashSet},
    error::Error as StdError,
    sync::Arc,
};

use super::{Change, Error, folders::Folders};
use crate::{
    digest::Digest,
    disk::Staged,
    entry::Committed,
    manifest::{Edits, File, Nodes, Release, Time, Tree},
    path::SitePath,
};

/// A release in the making.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) release: Release,
    /// Nodes that the store may not have yet.
    pub(super) nodes: Vec<(Digest, Vec<u8>)>,
    /// Staged files that it needs, each with its mtime.
    pub(super) files: Vec<(Staged, i64)>,
    /// What differs from the head.
    pub(super) changes: Vec<Difference>,
    /// Whether what it sets was found on the volume, and may be replaced there.
    pub(super) adopts: bool,
}

/// A path that is not as it was.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) path: SitePath,
    pub(super) was: Option<File>,
    pub(super) is: Option<(File, i64)>,
}

/// The release that `change` makes of `head`, committed in the second `now`; none when it is the head's own.
pub(super) fn plan(
    nodes: &dyn Nodes,
    head: Option<&Committed>,
    change: &Change,
    now: i64,
) -> Result<Option<Plan>, Error> {
    let head = head.map(|head| head.entry.release());
    let (root, mut new) = match change {
        Change::Restore(release) => (release.manifest, Vec::new()),
        _ => {
            let root = change.base(head.map(|head| head.manifest));
            let base = root.map(|root| Tree::new(nodes, root));
            let edited = change.edits(base.as_ref())?.apply(nodes, root.as_ref())?;
            (edited.root, edited.nodes)
        }
    };
    if head.is_some_and(|head| head.manifest == root) {
        return Ok(None);
    }
    let both = Overlay::new(nodes, &new);
    let mut before: Folders<'_, Time> = Folders::of(head.map(|head| Tree::new(&both, head.times)));
    let mut restored: Folders<'_, Time> = match change {
        Change::Restore(release) => Folders::of(Some(Tree::new(&both, release.times))),
        _ => Folders::of(None),
    };
    let (mut times, mut changes, mut files) = (Edits::default(), Vec::new(), Vec::new());
    let mut note = |path: SitePath, was: Option<File>, is: Option<File>| -> Result<(), Error> {
        let old = before.find(&path)?;
        let time = match is {
            Some(file) => Some(match (restored.find(&path)?.and_then(|time| time.mtime), change.found(&path)) {
                (Some(mtime), _) => Time::of_old_content(mtime, old),
                (None, Some(mtime)) => Time::of_adopted(mtime, now, old),
                (None, None) => match (head, change.staged(&path, &file).and_then(|staged| staged.modified)) {
                    (None, Some(modified)) => Time::of_first_content(now, modified),
                    _ => Time::of_new_content(now, old),
                },
            }),
            None => old.and_then(|old| Time::of_removed(now, old)),
        };
        match time {
            Some(time) => times.set(&path, time),
            None => times.remove(&path),
        }
        let mtime = time.and_then(|time| time.mtime).unwrap_or(now);
        if let Some(staged) = is.and_then(|file| change.staged(&path, &file)) {
            files.push((staged, mtime));
        }
        changes.push(Difference { path, was, is: is.map(|file| (file, mtime)) });
        Ok(())
    };
    let tree = Tree::<File>::new(&both, root);
    match head {
        Some(head) => Tree::new(&both, head.manifest).compare(&tree, &mut note)?,
        None => tree.each(&mut note)?,
    }
    // In folders that are written anew, what need not be remembered any more is dropped.
    let changed: HashSet<&SitePath> = changes.iter().map(|change| &change.path).collect();
    for path in before.all(|time| time.is_stale(now))? {
        if !changed.contains(&path) {
            times.remove(&path);
        }
    }
    let edited = times.apply(&both, head.as_ref().map(|head| &head.times))?;
    new.extend(edited.nodes);
    let release = Release { manifest: root, times: edited.root };
    Ok(Some(Plan { release, nodes: new, files, changes, adopts: matches!(change, Change::Adopt { .. }) }))
}

/// Nodes of a plan before those of the store.
pub(super) struct Overlay<'a> {
    // Copied only when one is read, and then for a moment: all of a large site's weigh tens of megabytes.
    new: HashMap<Digest, &'a [u8]>,
    below: &'a dyn Nodes,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(below: &'a dyn Nodes, new: &'a [(Digest, Vec<u8>)]) -> Self {
        Self { new: new.iter().map(|(digest, bytes)| (*digest, bytes.as_slice())).collect(), below }
    }
}

impl Nodes for Overlay<'_> {
    fn node(&self, digest: &Digest) -> Result<Arc<[u8]>, Box<dyn StdError + Send + Sync>> {
        self.new.get(digest).map_or_else(|| self.below.node(digest), |bytes| Ok((*bytes).into()))
    }
}
