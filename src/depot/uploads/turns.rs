//! One request at a time writes to an upload: the newest. A client whose connection broke asks and sends again long before
//! we see that the old request is dead, so whoever comes ends whoever is there.
//!
//! Within this process the old one is told; one of another process keeps the upload until its connection ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use parking_lot::MutexGuard;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Record, UNFINISHED, UploadError};
use crate::{
    depot::{Author, Depot, Error, State},
    digest::Hasher,
    disk::{self, Directory},
    volume::{self, Lock},
};

/// The uploads that this process has worked on.
#[derive(Debug, Default)]
pub(in crate::depot) struct Turns(Mutex<HashMap<Uuid, Arc<Seat>>>);

/// Where who writes to one upload sits.
#[derive(Default)]
struct Seat {
    /// Held while writing. So far hashed: the bytes up to this offset.
    hashed: parking_lot::Mutex<Option<(u64, Hasher)>>,
    newest: Mutex<CancellationToken>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Seat").field("newest", &self.newest).finish_non_exhaustive()
    }
}

/// A request's right to an upload, until a newer one comes.
#[derive(Debug)]
pub struct Turn {
    id: Uuid,
    seat: Arc<Seat>,
    over: CancellationToken,
}

impl Turn {
    /// The upload.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Cancelled when a newer request has come.
    #[must_use]
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }
}

/// An upload that nobody else works on now.
pub(super) struct Hold<'a> {
    pub(super) hashed: MutexGuard<'a, Option<(u64, Hasher)>>,
    _lock: Lock,
    pub(super) unfinished: Directory,
    pub(super) folder: Directory,
    pub(super) record: Record,
}

impl Turns {
    /// Forgets an upload that is gone.
    pub(super) fn forget(&self, id: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn seat(&self, id: Uuid) -> Arc<Seat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone()
    }
}

impl Depot {
    /// The turn of a new request, which ends the one that writes to the upload now.
    ///
    /// # Errors
    /// When there is no such upload, or somebody began it who reaches further than `author`.
    pub fn turn(&self, id: Uuid, author: &Author) -> Result<Turn, Error> {
        let state = self.state()?.ok_or(UploadError::NoSuch(id))?;
        let unfinished = disk::if_there(state.home.uploads()?.directory(UNFINISHED))?;
        let folder = unfinished.map(|unfinished| disk::if_there(unfinished.directory(id.to_string()))).transpose()?;
        let Some(folder) = folder.flatten() else {
            // Another process may have removed it.
            self.turns.forget(id);
            return Err(UploadError::NoSuch(id).into());
        };
        // Whose it is must not be learnt by ending somebody's request.
        if author.within.is_some() && !author.includes(&Record::read(&folder)?.by) {
            return Err(UploadError::NoSuch(id).into());
        }
        let (seat, over) = (self.turns.seat(id), CancellationToken::new());
        std::mem::replace(&mut *seat.newest.lock().unwrap_or_else(PoisonError::into_inner), over.clone()).cancel();
        Ok(Turn { id, seat, over })
    }

    /// A turn that ends nobody's.
    pub(super) fn turn_to_expire(&self, id: Uuid) -> Turn {
        Turn { id, seat: self.turns.seat(id), over: CancellationToken::new() }
    }

    /// Waits until nobody else works on the upload.
    pub(super) fn hold<'a>(&self, state: &State, turn: &'a Turn, patience: Duration) -> Result<Hold<'a>, Error> {
        let hashed = turn.seat.hashed.try_lock_for(patience).ok_or(UploadError::Busy)?;
        if turn.over.is_cancelled() {
            return Err(UploadError::Busy.into());
        }
        let no_such = || UploadError::NoSuch(turn.id);
        let unfinished = disk::if_there(state.home.uploads()?.directory(UNFINISHED))?.ok_or_else(no_such)?;
        let lock = match state.home.turn_to_upload(&format!("{UNFINISHED}/{}", turn.id), patience) {
            Err(volume::Error::Locked { .. }) => return Err(UploadError::Busy.into()),
            Err(volume::Error::Disk(error)) if error.is_absent() => return Err(no_such().into()),
            lock => lock?,
        };
        // Not before: whoever had it may have removed it.
        let folder = disk::if_there(unfinished.directory(turn.id.to_string()))?.ok_or_else(no_such)?;
        let record = Record::read(&folder)?;
        Ok(Hold { hashed, _lock: lock, unfinished, folder, record })
    }
}
