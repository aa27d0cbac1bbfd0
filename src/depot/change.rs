//! What somebody wants to change, before anybody knows what it is changed from.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Author, Error, Guard, Precondition, folders::Folders};
use crate::{
    digest::Digest,
    disk::Staged,
    entry::{Cause, Committed, Entry, SiteId},
    manifest::{Edits, File, Release, Tree},
    path::SitePath,
    random,
};

/// A change to the site, relative to whatever the head is when it is committed.
#[derive(Debug)]
pub enum Change {
    /// Puts files; with `clear`, in place of all that lies in `folder` (or in the whole site).
    Put {
        /// The folder that `clear` empties; none for the whole site.
        folder: Option<SitePath>,
        /// Whether it is emptied first.
        clear: bool,
        /// The files, by their path in the site.
        files: BTreeMap<SitePath, Staged>,
    },
    /// Removes a file.
    Remove(SitePath),
    /// Removes a folder.
    RemoveFolder(SitePath),
    /// Makes the site what a client describes.
    Deploy {
        /// The release that it begins from; none: from nothing.
        base: Option<Digest>,
        /// Files that are set.
        set: BTreeMap<SitePath, File>,
        /// Files of the base that are removed.
        remove: Vec<SitePath>,
        /// Objects that were sent for it.
        objects: HashMap<Digest, Staged>,
    },
    /// Goes back to a release, with the times it had.
    Restore(Release),
    /// Takes over what somebody did to the volume by hand.
    Adopt {
        /// Files that were found, each with the mtime it had.
        files: BTreeMap<SitePath, (Staged, i64)>,
        /// Files that were not found any more.
        remove: Vec<SitePath>,
    },
}

/// Whether an entry should be made at all, asked under the lock: with the head and the release it would become.
pub type Condition<'a> = dyn Fn(Option<&Committed>, Digest) -> Result<bool, Error> + 'a;

/// A change, and who wants it.
pub struct Proposal<'a> {
    /// What.
    pub change: Change,
    /// Why.
    pub cause: Cause,
    /// Who.
    pub by: Author,
    /// What they say about it.
    pub message: Option<String>,
    /// The live release that it is made for; another one refuses it.
    pub parent: Option<Digest>,
    /// What the caller believes to be live, apart from that.
    pub precondition: Precondition,
    /// What it may do to the site; none: whatever it likes, as seeds and adoptions may.
    pub guard: Option<Guard>,
    /// Asked last; when it says no, nothing happens.
    pub condition: Option<&'a Condition<'a>>,
    /// Names the operation.
    pub op: Uuid,
}

impl Proposal<'_> {
    /// A change with a new operation and no condition.
    #[must_use]
    pub fn new(change: Change, cause: Cause, by: &Author) -> Self {
        Self {
            change,
            cause,
            by: by.clone(),
            message: None,
            parent: None,
            precondition: Precondition::default(),
            guard: None,
            condition: None,
            op: random::uuid(),
        }
    }

    /// The entry that it makes on `head` when the site becomes `release`.
    pub(super) fn entry(&self, head: Option<&Committed>, release: Release, at: DateTime<Utc>) -> Entry {
        Entry {
            version: 1,
            seq: head.map_or(1, |head| head.entry.seq + 1),
            op: self.op,
            site: head.map_or_else(SiteId::random, |head| head.entry.site.clone()),
            previous: head.map(|head| head.digest),
            release: release.manifest,
            times: release.times,
            parent: head.map(|head| head.entry.release),
            cause: self.cause,
            by: self.by.name.clone(),
            message: self.message.clone(),
            at,
        }
    }
}

impl Change {
    /// One file.
    #[must_use]
    pub fn file(path: SitePath, staged: Staged) -> Self {
        Self::Put { folder: None, clear: false, files: [(path, staged)].into() }
    }

    /// How many folders the files that it sets lie in.
    pub(super) fn folders(&self) -> u64 {
        match self {
            Self::Put { files, .. } => folders(files.keys()),
            Self::Deploy { set, .. } => folders(set.keys()),
            _ => 0,
        }
    }

    /// The edits that it means for the tree `base`.
    pub(super) fn edits(&self, base: Option<&Tree<'_, File>>) -> Result<Edits<File>, Error> {
        let mut edits = Edits::default();
        let mut before = Folders::of(base.cloned());
        match self {
            Self::Put { folder, clear, files } => {
                if *clear {
                    edits.clear(folder.as_ref());
                }
                for (path, staged) in files {
                    let Staged { digest, size, executable, .. } = *staged;
                    edits.set(path, File { digest, size, executable });
                }
            }
            Self::Remove(path) => match before.find(path)? {
                Some(_) => edits.remove(path),
                None => return Err(Error::NotFound(path.as_str().into())),
            },
            Self::RemoveFolder(path) if before.is_folder(path)? => edits.clear(Some(path)),
            Self::RemoveFolder(path) => return Err(Error::NotFound(format!("{path}/"))),
            Self::Adopt { files, remove } => {
                remove.iter().for_each(|path| edits.remove(path));
                for (path, (staged, _)) in files {
                    // Whatever the site had in its place was replaced by it.
                    if before.is_folder(path)? {
                        edits.clear(Some(path));
                    }
                    for above in std::iter::successors(path.parent(), SitePath::parent) {
                        if before.find(&above)?.is_some() {
                            edits.remove(&above);
                        }
                    }
                    let Staged { digest, size, executable, .. } = *staged;
                    edits.set(path, File { digest, size, executable });
                }
            }
            Self::Deploy { set, remove, .. } => {
                for path in remove {
                    match before.find(path)? {
                        Some(_) => edits.remove(path),
                        None => return Err(Error::NotFound(path.as_str().into())),
                    }
                }
                set.iter().for_each(|(path, file)| edits.set(path, *file));
            }
            Self::Restore(_) => unreachable!("a release is restored as a whole"),
        }
        Ok(edits)
    }

    /// The staged file for `path`, which becomes `file`.
    pub(super) fn staged(&self, path: &SitePath, file: &File) -> Option<Staged> {
        match self {
            Self::Put { files, .. } => files.get(path).cloned(),
            Self::Adopt { files, .. } => files.get(path).map(|(staged, _)| staged.clone()),
            Self::Deploy { objects, .. } => {
                objects.get(&file.digest).map(|staged| Staged { executable: file.executable, ..staged.clone() })
            }
            _ => None,
        }
    }

    /// The mtime with which the file for `path` was found.
    pub(super) fn found(&self, path: &SitePath) -> Option<i64> {
        match self {
            Self::Adopt { files, .. } => files.get(path).map(|(_, mtime)| *mtime),
            _ => None,
        }
    }

    /// The manifest that the edits are of.
    pub(super) fn base(&self, head: Option<Digest>) -> Option<Digest> {
        match self {
            Self::Deploy { base, .. } => *base,
            _ => head,
        }
    }
}

/// The folders of sorted paths, each counted once: what lies in one folder follows one another.
fn folders<'a>(paths: impl Iterator<Item = &'a SitePath>) -> u64 {
    let (mut folders, mut before) = (0, "");
    for path in paths.map(SitePath::as_str) {
        let same = path.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
        folders += path.bytes().skip(same).filter(|byte| *byte == b'/').count() as u64;
        before = path;
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn folders_are_counted_once() {
        let of = |paths: &[&str]| {
            let paths: BTreeSet<SitePath> = paths.iter().map(|path| path.parse().expect("a path")).collect();
            folders(paths.iter())
        };
        assert_eq!((of(&[]), of(&["a", "b"])), (0, 0));
        assert_eq!(of(&["a/b", "a/c", "a-b/c", "a.b", "a/b2/c", "a/b2/d/e"]), 4, "a, a-b, a/b2, a/b2/d");
        assert_eq!(of(&["ab/c", "a/c", "abc/c"]), 3);
    }
}
