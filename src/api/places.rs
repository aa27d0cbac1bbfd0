//! Places for uploads: requests with a body, so many at once. One more is asked to come again, before any of it is read;
//! whoever reads, rolls back or locks needs no place.
//!
//! A place goes back with the body, not with the answer: work that a client no longer waits for (it may wait for the
//! volume's lock) still costs a thread.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{App, Problem};
use crate::telemetry::Uploading;

/// All places.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

impl Places {
    /// So many.
    #[must_use]
    pub fn new(all: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), all }
    }

    fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.free.clone().try_acquire_owned().map_err(|_| Problem::too_many_uploads(self.all))
    }
}

/// The gate before every operation that the table of routes lets answer that there are too many.
pub(super) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, Problem> {
    let (place, uploading) = (app.places.take()?, app.metrics.uploading());
    let request = request.map(|body| Body::new(Seated { body, _place: place, _uploading: uploading }));
    Ok(next.run(request).await)
}

/// A body that has a place.
struct Seated {
    body: Body,
    _place: OwnedSemaphorePermit,
    _uploading: Uploading,
}

impl HttpBody for Seated {
    type Data = Bytes;
    type Error = Error;

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
