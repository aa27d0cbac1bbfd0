//! How much may come in, whichever way it comes: plain functions of numbers, asked before the first byte where the
//! numbers are known, and while bytes come where they are not.
//!
//! They bind clients. Seeds, a followed source and what is taken over from the volume are the operator's, and roll-backs
//! and deletions make nothing larger: those are not asked.

use std::time::Duration;

use super::Error;
use crate::{disk::Room, manifest::Sum};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What an archive or a form needs around one file: a header, padding, a long name.
const AROUND_A_FILE: u64 = 2 * 1024;
/// And after the last one.
const AT_THE_END: u64 = 16 * MIB;

/// How much may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file.
    pub file: u64,
    /// Bytes of all files of a release.
    pub site: u64,
    /// Files of a release.
    pub files: u64,
    /// Requests with a body at once.
    pub uploads: usize,
    /// How long an upload that is not finished is kept, and an object that no release names.
    pub upload_age: Duration,
    /// Space that a write leaves free.
    pub min_free: MinFree,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 10 * GIB,
            site: 100 * GIB,
            files: 100_000,
            uploads: 256,
            upload_age: Duration::from_hours(24),
            min_free: MinFree::Usual,
        }
    }
}

/// Space that a write leaves free on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFree {
    /// A hundredth of the volume, but no more than 1 GiB: a large disk that others share would else be closed to us while
    /// there is plenty of room.
    Usual,
    /// As many bytes.
    Bytes(u64),
    /// As many hundredths of the volume.
    Percent(u8),
}

impl MinFree {
    /// In bytes, on a volume of this `capacity`.
    #[must_use]
    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Usual => (capacity / 100).min(GIB),
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                u64::try_from(u128::from(capacity) * u128::from(percent) / 100).unwrap_or(u64::MAX)
            }
        }
    }
}

/// A limit that something is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Bytes of a file.
    #[error("a file may have {limit} bytes (--max-file), this one has {wanted} or more")]
    File {
        /// How many may be.
        limit: u64,
        /// How many would be, as far as is known.
        wanted: u64,
    },
    /// Bytes of a release.
    #[error("the files of a site may have {limit} bytes (--max-site), these would have {wanted} or more")]
    Site {
        /// How many may be.
        limit: u64,
        /// How many would be, as far as is known.
        wanted: u64,
    },
    /// Files of a release.
    #[error("a site may have {limit} files (--max-files), this one would have {wanted} or more")]
    Files {
        /// How many may be.
        limit: u64,
        /// How many would be, as far as is known.
        wanted: u64,
    },
    /// Folders of the files that come.
    #[error("the files that come may lie in {limit} folders (--max-files), these lie in {wanted}")]
    Folders {
        /// How many may be.
        limit: u64,
        /// How many there are.
        wanted: u64,
    },
}

impl Limits {
    /// Fails for a file of so many bytes.
    ///
    /// # Errors
    /// [`Exceeded::File`].
    pub fn file(&self, bytes: u64) -> Result<(), Exceeded> {
        if bytes > self.file { Err(Exceeded::File { limit: self.file, wanted: bytes }) } else { Ok(()) }
    }

    /// Fails for a site that becomes `new`. One that is beyond a limit already, by a seed or since the limit was higher,
    /// may not grow, and may be mended.
    ///
    /// # Errors
    /// [`Exceeded::Site`] or [`Exceeded::Files`].
    pub fn site(&self, live: Sum, new: Sum) -> Result<(), Exceeded> {
        if new.files > self.files.max(live.files) {
            return Err(Exceeded::Files { limit: self.files, wanted: new.files });
        }
        if new.bytes > self.site.max(live.bytes) {
            return Err(Exceeded::Site { limit: self.site, wanted: new.bytes });
        }
        Ok(())
    }

    /// Fails for files that lie in so many folders: a few thousand deep paths make a million folders, and each takes as much
    /// memory and as many inodes as a file.
    ///
    /// # Errors
    /// [`Exceeded::Folders`].
    pub fn folders(&self, folders: u64) -> Result<(), Exceeded> {
        if folders > self.files { Err(Exceeded::Folders { limit: self.files, wanted: folders }) } else { Ok(()) }
    }

    /// Fails for an archive or a form of so many bytes, of which no site could be made.
    ///
    /// # Errors
    /// [`Exceeded::Site`].
    pub fn body(&self, bytes: u64) -> Result<(), Exceeded> {
        let around = self.files.saturating_mul(AROUND_A_FILE).saturating_add(AT_THE_END);
        if bytes > self.site.saturating_add(around) {
            return Err(Exceeded::Site { limit: self.site, wanted: bytes });
        }
        Ok(())
    }

    /// Fails when a write of so many bytes would leave less than is to stay free.
    ///
    /// # Errors
    /// [`Error::NoRoom`].
    pub fn room(&self, bytes: u64, free: Room, capacity: Room) -> Result<(), Error> {
        let floor = self.min_free.of(capacity.bytes);
        let needed = bytes.saturating_add(floor);
        if free.bytes < needed {
            return Err(Error::NoRoom { needed: bytes, free: free.bytes, floor });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        file: 10,
        site: 100,
        files: 5,
        uploads: 1,
        upload_age: Duration::ZERO,
        min_free: MinFree::Percent(10),
    };

    fn sum(files: u64, bytes: u64) -> Sum {
        Sum { files, bytes }
    }

    #[test]
    fn a_limit_itself_is_allowed() {
        assert_eq!(LIMITS.file(10), Ok(()));
        assert_eq!(LIMITS.file(11), Err(Exceeded::File { limit: 10, wanted: 11 }));
        assert_eq!(LIMITS.site(sum(0, 0), sum(5, 100)), Ok(()));
        assert_eq!(LIMITS.site(sum(0, 0), sum(6, 1)), Err(Exceeded::Files { limit: 5, wanted: 6 }));
        assert_eq!(LIMITS.site(sum(5, 100), sum(5, 101)), Err(Exceeded::Site { limit: 100, wanted: 101 }));
        assert_eq!(LIMITS.folders(5), Ok(()));
        assert_eq!(LIMITS.folders(6), Err(Exceeded::Folders { limit: 5, wanted: 6 }));
        assert_eq!(LIMITS.body(100), Ok(()));
        assert!(LIMITS.body(100 + 5 * AROUND_A_FILE + AT_THE_END + 1).is_err());
    }

    #[test]
    fn a_site_beyond_a_limit_may_shrink_and_not_grow() {
        assert_eq!(LIMITS.site(sum(9, 200), sum(9, 200)), Ok(()));
        assert_eq!(LIMITS.site(sum(9, 200), sum(8, 199)), Ok(()));
        assert!(LIMITS.site(sum(9, 200), sum(9, 201)).is_err());
        assert!(LIMITS.site(sum(9, 200), sum(10, 20)).is_err());
    }

    #[test]
    fn what_is_to_stay_free_stays_free() {
        let room = |bytes| Room { bytes, inodes: 1 };
        assert!(LIMITS.room(40, room(50), room(100)).is_ok());
        let refused = LIMITS.room(41, room(50), room(100));
        assert!(matches!(refused, Err(Error::NoRoom { needed: 41, free: 50, floor: 10 })), "{refused:?}");
        assert!(LIMITS.room(0, room(9), room(100)).is_err());
        assert_eq!(MinFree::Usual.of(100 * MIB), MIB);
        assert_eq!(MinFree::Usual.of(u64::MAX), GIB);
        assert_eq!(MinFree::Percent(100).of(u64::MAX), u64::MAX);
    }
}
