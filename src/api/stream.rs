//! From work on a blocking thread that writes to the body of an answer: nothing of it is held in memory.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc::{Sender, channel};

use super::{App, Problem};
use crate::depot::Depot;

/// Bytes handed on at a time.
const CHUNK: usize = 64 * 1024;
/// Chunks under way.
const AHEAD: usize = 4;

/// A body that `work` writes. When it fails, the body ends in an error, so that the client does not take a part for all.
pub(super) fn streamed(
    app: &Arc<App>,
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
    let next = |mut receiver: tokio::sync::mpsc::Receiver<_>| async move { Some((receiver.recv().await?, receiver)) };
    Body::from_stream(stream::unfold(receiver, next))
}

/// An answer in JSON, written as it is sent: a list of all that a large site has takes tens of megabytes. It is written
/// twice, since only then its length can be told before.
pub(super) fn json(app: &Arc<App>, value: impl Serialize + Send + 'static) -> Result<Response, Problem> {
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, &value).map_err(|_| Problem::panicked())?;
    let body = streamed(app, move |_, out| Ok(serde_json::to_writer(out, &value)?));
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
