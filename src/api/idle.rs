//! A request body that fails when its client goes quiet.
//!
//! A client that sends half a body and then nothing would hold a connection, and what was staged for it, for ever. Only
//! the time that we wait for the client counts: while we are busy writing to a slow disk nothing runs.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::HttpBody};
use hyper::body::{Buf, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::pace::{Least, Pace};
use crate::telemetry::Closed;

/// No byte of a request body came for this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no byte of the request body came for {0:?}")]
pub(super) struct BodyIdle(pub Duration);

/// Fewer bytes of a request body came than must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request body came with fewer than {} bytes a second, over {:?} of waiting for it", .0.bytes, .0.window)]
pub(super) struct BodySlow(pub Least);

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
pub(super) struct Idle<B> {
    body: B,
    patience: Patience,
    pace: Pace,
    given_up: bool,
    /// Where it is noted that, and why, we gave up.
    blame: Arc<OnceLock<Closed>>,
}

impl<B> Idle<B> {
    /// `body`, which may keep us waiting for at most `limit` at a time, and must come as fast as `least`.
    pub(super) const fn new(body: B, limit: Duration, least: Least, blame: Arc<OnceLock<Closed>>) -> Self {
        Self { body, patience: Patience::new(limit), pace: Pace::new(least), given_up: false, blame }
    }

    fn give_up<T>(&mut self, why: Closed, error: BoxError) -> Poll<Option<Result<T, BoxError>>> {
        self.given_up = true;
        // An earlier reason stays.
        let _ = self.blame.set(why);
        Poll::Ready(Some(Err(error)))
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
                let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Buf::remaining);
                if !self.pace.came(came, Instant::now()) && !self.body.is_end_stream() && matches!(frame, Some(Ok(_))) {
                    let error = BodySlow(self.pace.least());
                    return self.give_up(Closed::BodySlow, error.into());
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                self.pace.wait(Instant::now());
                ready!(self.patience.poll_lost(context));
                let error = BodyIdle(self.patience.limit());
                self.give_up(Closed::BodyIdle, error.into())
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
        Idle::new(Body::from_stream(pieces), PATIENCE, Least::default(), Arc::default())
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
    async fn a_trickle_fails_and_says_why() {
        let pieces = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, BoxError>(Bytes::from_static(b"x")), ()))
        });
        let (blame, least) = (Arc::default(), Least { window: PATIENCE, ..Least::default() });
        let body = Idle::new(Body::from_stream(pieces), Duration::from_mins(1), least, Arc::clone(&blame));
        let error = body.collect().await.expect_err("an error");
        assert_eq!(error.downcast_ref::<BodySlow>(), Some(&BodySlow(least)));
        assert_eq!(blame.get(), Some(&Closed::BodySlow));
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
