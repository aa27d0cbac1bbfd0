//! How fast a client must be: a pause is allowed, a trickle is not.
//!
//! Counted is only the time for which we waited for it. A body of one byte a second never pauses for long, and would hold a
//! place for ever; so whenever bytes come after a window of waiting, enough of them must have come in it.

use std::time::Duration;

use tokio::time::Instant;

/// The least that a client must send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Least {
    /// Bytes in a second.
    pub bytes: u64,
    /// Time of waiting over which they are averaged.
    pub window: Duration,
}

impl Default for Least {
    /// What a modem of the last century did ten times over.
    fn default() -> Self {
        Self { bytes: 500, window: Duration::from_secs(30) }
    }
}

/// What one client did so far.
#[derive(Debug)]
pub(super) struct Pace {
    least: Least,
    /// Since when it keeps us waiting.
    since: Option<Instant>,
    /// For how long it did before, in this window.
    waited: Duration,
    /// What came in this window.
    bytes: u64,
}

impl Pace {
    pub(super) const fn new(least: Least) -> Self {
        Self { least, since: None, waited: Duration::ZERO, bytes: 0 }
    }

    pub(super) const fn least(&self) -> Least {
        self.least
    }

    /// Nothing is there: we wait from now on, unless we do already.
    pub(super) fn wait(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So many bytes came. Whether that is fast enough.
    pub(super) fn came(&mut self, bytes: usize, now: Instant) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        if self.waited < self.least.window {
            return true;
        }
        let enough = self.waited.as_secs_f64() * self.least.bytes as f64;
        let is_enough = self.bytes as f64 >= enough;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Least = Least { bytes: 10, window: Duration::from_secs(30) };

    /// A client that keeps us waiting for so many seconds, then sends so many bytes.
    fn feed(pace: &mut Pace, seconds: u64, bytes: usize) -> bool {
        let start = Instant::now();
        pace.wait(start);
        // Asked again, it has waited no less.
        pace.wait(start + Duration::from_secs(seconds));
        pace.came(bytes, start + Duration::from_secs(seconds))
    }

    #[test]
    fn a_trickle_ends_after_a_window() {
        let mut pace = Pace::new(LEAST);
        assert!((0..29).all(|_| feed(&mut pace, 1, 9)));
        assert!(!feed(&mut pace, 1, 9));
    }

    #[test]
    fn enough_is_enough_and_a_pause_is_made_up_for() {
        let mut pace = Pace::new(LEAST);
        assert!((0..100).all(|_| feed(&mut pace, 1, 10)));
        let mut pace = Pace::new(LEAST);
        assert!(feed(&mut pace, 50, 500));
        assert!(feed(&mut pace, 29, 1));
        assert!(!feed(&mut pace, 2, 308));
    }

    #[test]
    fn our_own_slowness_does_not_count() {
        let mut pace = Pace::new(LEAST);
        let start = Instant::now();
        assert!((1..100).all(|minutes| pace.came(1, start + Duration::from_mins(minutes))));
    }
}
