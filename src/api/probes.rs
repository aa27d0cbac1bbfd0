//! What kubelet and Prometheus ask, on an address of its own: a busy or closed upload port never fails a probe.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{
    shutdown::Shutdown,
    telemetry::{self, Metrics},
};

/// Whether the process has started and whether it takes requests now.
///
/// `started` is a latch: once set, it stays. Readiness may come and go, and goes for good when the end has begun,
/// whatever anybody sets afterwards. It never says that the content is whole; `verify` does that.
#[derive(Debug)]
pub struct Health {
    started: AtomicBool,
    ready: AtomicBool,
    shutdown: Shutdown,
}

impl Health {
    /// Neither started nor ready.
    #[must_use]
    pub const fn new(shutdown: Shutdown) -> Self {
        Self { started: AtomicBool::new(false), ready: AtomicBool::new(false), shutdown }
    }

    /// Start-up is over, recovery included; the process is ready.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
        self.set_ready(true);
    }

    /// Whether requests can be answered from now on.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Whether start-up is over.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Why requests should not be sent here, if so.
    fn unready(&self) -> Option<&'static str> {
        if self.shutdown.is_begun() {
            Some("ending")
        } else if !self.is_started() {
            Some("starting")
        } else if !self.ready.load(Ordering::Acquire) {
            Some("not ready")
        } else {
            None
        }
    }

    /// Whether requests should be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.unready().is_none()
    }
}

/// `/livez`, `/readyz`, `/startupz` and `/metrics`.
pub fn router(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    let probes = Router::new()
        // To answer at all is to live: a restart cures neither a full disk nor a bucket that is down.
        .route("/livez", get(|| async { answer(None) }))
        .route("/readyz", get(|State(health): State<Arc<Health>>| async move { answer(health.unready()) }))
        .route(
            "/startupz",
            get(
                |State(health): State<Arc<Health>>| async move { answer((!health.is_started()).then_some("starting")) },
            ),
        )
        .with_state(health);
    let numbers = Router::new()
        .route(
            "/metrics",
            get(|State(metrics): State<Arc<Metrics>>| async move {
                ([(CONTENT_TYPE, telemetry::CONTENT_TYPE)], metrics.encode())
            }),
        )
        .with_state(metrics);
    probes.merge(numbers)
}

/// 200 without a reason, 503 with one.
fn answer(reason: Option<&'static str>) -> Response {
    match reason {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    struct Probed {
        shutdown: Shutdown,
        health: Arc<Health>,
        router: Router,
    }

    fn probed() -> Probed {
        let shutdown = Shutdown::new(Duration::ZERO);
        let health = Arc::new(Health::new(shutdown.clone()));
        let router = router(Arc::clone(&health), Arc::new(Metrics::new()));
        Probed { shutdown, health, router }
    }

    impl Probed {
        async fn get(&self, path: &str) -> (u16, String) {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answer = self.router.clone().oneshot(request).await.expect("an answer");
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            (status, String::from_utf8_lossy(&body).into_owned())
        }

        async fn statuses(&self) -> [u16; 3] {
            [self.get("/livez").await.0, self.get("/startupz").await.0, self.get("/readyz").await.0]
        }
    }

    #[tokio::test]
    async fn ready_comes_after_the_start_and_goes_with_the_end() {
        let probed = probed();
        probed.health.set_ready(true);
        assert_eq!(probed.statuses().await, [200, 503, 503], "not started");
        probed.health.set_started();
        assert_eq!(probed.statuses().await, [200, 200, 200]);
        probed.health.set_ready(false);
        assert_eq!(probed.statuses().await, [200, 200, 503], "not ready");
        probed.health.set_ready(true);
        probed.shutdown.begin();
        probed.health.set_started();
        assert_eq!(probed.statuses().await, [200, 200, 503], "ending");
        assert_eq!(probed.get("/readyz").await.1, "ending\n");
    }

    #[tokio::test]
    async fn metrics_are_served_as_text() {
        let (status, text) = probed().get("/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("longshore_build_info"));
    }
}
