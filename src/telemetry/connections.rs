//! Connections in numbers: how many are open, and why others ended.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// As HTTP has it, by either side.
    Done,
    /// It broke, or made no sense.
    Broken,
    /// TLS was not agreed on, or not in time.
    Handshake,
    /// No request came in time.
    Headers,
    /// A request's body paused for too long.
    BodyIdle,
    /// A request's body came too slowly.
    BodySlow,
    /// Nobody took the answer.
    Answer,
    /// It only waited, and somebody else wanted its place.
    Crowded,
    /// Its client has as many as one may have.
    Client,
    /// The process ended.
    Cut,
}

impl Closed {
    const ALL: [Self; 10] = [
        Self::Done,
        Self::Broken,
        Self::Handshake,
        Self::Headers,
        Self::BodyIdle,
        Self::BodySlow,
        Self::Answer,
        Self::Crowded,
        Self::Client,
        Self::Cut,
    ];

    const fn label(self) -> ReasonLabel {
        ReasonLabel {
            reason: match self {
                Self::Done => "done",
                Self::Broken => "broken",
                Self::Handshake => "handshake",
                Self::Headers => "headers",
                Self::BodyIdle => "body_idle",
                Self::BodySlow => "body_slow",
                Self::Answer => "answer",
                Self::Crowded => "crowded",
                Self::Client => "client",
                Self::Cut => "cut",
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The numbers; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    open: Gauge,
    closed: Family<ReasonLabel, Counter>,
}

impl Connections {
    /// Makes them known.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that are open", self.open.clone());
        registry.register("closed_connections", "Connections that ended", self.closed.clone());
        for reason in Closed::ALL {
            drop(self.closed.get_or_create(&reason.label()));
        }
    }

    /// Counts a connection as open until the value is dropped, then as closed.
    #[must_use]
    pub fn open(&self) -> Open {
        self.open.inc();
        Open { numbers: self.clone(), reason: Closed::Cut }
    }

    /// Counts one that was never served.
    pub fn turned_away(&self, reason: Closed) {
        self.closed.get_or_create(&reason.label()).inc();
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Open {
    numbers: Connections,
    reason: Closed,
}

impl Open {
    /// It ended, and why.
    pub fn ended(mut self, reason: Closed) {
        self.reason = reason;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.numbers.open.dec();
        self.numbers.turned_away(self.reason);
    }
}
