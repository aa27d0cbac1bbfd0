//! Seed content: a directory, a bucket's keys, or an archive (in a file, in a bucket, at an address).
//!
//! A [`Source`] hands every file to a taker, streaming, so that memory stays flat however large the files are. It returns
//! success only when everything was read whole and, for trees that others may change meanwhile, when the list of files
//! was the same before and after. What it hands over is named by a [`SitePath`]: nothing here can name a place outside.
//!
//! The interface is blocking, for blocking threads: hashing and writing behind it are too. It must never be called from
//! an async task. It assumes a tokio runtime that keeps running, for the network. It writes nothing but scratch files
//! that the caller lends, and it knows nothing of volumes and releases.

mod archive;
#[cfg(test)]
mod basket;
mod bucket;
mod client;
mod delivery;
mod directory;
mod download;
mod error;
mod local;
mod location;
mod patience;
mod progress;
mod tree;

use std::{
    fs::File,
    io::{self, Read},
};

use tokio::runtime::Handle;

pub use self::{
    archive::{Format, read_archive},
    error::{Cause, Error, Kind},
    location::{BucketLocation, Cloud, Location, LocationError},
    patience::Patience,
    progress::Progress,
};
use self::{bucket::Bucket, download::Download, local::Local};
use crate::{digest::Digest, path::SitePath};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use archive::fuzzing;
pub(crate) use client::build as build_client;
#[cfg(feature = "kubernetes")]
pub(crate) use client::provide as provide_cryptography;

/// One file on its way in.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name.
    pub path: SitePath,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Its bytes, where that is known beforehand; the reader then yields exactly as many, or an error.
    pub size: Option<u64>,
    /// When it was modified, in whole seconds since 1970, where the source says so.
    pub modified: Option<i64>,
}

/// Takes one file in, and reads it to its end.
///
/// Called once per file, from several threads at once. A call whose reader failed may be followed by another for the
/// same path; so may one that succeeded, when the source changed meanwhile: the last call counts.
pub type Sink<'a> = dyn Fn(&Item, &mut dyn Read) -> Result<(), Cause> + Sync + 'a;

/// What a reading needs from its caller.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Takes each file in.
    pub sink: &'a Sink<'a>,
    /// Called for a path that was handed over and then vanished from the source: it is no part of the content.
    pub forget: &'a (dyn Fn(&SitePath) + Sync),
    /// Makes a temporary file that has no name (zip archives and downloads need to go back and forth in one).
    pub scratch: &'a (dyn Fn() -> io::Result<File> + Sync),
    /// Counts.
    pub progress: &'a Progress,
    /// Whether many others may be read at the same time, so that this one must take little memory.
    pub is_one_of_many: bool,
}

impl Reading<'_> {
    /// Bytes of names that an archive may make us hold.
    const fn most_names(&self) -> u64 {
        let mib = if self.is_one_of_many { 24 } else { 64 };
        mib << 20
    }

    /// Bytes that a zip's directory may have: an entry of 50 bytes takes us 500.
    const fn largest_directory(&self) -> u64 {
        let mib = if self.is_one_of_many { 10 } else { 64 };
        mib << 20
    }
}

/// What was read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Files.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// A place to read content from.
pub struct Source(Inner);

enum Inner {
    Local(Local),
    Bucket(Bucket),
    Download(Download),
}

impl Source {
    /// Prepares to read; nothing is asked of the place yet. Network traffic will run on `runtime`.
    ///
    /// # Errors
    /// When the environment's settings for a store make no sense.
    pub fn open(location: &Location, runtime: &Handle) -> Result<Self, Error> {
        Self::open_with(location, runtime, Patience::default())
    }

    /// As [`Source::open`], with other patience.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn open_with(location: &Location, runtime: &Handle, patience: Patience) -> Result<Self, Error> {
        Ok(Self(match location {
            Location::Local(path) => Inner::Local(Local::new(path)),
            Location::Bucket(bucket) => Inner::Bucket(Bucket::open(bucket, runtime, patience)?),
            Location::Archive(url) => Inner::Download(Download::open(location, url, runtime, patience)?),
        }))
    }

    /// Something that changes when the content changes, cheap to get: names, sizes, times and entity tags.
    ///
    /// Comparable within one process only (it may hold inode numbers); equal marks promise equal content as far as the
    /// place itself keeps that promise.
    ///
    /// # Errors
    /// [`Kind::Absent`] and [`Kind::Empty`] tell that nothing is there (an archive's emptiness shows only when it is
    /// read); otherwise as [`Source::read`].
    pub fn mark(&self) -> Result<Digest, Error> {
        match &self.0 {
            Inner::Local(local) => local.mark(),
            Inner::Bucket(bucket) => bucket.mark(),
            Inner::Download(download) => download.mark(),
        }
    }

    /// Hands all files over. On an error, forget whatever came: it may be half of the content.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub fn read(&self, reading: &Reading<'_>) -> Result<Summary, Error> {
        match &self.0 {
            Inner::Local(local) => local.read(reading),
            Inner::Bucket(bucket) => bucket.read(reading),
            Inner::Download(download) => download.read(reading),
        }
    }
}
