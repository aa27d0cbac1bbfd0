//! What stays of the past.

use std::time::Duration;

/// How much of the past a depot keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Deploys, seeds and adoptions, the newest.
    pub releases: usize,
    /// And every release younger than this.
    pub time: Duration,
    /// How long files that a new release drops stay reachable.
    pub linger: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { releases: 10, time: Duration::from_hours(24), linger: Duration::ZERO }
    }
}
