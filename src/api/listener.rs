//! Takes connections and answers requests on them, within limits.
//!
//! axum's own server has no time-out for headers and no limit to connections, so this is the loop: hyper's HTTP/1
//! connection under a semaphore. It promises that a client which says nothing, speaks slowly or does not listen costs a
//! bounded amount for a bounded time, that a failing `accept` never ends the loop, and that at the end running requests
//! may finish until the grace is over. What a handler does with its time is the handler's affair.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::Instant,
};
use tower::ServiceExt as _;

use super::{idle::Idle, leftover::Leftover, stall::Unstalled};
use crate::shutdown::Shutdown;

/// The longest pause after a failed `accept`.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that a connection reads ahead, and holds of a body: hyper's own default is six times as many, for each upload.
const BUFFER: usize = 64 * 1_024;

/// What a client may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Time from an open or idle connection to the last byte of a request's headers; so also the longest that a
    /// kept connection may idle.
    pub headers_within: Duration,
    /// Bytes of a request's line and headers; above: 431.
    pub header_bytes: usize,
    /// Headers of a request; above: 431.
    pub headers: usize,
    /// Time for which a request's body may pause.
    pub body_idle: Duration,
    /// Time for which a client may take nothing of an answer.
    pub answer_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            headers_within: Duration::from_secs(10),
            header_bytes: 32 * 1_024,
            headers: 100,
            body_idle: Duration::from_secs(60),
            answer_idle: Duration::from_secs(60),
        }
    }
}

/// Serves `router` on `listener` until the end begins, then lets running requests finish until the grace is over.
///
/// Handlers find the client's address as `ConnectInfo<SocketAddr>`. Returns the number of connections that were cut.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) -> usize {
    let server = Server { router, limits, builder: builder(&limits) };
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut pause = Duration::ZERO;
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = shutdown.recv() => break,
            // Ended ones are taken out, or the set would grow for ever.
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &places, not_before) => match accepted {
                Ok((stream, peer, place)) => {
                    pause = Duration::ZERO;
                    connections.spawn(server.clone().connection(stream, peer, place, graceful.watcher()));
                }
                Err(error) => {
                    pause = pause_after(&error, pause);
                    not_before = Instant::now() + pause;
                }
            },
        }
    }
    // New connections are refused from here on, rather than left waiting.
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = shutdown.deadline() => {}
    }
    while connections.try_join_next().is_some() {}
    let cut = connections.len();
    connections.shutdown().await;
    cut
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_within)
        .max_header_size(limits.header_bytes)
        .max_headers(limits.headers)
        .max_buf_size(BUFFER);
    builder
}

/// A connection and a place for it; the place first, so that the kernel keeps what we cannot serve.
///
/// Safe to drop at any point: a place goes back, and a connection that was not returned was not accepted.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    not_before: Instant,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    if not_before > Instant::now() {
        tokio::time::sleep_until(not_before).await;
    }
    let place = Arc::clone(places).acquire_owned().await.expect("nobody closes the semaphore");
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// How long to wait after a failed `accept`: not at all when only the client is gone, ever longer when it is us who lack
/// something, such as descriptors (EMFILE), since the connection stays in the queue and the next try fails alike.
fn pause_after(error: &io::Error, last: Duration) -> Duration {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        return Duration::ZERO;
    }
    let pause = (last * 2).clamp(Duration::from_millis(10), LONGEST_PAUSE);
    if last.is_zero() {
        tracing::warn!(%error, "no connection can be accepted; trying on");
    }
    pause
}

#[derive(Clone)]
struct Server {
    router: Router,
    limits: Limits,
    builder: http1::Builder,
}

impl Server {
    /// Serves one connection to its end; `_place` goes back with it.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit, watcher: Watcher) {
        // Answers are small, and Nagle's algorithm would hold them back.
        let _ = stream.set_nodelay(true);
        let Self { router, limits, builder } = self;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let router = router.clone();
            let waits = request.headers().contains_key(header::EXPECT);
            let mut request = request.map(|body| Body::new(Leftover::new(Idle::new(body, limits.body_idle), waits)));
            request.extensions_mut().insert(ConnectInfo(peer));
            router.oneshot(request)
        });
        let connection = builder.serve_connection(TokioIo::new(Unstalled::new(stream, limits.answer_idle)), service);
        if let Err(error) = watcher.watch(connection).await {
            // Clients come and go: no line for an operator.
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

#[cfg(test)]
mod tests;
