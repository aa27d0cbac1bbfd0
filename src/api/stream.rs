//! From work on a blocking thread that writes to the body of an answer: nothing of it is held in memory, but for what it
//! lists. A client that takes it slowly holds the thread all the while, and without threads nobody could write; so there
//! are a few of these at a time.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde::Serialize;
use tokio::{
    sync::{
        Semaphore, SemaphorePermit,
        mpsc::{Receiver, Sender, channel},
    },
    time::timeout,
};

use super::{App, Problem};
use crate::depot::Depot;

/// Bytes handed on at a time.
const CHUNK: usize = 64 * 1024;
/// Chunks under way.
const AHEAD: usize = 4;
/// Answers of this kind at once.
const AT_ONCE: usize = 16;
/// Time in which one's turn must come.
const PATIENCE: Duration = Duration::from_secs(2);

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The right to answer like this. It goes back with the body.
pub(super) struct Turn {
    _permit: SemaphorePermit<'static>,
}

impl Turn {
    /// To be taken before anything is listed.
    pub(super) async fn take() -> Result<Self, Problem> {
        let permit = timeout(PATIENCE, TURNS.acquire()).await.ok().and_then(Result::ok);
        permit.map(|permit| Self { _permit: permit }).ok_or_else(|| Problem::too_many_answers(AT_ONCE))
    }
}

/// A body that `work` writes. When it fails, the body ends in an error, so that the client does not take a part for all.
pub(super) fn streamed(
    app: &Arc<App>,
    turn: Turn,
    work: impl FnOnce(&Depot, &mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Body {
    let (sender, receiver) = channel(AHEAD);
    let depot = app.depot.clone();
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK, Pipe(sender.clone()));
        if let Err(error) = work(&depot, &mut out).and_then(|()| out.flush()) {
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::warn!(error = &error as &dyn std::error::Error, "an answer was cut");
            }
            drop(sender.blocking_send(Err(error)));
        }
    });
    let next = |(mut receiver, turn): (Receiver<_>, Turn)| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, (receiver, turn)))
    };
    Body::from_stream(stream::unfold((receiver, turn), next))
}

/// An answer in JSON, written as it is sent: a list of all that a large site has takes tens of megabytes. It is written
/// twice, since only then its length can be told before.
pub(super) fn json(app: &Arc<App>, turn: Turn, value: impl Serialize + Send + 'static) -> Result<Response, Problem> {
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, &value).map_err(|_| Problem::panicked())?;
    let body = streamed(app, turn, move |_, out| Ok(serde_json::to_writer(out, &value)?));
    let headers =
        [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, counted.0.to_string())];
    Ok((headers, body).into_response())
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Pipe(Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
