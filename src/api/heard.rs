//! What is read of clients before they have made a request: all of it together is bounded.
//!
//! Headers, and the first words of TLS, are kept until they are whole. Each client may send many, and thousands who send as
//! much as they may and never end would take all memory.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::crowd::Seat;
use crate::telemetry::Closed;

/// The stream `S` of a connection on this place.
#[derive(Debug)]
pub(super) struct Heard<S> {
    stream: S,
    seat: Arc<Seat>,
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, seat: &Arc<Seat>) -> Self {
        Self { stream, seat: Arc::clone(seat) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = bytes.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, bytes))?;
        if self.seat.hears(bytes.filled().len().saturating_sub(before)) {
            return Poll::Ready(Ok(()));
        }
        // An earlier reason stays.
        let _ = self.seat.blame.set(Closed::Crowded);
        Poll::Ready(Err(io::Error::other("too much was said by all who have not made a request")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
