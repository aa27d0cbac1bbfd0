//! Entries and segments from anywhere.

use super::{
    Line,
    listing::{Listing, Range},
    segment::Segment,
};
use crate::{digest::Digest, entry::Entry, fuzzing::assert_entry};

/// The lines of a segment, with or without its header; or the names of a journal's folder.
pub(crate) fn entry(bytes: &[u8]) -> bool {
    let _ = Segment::parse(Range { first: 1, last: 3 }, bytes);
    list(bytes);
    let mut lines = Vec::new();
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Ok(entry) = serde_json::from_slice::<Entry>(text) else { continue };
        assert_entry(&entry);
        let Ok(line) = Line::parse(entry.seq, text) else { continue };
        assert_eq!((&line.committed.entry, line.committed.digest), (&entry, Digest::of(text)));
        assert!(Line::parse(entry.seq.wrapping_add(1), text).is_err(), "an entry by another's number");
        // No file can have the name of an entry 0.
        lines.extend(Some(line).filter(|line| line.seq() > 0));
    }
    let Some((first, last)) = lines.first().zip(lines.last()) else { return false };
    let (range, head) = (Range { first: first.seq(), last: last.seq() }, last.committed.digest);
    let previous = first.committed.entry.previous;
    fold(&Segment { range, previous, head, lines });
    true
}

/// What was folded reads back byte for byte, and not when a byte of it is another.
fn fold(segment: &Segment) {
    let bytes = segment.to_bytes();
    let texts = |segment: &Segment| segment.lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
    let Ok(again) = Segment::parse(segment.range, &bytes) else { return };
    assert_eq!(texts(&again), texts(segment));
    assert_eq!((again.range, again.previous, again.head), (segment.range, segment.previous, segment.head));
    assert!(again.lines.is_sorted_by(|one, next| one.seq() < next.seq()));
    assert!(again.lines.iter().all(|line| segment.range.covers(line.seq())));
    let mut other = bytes;
    if let Some(last) = other.last_mut() {
        *last ^= 1;
    }
    assert!(Segment::parse(segment.range, &other).is_err(), "other bytes, and nobody noticed");
}

fn list(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let names: Vec<&str> = text.split('\n').collect();
    let listing = Listing::of(&names);
    assert!(listing.files.iter().all(|seq| *seq > 0 && listing.segment(*seq).is_none()));
    assert!(listing.leftovers.iter().all(|name| names.contains(&&**name)), "a name that is not there");
}
