//! A file that comes in pieces, and beside it a note of how many of its bytes a power cut cannot take back.
//!
//! The bytes are synced before the note is written, so the note never says too much; then the note is synced, so that what
//! somebody was told is kept. It is written in place: of a torn one nothing can be read, and all comes once more.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
};

use rustix::fs;

use super::{Directory, Error, if_there};
use crate::planted;

/// The bytes.
pub const BYTES: &str = "bytes";
/// How many of them are durable.
pub const NOTE: &str = "offset";

/// A file in pieces, open for the next one.
#[derive(Debug)]
pub struct Growing {
    directory: Directory,
    bytes: File,
    note: File,
    written: u64,
}

impl Growing {
    /// Makes an empty one in `directory`, with the permission bits `mode`.
    ///
    /// # Errors
    /// When it is there, or the disk refuses.
    pub fn create(directory: &Directory, mode: u32) -> Result<(), Error> {
        directory.create(BYTES, mode)?;
        directory.create(NOTE, mode).map(drop)
    }

    /// How many bytes are there for good.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn kept(directory: &Directory) -> Result<u64, Error> {
        let note = if_there(directory.read(NOTE))?.unwrap_or_default();
        let noted = std::str::from_utf8(&note).ok().and_then(|note| note.trim().parse().ok()).unwrap_or(0);
        // Whoever cut the file short meant that, too.
        Ok(if_there(directory.stat(BYTES))?.map_or(0, |stat| stat.size).min(noted))
    }

    /// Opens the one in `directory` after what is there for good: the rest is dropped.
    ///
    /// # Errors
    /// When it is not there, or the disk refuses.
    pub fn open(directory: &Directory) -> Result<Self, Error> {
        let written = Self::kept(directory)?;
        let (bytes, note) = (directory.writable(BYTES)?, directory.writable(NOTE)?);
        let mut growing = Self { directory: directory.clone(), bytes, note, written };
        growing.back_to(written)?;
        Ok(growing)
    }

    /// Bytes that are there, for good or not.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Adds a piece, which is not there for good yet.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.bytes.write_all(piece).map_err(|source| self.failed("write", BYTES, source))?;
        self.written += piece.len() as u64;
        Ok(())
    }

    /// Makes what was written durable, and notes it, but no more than `most` bytes.
    ///
    /// # Errors
    /// When the disk refuses; then the note stays as it was.
    pub fn keep(&self, most: u64) -> Result<(), Error> {
        planted::sync(None, || fs::fdatasync(&self.bytes))
            .map_err(|errno| self.failed("fdatasync", BYTES, errno.into()))?;
        let note = format!("{:020}\n", self.written.min(most));
        self.note.write_all_at(note.as_bytes(), 0).map_err(|source| self.failed("pwrite", NOTE, source))?;
        planted::sync(None, || fs::fdatasync(&self.note)).map_err(|errno| self.failed("fdatasync", NOTE, errno.into()))
    }

    /// Drops what lies behind `offset`, which was not kept.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn back_to(&mut self, offset: u64) -> Result<(), Error> {
        let back = self.bytes.set_len(offset).and_then(|()| self.bytes.seek(SeekFrom::Start(offset)));
        back.map_err(|source| self.failed("ftruncate", BYTES, source))?;
        self.written = offset;
        Ok(())
    }

    fn failed(&self, call: &'static str, name: &str, source: std::io::Error) -> Error {
        Error { call, path: self.directory.path().join(name), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_kept_is_there_when_it_is_opened_again() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(scratch.path()).expect("opened");
        Growing::create(&directory, 0o600).expect("made");
        let mut growing = Growing::open(&directory).expect("opened");
        growing.write(b"one").expect("written");
        growing.keep(u64::MAX).expect("kept");
        growing.write(b"two").expect("written");
        assert_eq!((growing.written(), Growing::kept(&directory).expect("told")), (6, 3));
        drop(growing);
        let mut again = Growing::open(&directory).expect("opened");
        assert_eq!((again.written(), &*directory.read(BYTES).expect("read")), (3, &b"one"[..]));
        again.write(b"+").expect("written");
        again.keep(3).expect("kept");
        assert_eq!(directory.read(BYTES).expect("read"), b"one+");
        assert_eq!(Growing::kept(&directory).expect("told"), 3, "one byte is held back");
        std::fs::write(scratch.path().join(NOTE), "nonsense").expect("written");
        assert_eq!(Growing::kept(&directory).expect("told"), 0);
    }
}
