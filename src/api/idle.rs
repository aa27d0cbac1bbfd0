//! A request body that fails when its client goes quiet.
//!
//! A client that sends half a body and then nothing would hold a connection, and what was staged for it, for ever. Only
//! the time that we wait for the client counts: while we are busy writing to a slow disk nothing runs.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// No byte of a request body came for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no byte of the request body came for {0:?}")]
pub struct BodyIdle(pub Duration);

/// Counts how long somebody has kept us waiting.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    /// It exists once we had to wait.
    clock: Option<Pin<Box<Sleep>>>,
    /// Whether the clock runs: since the other side was last asked in vain.
    waiting: bool,
}

impl Patience {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, clock: None, waiting: false }
    }

    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// The other side did something: the next wait starts anew.
    pub(super) const fn restore(&mut self) {
        self.waiting = false;
    }

    /// The other side did nothing when asked: ready once that has been so for too long.
    pub(super) fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.limit;
        let clock = self.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.waiting {
            clock.as_mut().reset(deadline);
            self.waiting = true;
        }
        clock.as_mut().poll(context)
    }
}

/// The body `B`, with a limit to waiting.
#[derive(Debug)]
pub struct Idle<B> {
    body: B,
    patience: Patience,
    given_up: bool,
}

impl<B> Idle<B> {
    /// `body`, which may keep us waiting for at most `limit` at a time.
    pub const fn new(body: B, limit: Duration) -> Self {
        Self { body, patience: Patience::new(limit), given_up: false }
    }
}

impl<B> HttpBody for Idle<B>
where
    B: HttpBody + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.given_up {
            return Poll::Ready(None);
        }
        // The body first: what arrived while we were busy is not late.
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.patience.restore();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.patience.poll_lost(context));
                self.given_up = true;
                Poll::Ready(Some(Err(BodyIdle(self.patience.limit()).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// A body that sends a piece after each pause, given in milliseconds.
    fn slow(pauses: &'static [u64]) -> Idle<Body> {
        let pieces = stream::unfold(pauses.iter(), |mut pauses| async move {
            tokio::time::sleep(Duration::from_millis(*pauses.next()?)).await;
            Some((Ok::<_, BoxError>(Bytes::from_static(b"x")), pauses))
        });
        Idle::new(Body::from_stream(pieces), PATIENCE)
    }

    #[tokio::test]
    async fn a_slow_but_steady_body_is_taken() {
        let body = slow(&[50, 50, 50, 50]).collect().await.expect("all of it");
        assert_eq!(body.to_bytes(), "xxxx");
    }

    #[tokio::test]
    async fn a_quiet_body_fails() {
        let start = Instant::now();
        let error = slow(&[0, 60_000]).collect().await.expect_err("an error");
        assert_eq!(error.downcast_ref::<BodyIdle>(), Some(&BodyIdle(PATIENCE)));
        assert!(start.elapsed() >= PATIENCE);
    }

    #[tokio::test]
    async fn our_own_pauses_do_not_count() {
        let mut body = slow(&[0, 50, 50]);
        for _ in 0..3 {
            body.frame().await.expect("a frame").expect("no error");
            tokio::time::sleep(PATIENCE * 2).await;
        }
        assert!(body.frame().await.is_none());
    }
}
