//! Space and inodes held back, so that a rollback commits on a full disk.
//!
//! It is as much as a generation of the largest release takes when its files are links, and never more than a fiftieth of
//! the volume. A rollback that finds the disk full lets it go and tries once more; the next cleaning takes it again when
//! there is room. Uploads never use it, and end before the rest is used up (`limits`).

use std::collections::BTreeSet;

use super::{Depot, Error, State};
use crate::{
    digest::Digest,
    disk::{self, Directory, Holding, Room},
    manifest::{File, Item, Row, Tree, rows},
};

const FOLDER: &str = "reserve";
const BYTES: &str = "bytes";
/// A directory, and its share of the one above.
const A_FOLDER: u64 = 8 * 1024;
/// A name in a directory.
const A_NAME: u64 = 64;
/// The entry, the nodes, and what else is staged.
const BESIDES: Room = Room { bytes: 256 * 1024, inodes: 32 };
/// The part of a volume that is held back at most.
const PART: u64 = 50;

impl Depot {
    /// Lets the reserve go; tells whether there was one.
    pub(super) fn release_reserve(&self, state: &State) -> Result<bool, Error> {
        let Some(folder) = disk::if_there(state.home.directory.directory(FOLDER))? else { return Ok(false) };
        let names = folder.list()?;
        for name in &names {
            disk::if_there(folder.unlink(name))?;
        }
        Ok(!names.is_empty())
    }

    /// Holds back what the largest of `releases` needs, when there is room for twice as much.
    pub(super) fn keep_reserve(&self, state: &State, releases: &BTreeSet<Digest>) -> Result<(), Error> {
        let mut largest = (0, None);
        for release in releases {
            let files = Tree::<File>::new(state.store.nodes(), *release).total()?.files;
            if largest.1.is_none() || files > largest.0 {
                largest = (files, Some(*release));
            }
        }
        let (files, Some(release)) = largest else { return Ok(()) };
        let root = self.volume.root();
        let folders = folders(state, release)?;
        let inodes = if root.counts_names()? { folders + files } else { folders };
        let bytes = folders * A_FOLDER + files * A_NAME;
        let wanted = wanted(Room { bytes, inodes }, root.capacity()?);
        let (home, _lock) = (&state.home, self.lock(state, self.patience)?);
        let folder = home.directory.make_directory(FOLDER, home.mode)?;
        match fill(&folder, home.mode & 0o660, wanted) {
            // Somebody was quicker: then there is nothing to hold back.
            Err(error) if error.is_full() => {
                tracing::debug!(%error, "no room for the reserve");
                self.release_reserve(state)?;
                Ok(())
            }
            filled => Ok(filled?),
        }
    }
}

/// What is held back for a generation that takes so much, on a volume of this capacity.
fn wanted(generation: Room, of: Room) -> Room {
    let inodes = if of.inodes == u64::MAX { 0 } else { (generation.inodes + BESIDES.inodes).min(of.inodes / PART) };
    Room { bytes: (generation.bytes + BESIDES.bytes).min(of.bytes / PART), inodes }
}

fn folders(state: &State, node: Digest) -> Result<u64, Error> {
    // What is lost is for others to tell.
    let Holding::Whole(bytes) = state.store.read_node(&node)? else { return Ok(0) };
    let mut below = Vec::new();
    rows::<File>(&node, &bytes, &mut |_, row| {
        match row {
            Row::Part(part, ..) => below.push((part, 0)),
            Row::Entry(_, Item::Folder(folder, _)) => below.push((folder, 1)),
            Row::Entry(_, Item::Leaf(_)) => {}
        }
        Ok(())
    })?;
    below.into_iter().try_fold(0, |sum, (node, itself)| Ok(sum + itself + folders(state, node)?))
}

/// Brings the reserve to about what is `wanted`; one that is a little larger stays.
fn fill(folder: &Directory, mode: u32, wanted: Room) -> Result<(), disk::Error> {
    let fits = |has: u64, wanted: u64| (wanted..=wanted.saturating_mul(2)).contains(&has);
    let has = disk::if_there(folder.stat(BYTES))?.map(|stat| stat.size);
    if !fits(has.unwrap_or_default(), wanted.bytes) {
        disk::if_there(folder.unlink(BYTES))?;
        if folder.room()?.bytes / 2 >= wanted.bytes {
            folder.allocate(BYTES, mode, wanted.bytes)?;
        }
    }
    let names: Vec<_> = folder.list()?.into_iter().filter(|name| name != BYTES).collect();
    let has = names.len() as u64;
    if fits(has, wanted.inodes) {
        return Ok(());
    }
    for name in names.iter().skip(usize::try_from(wanted.inodes).unwrap_or(usize::MAX)) {
        folder.unlink(name)?;
    }
    if has < wanted.inodes && folder.room()?.inodes / 2 >= wanted.inodes - has {
        for number in 0..wanted.inodes {
            match folder.create(format!("inode-{number}"), mode) {
                Err(error) if !error.is_taken() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_volume_is_not_eaten() {
        let large = Room { bytes: 1 << 40, inodes: 1 << 24 };
        let generation = Room { bytes: 1 << 20, inodes: 1_000 };
        assert_eq!(wanted(Room { bytes: 0, inodes: 0 }, large), BESIDES);
        assert_eq!(wanted(generation, large), Room { bytes: 1_310_720, inodes: 1_032 });
        assert_eq!(wanted(generation, Room { bytes: 4 << 20, inodes: 100 }), Room { bytes: 83_886, inodes: 2 });
        assert_eq!(wanted(generation, Room { bytes: 1 << 40, inodes: u64::MAX }).inodes, 0, "where nobody counts them");
    }

    #[test]
    fn a_reserve_grows_and_shrinks_to_what_is_wanted() {
        let scratch = tempfile::tempdir().expect("a directory");
        let folder = Directory::open(scratch.path()).expect("opened");
        let has = || (folder.stat(BYTES).expect("there").size, folder.list().expect("listed").len() - 1);
        for (bytes, inodes, wanted) in [(100, 3, (100, 3)), (60, 2, (100, 3)), (200, 6, (200, 6)), (20, 1, (20, 1))] {
            fill(&folder, 0o600, Room { bytes, inodes }).expect("filled");
            assert_eq!(has(), wanted);
        }
    }
}
