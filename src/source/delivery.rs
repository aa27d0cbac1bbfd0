//! Handing one file over.
//!
//! A taker sees either the whole content and then its end, or an error; never the end of a file that is too short. When
//! it fails, this module knows whose failure it was, which the taker's own error cannot tell.

use std::io::{self, Read};

use super::{Cause, Item, Progress, Reading};

/// Why a file was not taken.
pub(super) enum Undelivered {
    /// Its content could not be read.
    Content(io::Error),
    /// The taker did not want it.
    Sink(Cause),
}

/// Counts what passes by, and keeps the first error.
struct Metered<'a> {
    content: &'a mut dyn Read,
    progress: &'a Progress,
    expected: Option<u64>,
    read: u64,
    ended: bool,
    failure: Option<io::Error>,
}

impl Reading<'_> {
    /// Hands one file over; the bytes it had.
    pub(super) fn deliver(&self, item: &Item, content: &mut dyn Read) -> Result<u64, Undelivered> {
        let expected = item.size;
        let mut metered = Metered { content, progress: self.progress, expected, read: 0, ended: false, failure: None };
        let taken = (self.sink)(item, &mut metered);
        // A taker that stops early would otherwise store the beginning of a file as the file.
        let is_whole = taken.is_err() || metered.ended || matches!(metered.read(&mut [0]), Ok(0));
        let outcome = match (metered.failure, taken) {
            (Some(failure), _) => Err(Undelivered::Content(failure)),
            (None, Err(cause)) => Err(Undelivered::Sink(cause)),
            (None, Ok(())) if !is_whole => Err(Undelivered::Sink("it was not read to its end".into())),
            (None, Ok(())) => Ok(metered.read),
        };
        match outcome {
            Ok(_) => self.progress.took(),
            Err(_) => self.progress.unread(metered.read),
        }
        outcome
    }
}

impl Metered<'_> {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.read += read as u64;
        self.progress.read(read as u64);
        self.ended = read == 0 && !buffer.is_empty();
        match self.expected {
            Some(size) if self.read > size => Err(io::Error::other("it is longer than announced")),
            Some(size) if self.ended && self.read < size => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than announced"))
            }
            _ => Ok(read),
        }
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(io::Error::new(failure.kind(), failure.to_string()));
        }
        match self.next(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let copy = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                Err(copy)
            }
            outcome => outcome,
        }
    }
}
