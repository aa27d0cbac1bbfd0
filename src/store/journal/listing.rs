//! What lies in the journal's folder: entries, each a file of its own, and segments, each of a range of older entries.

use std::{collections::BTreeSet, ffi::OsStr};

/// Entries that are folded, though all are kept, once there are as many before the newest.
const MANY: usize = 256;

/// The numbers that a segment stands for, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Range {
    pub(super) fn file_name(self) -> String {
        format!("{:020}-{:020}.jsonl", self.first, self.last)
    }

    fn of(name: &str) -> Option<Self> {
        let (first, last) = name.strip_suffix(".jsonl")?.split_once('-')?;
        let range = Self { first: first.parse().ok()?, last: last.parse().ok()? };
        (range.file_name() == name && (1..=range.last).contains(&range.first)).then_some(range)
    }

    pub(super) fn covers(self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    fn holds(self, other: Self) -> bool {
        self != other && self.covers(other.first) && self.covers(other.last)
    }
}

/// The name of the entry `seq`.
pub(super) fn file_name(seq: u64) -> String {
    format!("{seq:020}.json")
}

fn sequence(name: &str) -> Option<u64> {
    let seq = name.strip_suffix(".json")?.parse().ok()?;
    (seq > 0 && file_name(seq) == name).then_some(seq)
}

/// The names in a journal's folder, at one moment.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Entries that are files and in no segment.
    pub(super) files: BTreeSet<u64>,
    /// Segments, oldest first.
    pub(super) segments: Vec<Range>,
    /// Segments that lie in another, and files of entries that a segment stands for: somebody died before removing them.
    pub(super) leftovers: Vec<String>,
}

impl Listing {
    pub(super) fn of<T: AsRef<OsStr>>(names: &[T]) -> Self {
        let names = || names.iter().filter_map(|name| name.as_ref().to_str());
        let mut segments: Vec<Range> = names().filter_map(Range::of).collect();
        segments.sort_unstable();
        let (inner, segments): (Vec<_>, Vec<_>) =
            segments.iter().copied().partition(|one| segments.iter().any(|other| other.holds(*one)));
        let folded = segments.last().map_or(0, |newest: &Range| newest.last);
        let (files, old): (BTreeSet<_>, BTreeSet<_>) = names().filter_map(sequence).partition(|seq| *seq > folded);
        let leftovers = inner.into_iter().map(Range::file_name).chain(old.into_iter().map(file_name)).collect();
        Self { files, segments, leftovers }
    }

    /// Whether there is something to fold though every entry is kept.
    pub(super) fn is_long(&self) -> bool {
        self.files.len() > MANY || !self.leftovers.is_empty()
    }

    /// The segment that stands for `seq`.
    pub(super) fn segment(&self, seq: u64) -> Option<Range> {
        self.segments.iter().copied().find(|segment| segment.covers(seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_segment_stands_for_is_left_over() {
        let range = |first, last| Range { first, last };
        let names = [
            range(1, 100).file_name(),
            range(101, 150).file_name(),
            range(101, 300).file_name(),
            file_name(7),
            file_name(300),
            file_name(301),
            file_name(302),
            file_name(0),
            "2.json".into(),
            "other".into(),
            range(5, 4).file_name(),
            range(0, 4).file_name(),
        ];
        let listing = Listing::of(&names);
        assert_eq!(listing.segments, [range(1, 100), range(101, 300)]);
        assert_eq!(listing.files, [301, 302].into());
        assert_eq!(listing.leftovers, [range(101, 150).file_name(), file_name(7), file_name(300)]);
        assert_eq!(listing.segment(100), Some(range(1, 100)));
        assert_eq!(listing.segment(301), None);
    }
}
