//! Folding: entries that are not kept any more go, and the others move together, so that the folder stays short.
//!
//! A segment is whole and durable under its name before anything that it stands for is removed. Whoever dies in between
//! leaves files that the segment stands for already: readers pass over them, and the next folding removes them. A
//! segment takes another's place by a longer range, or under the same name by one rename.

use std::collections::BTreeSet;

use super::{
    Error, Journal,
    listing::{Listing, Range, file_name},
    segment::{Line, Segment, damaged},
};
use crate::{disk, disk::Staging};

/// Lines of a segment, at most.
const LINES: usize = 1_024;

/// Segments and files that become one segment.
struct Block {
    parts: Vec<Part>,
    /// Lines that are kept.
    lines: usize,
    is_new: bool,
}

#[derive(Clone, Copy)]
enum Part {
    Segment(Range),
    Files(Range),
}

impl Journal {
    /// Drops the entries `dropped` of those that are `known` to be there, and folds what is old; tells how many went. The
    /// newest entry stays a file. The caller holds the volume's lock.
    ///
    /// # Errors
    /// When an entry is damaged or the disk refuses. Done again, it goes on.
    pub fn fold(&self, staging: &Staging, known: &BTreeSet<u64>, dropped: &BTreeSet<u64>) -> Result<usize, Error> {
        let listing = self.list()?;
        if !listing.leftovers.is_empty() {
            // Whoever died may have done so before what takes their place was durable.
            self.directory.sync().map_err(Error::Unsynced)?;
            listing.leftovers.iter().try_for_each(|name| self.remove(name))?;
        }
        let mut gone = 0;
        let mut old = Vec::new();
        for block in blocks(&listing, known, dropped).into_iter().filter(|block| block.is_new) {
            let mut segment = self.gather(&block)?;
            let before = segment.lines.len();
            segment.lines.retain(|line| !dropped.contains(&line.seq()));
            gone += before - segment.lines.len();
            let name = staging.bytes(&segment.to_bytes())?;
            staging.sync([&*name].into_iter())?;
            staging.directory().rename(name, &self.directory, segment.range.file_name())?;
            for part in block.parts {
                match part {
                    Part::Segment(range) if range == segment.range => {}
                    Part::Segment(range) => old.push(range.file_name()),
                    Part::Files(range) => old.extend((range.first..=range.last).map(file_name)),
                }
            }
        }
        if old.is_empty() && gone == 0 {
            return Ok(0);
        }
        self.directory.sync().map_err(Error::Unsynced)?;
        // Oldest first: an entry that is still a file tells others that nothing after it was folded.
        old.iter().try_for_each(|name| self.remove(name))?;
        Ok(gone)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        disk::if_there(self.directory.unlink(name))?;
        Ok(())
    }

    /// The block as one segment, with all that is in it.
    fn gather(&self, block: &Block) -> Result<Segment, Error> {
        let mut whole: Option<Segment> = None;
        for part in &block.parts {
            let next = match *part {
                Part::Segment(range) => self.segment(range)?.ok_or_else(|| damaged(range, "it is missing".into()))?,
                Part::Files(range) => self.gather_files(range)?,
            };
            match &mut whole {
                None => whole = Some(next),
                Some(whole) if next.previous != Some(whole.head) || next.range.first != whole.range.last + 1 => {
                    return Err(damaged(next.range, "it does not follow from the one before".into()));
                }
                Some(whole) => {
                    (whole.range.last, whole.head) = (next.range.last, next.head);
                    whole.lines.extend(next.lines);
                }
            }
        }
        Ok(whole.expect("a block has a part"))
    }

    fn gather_files(&self, range: Range) -> Result<Segment, Error> {
        let missing = |seq: u64| Error::Damaged { what: format!("journal entry {seq}"), why: "it is missing".into() };
        let read = |seq: u64| self.file(seq)?.ok_or_else(|| missing(seq));
        let lines = (range.first..=range.last).map(read).collect::<Result<Vec<Line>, Error>>()?;
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Err(missing(range.first)) };
        let (previous, head) = (first.committed.entry.previous, last.committed.digest);
        let segment = Segment { range, previous, head, lines };
        segment.check().map(|()| segment)
    }
}

/// What is to lie in one segment each, oldest first.
fn blocks(listing: &Listing, known: &BTreeSet<u64>, dropped: &BTreeSet<u64>) -> Vec<Block> {
    let lines = |range: Range| known.range(range.first..=range.last).filter(|seq| !dropped.contains(seq)).count();
    let mut parts: Vec<_> = listing.segments.iter().map(|range| (Part::Segment(*range), *range)).collect();
    if let (Some(first), Some(head)) = (listing.files.first(), listing.files.last()) {
        let is_dropped = listing.files.iter().any(|seq| dropped.contains(seq));
        if first < head && (is_dropped || listing.is_long()) {
            let range = Range { first: *first, last: head - 1 };
            parts.push((Part::Files(range), range));
        }
    }
    let mut blocks: Vec<Block> = Vec::new();
    for (part, range) in parts {
        let kept = lines(range);
        let is_new = matches!(part, Part::Files(_)) || dropped.range(range.first..=range.last).next().is_some();
        match blocks.last_mut() {
            Some(last) if last.lines + kept <= LINES => {
                last.parts.push(part);
                last.lines += kept;
                last.is_new = true;
            }
            _ => blocks.push(Block { parts: vec![part], lines: kept, is_new }),
        }
    }
    blocks
}
