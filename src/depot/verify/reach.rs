//! What the entries of the journal name: nodes, and the objects that are named in these.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Error, Lost, Needs, State,
    finding::{Finding, Place},
};
use crate::{
    digest::Digest,
    disk::Holding,
    entry::Committed,
    manifest::{File, Item, Leaf, Row, Time, rows},
    store::{self, Room},
};

/// Everything that is needed, as far as what names it can be read.
#[derive(Debug, Default)]
pub(in crate::depot) struct Reach {
    /// The entries that can be read, oldest first.
    pub(super) entries: Vec<Arc<Committed>>,
    /// Entries that cannot.
    pub(super) findings: Vec<Finding>,
    /// Nodes, and whether they are of times.
    pub(in crate::depot) nodes: BTreeMap<Digest, bool>,
    /// Those of them that are lost.
    pub(in crate::depot) lost: HashMap<Digest, Lost>,
    /// Objects with their sizes.
    pub(in crate::depot) objects: BTreeMap<Digest, u64>,
}

impl Reach {
    /// Reads the journal and every node that it leads to.
    pub(super) fn read(state: &State) -> Result<Self, Error> {
        let mut reach = Self::of_journal(state)?;
        for entry in reach.entries.clone() {
            reach.follow::<File>(state, entry.entry.release)?;
            reach.follow::<Time>(state, entry.entry.times)?;
        }
        Ok(reach)
    }

    /// Reads the journal alone, and checks that its entries are a chain of one site.
    pub(super) fn of_journal(state: &State) -> Result<Self, Error> {
        let mut reach = Self::default();
        // The number and the digest of the newest entry so far; no digest where that cannot be read.
        let mut last = None::<(u64, Option<Digest>)>;
        for store::Piece { first, last: end, content } in state.store.journal().pieces()? {
            if let Some((before, _)) = last {
                reach.findings.extend((before + 1..first).map(|seq| Finding::Entry { seq, fault: Lost::Missing }));
            }
            let site = reach.entries.last().map(|entry| entry.entry.site.clone());
            let read = match content {
                Ok(store::Content { previous, entries, head }) => match last {
                    Some((at, Some(before))) if at + 1 == first && previous != Some(before) => {
                        Err("it does not follow from the entry before".to_owned())
                    }
                    _ if entries.iter().any(|entry| site.as_ref().is_some_and(|site| entry.entry.site != *site)) => {
                        Err("it is of another site".into())
                    }
                    _ => Ok((entries, head)),
                },
                Err(store::Error::Damaged { why, .. }) if first == end => Err(why),
                Err(error @ store::Error::Damaged { .. }) => Err(error.to_string()),
                Err(store::Error::Disk(error)) if !error.is_denied() && !error.is_shortage() => {
                    Err(format!("it cannot be read: {}", error.source))
                }
                Err(error) => return Err(error.into()),
            };
            last = Some((end, read.as_ref().ok().map(|(_, head)| *head)));
            match read {
                Ok((entries, _)) => reach.entries.extend(entries),
                Err(why) => reach.findings.push(Finding::Entry { seq: first, fault: Lost::Damaged(why) }),
            }
        }
        Ok(reach)
    }

    /// Reads the node `root` and all below it, each once, past every cache.
    pub(in crate::depot) fn follow<L: Leaf + Named>(&mut self, state: &State, root: Digest) -> Result<(), Error> {
        let mut ahead = vec![root];
        while let Some(digest) = ahead.pop() {
            if self.nodes.insert(digest, L::OF_TIMES).is_some() {
                continue;
            }
            let lost = match state.store.read_node(&digest)? {
                Holding::Missing => Some(Lost::Missing),
                Holding::Damaged(why) => Some(Lost::Damaged(why)),
                Holding::Whole(bytes) => {
                    let read = rows::<L>(&digest, &bytes, &mut |_, row| {
                        match row {
                            Row::Part(below, ..) | Row::Entry(_, Item::Folder(below, _)) => ahead.push(below),
                            Row::Entry(_, Item::Leaf(leaf)) => self.objects.extend(leaf.object()),
                        }
                        Ok(())
                    });
                    read.err().map(|error| Lost::Damaged(error.to_string()))
                }
            };
            self.lost.extend(lost.map(|lost| (digest, lost)));
        }
        Ok(())
    }

    /// The releases and times of the entries, with the numbers of those.
    pub(super) fn releases(&self) -> BTreeMap<(Digest, Digest), Vec<u64>> {
        let mut releases = BTreeMap::<_, Vec<u64>>::new();
        for Committed { entry, .. } in self.entries.iter().map(|entry| &**entry) {
            releases.entry((entry.release, entry.times)).or_default().push(entry.seq);
        }
        releases
    }

    /// What needs the `lost` nodes and objects.
    pub(super) fn needs(&self, state: &State, lost: &HashSet<(Room, Digest)>) -> HashMap<(Room, Digest), Needs> {
        let mut needs = HashMap::<_, Needs>::new();
        // What has nothing lost below it is not looked through twice.
        let mut clean = HashSet::new();
        for ((release, times), entries) in self.releases() {
            let mut note = |key, path: &str| {
                let place = Place { path: path.into(), release, entries: entries.clone() };
                needs.entry(key).or_default().add(place);
            };
            let mut trace = Trace { state, lost, clean: &mut clean, note: &mut note };
            trace.down::<File>(release, "");
            trace.down::<Time>(times, "");
        }
        needs
    }
}

/// A walk down to what is lost.
struct Trace<'a> {
    state: &'a State,
    lost: &'a HashSet<(Room, Digest)>,
    clean: &'a mut HashSet<Digest>,
    note: &'a mut dyn FnMut((Room, Digest), &str),
}

impl Trace<'_> {
    /// Tells whether something is lost at or below the node `digest` of the folder `path`.
    fn down<L: Leaf + Named>(&mut self, digest: Digest, path: &str) -> bool {
        if self.clean.contains(&digest) {
            return false;
        }
        if self.lost.contains(&(Room::Manifests, digest)) {
            (self.note)((Room::Manifests, digest), if path.is_empty() { "the root" } else { path });
            return true;
        }
        let mut found = false;
        // A node that went since is not needed any more, or was told of already.
        let Ok(bytes) = self.state.store.nodes().node(&digest) else { return true };
        let read = rows::<L>(&digest, &bytes, &mut |_, row| {
            found |= match row {
                Row::Part(part, ..) => self.down::<L>(part, path),
                Row::Entry(key, Item::Folder(below, _)) => self.down::<L>(below, &format!("{path}{key}")),
                Row::Entry(key, Item::Leaf(leaf)) => match leaf.object() {
                    Some((object, _)) if self.lost.contains(&(Room::Objects, object)) => {
                        (self.note)((Room::Objects, object), &format!("{path}{key}"));
                        true
                    }
                    _ => false,
                },
            };
            Ok(())
        });
        if read.is_ok() && !found {
            self.clean.insert(digest);
        }
        found
    }
}

/// What a leaf names.
pub(in crate::depot) trait Named {
    const OF_TIMES: bool;
    fn object(&self) -> Option<(Digest, u64)>;
}

impl Named for File {
    const OF_TIMES: bool = false;

    fn object(&self) -> Option<(Digest, u64)> {
        Some((self.digest, self.size))
    }
}

impl Named for Time {
    const OF_TIMES: bool = true;

    fn object(&self) -> Option<(Digest, u64)> {
        None
    }
}
