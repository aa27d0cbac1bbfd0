//! How far a reading has come: counters that whoever draws a bar or writes a log line may look at.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of one reading. They are approximate while it runs and promise nothing about what was taken in.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicU64,
    bytes: AtomicU64,
    fetched: AtomicU64,
    all_files: AtomicU64,
    all_bytes: AtomicU64,
}

impl Progress {
    /// Files handed over so far.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.files.load(Relaxed)
    }

    /// Bytes of content handed over so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Bytes of an archive brought near so far, those twice that came twice; its files are handed over only after that.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Relaxed)
    }

    /// Files and bytes in all, where the source knows them beforehand (archives do not).
    #[must_use]
    pub fn totals(&self) -> Option<(u64, u64)> {
        let files = self.all_files.load(Relaxed);
        (files > 0).then(|| (files, self.all_bytes.load(Relaxed)))
    }

    /// Sets what there is in all.
    pub(super) fn expect(&self, files: u64, bytes: u64) {
        self.all_bytes.store(bytes, Relaxed);
        self.all_files.store(files, Relaxed);
    }

    /// More of a file was read.
    pub(super) fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// A file was read whole and taken.
    pub(super) fn took(&self) {
        self.files.fetch_add(1, Relaxed);
    }

    /// A file was not taken after all: its bytes will come again, or never.
    pub(super) fn unread(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// More of an archive came.
    pub(super) fn fetch(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Relaxed);
    }
}
