//! The certificate in numbers: when it ends, and how often it was read again.

use std::{sync::atomic::AtomicU64, time::SystemTime};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What became of new certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// They are in use.
    Taken,
    /// They are of no use.
    Refused,
}

impl Reload {
    const fn label(self) -> OutcomeLabel {
        OutcomeLabel {
            outcome: match self {
                Self::Taken => "taken",
                Self::Refused => "refused",
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The numbers; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Certificate {
    ends: Gauge<u64, AtomicU64>,
    reloads: Family<OutcomeLabel, Counter>,
}

impl Certificate {
    /// Makes them known.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "Unix time at which the certificate ends; 0 without TLS",
            self.ends.clone(),
        );
        registry.register("certificate_reloads", "Certificates read again after a change", self.reloads.clone());
        for outcome in [Reload::Taken, Reload::Refused] {
            drop(self.reloads.get_or_create(&outcome.label()));
        }
    }

    /// Notes when the certificate in use ends.
    pub fn ends(&self, at: SystemTime) {
        self.ends.set(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs());
    }

    /// Counts what became of new ones.
    pub fn reloaded(&self, outcome: Reload) {
        self.reloads.get_or_create(&outcome.label()).inc();
    }
}
