//! The one room that touches a disk.
//!
//! Everything is relative to an open [`Directory`], and no name is ever followed through a link, so that neither a
//! hostile name nor a link that somebody left on the volume leads out of it. A clippy ban on `std::fs` elsewhere keeps
//! it so. Errors always name the call and the path.

mod abilities;
mod allocate;
mod directory;
mod growing;
mod holding;
mod mount;
mod owner;
mod place;
mod staging;
mod stat;
mod sync;

pub use abilities::Abilities;
pub use directory::Directory;
pub use growing::{BYTES, Growing, NOTE};
pub use holding::{Holding, held};
pub use mount::Mount;
pub use place::{Wanted, dress_file, place};
pub use staging::{StageError, Staged, Staging};
pub use stat::{Kind, Stat};
pub use sync::{FileSystem, Room};

use std::{io, path::PathBuf};

/// A system call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{call} {}: {source}", path.display())]
pub struct Error {
    /// The call, by its name in section 2 of the manual.
    pub call: &'static str,
    /// What it was called on.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl Error {
    /// Whether nothing is there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether something is there already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether the volume or a quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether it is a sync that failed: final for what was to be synced.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        matches!(self.call, "fsync" | "fdatasync" | "syncfs")
    }

    /// Whether this process may not write there.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }

    /// Whether what was read is not what its name promises.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.source.kind() == io::ErrorKind::InvalidData
    }

    /// Whether two names cannot take each other's place here: NFS and some others.
    #[must_use]
    pub fn lacks_exchange(&self) -> bool {
        [rustix::io::Errno::INVAL, rustix::io::Errno::NOSYS, rustix::io::Errno::OPNOTSUPP]
            .iter()
            .any(|errno| self.source.raw_os_error() == Some(errno.raw_os_error()))
    }

    /// Whether the process or the system ran out of descriptors or memory, which passes.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(code) if [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM]
            .iter()
            .any(|errno| errno.raw_os_error() == code))
    }
}

/// Nothing, when no directory was there: nothing at all, a file or a link; other errors stay.
///
/// # Errors
/// As `result`, but for these.
pub fn if_directory(result: Result<Directory, Error>) -> Result<Option<Directory>, Error> {
    let is_none = |error: &Error| {
        let other = [rustix::io::Errno::NOTDIR, rustix::io::Errno::LOOP];
        error.is_absent() || other.iter().any(|errno| error.source.raw_os_error() == Some(errno.raw_os_error()))
    };
    match result {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if is_none(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Nothing, when nothing was there, also since the path leads through a file; other errors stay.
///
/// # Errors
/// As `result`, but for these.
pub fn if_path<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(error) if error.source.raw_os_error() == Some(rustix::io::Errno::NOTDIR.raw_os_error()) => Ok(None),
        result => if_there(result),
    }
}

/// Nothing, when nothing was there; other errors stay.
///
/// # Errors
/// As `result`, but for absence.
pub fn if_there<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
