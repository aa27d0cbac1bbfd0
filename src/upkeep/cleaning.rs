//! Removing what is not kept any more, now and then.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{depot::Depot, shutdown::Shutdown, telemetry::Metrics};

/// Time between two looks whether somebody needs room.
const LOOK: Duration = Duration::from_secs(1);
/// The first cleaning comes this long after the start, which has other things to do.
const FIRST: Duration = Duration::from_mins(1);
/// And the next ones this long after each other; sooner where things are kept for a short time only.
const EVERY: Duration = Duration::from_mins(10);
/// After a cleaning that somebody needed, the next such one comes no sooner.
const CRAMPED: Duration = Duration::from_secs(10);
/// The part of the time to keep that passes between two cleanings.
const PART: u32 = 10;

/// The work that grows with what is kept, on a task of its own.
#[derive(Debug)]
pub(super) struct Cleaning {
    pub(super) depot: Arc<Depot>,
    pub(super) metrics: Arc<Metrics>,
}

impl Cleaning {
    /// Works until `shutdown` begins; a cleaning may be left at any moment.
    pub(super) async fn run(self, shutdown: Shutdown) {
        let shortest = self.depot.keep().time.min(self.depot.limits().upload_age);
        let every = (shortest / PART).clamp(LOOK, EVERY);
        let mut due = Instant::now() + every.min(FIRST);
        // Not before that, though somebody needs room.
        let mut earliest = Instant::now();
        let mut said = String::new();
        loop {
            tokio::select! {
                () = shutdown.recv() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = Instant::now();
            if now < due && (now < earliest || !self.depot.is_cramped()) {
                continue;
            }
            let depot = self.depot.clone();
            let cleaned = tokio::select! {
                () = shutdown.recv() => return,
                cleaned = tokio::task::spawn_blocking(move || depot.clean()) => cleaned,
            };
            (due, earliest) = (Instant::now() + every, Instant::now() + CRAMPED);
            match cleaned {
                Ok(Ok(cleaned)) => {
                    said.clear();
                    cleaned.log();
                    self.metrics.cleaned(cleaned.objects, cleaned.bytes);
                }
                // Said once, not every time.
                Ok(Err(error)) if error.to_string() != said => {
                    said = error.to_string();
                    tracing::warn!(error = &error as &dyn std::error::Error, "what is not kept any more stays");
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "cleaning failed"),
            }
        }
    }
}
