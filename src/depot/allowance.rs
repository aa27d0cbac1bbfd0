//! What one operation may take in, and how much of that it has.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Depot, Error, Exceeded, Limits, State};
use crate::{
    disk::{self, Staged},
    manifest::{Directory, File, Item, Sum, Tree},
    path::SitePath,
};

/// Bytes between two looks at what is free on the disk.
const LOOK: u64 = 4 << 20;

/// What an operation may take in. Every [`Ingest`](super::Ingest) has one, and no bytes of a client pass it by.
#[derive(Debug)]
pub(super) struct Allowance {
    limits: Limits,
    /// Where it is written; none when nothing is.
    disk: Option<disk::Directory>,
    /// What the files come to lie beside; none when they are not put into the site.
    live: Option<Live>,
    taken: Mutex<Taken>,
    unseen: AtomicU64,
}

/// The live release, as a write finds it that puts files.
#[derive(Debug)]
pub(super) struct Live {
    state: Arc<State>,
    root: crate::digest::Digest,
    total: Sum,
    /// What is left of it when the folder is emptied that the files replace.
    stays: Sum,
    /// Whether one is: then no file replaces another.
    clears: bool,
}

#[derive(Debug, Default)]
struct Taken {
    sum: Sum,
    /// What was live at the paths of the files so far; only known where that has begun to matter.
    replaced: Option<Sum>,
    /// The folder that was looked at last: files come folder by folder.
    folder: Option<(Option<SitePath>, Option<Directory<File>>)>,
}

impl Allowance {
    pub(super) fn new(limits: Limits, disk: Option<disk::Directory>) -> Self {
        Self { limits, disk, live: None, taken: Mutex::default(), unseen: AtomicU64::new(0) }
    }

    /// The files come to lie in the site.
    pub(super) fn beside(&mut self, live: Option<Live>) {
        self.live = live;
    }

    /// Lets one more file begin, of `size` bytes if that is known; tells where its bytes must end. `files` came before.
    pub(super) fn begin(
        &self,
        path: &SitePath,
        size: Option<u64>,
        files: &Mutex<BTreeMap<SitePath, Staged>>,
    ) -> Result<Bound, Error> {
        self.limits.file(size.unwrap_or_default())?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, stays) = self.live.as_ref().map_or_else(Default::default, |live| (live.total, live.stays));
        let before = add(stays, taken.sum);
        let next = Sum { files: 1, bytes: size.unwrap_or_default() };
        let mut others = before;
        let most = Sum { files: 1, bytes: size.unwrap_or(self.limits.file) };
        // Until it comes close to a limit nobody needs to know what each file replaces.
        if let Some(live) = &self.live
            && (taken.replaced.is_some() || self.limits.site(total, add(before, most)).is_err())
        {
            let so_far = match taken.replaced {
                Some(sum) => sum,
                None => {
                    let files = files.lock().unwrap_or_else(PoisonError::into_inner);
                    files.keys().try_fold(Sum::default(), |sum, path| {
                        Ok::<_, Error>(add(sum, live.at(path, &mut taken.folder)?))
                    })?
                }
            };
            let replaced = add(so_far, live.at(path, &mut taken.folder)?);
            taken.replaced = Some(replaced);
            others = Sum {
                files: before.files.saturating_sub(replaced.files),
                bytes: before.bytes.saturating_sub(replaced.bytes),
            };
            self.limits.site(total, add(others, next))?;
        } else {
            self.limits.site(total, add(before, next))?;
        }
        let site = self.limits.site.max(total.bytes);
        Ok(Bound { file: self.limits.file, site: site.saturating_sub(others.bytes), others: others.bytes })
    }

    /// A file was taken in, perhaps in place of one that came `before`.
    pub(super) fn took(&self, size: u64, before: Option<u64>) {
        let sum = &mut self.taken.lock().unwrap_or_else(PoisonError::into_inner).sum;
        *sum = add(*sum, Sum { files: 1, bytes: size });
        if let Some(bytes) = before {
            *sum = Sum { files: sum.files - 1, bytes: sum.bytes.saturating_sub(bytes) };
        }
    }

    /// The bytes of one file, which end in an error where its bound is.
    pub(super) fn file<'a>(&'a self, bound: Bound, content: &'a mut dyn Read) -> Allowed<'a> {
        Allowed { allowance: self, content, read: 0, bound: Some(bound) }
    }

    /// The bytes of a file of which some came before, likewise; what they make of the site is seen when they are put.
    pub(super) fn rest<'a>(&'a self, before: u64, content: &'a mut dyn Read) -> Allowed<'a> {
        let bound = Bound { file: self.limits.file, site: u64::MAX, others: 0 };
        Allowed { allowance: self, content, read: before, bound: Some(bound) }
    }

    /// The bytes of an archive, likewise.
    pub(super) fn archive<'a>(&'a self, content: &'a mut dyn Read) -> Allowed<'a> {
        Allowed { allowance: self, content, read: 0, bound: None }
    }

    /// Fails when less is free than is to stay so. Asked now and then.
    fn look(&self, bytes: u64) -> Result<(), Error> {
        let unseen = self.unseen.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Some(disk) = self.disk.as_ref().filter(|_| unseen >= LOOK) else { return Ok(()) };
        self.unseen.store(0, Ordering::Relaxed);
        self.limits.room(0, disk.room()?, disk.capacity()?)
    }
}

/// Where the bytes of a file must end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// At the limit of a file.
    file: u64,
    /// At that of the site.
    site: u64,
    /// What the site has besides.
    others: u64,
}

impl Live {
    /// What lies at `path` and would be replaced.
    fn at(
        &self,
        path: &SitePath,
        seen: &mut Option<(Option<SitePath>, Option<Directory<File>>)>,
    ) -> Result<Sum, Error> {
        if self.clears {
            return Ok(Sum::default());
        }
        let parent = path.parent();
        if seen.as_ref().is_none_or(|(folder, _)| *folder != parent) {
            let tree = Tree::<File>::new(self.state.store.nodes(), self.root);
            *seen = Some((parent.clone(), tree.folder(parent.as_ref())?));
        }
        let directory = seen.as_ref().and_then(|(_, directory)| directory.as_ref());
        Ok(match directory.and_then(|directory| directory.get(path.name())) {
            Some(Item::Leaf(file)) => Sum { files: 1, bytes: file.size },
            _ => Sum::default(),
        })
    }
}

impl Depot {
    /// What is live, for files that are put; `clears` names the folder that is emptied first (none in it: all).
    pub(super) fn live(&self, clears: Option<Option<&SitePath>>) -> Result<Option<Live>, Error> {
        let Some(state) = self.state()? else { return Ok(None) };
        let Some(head) = state.store.journal().head()? else { return Ok(None) };
        let root = head.entry.release;
        let tree = Tree::<File>::new(state.store.nodes(), root);
        let total = tree.total()?;
        let gone = match clears {
            None => Sum::default(),
            Some(None) => total,
            Some(Some(folder)) => tree.total_of(folder)?,
        };
        let stays =
            Sum { files: total.files.saturating_sub(gone.files), bytes: total.bytes.saturating_sub(gone.bytes) };
        Ok(Some(Live { state: state.clone(), root, total, stays, clears: clears.is_some() }))
    }
}

/// Bytes that may come, up to a bound.
pub(super) struct Allowed<'a> {
    allowance: &'a Allowance,
    content: &'a mut dyn Read,
    read: u64,
    /// Of a file; none: an archive's.
    bound: Option<Bound>,
}

impl Read for Allowed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.read += read as u64;
        let limits = &self.allowance.limits;
        let checked = match self.bound {
            None => limits.body(self.read).map_err(Error::from),
            Some(Bound { file, .. }) if self.read > file => {
                Err(Exceeded::File { limit: file, wanted: self.read }.into())
            }
            Some(Bound { site, others, .. }) if self.read > site => {
                Err(Exceeded::Site { limit: limits.site, wanted: others.saturating_add(self.read) }.into())
            }
            Some(_) => Ok(()),
        };
        checked.and_then(|()| self.allowance.look(read as u64)).map_err(io::Error::other)?;
        Ok(read)
    }
}

fn add(one: Sum, other: Sum) -> Sum {
    Sum { files: one.files.saturating_add(other.files), bytes: one.bytes.saturating_add(other.bytes) }
}
