//! How long a source that fails is tried again.
//!
//! One layer retries: the clients underneath are told not to, so that the time is bounded in one place and every retry
//! is in the log. Time counts since the last progress, not since the start: a long download over a poor line goes on.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tracing::warn;

/// How long a failing source is tried, and how long one answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without any progress for this long, the source is unreachable.
    pub total: Duration,
    /// One request, or the next bytes of one answer, may take this long.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { total: Duration::from_secs(60), stall: Duration::from_secs(20) }
    }
}

/// The tries of one operation.
pub(super) struct Tries {
    patience: Patience,
    since: Instant,
    delays: ExponentialBackoff,
}

impl Patience {
    /// Begins an operation.
    pub(super) fn begin(self) -> Tries {
        Tries { patience: self, since: Instant::now(), delays: delays() }
    }
}

/// A quarter of a second, doubling up to five, each with jitter: replicas that start together spread out.
fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

impl Tries {
    /// How long the next answer may take.
    pub(super) fn stall(&self) -> Duration {
        self.left().min(self.patience.stall).max(Duration::from_millis(10))
    }

    /// Something came: the clock starts again.
    pub(super) fn progressed(&mut self) {
        *self = self.patience.begin();
    }

    /// Sleeps before the next try. False when there is none: patience is at an end.
    pub(super) fn pause(&mut self, what: impl Display, why: impl Display) -> bool {
        let left = self.left();
        if left.is_zero() {
            return false;
        }
        let delay = self.delays.next().unwrap_or(left).min(left);
        warn!(what = %what, why = %why, again_in = ?delay, "failed, trying again");
        thread::sleep(delay);
        true
    }

    fn left(&self) -> Duration {
        self.patience.total.saturating_sub(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let mut tries = Patience { total: Duration::from_millis(300), ..Patience::default() }.begin();
        let start = Instant::now();
        while tries.pause("a test", "as asked") {}
        assert!((Duration::from_millis(300)..Duration::from_secs(2)).contains(&start.elapsed()));
    }
}
