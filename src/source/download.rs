//! An archive at an address.
//!
//! The address is used as it is, query included, since a presigned one is a signature over all of it. It is asked with
//! GET only, never with HEAD, which such a signature does not cover. The archive is brought into a temporary file first:
//! a download that breaks begins again without anybody having seen half of it.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    time::Duration,
};

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ETAG, LAST_MODIFIED, RANGE},
    redirect::{Attempt, Policy},
};
use tokio::{runtime::Handle, time::timeout};
use tracing::warn;

use super::{Cause, Error, Location, Patience, Reading, Summary, archive, client, patience::Tries};
use crate::digest::{Digest, Hasher};

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;

/// An archive's address.
pub(super) struct Download {
    url: Url,
    place: String,
    client: Client,
    runtime: Handle,
    patience: Patience,
}

/// A failed attempt.
enum Failure {
    /// Another may succeed.
    Again(Cause),
    /// None will.
    Final(Error),
}

/// Where the bytes go.
enum Target<'a> {
    File(&'a mut File),
    Digest(Hasher),
}

impl Download {
    /// Prepares a client; no traffic yet.
    pub(super) fn open(location: &Location, url: &Url, runtime: &Handle, patience: Patience) -> Result<Self, Error> {
        let place = location.to_string();
        if url.scheme() == "http" {
            warn!(source = %place, "plain http: anybody on the way can read and change the content");
        }
        let builder = || {
            Client::builder()
                .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(5))
                .redirect(Policy::custom(follow))
        };
        let client = client::build(builder)
            .map_err(|error| Error::Failed { place: place.clone(), source: error.without_url().into() })?;
        Ok(Self { url: url.clone(), place, client, runtime: runtime.clone(), patience })
    }

    /// See [`super::Source::mark`].
    pub(super) fn mark(&self) -> Result<Digest, Error> {
        self.retry(|tries| {
            let response = self.get(tries, true)?;
            let header = |name| response.headers().get(name).map(|value| value.as_bytes().to_vec());
            let (tag, time) = (header(ETAG), header(LAST_MODIFIED));
            if tag.is_some() || time.is_some() {
                // `Content-Range: bytes 0-0/123` of a part, or the length of the whole.
                let size = header(reqwest::header::CONTENT_RANGE).or_else(|| header(reqwest::header::CONTENT_LENGTH));
                return Ok(Digest::of(format!("{tag:?} {time:?} {size:?}")));
            }
            // The server says nothing about the content but the content.
            let response =
                if response.status() == StatusCode::PARTIAL_CONTENT { self.get(tries, false)? } else { response };
            let mut target = Target::Digest(Hasher::new());
            self.copy(response, &mut target, &mut 0, tries, |_| ())?;
            match target {
                Target::Digest(hasher) => Ok(hasher.finish()),
                Target::File(_) => unreachable!("it was a digest"),
            }
        })
    }

    /// See [`super::Source::read`].
    pub(super) fn read(&self, reading: &Reading<'_>) -> Result<Summary, Error> {
        let failed = |error| Error::io("write", "a temporary file", error);
        let mut scratch = (reading.scratch)().map_err(failed)?;
        let mut furthest = 0;
        self.retry(|tries| {
            scratch
                .set_len(0)
                .and_then(|()| scratch.seek(SeekFrom::Start(0)))
                .map_err(|error| Failure::Final(failed(error)))?;
            let response = self.get(tries, false)?;
            let mut target = Target::File(&mut scratch);
            self.copy(response, &mut target, &mut furthest, tries, |bytes| reading.progress.fetch(bytes))
        })?;
        archive::read_file(&self.place, &scratch, reading)
    }

    fn retry<T>(&self, mut attempt: impl FnMut(&mut Tries) -> Result<T, Failure>) -> Result<T, Error> {
        let mut tries = self.patience.begin();
        loop {
            match attempt(&mut tries) {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Again(source)) => {
                    if !tries.pause(&self.place, &source) {
                        return Err(Error::Unreachable { place: self.place.clone(), source });
                    }
                }
            }
        }
    }

    /// Asks for the archive, or for its first byte, which is the cheapest way to its headers.
    fn get(&self, tries: &Tries, is_first_byte: bool) -> Result<Response, Failure> {
        let mut request = self.client.get(self.url.clone());
        if is_first_byte {
            request = request.header(RANGE, "bytes=0-0");
        }
        let stall = tries.stall();
        let response = self
            .runtime
            .block_on(async { timeout(stall, request.send()).await })
            .map_err(|_| Failure::Again(late(stall)))?
            .map_err(|error| self.failure(error))?;
        let status = response.status();
        let place = || self.place.clone();
        let answer = || -> Cause { format!("HTTP status {status}").into() };
        match status.as_u16() {
            200 => Ok(response),
            206 if is_first_byte => Ok(response),
            404 | 410 => Err(Failure::Final(Error::Absent { place: place() })),
            401 | 403 => Err(Failure::Final(Error::Denied { place: place(), source: answer() })),
            // A first byte of no bytes.
            416 => Err(Failure::Final(Error::malformed(place(), "is not an archive: there are no bytes at all"))),
            408 | 429 | 500.. => Err(Failure::Again(answer())),
            _ => Err(Failure::Final(Error::Failed { place: place(), source: answer() })),
        }
    }

    /// Brings the whole answer near. Only what lies beyond the `furthest` byte of earlier attempts is progress: a server
    /// that always breaks off at the same place is given up in time.
    fn copy(
        &self,
        mut response: Response,
        target: &mut Target<'_>,
        furthest: &mut u64,
        tries: &mut Tries,
        count: impl Fn(u64),
    ) -> Result<(), Failure> {
        let expected = response.content_length();
        let mut length = 0;
        loop {
            let stall = self.patience.stall;
            let chunk = self
                .runtime
                .block_on(async { timeout(stall, response.chunk()).await })
                .map_err(|_| Failure::Again(late(stall)))?
                .map_err(|error| self.failure(error))?;
            let Some(chunk) = chunk else { break };
            length += chunk.len() as u64;
            count(chunk.len() as u64);
            if length > *furthest {
                *furthest = length;
                tries.progressed();
            }
            match target {
                Target::Digest(hasher) => hasher.update(&chunk),
                Target::File(file) => file
                    .write_all(&chunk)
                    .map_err(|error| Failure::Final(Error::io("write", "a temporary file", error)))?,
            }
        }
        match expected {
            Some(expected) if expected != length => {
                Err(Failure::Again(format!("{length} of {expected} bytes came").into()))
            }
            _ => Ok(()),
        }
    }

    /// Sorts an error of the client.
    fn failure(&self, error: reqwest::Error) -> Failure {
        let is_final = error.is_redirect() || error.is_builder() || client::is_untrusted(&error);
        let source = root(&error.without_url());
        if is_final {
            Failure::Final(Error::Failed { place: self.place.clone(), source })
        } else {
            Failure::Again(source)
        }
    }
}

/// What follows a redirect: not too many, and never from a line that nobody can listen on to one where anybody can.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_safe = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > MOST_REDIRECTS {
        attempt.error("too many redirects")
    } else if was_safe && attempt.url().scheme() != "https" {
        attempt.error("a redirect leads from https to http")
    } else {
        attempt.follow()
    }
}

fn late(stall: Duration) -> Cause {
    format!("nothing came within {} seconds", stall.as_secs()).into()
}

/// The text of an error with that of its root: the middle repeats them.
fn root(error: &reqwest::Error) -> Cause {
    let mut last: &dyn std::error::Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let (text, root) = (error.to_string(), last.to_string());
    if text == root { text.into() } else { format!("{text}: {root}").into() }
}

#[cfg(test)]
mod tests;
