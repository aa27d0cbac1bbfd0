//! One object, read as it was listed.
//!
//! Each read waits for the next bytes of the answer on the caller's own thread, so nothing is fetched before it is wanted.
//! A connection that breaks is taken up at the byte where it broke, by a range that is valid for the listed entity tag
//! only: bytes of two versions never meet.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    mem,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectMeta, path::Path};

use super::{
    super::{Error, Progress, tree::Entry},
    Bucket, condition, soon,
    trouble::Trouble,
    version, within,
};
use crate::source::patience::Tries;

/// An object on its way in.
pub(super) struct Object<'a> {
    bucket: &'a Bucket,
    stop: &'a AtomicBool,
    key: Path,
    size: u64,
    version: String,
    /// Bytes handed out or held.
    at: u64,
    chunk: Bytes,
    stream: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    tries: Tries,
    trouble: Option<Trouble>,
}

impl<'a> Object<'a> {
    /// An object of a list.
    pub(super) fn listed(bucket: &'a Bucket, key: Path, entry: &Entry, stop: &'a AtomicBool) -> Self {
        Self {
            bucket,
            stop,
            key,
            size: entry.size,
            version: entry.version.clone(),
            at: 0,
            chunk: Bytes::new(),
            stream: None,
            tries: bucket.patience.begin(),
            trouble: None,
        }
    }

    /// An object that was asked for by name.
    pub(super) fn new(bucket: &'a Bucket, meta: &ObjectMeta, stop: &'a AtomicBool) -> Self {
        let entry = Entry {
            size: meta.size,
            executable: false,
            modified: meta.last_modified.timestamp(),
            version: version(meta),
        };
        Self::listed(bucket, meta.location.clone(), &entry, stop)
    }

    /// Why reading failed, once.
    pub(super) fn trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// Asks for the object, or for the rest of it. An object of no bytes is asked for too: it may not be there.
    pub(super) fn open(&mut self) -> Result<(), Trouble> {
        loop {
            match self.bucket.runtime.block_on(self.request()) {
                Err(Trouble::Again(cause)) => self.pause(cause)?,
                outcome => return outcome,
            }
        }
    }

    async fn request(&mut self) -> Result<(), Trouble> {
        let if_match = condition(&self.version);
        let range = (self.at > 0).then_some(GetRange::Offset(self.at));
        let options = GetOptions { if_match, range, ..GetOptions::default() };
        let answer = within(self.tries.stall(), self.bucket.store().get_opts(&self.key, options)).await?;
        let is_other = answer.meta.e_tag.is_some() && version(&answer.meta) != self.version;
        if is_other || answer.meta.size != self.size {
            return Err(Trouble::Moved);
        }
        self.stream = Some(answer.into_stream());
        Ok(())
    }

    /// The next bytes, or none at the end.
    fn next(&mut self) -> Result<Bytes, Trouble> {
        while self.at < self.size {
            if self.stop.load(Relaxed) {
                return Err(Trouble::Stopped);
            }
            if self.stream.is_none() {
                self.open()?;
            }
            let Some(stream) = &mut self.stream else { continue };
            let stall = self.tries.stall();
            let outcome = self.bucket.runtime.block_on(soon(stall, stream.next()));
            let cause = match outcome.map(|next| next.map(|chunk| chunk.map_err(Trouble::from))) {
                Ok(Some(Ok(chunk))) if chunk.is_empty() => continue,
                Ok(Some(Ok(chunk))) => {
                    self.at += chunk.len() as u64;
                    self.tries.progressed();
                    return if self.at > self.size { Err(Trouble::Moved) } else { Ok(chunk) };
                }
                Ok(None) => format!("the answer ended after {} of {} bytes", self.at, self.size).into(),
                Ok(Some(Err(Trouble::Again(cause)))) | Err(Trouble::Again(cause)) => cause,
                Ok(Some(Err(trouble))) | Err(trouble) => return Err(trouble),
            };
            self.stream = None;
            self.pause(cause)?;
        }
        self.stream = None;
        Ok(Bytes::new())
    }

    fn pause(&mut self, cause: super::super::Cause) -> Result<(), Trouble> {
        if self.stop.load(Relaxed) {
            return Err(Trouble::Stopped);
        }
        if self.tries.pause(&self.key, &cause) { Ok(()) } else { Err(Trouble::Again(cause)) }
    }

    /// Puts the whole object into a file; nothing if it changed or vanished meanwhile.
    pub(super) fn copy(mut self, file: &mut File, progress: &Progress) -> Result<Option<()>, Error> {
        loop {
            match self.next() {
                Ok(chunk) if chunk.is_empty() => return Ok(Some(())),
                Ok(chunk) => {
                    file.write_all(&chunk).map_err(|error| Error::io("write", "a temporary file", error))?;
                    progress.fetch(chunk.len() as u64);
                }
                Err(Trouble::Moved | Trouble::Absent | Trouble::Stopped) => return Ok(None),
                Err(trouble) => return Err(self.bucket.fail_at(&self.key, trouble)),
            }
        }
    }
}

impl Read for Object<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = self.next().map_err(|trouble| {
                let error = io::Error::other(trouble.to_string());
                self.trouble = Some(trouble);
                error
            })?;
        }
        let length = buffer.len().min(self.chunk.len());
        let rest = self.chunk.split_off(length);
        buffer[..length].copy_from_slice(&mem::replace(&mut self.chunk, rest));
        Ok(length)
    }
}
