//! Looking after a volume while it is served: what was replaced is removed, what another process left is finished.

mod cleaning;

use std::{sync::Arc, time::Duration};

use crate::{depot::Depot, shutdown::Shutdown, telemetry::Metrics};
use cleaning::Cleaning;

/// Time between two looks after the volume.
const TEND: Duration = Duration::from_secs(2);

/// The work between requests.
#[derive(Debug)]
pub struct Upkeep {
    /// What is looked after.
    pub depot: Arc<Depot>,
    /// Told of what is found.
    pub metrics: Arc<Metrics>,
}

impl Upkeep {
    /// Works until `shutdown` begins; begins it when this process may not write any more.
    pub async fn run(self, shutdown: Shutdown) {
        let cleaning = Cleaning { depot: self.depot.clone(), metrics: self.metrics.clone() };
        tokio::join!(cleaning.run(shutdown.clone()), self.tend(shutdown));
    }

    async fn tend(self, shutdown: Shutdown) {
        // Said once, not every two seconds.
        let mut said = String::new();
        loop {
            tokio::select! {
                () = shutdown.recv() => return,
                () = tokio::time::sleep(TEND) => {}
            }
            if self.depot.is_adrift() {
                // Recovery at the next start applies the head.
                shutdown.begin();
                return;
            }
            let (depot, metrics) = (self.depot.clone(), self.metrics.clone());
            let looked = move || {
                // Another process may have pinned it.
                metrics.pins(!matches!(depot.pin(), Ok(None)));
                if let Ok(live) = depot.size() {
                    metrics.bounds.lives(live.files, live.bytes);
                }
                metrics.bounds.is_free(depot.room()?.bytes);
                metrics.bounds.expired(depot.take_expired());
                depot.tend()?;
                depot.served()
            };
            let looked = tokio::task::spawn_blocking(looked).await;
            self.metrics.diverges(self.depot.is_diverged());
            match looked {
                Ok(Ok(head)) => {
                    said.clear();
                    // Another process may have published.
                    head.inspect(|(seq, _)| self.metrics.shows(*seq));
                }
                Ok(Err(error)) if error.to_string() != said => {
                    said = error.to_string();
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot look after the volume");
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "looking after the volume failed"),
            }
        }
    }
}
