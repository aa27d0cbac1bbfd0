//! A piece more of an upload.

use std::io::{self, Read};

use super::{PATIENCE, Turn, Upload, UploadError, turns::Hold};
use crate::{
    depot::{Depot, Error, Outcome, State, allowance::Allowance},
    digest::Hasher,
    disk::Growing,
    manifest::Sum,
};

/// Bytes after which what came is made durable: what a kill or a power cut can cost at most.
const STRIDE: u64 = 8 * 1024 * 1024;
/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// A piece of an upload, but for its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes the upload has, when the client says so only now.
    pub length: Option<u64>,
    /// How many bytes come, when the client says so.
    pub announced: Option<u64>,
    /// Whether it is kept only when all of it came.
    pub is_whole: bool,
}

impl Depot {
    /// Adds a piece; with the last one the upload is finished. What came before the content failed, or before a newer
    /// request came, stays, unless the piece is to be kept whole.
    ///
    /// # Errors
    /// As [`UploadError`] says; when the content fails; when the file cannot be published: then the upload goes on one
    /// byte before its end.
    pub fn append(
        &self,
        turn: &Turn,
        piece: Piece,
        content: &mut dyn Read,
    ) -> Result<(Upload, Option<Outcome>), Error> {
        let state = self.state_for_writing()?;
        let mut hold = self.hold(&state, turn, PATIENCE)?;
        let offset = self.upload_of(turn.id(), &hold.folder, &hold.record)?.offset;
        if piece.offset != offset {
            return Err(UploadError::Offset { offset, said: piece.offset }.into());
        }
        self.tell_length(&state, &mut hold, piece.length)?;
        let length = hold.record.length;
        if let Some(length) = length.filter(|length| piece.announced.unwrap_or(0) > length - offset) {
            return Err(UploadError::TooLong { length }.into());
        }
        let outcome = if hold.record.finished.is_some() {
            None
        } else if hold.record.whole.is_some() {
            // All of it was here before: what is sent once more is the byte that was held back.
            let rest = length.unwrap_or(offset) - offset;
            let came = io::copy(&mut (&mut *content).take(rest + 1), &mut io::sink()).map_err(Error::of_content)?;
            if came > rest {
                return Err(UploadError::TooLong { length: offset + rest }.into());
            }
            if came == rest { self.finish(&state, turn, &mut hold)? } else { None }
        } else {
            let allowance = Allowance::new(*self.limits(), Some(hold.folder.clone()));
            let written = take(turn, piece, &mut hold, &mut allowance.rest(offset, content))?;
            if length == Some(written) { self.finish(&state, turn, &mut hold)? } else { None }
        };
        Ok((self.upload_of(turn.id(), &hold.folder, &hold.record)?, outcome))
    }

    /// Notes how many bytes an upload has that began without saying so.
    fn tell_length(&self, state: &State, hold: &mut Hold<'_>, length: Option<u64>) -> Result<(), Error> {
        let Some(said) = length else { return Ok(()) };
        self.limits().file(said)?;
        self.limits().site(Sum::default(), Sum { files: 1, bytes: said })?;
        let kept = Growing::kept(&hold.folder)?;
        match hold.record.length {
            Some(real) if real == said => Ok(()),
            Some(real) => Err(UploadError::Length { said, real }.into()),
            None if said < kept => Err(UploadError::Length { said, real: kept }.into()),
            None => {
                hold.record.length = Some(said);
                hold.record.write(&state.home.stage()?, &hold.folder)
            }
        }
    }
}

/// Writes what `content` gives; tells how many bytes there are then.
fn take(turn: &Turn, piece: Piece, hold: &mut Hold<'_>, content: &mut dyn Read) -> Result<u64, Error> {
    let mut growing = Growing::open(&hold.folder)?;
    let start = piece.offset;
    growing.back_to(start)?;
    let hashed = hold.hashed.take().filter(|(offset, _)| *offset == start).map(|(_, hasher)| hasher);
    // Bytes that an earlier process took in are hashed in the end.
    let mut hasher = hashed.or_else(|| (start == 0).then(Hasher::new));
    let (most, length) = (hold.record.most(), hold.record.length);
    let mut chunk = vec![0; CHUNK];
    let mut kept = start;
    let mut read = || -> Result<bool, Error> {
        let filled = loop {
            match content.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(Error::of_content)?,
            }
        };
        if let Some(length) = length.filter(|length| filled as u64 > length - growing.written()) {
            return Err(UploadError::TooLong { length }.into());
        }
        growing.write(&chunk[..filled])?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&chunk[..filled]);
        }
        if !piece.is_whole && growing.written() - kept >= STRIDE {
            growing.keep(most)?;
            kept = growing.written();
        }
        Ok(filled > 0)
    };
    let done = loop {
        match read() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // A newer request ends the content early, which is no end of the upload.
    let is_all = length == Some(growing.written());
    let done = if turn.over().is_cancelled() && !is_all { done.and(Err(UploadError::Busy.into())) } else { done };
    if done.is_err() && piece.is_whole {
        growing.back_to(start)?;
    }
    let is_kept = growing.keep(most);
    // What failed first is what its client should know.
    done?;
    is_kept?;
    let written = growing.written();
    *hold.hashed = hasher.map(|hasher| (written, hasher));
    Ok(written)
}
