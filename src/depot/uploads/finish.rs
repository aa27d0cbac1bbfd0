//! The end of an upload: its bytes become an object that waits, or a file of the site.
//!
//! A process may die between any two steps, so each can be made again: the bytes stay here until the end is noted, and
//! from the moment that their digest is noted nobody writes to them any more, since a release may have them too.

use super::{Finished, Turn, turns::Hold};
use crate::{
    depot::{Change, Depot, Error, Guard, Outcome, Proposal, State, pool::take},
    digest::Digest,
    disk::{self, BYTES},
    entry::Cause,
    path::SitePath,
};

impl Depot {
    /// Finishes an upload whose bytes are all there; tells of the write, when one was made.
    pub(super) fn finish(&self, state: &State, turn: &Turn, hold: &mut Hold<'_>) -> Result<Option<Outcome>, Error> {
        let digest = match hold.record.whole {
            Some(digest) => {
                self.check_again(state, turn, hold, digest)?;
                digest
            }
            None => self.complete(state, turn, hold)?,
        };
        let (finished, outcome) = match &hold.record.path {
            None => {
                self.keep_file(state, &hold.record.by, &hold.folder, BYTES, digest)?;
                (Finished { digest, seq: None, release: None }, None)
            }
            Some(path) => self.publish_upload(state, turn, hold, path, digest)?,
        };
        hold.record.finished = Some(finished);
        hold.record.write(&state.home.stage()?, &hold.folder)?;
        // Not before that: who begins here once more needs them.
        disk::if_there(hold.folder.unlink(BYTES))?;
        self.turns.forget(turn.id());
        Ok(outcome)
    }

    /// The digest of all bytes, noted, so that they may be moved. Other bytes than were announced end the upload.
    fn complete(&self, state: &State, turn: &Turn, hold: &mut Hold<'_>) -> Result<Digest, Error> {
        let hashed = hold.hashed.take().filter(|(offset, _)| Some(*offset) == hold.record.length);
        let found = match hashed {
            Some((_, hasher)) => hasher.finish(),
            // Other requests brought some of it: an earlier process, or a piece that was refused, hashed it.
            None => hold.folder.digest(BYTES)?,
        };
        if let Some(announced) = hold.record.digest.filter(|announced| *announced != found) {
            self.remove_upload(state, turn, hold)?;
            return Err(Error::Digest { announced, found });
        }
        hold.record.whole = Some(found);
        hold.record.write(&state.home.stage()?, &hold.folder)?;
        Ok(found)
    }

    /// Ends an upload whose bytes are not any more those that came: a hook that was asked about them may have written to
    /// them. They are read only when they may have been.
    fn check_again(&self, state: &State, turn: &Turn, hold: &Hold<'_>, whole: Digest) -> Result<(), Error> {
        if !hold.folder.stat(BYTES)?.was_written() {
            return Ok(());
        }
        let found = hold.folder.digest(BYTES)?;
        if found == whole {
            return Ok(());
        }
        self.remove_upload(state, turn, hold)?;
        Err(Error::Digest { announced: whole, found })
    }

    /// Publishes the object as the file that it was sent for.
    fn publish_upload(
        &self,
        state: &State,
        turn: &Turn,
        hold: &Hold<'_>,
        path: &SitePath,
        digest: Digest,
    ) -> Result<(Finished, Option<Outcome>), Error> {
        // The process that published it may have died before it could note that.
        if let Some(done) = self.operation(turn.id())? {
            let (seq, release) = (Some(done.entry.seq), Some(done.entry.release));
            return Ok((Finished { digest, seq, release }, None));
        }
        let staging = state.home.stage()?;
        let staged = take(&staging, &hold.folder, BYTES, digest)?;
        let outcome = self.commit(
            &staging,
            &Proposal {
                precondition: hold.record.precondition.clone(),
                guard: Some(Guard::default()),
                op: turn.id(),
                ..Proposal::new(Change::file(path.clone(), staged), Cause::Patch, &hold.record.by)
            },
        )?;
        let (seq, release) = (Some(outcome.head.entry.seq), Some(outcome.head.entry.release));
        Ok((Finished { digest, seq, release }, Some(outcome)))
    }
}
