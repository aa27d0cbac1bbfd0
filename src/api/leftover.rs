//! What is left of a request's body when the answer needs no more of it.
//!
//! A client that still sends when we close the connection gets a reset, and most never read the answer that was on its
//! way: a refused upload would look like a network failure. So the rest is read and thrown away for a while (RFC 9112,
//! section 9.6). Not so for a client that waits for `100 Continue`: it sends nothing before it has our answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::HttpBody;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::{runtime::Handle, time::timeout};

/// For how long the rest of a body is read, as long as nginx does.
const LINGER: Duration = Duration::from_secs(30);

/// The body `B`, which is read to its end even when it is dropped before.
#[derive(Debug)]
pub(super) struct Leftover<B>
where
    B: HttpBody + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    /// There until it is dropped.
    body: Option<B>,
    /// Whether the client sends without being asked to.
    is_coming: bool,
    is_over: bool,
}

impl<B> Leftover<B>
where
    B: HttpBody + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    /// `body`, of a client that waits for `100 Continue` or does not.
    pub(super) const fn new(body: B, waits: bool) -> Self {
        Self { body: Some(body), is_coming: !waits, is_over: false }
    }
}

impl<B> HttpBody for Leftover<B>
where
    B: HttpBody + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.is_coming = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        self.is_over |= matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl<B> Drop for Leftover<B>
where
    B: HttpBody + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    fn drop(&mut self) {
        if self.is_over || !self.is_coming || self.is_end_stream() {
            return;
        }
        // Ends with the body, with its connection, or with the time-out. Outside a runtime nobody sends either.
        if let (Some(mut body), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            runtime.spawn(timeout(LINGER, async move { while let Some(Ok(_)) = body.frame().await {} }));
        }
    }
}
