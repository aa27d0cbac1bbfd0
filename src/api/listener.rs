//! Takes connections and answers requests on them, within limits.
//!
//! axum's own server has no time-out for headers and no limit to connections, so this is the loop: hyper's HTTP/1
//! connection on a place in a crowd. It promises that a client which says nothing, speaks slowly or does not listen costs a
//! bounded amount for a bounded time, that a failing `accept` never ends the loop, and that at the end running requests
//! may finish until the grace is over. What a handler does with its time is the handler's affair.

use std::{convert::Infallible, error::Error as _, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tower::ServiceExt as _;

use super::{
    crowd::{COURTESY, Crowd, Seat},
    heard::Heard,
    idle::Idle,
    leftover::Leftover,
    pace::Least,
    seated::Answering,
    stall::Unstalled,
    tls::{Tls, greet},
};
use crate::{
    shutdown::Shutdown,
    telemetry::{Closed, Connections},
};

/// The longest pause after a failed `accept`.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Bytes that a connection reads ahead, and holds of a body: hyper's own default is six times as many, for each upload.
const BUFFER: usize = 64 * 1_024;

/// Connections that wait in the kernel's queue for a place; it takes fewer where `net.core.somaxconn` says so.
const QUEUE: i32 = 4_096;

/// What a client may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's queue until one that only waits is closed for them.
    pub connections: usize,
    /// Connections of one client at once; more are closed.
    pub client_connections: usize,
    /// Time for a TLS handshake.
    pub handshake_within: Duration,
    /// Time from an open or idle connection to the last byte of a request's headers; so also the longest that a
    /// kept connection may idle.
    pub headers_within: Duration,
    /// Bytes of a request's line and headers; above: 431.
    pub header_bytes: usize,
    /// Headers of a request; above: 431.
    pub headers: usize,
    /// Time for which a request's body may pause.
    pub body_idle: Duration,
    /// How fast a request's body must come.
    pub body_least: Least,
    /// Time for which a client may take nothing of an answer.
    pub answer_idle: Duration,
}

/// Connections at once, unless told otherwise.
pub const CONNECTIONS: usize = 4_096;

/// What one client may have of `all`, unless told otherwise: not all, so that others get in; most, since behind a proxy all
/// are one.
#[must_use]
pub const fn share(all: usize) -> usize {
    all.saturating_mul(3).div_ceil(4)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            client_connections: share(CONNECTIONS),
            handshake_within: Duration::from_secs(10),
            headers_within: Duration::from_secs(10),
            header_bytes: 32 * 1_024,
            headers: 100,
            body_idle: Duration::from_secs(60),
            body_least: Least::default(),
            answer_idle: Duration::from_secs(60),
        }
    }
}

/// Serves `router` on `listener`, over TLS if there is any, until the end begins, then lets running requests finish until the grace is over.
///
/// Handlers find the client's address as `ConnectInfo<SocketAddr>`. Returns the number of connections that were cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: Option<Tls>,
    numbers: Connections,
    shutdown: Shutdown,
) -> usize {
    // However it was bound: a short queue drops what a crowd sends at once.
    let _ = rustix::net::listen(&listener, QUEUE);
    let server = Server { router, limits, builder: builder(&limits), tls, numbers, shutdown: shutdown.clone() };
    let crowd = Crowd::new(limits.connections, limits.client_connections, COURTESY);
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
            accepted = accept(&listener, &crowd, not_before) => match accepted {
                Ok((stream, peer)) => {
                    pause = Duration::ZERO;
                    match crowd.seat(peer.ip()) {
                        Some(seat) => {
                            connections.spawn(server.clone().connection(stream, peer, seat, graceful.watcher()));
                        }
                        None => server.numbers.turned_away(Closed::Client),
                    }
                }
                Err(error) => {
                    pause = pause_after(&error, pause);
                    not_before = Instant::now() + pause;
                    if !pause.is_zero() {
                        crowd.shrink();
                    }
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

/// A connection, for which there is a place; the place first, so that the kernel keeps what we cannot serve.
///
/// Safe to drop at any point: a connection that was not returned was not accepted.
async fn accept(listener: &TcpListener, crowd: &Crowd, not_before: Instant) -> io::Result<(TcpStream, SocketAddr)> {
    if not_before > Instant::now() {
        tokio::time::sleep_until(not_before).await;
    }
    crowd.room().await;
    listener.accept().await
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
    tls: Option<Tls>,
    numbers: Connections,
    shutdown: Shutdown,
}

/// The place went to somebody else before the request was begun.
#[derive(Debug, thiserror::Error)]
#[error("the connection's place was taken")]
struct TooLate;

impl Server {
    /// Serves one connection to its end.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, seat: Seat, watcher: Watcher) {
        // Answers are small, and Nagle's algorithm would hold them back.
        let _ = stream.set_nodelay(true);
        let (open, seat) = (self.numbers.open(), Arc::new(seat));
        let Limits { handshake_within, answer_idle, .. } = self.limits;
        let served = async {
            match self.tls.clone() {
                None => {
                    let stream = Heard::new(Unstalled::new(stream, answer_idle), &seat);
                    self.clone().requests(stream, peer, &seat, watcher).await
                }
                Some(tls) => {
                    let greeting = tokio::select! {
                        greeting = greet(&tls, stream, &seat, handshake_within, answer_idle) => greeting,
                        () = self.shutdown.recv() => return Closed::Done,
                    };
                    match greeting {
                        Ok(stream) => self.clone().requests(stream, peer, &seat, watcher).await,
                        Err(error) => {
                            tracing::debug!(%peer, %error, "no TLS was agreed on");
                            Closed::Handshake
                        }
                    }
                }
            }
        };
        let reason = tokio::select! {
            reason = served => reason,
            () = seat.leave() => Closed::Crowded,
        };
        open.ended(seat.blame.get().copied().unwrap_or(reason));
    }

    /// Answers the requests on one connection. Why it ended.
    async fn requests<S>(self, stream: S, peer: SocketAddr, seat: &Arc<Seat>, watcher: Watcher) -> Closed
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, limits, builder, .. } = self;
        let seated = Arc::clone(seat);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (router, seat) = (router.clone(), Arc::clone(&seated));
            async move {
                if !seat.is_busy() {
                    return Err(TooLate);
                }
                let waits = request.headers().contains_key(header::EXPECT);
                let blame = Arc::clone(&seat.blame);
                let idle = |body| Idle::new(body, limits.body_idle, limits.body_least, blame);
                let mut request = request.map(|body| Body::new(Leftover::new(idle(body), waits)));
                request.extensions_mut().insert(ConnectInfo(peer));
                let answer = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
                Ok(answer.map(|body| Answering::new(body, seat)))
            }
        });
        match watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await {
            Ok(()) => Closed::Done,
            Err(error) => {
                // Clients come and go: no line for an operator.
                tracing::debug!(%peer, %error, "connection ended");
                reason(&error)
            }
        }
    }
}

/// What ended a connection.
fn reason(error: &hyper::Error) -> Closed {
    if error.is_timeout() {
        return Closed::Headers;
    }
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) { Closed::Answer } else { Closed::Broken }
}

#[cfg(test)]
mod tests;
