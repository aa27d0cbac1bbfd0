//! Places for uploads: requests with a body, so many at once. One more is asked to come again, before any of it is read;
//! whoever reads, rolls back or locks needs no place.
//!
//! A place goes back with the body, not with the answer: work that a client no longer waits for (it may wait for the
//! volume's lock) still costs a thread.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{App, Problem, crowd::Client};
use crate::telemetry::Uploading;

/// All places.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
    each: usize,
    clients: Arc<Mutex<HashMap<Client, usize>>>,
}

impl Places {
    /// So many in all, of which one client may have `each`.
    #[must_use]
    pub fn new(all: usize, each: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), all, each, clients: Arc::default() }
    }

    fn take(&self, client: Option<Client>) -> Result<Place, Problem> {
        let permit = self.free.clone().try_acquire_owned().map_err(|_| Problem::too_many_uploads(self.all))?;
        let clients = Arc::clone(&self.clients);
        if let Some(client) = client {
            let mut taken = clients.lock().unwrap_or_else(PoisonError::into_inner);
            let count = taken.entry(client).or_default();
            if *count >= self.each {
                return Err(Problem::too_many_of_client(self.each));
            }
            *count += 1;
        }
        Ok(Place { _permit: permit, client, clients })
    }
}

/// One of them, until it is dropped.
struct Place {
    _permit: OwnedSemaphorePermit,
    client: Option<Client>,
    clients: Arc<Mutex<HashMap<Client, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut taken = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&client);
            }
        }
    }
}

/// The gate before every operation that the table of routes lets answer that there are too many.
pub(super) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, Problem> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let client = peer.map(|ConnectInfo(peer)| Client::from(peer.ip()));
    let (place, uploading) = (app.places.take(client)?, app.metrics.uploading());
    let request = request.map(|body| Body::new(Seated { body, _place: place, _uploading: uploading }));
    Ok(next.run(request).await)
}

/// A body that has a place.
struct Seated {
    body: Body,
    _place: Place,
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
