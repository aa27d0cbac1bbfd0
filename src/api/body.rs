//! From a body that comes over the network to a reader on a blocking thread.

use std::{
    io::{self, Read},
    sync::Arc,
};

use axum::{
    body::Body,
    http::{HeaderMap, Version, header},
};
use futures_util::TryStreamExt as _;
use serde::de::DeserializeOwned;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{App, Problem, wishes};
use crate::{
    depot::{self, Coming, Depot},
    digest::{Digest, Hasher},
};

/// As [`check_others`], for bodies that are stored as they come.
pub(super) fn check_wishes(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Problem::content_encoding());
    }
    check_others(headers)
}

/// Refuses a write of a part, which done all the same would store other bytes than were meant.
pub(super) fn check_others(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        let why = "a part of a file cannot be put (RFC 9110, section 14.5): send it whole";
        return Err(Problem::bad_request(why));
    }
    Ok(())
}

/// Refuses a body of HTTP/1.0 that does not say where it ends: such a client may mean to end it by closing, but it counts as
/// empty (RFC 9112, section 6.3), and a page would be gone though its client believes that it was taken.
pub(super) fn check_length(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let says = version >= Version::HTTP_11
        || headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING);
    if says { Ok(()) } else { Err(Problem::length_required()) }
}

/// Inodes that the smallest write takes: what is staged, its directory, the lock in it, the entry.
const FEW_INODES: u64 = 6;

/// Refuses what is too much or cannot fit, before the first byte is asked for; after trying to make room for it.
pub(super) async fn check_coming(app: &Arc<App>, headers: &HeaderMap, coming: Coming) -> Result<(), Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    check_coming_of(app, headers, coming, length.unwrap_or_default()).await
}

/// As [`check_coming`], for so many bytes.
pub(super) async fn check_coming_of(
    app: &Arc<App>,
    headers: &HeaderMap,
    coming: Coming,
    length: u64,
) -> Result<(), Problem> {
    // Making room removes something, which a rehearsal must not.
    let may_clean = !wishes::dry_run(headers)?;
    blocking(app, move |depot| {
        let check = || match depot.check_announced(&coming, length) {
            Ok(()) => Ok(depot.room()?.inodes),
            Err(error) => Err(error),
        };
        match check() {
            Ok(FEW_INODES..) => Ok(u64::MAX),
            Ok(_) | Err(depot::Error::NoRoom { .. }) if may_clean && depot.make_room() => check(),
            checked => checked,
        }
    })
    .await
    .and_then(|inodes| if inodes < FEW_INODES { Err(Problem::no_inodes(inodes)) } else { Ok(()) })
}

/// Bytes of what somebody says about a release or a lock: enough for any commit message, and the journal is read often.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// Refuses a message that is none.
pub(super) fn check_message(message: Option<&str>) -> Result<(), Problem> {
    match message.map_or(0, str::len) {
        0..=LONGEST_MESSAGE => Ok(()),
        length => {
            Err(Problem::bad_request(format!("`message` has {length} bytes: at most {LONGEST_MESSAGE} are possible")))
        }
    }
}

/// Runs `work` on a blocking thread with the body as a reader. A body that ends short of its Content-Length, or that the
/// listener gave up on since nothing came, fails the reader.
pub(super) async fn with_body<T: Send + 'static, E: Send + 'static>(
    app: &Arc<App>,
    body: Body,
    announced: Option<Digest>,
    work: impl FnOnce(&Depot, &mut Content) -> Result<T, E> + Send + 'static,
) -> Result<T, Problem>
where
    Problem: From<E>,
{
    let stream = body.into_data_stream().map_err(io::Error::other);
    let reader = StreamReader::new(Box::pin(stream));
    let metrics = app.metrics.clone();
    blocking(app, move |depot| {
        let inner = Box::new(SyncIoBridge::new(reader));
        let mut content = Content { inner, bytes: 0, check: announced.map(|digest| (digest, Hasher::new())) };
        let done = work(depot, &mut content);
        metrics.received_bytes.inc_by(content.bytes);
        done
    })
    .await
}

/// Runs `work` on a blocking thread.
pub(super) async fn blocking<T: Send + 'static, E: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Depot) -> Result<T, E> + Send + 'static,
) -> Result<T, Problem>
where
    Problem: From<E>,
{
    let depot = app.depot.clone();
    match tokio::task::spawn_blocking(move || work(&depot)).await {
        Ok(done) => {
            if app.depot.is_adrift() {
                // Recovery at the next start applies the head.
                app.shutdown.begin();
            }
            done.map_err(Problem::from).inspect_err(|problem| {
                if problem.is_full() {
                    app.depot.note_cramped();
                }
            })
        }
        Err(_) => Err(Problem::panicked()),
    }
}

/// What a small body says: a JSON object, or nothing. An array is refused, which serde would take for a struct's members in
/// their order.
pub(super) fn object<T: DeserializeOwned + Default>(body: &[u8], members: &str) -> Result<T, Problem> {
    let wrong = |why: &str| Problem::bad_request(format!("the body is not {members}: {why}"));
    match body.trim_ascii() {
        [] => Ok(T::default()),
        object @ [b'{', ..] => serde_json::from_slice(object).map_err(|error| wrong(&error.to_string())),
        _ => Err(wrong("it is no JSON object")),
    }
}

/// A body as it comes: counted, and hashed where a digest is announced.
pub(super) struct Content {
    inner: Box<dyn Read + Send>,
    bytes: u64,
    check: Option<(Digest, Hasher)>,
}

impl Content {
    /// Fails when the bytes are not those that were announced. To be called before they are used for good.
    pub(super) fn check(&mut self) -> Result<(), depot::Error> {
        if self.check.is_some() {
            // An archive may end before its body does.
            io::copy(self, &mut io::sink()).map_err(depot::Error::Content)?;
        }
        match self.check.take().map(|(announced, hasher)| (announced, hasher.finish())) {
            Some((announced, found)) if announced != found => Err(depot::Error::Digest { announced, found }),
            _ => Ok(()),
        }
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        if let Some((_, hasher)) = &mut self.check {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}
