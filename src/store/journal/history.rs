//! Reading back: from the newest entry to the oldest kept, or one by its number; while another process folds.

use std::sync::Arc;

use super::{
    Error, Journal,
    listing::{Listing, Range},
    segment::{Line, Segment},
};
use crate::{
    digest::Digest,
    disk,
    entry::{Committed, Entry},
};

/// How often to look again for what another process moves while we look.
const LOOKS: usize = 10;

/// The entries that are kept, newest first; it checks that each follows from the one before.
pub struct History<'a> {
    journal: &'a Journal,
    listing: Listing,
    /// The number to be read next; 0 at the end.
    next: u64,
    /// Read from a segment, oldest first.
    waiting: Vec<Arc<Committed>>,
    /// The digest that the next entry must have, when that is known.
    expected: Option<Digest>,
    /// What `expected` is once nothing waits.
    before: Option<Digest>,
}

impl<'a> History<'a> {
    pub(super) fn new(journal: &'a Journal) -> Result<Self, Error> {
        let head = journal.head()?;
        Ok(Self {
            journal,
            listing: journal.list()?,
            next: head.as_ref().map_or(0, |head| head.entry.seq),
            waiting: Vec::new(),
            expected: head.map(|head| head.digest),
            before: None,
        })
    }

    fn advance(&mut self) -> Result<Option<Arc<Committed>>, Error> {
        if let Some(committed) = self.waiting.pop() {
            return self.step(committed).map(Some);
        }
        for _ in 0..LOOKS {
            if self.next == 0 {
                return Ok(None);
            }
            if let Some(range) = self.listing.segment(self.next) {
                if let Some(segment) = self.journal.segment(range)? {
                    self.enter(segment)?;
                    return self.advance();
                }
            } else if let Some(line) = self.journal.file(self.next)? {
                self.next -= 1;
                return self.step(line.committed).map(Some);
            }
            self.listing = self.journal.list()?;
        }
        Err(Error::Damaged { what: format!("journal entry {}", self.next), why: "it is missing".into() })
    }

    fn enter(&mut self, segment: Segment) -> Result<(), Error> {
        // Merged since with what was read already: then only what is older is new, and nothing tells its digest.
        let is_end = segment.range.last == self.next;
        if is_end && self.expected.is_some_and(|expected| expected != segment.head) {
            return Err(broken(self.next));
        }
        let (next, lines) = (self.next, segment.lines);
        self.waiting = lines.into_iter().map(|line| line.committed).filter(|entry| entry.entry.seq <= next).collect();
        if self.waiting.last().is_none_or(|newest| newest.entry.seq != next) {
            self.expected = None;
        }
        self.before = segment.previous;
        self.next = segment.range.first - 1;
        if self.waiting.is_empty() {
            self.expected = segment.previous;
        }
        Ok(())
    }

    fn step(&mut self, committed: Arc<Committed>) -> Result<Arc<Committed>, Error> {
        let Entry { seq, previous, .. } = committed.entry;
        if self.expected.is_some_and(|expected| expected != committed.digest) {
            return Err(broken(seq));
        }
        let is_followed = self.waiting.last().is_some_and(|older| older.entry.seq + 1 == seq);
        self.expected = match self.waiting.is_empty() {
            true if seq == self.next + 1 => previous,
            true => self.before,
            false => previous.filter(|_| is_followed),
        };
        Ok(committed)
    }
}

impl Iterator for History<'_> {
    type Item = Result<Arc<Committed>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            // What is older cannot be told from what never belonged here.
            (self.next, self.waiting) = (0, Vec::new());
        }
        next.transpose()
    }
}

fn broken(seq: u64) -> Error {
    Error::Damaged { what: format!("journal entry {seq}"), why: "the entry after it follows from another one".into() }
}

/// A file of the journal, for whoever looks for damage: an entry, or a segment.
#[derive(Debug)]
pub struct Piece {
    /// The first number that it stands for.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// What it holds, or what is wrong.
    pub content: Result<Content, Error>,
}

/// What a file of the journal holds.
#[derive(Debug)]
pub struct Content {
    /// The digest of the entry before it.
    pub previous: Option<Digest>,
    /// Its entries, oldest first.
    pub entries: Vec<Arc<Committed>>,
    /// The digest of its last number's entry.
    pub head: Digest,
}

impl Journal {
    /// Every file of the journal, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be listed, or does not stay the same for long enough.
    pub fn pieces(&self) -> Result<Vec<Piece>, Error> {
        'again: for _ in 0..LOOKS {
            let listing = self.list()?;
            let mut pieces = Vec::new();
            for Range { first, last } in listing.segments {
                let content = match self.segment(Range { first, last }) {
                    // Merged into another meanwhile.
                    Ok(None) => continue 'again,
                    Ok(Some(Segment { previous, lines, head, .. })) => {
                        let entries = lines.into_iter().map(|line| line.committed).collect();
                        Ok(Content { previous, entries, head })
                    }
                    Err(error) => Err(error),
                };
                pieces.push(Piece { first, last, content });
            }
            for seq in listing.files {
                let content = match self.file(seq) {
                    Ok(None) => continue 'again,
                    Ok(Some(Line { committed, .. })) => {
                        let (previous, head) = (committed.entry.previous, committed.digest);
                        Ok(Content { previous, entries: vec![committed], head })
                    }
                    Err(error) => Err(error),
                };
                pieces.push(Piece { first: seq, last: seq, content });
            }
            return Ok(pieces);
        }
        Err(Error::Damaged { what: "the journal".into(), why: "its files come and go".into() })
    }

    /// The entry `seq`; none when it is not there yet, or not kept any more.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, seq: u64) -> Result<Option<Arc<Committed>>, Error> {
        for _ in 0..LOOKS {
            let listing = self.list()?;
            match listing.segment(seq) {
                Some(range) => {
                    if let Some(segment) = self.segment(range)? {
                        let line = segment.lines.into_iter().find(|line| line.seq() == seq);
                        return Ok(line.map(|line| line.committed));
                    }
                }
                None if !listing.files.contains(&seq) => return Ok(None),
                None => {
                    if let Some(line) = self.file(seq)? {
                        return Ok(Some(line.committed));
                    }
                }
            }
        }
        Err(Error::Damaged { what: format!("journal entry {seq}"), why: "it comes and goes".into() })
    }

    /// The entries from the head back to the oldest kept, newest first.
    ///
    /// # Errors
    /// When the head cannot be read; later ones fail by themselves, and end it.
    pub fn history(&self) -> Result<History<'_>, Error> {
        History::new(self)
    }

    pub(super) fn segment(&self, range: Range) -> Result<Option<Segment>, Error> {
        let bytes = disk::if_there(self.directory.read(range.file_name()))?;
        bytes.map(|bytes| Segment::parse(range, &bytes)).transpose()
    }
}
