//! Telling another program that a release is live.
//!
//! Level-triggered: what counts is which release is shown, not how it came to be. So a release that was replaced before
//! anybody could be told is not told, and one that was shown when this process died is told by the next.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::{Client, Url, header, redirect};
use serde_json::json;

use crate::{
    depot::{Depot, Untold},
    digest::Digest,
    shutdown::Shutdown,
    source,
    telemetry::{Metrics, Told},
};

/// Between two looks at what is shown.
const LOOK: Duration = Duration::from_millis(500);

/// Where a hook listens. Printed without what may be secret in it: user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(url)),
            _ => Err("it is no address, as in http://127.0.0.1:9000/published"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port().map_or_else(String::new, |port| format!(":{port}"));
        write!(out, "{}://{}{port}{}", self.0.scheme(), self.0.host_str().unwrap_or_default(), self.0.path())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Tells a hook of each release that stays long enough to be told of.
#[derive(Debug)]
pub struct Post {
    /// What is shown.
    pub depot: Arc<Depot>,
    /// Who is told.
    pub to: Address,
    /// How long one answer may take.
    pub timeout: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Post {
    /// Tells until `shutdown` begins.
    pub async fn run(self, shutdown: Shutdown) {
        let builder = || Client::builder().redirect(redirect::Policy::none()).timeout(self.timeout);
        let client = match source::build_client(builder) {
            Ok(client) => client,
            Err(error) => return tracing::error!(%error, "no HTTP client: nobody is told of releases"),
        };
        tokio::select! {
            () = shutdown.recv() => {}
            () = self.tell_all(&client) => {}
        }
    }

    async fn tell_all(&self, client: &Client) {
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
                match self.tell(client, &untold).await {
                    Ok(()) => self.note_told(untold).await,
                    Err(why) => {
                        wait = delays.next().unwrap_or(LOOK);
                        let (seq, hook) = (untold.head.entry.seq, &self.to);
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

    async fn tell(&self, client: &Client, untold: &Untold) -> Result<(), String> {
        let request = client.post(self.to.0.clone()).header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(body(untold)).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => {
                self.metrics.told(Told::Accepted);
                Ok(())
            }
            Ok(answer) => {
                self.metrics.told(Told::Refused);
                Err(format!("it answered {}", answer.status()))
            }
            Err(error) => {
                self.metrics.told(Told::Failed);
                Err(if error.is_timeout() {
                    "it did not answer in time".into()
                } else {
                    error.without_url().to_string()
                })
            }
        }
    }
}

fn body(untold: &Untold) -> String {
    let Untold { head, tree, tree_in_volume } = untold;
    let entry = &head.entry;
    let parent: Option<Digest> = entry.parent;
    json!({
        "event": "post-publish", "op": entry.op, "seq": entry.seq, "release": entry.release, "parent": parent,
        "cause": entry.cause, "by": entry.by, "message": entry.message, "at": entry.at,
        "tree": tree.to_string_lossy(), "tree_in_volume": tree_in_volume.to_string_lossy(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_secrets() {
        let address: Address = "http://me:secret@127.0.0.1:9/told?token=secret".parse().expect("an address");
        assert_eq!(format!("{address} {address:?}"), "http://127.0.0.1:9/told http://127.0.0.1:9/told");
        assert!("/bin/true".parse::<Address>().is_err() && "ftp://host/".parse::<Address>().is_err());
    }
}
