//! The body of an answer: when it is over, its connection waits for its client again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::HttpBody;
use hyper::body::{Frame, SizeHint};

use super::crowd::Seat;

/// The body `B` of a connection on this place.
#[derive(Debug)]
pub(super) struct Answering<B> {
    body: B,
    seat: Arc<Seat>,
}

impl<B> Answering<B> {
    pub(super) const fn new(body: B, seat: Arc<Seat>) -> Self {
        Self { body, seat }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Answering<B> {
    fn drop(&mut self) {
        self.seat.waits();
    }
}
