//! Telling another program that a release is live.
//!
//! Level-triggered: what counts is which release is shown, not how it came to be. So a release that was replaced before
//! anybody could be told is not told, and one that was shown when this process died is told by the next.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};

use super::{
    Hook,
    call::{Caller, count},
    message::Message,
};
use crate::{
    depot::{Depot, Untold},
    shutdown::Shutdown,
    telemetry::Metrics,
};

const EVENT: &str = "post-publish";
/// Between two looks at what is shown.
const LOOK: Duration = Duration::from_millis(500);

/// Tells a hook of each release that stays long enough to be told of.
#[derive(Debug)]
pub struct Post {
    /// What is shown.
    pub depot: Arc<Depot>,
    /// Who is told.
    pub to: Hook,
    /// How long one answer may take.
    pub timeout: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Post {
    /// Tells until `shutdown` begins.
    pub async fn run(self, shutdown: Shutdown) {
        let caller = match Caller::new(self.to.clone(), self.timeout) {
            Ok(caller) => caller,
            Err(error) => return tracing::error!(%error, "no HTTP client: nobody is told of releases"),
        };
        tokio::select! {
            () = shutdown.recv() => {}
            () = self.tell_all(&caller) => {}
        }
    }

    async fn tell_all(&self, caller: &Caller) {
        let begin = || {
            let delays = ExponentialBuilder::new().with_min_delay(LOOK).with_max_delay(Duration::from_secs(30));
            delays.with_jitter().without_max_times().build()
        };
        let (mut delays, mut tried, mut said) = (begin(), None, String::new());
        loop {
            let mut wait = LOOK;
            let untold = self.untold().await.unwrap_or_else(|why| {
                // Said once, not twice a second.
                if why != said {
                    tracing::warn!(why, "cannot find out whether a release is to be told");
                    said = why;
                }
                None
            });
            if let Some(untold) = untold {
                if tried.replace(untold.head.digest) != Some(untold.head.digest) {
                    delays = begin();
                }
                let answer = caller.call(&Message::new(EVENT, &untold.notice)).await;
                count(&self.metrics, EVENT, &answer);
                match answer {
                    Ok(()) => self.note_told(untold).await,
                    Err(veto) => {
                        wait = delays.next().unwrap_or(LOOK);
                        let (seq, hook, why) = (untold.head.entry.seq, &self.to, veto.why);
                        tracing::warn!(seq, %hook, why, again_in = ?wait, "the post-publish hook was not told");
                    }
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn untold(&self) -> Result<Option<Untold>, String> {
        let depot = self.depot.clone();
        match tokio::task::spawn_blocking(move || depot.untold()).await {
            Ok(found) => found.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn note_told(&self, untold: Untold) {
        let depot = self.depot.clone();
        let noted = tokio::task::spawn_blocking(move || depot.note_told(&untold.head)).await;
        if let Ok(Err(error)) = noted {
            tracing::warn!(%error, "cannot note that a release was told: it is told again");
        }
    }
}
