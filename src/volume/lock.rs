//! The lock that processes sharing a volume take to apply.
//!
//! It only saves work for the journal, but it orders what the volume shows: whoever applies reads the head under it, so a
//! slow process never flips back what a faster one acknowledged. The kernel frees it when its holder dies.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{Error, Home, home::UPLOADS};
use crate::disk;

const LOCK: &str = "lock";
const FILLING: &str = "filling";
/// Waiting that is not worth a line in the log.
const QUIETLY: Duration = Duration::from_secs(3);
/// Between two looks at a lock that is taken.
const PAUSE: Duration = Duration::from_millis(5);

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Home {
    /// Whether anybody has ever taken the lock: taking it makes its file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn has_lock(&self) -> Result<bool, disk::Error> {
        Ok(disk::if_there(self.directory.stat(LOCK))?.is_some())
    }

    /// Takes the volume's lock, waiting `patience` at most.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process keeps it that long; as the disk says.
    pub fn lock(&self, patience: Duration) -> Result<Lock, Error> {
        self.lock_on(LOCK, patience)
    }

    /// Takes the turn to fill a volume that has no release yet, so that of several processes that start together one
    /// reads the source and the others wait for what it makes. It saves work only: without it the journal decides.
    ///
    /// # Errors
    /// As [`Home::lock`].
    pub fn turn_to_fill(&self, patience: Duration) -> Result<Lock, Error> {
        self.lock_on(FILLING, patience)
    }

    /// Waits for the turn to write to the upload in the folder `name` of all uploads.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process works on it for longer; when the upload is not there.
    pub fn turn_to_upload(&self, name: &str, patience: Duration) -> Result<Lock, Error> {
        self.lock_on(&format!("{UPLOADS}/{name}/{LOCK}"), patience)
    }

    fn lock_on(&self, name: &str, patience: Duration) -> Result<Lock, Error> {
        let file = self.directory.lock_file(name, self.mode & 0o660)?;
        let start = Instant::now();
        let mut is_said = false;
        loop {
            if !is_said && start.elapsed() > QUIETLY {
                is_said = true;
                tracing::info!(lock = name, ?patience, "another process holds the volume: waiting for it");
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if start.elapsed() < patience => thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Err(Error::Locked { waited: patience }),
                Err(errno) => {
                    let path = self.directory.path().join(name);
                    return Err(disk::Error { call: "flock", path, source: errno.into() }.into());
                }
            }
        }
    }
}
