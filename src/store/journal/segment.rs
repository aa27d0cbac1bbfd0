//! A segment: the entries of a range of numbers that are kept, in one file.
//!
//! The first line tells the range, the digest of the entry before it and that of its last one, so that the chain goes on
//! across entries that are not kept any more, and the digest of what follows: the lines of the entries, byte for byte as
//! they were in files of their own, oldest first.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Error, listing::Range};
use crate::{
    digest::Digest,
    entry::{Committed, Entry},
};

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    first: u64,
    last: u64,
    /// Of the entry before the first.
    previous: Option<Digest>,
    /// Of the last entry, whether or not it is kept.
    head: Digest,
    /// Of the lines that follow.
    body: Digest,
}

/// An entry and its line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) committed: Arc<Committed>,
    pub(super) text: Vec<u8>,
}

impl Line {
    /// The entry `seq` as it is written.
    pub(super) fn parse(seq: u64, text: &[u8]) -> Result<Self, Error> {
        let damaged = |why: String| Error::Damaged { what: format!("journal entry {seq}"), why };
        let entry: Entry = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        if entry.version > 1 {
            return Err(Error::Newer { seq, version: entry.version });
        }
        if entry.seq != seq || entry.version != 1 {
            return Err(damaged(format!("it says seq {} of format {}", entry.seq, entry.version)));
        }
        Ok(Self { committed: Arc::new(Committed { entry, digest: Digest::of(text) }), text: text.into() })
    }

    pub(super) fn seq(&self) -> u64 {
        self.committed.entry.seq
    }
}

/// Entries of a range of numbers.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) range: Range,
    pub(super) previous: Option<Digest>,
    pub(super) head: Digest,
    /// Those that are kept, oldest first.
    pub(super) lines: Vec<Line>,
}

impl Segment {
    /// The file's bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let body: Vec<u8> = self.lines.iter().flat_map(|line| line.text.iter().copied()).collect();
        let Range { first, last } = self.range;
        let (previous, head) = (self.previous, self.head);
        let header = Header { version: 1, first, last, previous, head, body: Digest::of(&body) };
        let mut bytes = serde_json::to_vec(&header).expect("a header has nothing that JSON lacks");
        bytes.push(b'\n');
        bytes.extend(body);
        bytes
    }

    /// Reads the file of `range` back.
    pub(super) fn parse(range: Range, bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |why: String| damaged(range, why);
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("it has no header".into()))?;
        let (header, body) = bytes.split_at(end + 1);
        let header: Header = serde_json::from_slice(header).map_err(|error| damaged(error.to_string()))?;
        if header.version > 1 {
            return Err(Error::Newer { seq: range.first, version: header.version });
        }
        if (header.version, header.first, header.last) != (1, range.first, range.last) {
            let Header { version, first, last, .. } = header;
            return Err(damaged(format!("it says {first} to {last} of format {version}")));
        }
        if Digest::of(body) != header.body {
            return Err(damaged("its lines are not those that were written".into()));
        }
        let mut lines: Vec<Line> = Vec::new();
        for text in body.split_inclusive(|byte| *byte == b'\n') {
            let entry: Entry = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
            let line = Line::parse(entry.seq, text)?;
            let follows = lines.last().is_none_or(|before| before.seq() < entry.seq);
            if !follows || !range.covers(entry.seq) {
                return Err(damaged(format!("entry {} is out of place in it", entry.seq)));
            }
            lines.push(line);
        }
        let segment = Self { range, previous: header.previous, head: header.head, lines };
        segment.check()?;
        Ok(segment)
    }

    /// Each entry follows from the one before, wherever both are there.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut before = (self.range.first - 1, self.previous);
        for line in &self.lines {
            let Entry { seq, previous, .. } = line.committed.entry;
            if before.0 + 1 == seq && before.1 != previous {
                return Err(damaged(self.range, format!("entry {seq} does not follow from the one before")));
            }
            before = (seq, Some(line.committed.digest));
        }
        if before.0 == self.range.last && before.1 != Some(self.head) {
            return Err(damaged(self.range, "its last entry is another one".into()));
        }
        Ok(())
    }
}

pub(super) fn damaged(range: Range, why: String) -> Error {
    Error::Damaged { what: format!("the journal's segment {} to {}", range.first, range.last), why }
}
