//! The numbers of one process, in one struct.
//!
//! Labels are bounded by their types: an enum, or a text that is part of the program. Never a path, a digest, or
//! anything that a client sends.

use std::{
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::{Instant, SystemTime},
};

use axum::http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use super::{Bounds, Certificate, Connections, Met, Way, callers::Callers};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The numbers of one process. Every name starts with `longshore_`.
#[derive(Debug)]
pub struct Metrics {
    /// Requests answered, by method, group of paths and class of status.
    requests: Family<RequestLabels, Counter>,
    /// Bytes of request bodies that arrived, whatever became of them.
    pub received_bytes: Counter,
    /// Requests with a body that are worked on.
    uploads: Gauge,
    /// The limits, and what they refused.
    pub bounds: Bounds,
    /// Connections to the upload port.
    pub connections: Connections,
    /// The certificate of the upload port.
    pub certificate: Certificate,
    /// Releases that this process committed, by cause.
    releases: Family<CauseLabel, Counter>,
    /// Number of the journal entry that the volume shows; 0 when it shows none.
    live_seq: Gauge<u64, AtomicU64>,
    /// 1 while the journal lacks what the volume has shown.
    diverged: Gauge,
    pinned: Gauge,
    hooks: Family<HookLabels, Counter>,
    /// Unix time, in seconds, at which this process last made the volume show another release; 0 when never.
    last_publish: Gauge<f64, AtomicU64>,
    /// Files that the volume shows otherwise than the release has them.
    drift: Gauge,
    /// Looks at the sources, by outcome.
    looks: Family<OutcomeLabel, Counter>,
    /// Seconds since a source last answered; 0 when none is followed. Set when the numbers are read.
    source_lag: Gauge<f64, AtomicU64>,
    /// When a source last answered, or when following began.
    last_answer: Mutex<Option<Instant>>,
    /// Tokens that may write now.
    pub tokens: Gauge,
    callers: Callers,
    /// Objects that nothing named, removed.
    removed_objects: Counter,
    /// Bytes of those.
    removed_bytes: Counter,
    /// Unix time, in seconds, of the last cleaning that came to its end; 0 when none did.
    last_cleaning: Gauge<f64, AtomicU64>,
    registry: Registry,
}

/// A group of paths that one number is kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/site/…`
    Site,
    /// `/v1/releases`
    Releases,
    /// `/v1/rollback`
    Rollback,
    /// `/v1/objects`
    Objects,
    /// `/v1/uploads`.
    Uploads,
    /// Everything else.
    Other,
}

/// How a look at the sources ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The source's content was committed.
    Committed,
    /// Nothing to do: the same content, or the rules leave the volume as it is.
    Unchanged,
    /// No source is there, or it is empty.
    Absent,
    /// A source did not answer.
    Unreachable,
    /// Anything else went wrong.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: &'static str,
}

/// What became of a call of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It took what it was told.
    Accepted,
    /// It answered otherwise.
    Refused,
    /// It did not answer.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabels {
    hook: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    /// Numbers that start at nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            requests: Family::default(),
            received_bytes: Counter::default(),
            uploads: Gauge::default(),
            bounds: Bounds::default(),
            connections: Connections::default(),
            certificate: Certificate::default(),
            releases: Family::default(),
            live_seq: Gauge::default(),
            diverged: Gauge::default(),
            pinned: Gauge::default(),
            hooks: Family::default(),
            last_publish: Gauge::default(),
            drift: Gauge::default(),
            looks: Family::default(),
            source_lag: Gauge::default(),
            last_answer: Mutex::new(None),
            tokens: Gauge::default(),
            callers: Callers::default(),
            removed_objects: Counter::default(),
            removed_bytes: Counter::default(),
            last_cleaning: Gauge::default(),
            registry: Registry::with_prefix("longshore"),
        };
        let registry = &mut metrics.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of this program", version);
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("received_bytes", "Bytes of request bodies that arrived", metrics.received_bytes.clone());
        registry.register("uploads_in_flight", "Requests with a body that are worked on", metrics.uploads.clone());
        metrics.bounds.register(registry);
        metrics.connections.register(registry);
        metrics.certificate.register(registry);
        registry.register("releases", "Releases committed by this process", metrics.releases.clone());
        registry.register("live_seq", "Journal entry that the volume shows", metrics.live_seq.clone());
        let diverged = metrics.diverged.clone();
        registry.register("diverged", "Whether the journal lacks what the volume has shown", diverged);
        registry.register("locked", "Whether somebody locked the live release", metrics.pinned.clone());
        registry.register("hooks", "Calls of a hook", metrics.hooks.clone());
        registry.register(
            "last_publish_timestamp_seconds",
            "Unix time at which the volume last came to show another release",
            metrics.last_publish.clone(),
        );
        registry.register("drift_files", "Files changed by hand on the volume", metrics.drift.clone());
        registry.register("source_looks", "Looks at the sources", metrics.looks.clone());
        registry.register("source_lag_seconds", "Seconds since a source last answered", metrics.source_lag.clone());
        registry.register("tokens", "Tokens that may write now", metrics.tokens.clone());
        metrics.callers.register(registry);
        registry.register("removed_objects", "Objects that nothing named, removed", metrics.removed_objects.clone());
        registry.register("removed_bytes", "Bytes that this freed", metrics.removed_bytes.clone());
        registry.register(
            "last_cleaning_timestamp_seconds",
            "Unix time at which a cleaning last came to its end",
            metrics.last_cleaning.clone(),
        );
        metrics
    }

    /// Counts a token that was looked at.
    pub fn met(&self, way: Way, met: Met) {
        self.callers.met(way, met);
    }

    /// Counts an answered request.
    pub fn request(&self, method: &Method, route: Route, status: StatusCode) {
        let labels = RequestLabels { method: method_label(method), route: route.label(), status: status_label(status) };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a request with a body as in flight until the value is dropped.
    #[must_use]
    pub fn uploading(&self) -> Uploading {
        self.uploads.inc();
        Uploading(self.uploads.clone())
    }

    /// Counts a release that this process committed.
    pub fn committed(&self, cause: &'static str) {
        self.releases.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Notes what the volume shows at start, which is no publish.
    pub fn shows(&self, seq: u64) {
        self.live_seq.set(seq);
    }

    /// Notes whether the journal lacks what the volume has shown.
    pub fn diverges(&self, diverges: bool) {
        self.diverged.set(i64::from(diverges));
    }

    /// Counts a call of a hook.
    pub fn told(&self, hook: &'static str, told: Told) {
        let outcome = match told {
            Told::Accepted => "accepted",
            Told::Refused => "refused",
            Told::Failed => "failed",
        };
        self.hooks.get_or_create(&HookLabels { hook, outcome }).inc();
    }

    /// Notes whether the live release is pinned.
    pub fn pins(&self, pins: bool) {
        self.pinned.set(i64::from(pins));
    }

    /// Notes that the volume came to show entry `seq` now.
    pub fn published(&self, seq: u64) {
        self.live_seq.set(seq);
        self.last_publish.set(unix_time());
    }

    /// Notes that a cleaning came to its end, and what it removed.
    pub fn cleaned(&self, objects: u64, bytes: u64) {
        self.removed_objects.inc_by(objects);
        self.removed_bytes.inc_by(bytes);
        self.last_cleaning.set(unix_time());
    }

    /// Notes how many files the volume shows otherwise than the release has them.
    pub fn drifts(&self, files: usize) {
        self.drift.set(i64::try_from(files).unwrap_or(i64::MAX));
    }

    /// Starts the clock of the source's lag: following begins.
    pub fn follows(&self) {
        self.set_last_answer();
    }

    /// Counts a look at the sources.
    pub fn looked(&self, outcome: Outcome) {
        self.looks.get_or_create(&OutcomeLabel { outcome: outcome.label() }).inc();
        if matches!(outcome, Outcome::Committed | Outcome::Unchanged | Outcome::Absent) {
            self.set_last_answer();
        }
    }

    fn set_last_answer(&self) {
        *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// All numbers, in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn encode(&self) -> String {
        let last_answer = *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner);
        self.source_lag.set(last_answer.map_or(0.0, |at| at.elapsed().as_secs_f64()));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A request with a body, counted until it is dropped: also when the client goes away and its handler with it.
#[derive(Debug)]
pub struct Uploading(Gauge);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Route {
    /// The group that a request's path belongs to.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path {
            _ if path == "/v1/releases" || path.starts_with("/v1/releases/") => Self::Releases,
            "/v1/rollback" => Self::Rollback,
            _ if path == "/v1/objects" || path.starts_with("/v1/objects/") => Self::Objects,
            _ if path == "/v1/uploads" || path.starts_with("/v1/uploads/") => Self::Uploads,
            _ if path == "/site" || path.starts_with("/site/") => Self::Site,
            _ => Self::Other,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Releases => "releases",
            Self::Rollback => "rollback",
            Self::Objects => "objects",
            Self::Uploads => "uploads",
            Self::Other => "other",
        }
    }
}

impl Outcome {
    /// Its word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Unchanged => "unchanged",
            Self::Absent => "absent",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A client may invent methods without end; a label may not have as many values.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        metrics.encode().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    fn has(metrics: &Metrics, line: &str) {
        let lines = lines(metrics);
        assert!(lines.iter().any(|other| other == line), "{line} in {lines:#?}");
    }

    #[test]
    fn a_new_process_shows_its_version_and_zeros() {
        let metrics = Metrics::new();
        has(&metrics, concat!("longshore_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"));
        has(&metrics, "longshore_live_seq 0");
        has(&metrics, "longshore_source_lag_seconds 0.0");
        assert!(lines(&metrics).iter().all(|line| line.starts_with("longshore_")));
    }

    #[test]
    fn what_a_client_invents_makes_no_label() {
        let metrics = Metrics::new();
        for method in ["BREW", "PROPFIND"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            metrics.request(&method, Route::of("/wp-login.php"), StatusCode::NOT_FOUND);
        }
        has(&metrics, r#"longshore_requests_total{method="other",route="other",status="4xx"} 2"#);
        metrics.request(&Method::PUT, Route::of("/site/a"), StatusCode::CREATED);
        has(&metrics, r#"longshore_requests_total{method="PUT",route="site",status="2xx"} 1"#);
    }

    #[test]
    fn an_upload_is_in_flight_until_it_is_dropped() {
        let metrics = Metrics::new();
        let uploading = metrics.uploading();
        has(&metrics, "longshore_uploads_in_flight 1");
        drop(uploading);
        has(&metrics, "longshore_uploads_in_flight 0");
    }

    #[test]
    fn a_publish_is_counted_and_dated() {
        let metrics = Metrics::new();
        metrics.committed("seed");
        metrics.published(7);
        has(&metrics, r#"longshore_releases_total{cause="seed"} 1"#);
        has(&metrics, "longshore_live_seq 7");
        assert!(metrics.last_publish.get() > 1.7e9);
    }

    #[test]
    fn what_a_cleaning_removed_is_counted() {
        let metrics = Metrics::new();
        metrics.cleaned(3, 1_000);
        metrics.cleaned(0, 0);
        has(&metrics, "longshore_removed_objects_total 3");
        has(&metrics, "longshore_removed_bytes_total 1000");
        assert!(metrics.last_cleaning.get() > 1.7e9);
    }

    #[test]
    fn only_an_answer_ends_the_lag() {
        let metrics = Metrics::new();
        metrics.follows();
        std::thread::sleep(std::time::Duration::from_millis(20));
        metrics.looked(Outcome::Unreachable);
        assert!(!metrics.encode().is_empty());
        assert!(metrics.source_lag.get() >= 0.02);
        metrics.looked(Outcome::Unchanged);
        assert!(!metrics.encode().is_empty());
        assert!(metrics.source_lag.get() < 0.02);
        has(&metrics, r#"longshore_source_looks_total{outcome="unreachable"} 1"#);
    }
}
