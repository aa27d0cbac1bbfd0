//! Reading everything again: whether it is what its digest says, and whether what is shown is the release.
//!
//! Nothing is written and no lock is taken, so it works on a read-only volume and beside processes that publish. What
//! they change meanwhile is no finding: everything found is looked at once more at the end, against the journal and the
//! volume as they are then. Memory grows with the number of different objects, about 100 bytes each, never with their
//! sizes.

mod crew;
mod finding;
mod reach;
mod shown;

pub use finding::{Finding, Lost, Needs, Place, grouped};

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Depot, Error, State};
use crate::{digest::Digest, store::Room, volume::Survey};
pub(super) use reach::Reach;

/// What was read, and what was found.
#[derive(Debug, Default)]
pub struct Verified {
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What is worth a line and no mistake.
    pub notes: Vec<String>,
    /// Entries of the journal.
    pub entries: usize,
    /// Nodes of manifests and times.
    pub nodes: usize,
    /// Objects.
    pub objects: usize,
    /// Bytes of objects.
    pub bytes: u64,
    /// Files shown.
    pub files: u64,
}

/// What there is to verify.
#[derive(Debug)]
pub enum Scope {
    /// Nothing: the volume has no release.
    Nothing,
    /// Nothing of ours.
    Foreign(Vec<String>),
    /// All of this was read.
    All(Verified),
}

impl Depot {
    /// Reads everything again: entries, nodes, objects, and what is shown.
    ///
    /// # Errors
    /// When this process may not read, or is short of something. Damage is no error: it is found.
    pub fn verify(&self) -> Result<Scope, Error> {
        // An entry that cannot be read is found below.
        let divergence = match self.find_divergence() {
            Err(error) if error.is_damaged() => None,
            divergence => divergence?,
        };
        let diverged = divergence.map(|divergence| Finding::Diverged(Box::new(divergence)));
        let Some(state) = self.state()? else {
            if let Some(diverged) = diverged {
                return Ok(Scope::All(Verified { findings: vec![diverged], ..Verified::default() }));
            }
            return Ok(match self.volume.survey()? {
                Survey::Empty => Scope::Nothing,
                Survey::Foreign(names) => Scope::Foreign(names),
            });
        };
        let reach = Reach::read(&state)?;
        if reach.entries.is_empty()
            && reach.findings.is_empty()
            && reach.lost.is_empty()
            && self.volume.live()?.is_none()
        {
            return Ok(match self.volume.survey()? {
                Survey::Empty => Scope::Nothing,
                Survey::Foreign(names) => Scope::Foreign(names),
            });
        }
        let mut verified = Verified { entries: reach.entries.len(), nodes: reach.nodes.len(), ..Verified::default() };
        verified.findings.extend(diverged);
        let mut lost = self.read_all(&state, &reach, &mut verified)?;
        let shown = self.read_shown(&state, &lost, &mut verified)?;
        lost.extend(reach.lost.into_iter().map(|(digest, fault)| ((Room::Manifests, digest), fault)));
        verified.findings.extend(self.confirm(&state, lost)?);
        verified.findings.extend(self.confirm_shown(&state, shown)?);
        Ok(Scope::All(verified))
    }

    /// Reads every object, and the nodes that nothing names: one that is damaged and that nothing needs today would be
    /// found by the next upload of its bytes.
    fn read_all(
        &self,
        state: &State,
        reach: &Reach,
        verified: &mut Verified,
    ) -> Result<HashMap<(Room, Digest), Lost>, Error> {
        let (mut unneeded, mut unneeded_nodes, mut strange) = (0_u64, 0_u64, Vec::new());
        let (mut count, bytes) = (0, AtomicU64::new(0));
        let produce = |give: &mut dyn FnMut((Room, Digest, Option<u64>))| {
            for byte in 0..=u8::MAX {
                let shelf = state.store.shelf(Room::Manifests, byte)?;
                for digest in shelf.digests.iter().filter(|digest| !reach.nodes.contains_key(*digest)) {
                    unneeded_nodes += 1;
                    give((Room::Manifests, *digest, None));
                }
                strange.extend(shelf.strange.into_iter().map(|name| format!("manifests/{name}")));
                let shelf = state.store.shelf(Room::Objects, byte)?;
                for digest in &shelf.digests {
                    let size = reach.objects.get(digest).copied();
                    unneeded += u64::from(size.is_none());
                    give((Room::Objects, *digest, size));
                }
                count += shelf.digests.len();
                let there: HashSet<&Digest> = shelf.digests.iter().collect();
                for (digest, size) in reach.objects.range(end(byte, "00")..=end(byte, "ff")) {
                    if !there.contains(digest) {
                        give((Room::Objects, *digest, Some(*size)));
                    }
                }
                strange.extend(shelf.strange.into_iter().map(|name| format!("objects/{name}")));
            }
            Ok::<_, Error>(())
        };
        let read = |(room, digest, size)| {
            let held = match room {
                Room::Manifests => state.store.read_node(&digest)?.map(drop),
                Room::Objects => state.store.read_object(&digest, size)?.map(|stat| {
                    bytes.fetch_add(stat.size, Ordering::Relaxed);
                }),
            };
            // What nothing needs may have been removed since it was listed; the others are looked at once more.
            Ok(Lost::of(held).map(|lost| ((room, digest), lost)))
        };
        let lost = crew::each(produce, read)?;
        (verified.objects, verified.bytes) = (count, bytes.into_inner());
        if unneeded + unneeded_nodes > 0 && reach.findings.is_empty() {
            let (objects, nodes) = (grouped(unneeded), grouped(unneeded_nodes));
            verified.notes.push(format!("nothing names {objects} objects and {nodes} nodes: clean-up removes them"));
        }
        verified.notes.extend(strange.iter().map(|name| format!("not Longshore's: .longshore/{name}")));
        Ok(lost.into_iter().collect())
    }

    /// Looks once more at what is `lost`, and for what needs it now: a cleaner may have removed it, an upload brought it.
    fn confirm(&self, state: &State, lost: HashMap<(Room, Digest), Lost>) -> Result<Vec<Finding>, Error> {
        let journal = Reach::of_journal(state)?;
        let mut findings = journal.findings.clone();
        if lost.is_empty() {
            return Ok(findings);
        }
        let keys: HashSet<_> = lost.keys().copied().collect();
        let mut needs = journal.needs(state, &keys);
        let now = Reach::read(state)?;
        let is_partial = !now.findings.is_empty() || !now.lost.is_empty();
        let mut sorted: Vec<_> = lost.into_iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        for ((room, digest), fault) in sorted {
            let mut needs = needs.remove(&(room, digest)).unwrap_or_default();
            needs.is_partial = is_partial;
            if needs.count == 0 && fault == Lost::Missing {
                continue;
            }
            let size = now.objects.get(&digest).copied();
            let again = match room {
                Room::Objects => Lost::of(state.store.read_object(&digest, size)?),
                // Also one that bytes of the right digest do not make a node of.
                Room::Manifests if now.nodes.contains_key(&digest) => now.lost.get(&digest).cloned(),
                Room::Manifests => Lost::of(state.store.read_node(&digest)?),
            };
            let Some(fault) = again else { continue };
            findings.push(match room {
                Room::Objects => Finding::Object { digest, size, fault, needs },
                Room::Manifests => {
                    let of_times = now.nodes.get(&digest).copied().unwrap_or_default();
                    Finding::Node { digest, of_times, fault, needs }
                }
            });
        }
        Ok(findings)
    }
}

/// The first (`00`) or last (`ff`) digest that begins with `byte`.
fn end(byte: u8, fill: &str) -> Digest {
    format!("{byte:02x}{}", fill.repeat(31)).parse().expect("64 digits")
}
