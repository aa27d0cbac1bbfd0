//! From work on a blocking thread that writes to the body of an answer: nothing of it is held in memory.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio::sync::mpsc::{Sender, channel};

use super::App;
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
