//! Uploads that can be resumed: their bytes come in pieces, over any number of requests, restarts and pods.
//!
//! Each has a folder of its own in `.longshore/uploads/unfinished`: what its client said of it (`upload.json`), its bytes,
//! and how many of them are durable. When the last one is there it becomes an object that waits, like one that was sent
//! whole; when it is meant for a path, a write of that one file follows.

mod append;
mod finish;
mod record;
mod turns;

pub use append::Piece;
pub use record::{Finished, Wanted};
pub use turns::Turn;
pub(super) use turns::Turns;

use std::time::Duration;

use uuid::Uuid;

use super::{Depot, Error, State};
use crate::{
    disk::{self, Directory, Growing},
    entry::Entry,
    random,
};
use record::Record;
use turns::Hold;

const UNFINISHED: &str = "unfinished";

/// How long a request waits for the one that it ends, or for one of another process.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of an upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its name, and that of the operation which publishes it.
    pub id: Uuid,
    /// Where it goes on.
    pub offset: u64,
    /// How many bytes it will have, if that is known yet.
    pub length: Option<u64>,
    /// What its client says of it, as it came.
    pub metadata: String,
    /// When it goes, if nothing comes until then, in seconds since 1970.
    pub expires: i64,
    /// What it became.
    pub finished: Option<Finished>,
}

/// Why an upload refuses a request.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is not there.
    #[error("there is no upload {0}: it was ended, or nothing came for so long that it went; begin a new one")]
    NoSuch(Uuid),
    /// A piece does not follow on what is there.
    #[error(
        "the upload goes on at byte {offset}, not {said}: ask for its offset with HEAD, and send the rest from there"
    )]
    Offset {
        /// Where it goes on.
        offset: u64,
        /// Where the piece begins.
        said: u64,
    },
    /// A piece goes beyond the end.
    #[error("the upload has {length} bytes: more come than that")]
    TooLong {
        /// How many bytes it has.
        length: u64,
    },
    /// Its length was told before, or less than what is there.
    #[error("the upload cannot have {said} bytes: it has {real}")]
    Length {
        /// What is said now.
        said: u64,
        /// What was said before, or is there.
        real: u64,
    },
    /// Another request writes to it.
    #[error("another request writes to this upload: ask for its offset with HEAD, and go on from there")]
    Busy,
}

impl Depot {
    /// Begins an upload.
    ///
    /// # Errors
    /// When the volume cannot be written to.
    pub fn begin_upload(&self, wanted: Wanted) -> Result<Upload, Error> {
        let state = self.state_for_writing()?;
        let (id, record) = (random::uuid(), Record::new(wanted));
        let staging = state.home.stage()?;
        // Made out of sight, so that no half of it is ever found.
        let (name, folder) = staging.fresh_folder(state.home.mode)?;
        Growing::create(&folder, state.home.mode & 0o660)?;
        record.write(&staging, &folder)?;
        folder.sync()?;
        let unfinished = state.home.uploads()?.make_directory(UNFINISHED, state.home.mode)?;
        staging.directory().rename(name, &unfinished, id.to_string())?;
        unfinished.sync()?;
        state.home.uploads()?.sync()?;
        self.upload_of(id, &folder, &record)
    }

    /// What is known of an upload. Whoever writes to it is ended, since its client asks where to go on.
    ///
    /// # Errors
    /// When it is not there; [`UploadError::Busy`] when another process writes to it.
    pub fn upload(&self, turn: &Turn) -> Result<Upload, Error> {
        let state = self.state()?.ok_or(UploadError::NoSuch(turn.id()))?;
        let hold = self.hold(&state, turn, PATIENCE)?;
        if hold.record.finished.is_some() {
            // Nobody writes to it any more.
            self.turns.forget(turn.id());
        }
        self.upload_of(turn.id(), &hold.folder, &hold.record)
    }

    /// Ends an upload: what came of it is removed. One that is finished stays published.
    ///
    /// # Errors
    /// As [`Depot::upload`].
    pub fn end_upload(&self, turn: &Turn) -> Result<(), Error> {
        let state = self.state_for_writing()?;
        let hold = self.hold(&state, turn, PATIENCE)?;
        self.remove_upload(&state, turn, &hold)
    }

    /// Removes uploads to which nothing came for as long as objects wait; tells how many.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn expire_uploads(&self) -> Result<usize, Error> {
        let Some(state) = self.state()? else { return Ok(0) };
        let Some(unfinished) = disk::if_there(state.home.uploads()?.directory(UNFINISHED))? else { return Ok(0) };
        let (now, mut gone) = (Entry::now().timestamp(), 0);
        for name in unfinished.list()? {
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                // Nobody's: a client could never name it.
                unfinished.remove_all(&name)?;
                continue;
            };
            let Some(folder) = disk::if_there(unfinished.directory(&name))? else { continue };
            if self.expires(&folder)? >= now {
                continue;
            }
            let turn = self.turn_to_expire(id);
            let removed = self.hold(&state, &turn, Duration::ZERO).and_then(|hold| {
                // A piece may have come and ended since.
                let is_old = self.expires(&hold.folder)? < now;
                if is_old { self.remove_upload(&state, &turn, &hold).map(|()| true) } else { Ok(false) }
            });
            match removed {
                Ok(is_gone) => gone += usize::from(is_gone),
                Err(Error::Upload(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    fn remove_upload(&self, state: &State, turn: &Turn, hold: &Hold<'_>) -> Result<(), Error> {
        let (staging, id) = (state.home.stage()?, turn.id().to_string());
        // At once; its bytes go when `staging` does.
        disk::if_there(hold.unfinished.rename(&id, staging.directory(), &id))?;
        hold.unfinished.sync()?;
        self.turns.forget(turn.id());
        Ok(())
    }

    fn upload_of(&self, id: Uuid, folder: &Directory, record: &Record) -> Result<Upload, Error> {
        let finished = record.finished.clone();
        let offset = match (&finished, record.length) {
            (Some(_), Some(length)) => length,
            _ => record.offset(folder)?,
        };
        let (length, metadata) = (record.length, record.metadata.clone());
        Ok(Upload { id, offset, length, metadata, expires: self.expires(folder)?, finished })
    }

    /// When the upload in `folder` goes, if nothing comes.
    fn expires(&self, folder: &Directory) -> Result<i64, Error> {
        // The note is written whenever something came.
        let came = disk::if_there(folder.stat(disk::NOTE))?.map_or(0, |stat| stat.mtime);
        Ok(came.saturating_add(self.upload_age()))
    }
}
