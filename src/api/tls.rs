//! TLS on the upload port, with certificates that are read again when they change.
//!
//! cert-manager and kubelet renew by turning a link, people by copying two files after each other: whatever is there is
//! looked at every few seconds, taken when it is a whole pair, and else left, with the old pair in use. Connections that
//! are open keep what they began with.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;

mod greet;
mod material;

use crate::{
    digest::Digest,
    telemetry::{Certificate, Reload},
};
pub(super) use greet::greet;
use material::{Bytes, Material};

/// Time between two looks at the files.
const EVERY: Duration = Duration::from_secs(2);
/// The longest time before its end at which a certificate is worth a warning; of a short-lived one, a tenth of its life.
const NEAR: Duration = Duration::from_hours(14 * 24);

/// Where certificates lie, all as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of clients; none: clients need no certificate.
    pub client_authority: Option<PathBuf>,
}

/// What connections are greeted with now; clones share it.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    /// None when no authority of clients is valid any more: then nobody gets in.
    config: ArcSwapOption<ServerConfig>,
    state: Mutex<State>,
}

/// What the last looks found, so that each thing is said once.
#[derive(Debug)]
struct State {
    /// What was there last, good or bad.
    seen: Seen,
    /// What is in use.
    material: Material,
    warned: Warned,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Bytes(Digest),
    Nothing(String),
}

impl Seen {
    fn of(read: &Result<Bytes, Error>) -> Self {
        match read {
            Ok(bytes) => Self::Bytes(bytes.digest()),
            Err(error) => Self::Nothing(error.to_string()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Warned {
    No,
    Near,
    Over,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It holds something else, or nothing that is of use now.
    #[error("{}: {why}", .file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Tls {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When they are not there, or make no pair.
    pub fn open(files: Files) -> Result<Self, Error> {
        let read = Bytes::read(&files);
        let seen = Seen::of(&read);
        let material = Material::of(&files, &read?, SystemTime::now())?;
        let config = ArcSwapOption::from(Some(Arc::clone(&material.config)));
        let state = Mutex::new(State { seen, material, warned: Warned::No });
        Ok(Self(Arc::new(Inner { files, config, state })))
    }

    /// What a connection that comes now is greeted with.
    fn config(&self) -> Option<Arc<ServerConfig>> {
        self.0.config.load_full()
    }

    /// Looks at the files again and again, for ever.
    pub async fn watch(self, numbers: Certificate) {
        loop {
            let (tls, numbers) = (self.clone(), numbers.clone());
            // Fails only when it panics, which was printed.
            let _ = tokio::task::spawn_blocking(move || tls.look(&numbers, SystemTime::now())).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Takes over what the files say now, if that is of use.
    fn look(&self, numbers: &Certificate, now: SystemTime) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let read = Bytes::read(&self.0.files);
        let seen = Seen::of(&read);
        let is_outdated = state.material.clients_until.is_some_and(|until| until <= now);
        let is_new = seen != state.seen;
        if is_new || is_outdated {
            state.seen = seen;
            match read.and_then(|bytes| Material::of(&self.0.files, &bytes, now)) {
                Ok(material) => {
                    self.0.config.store(Some(Arc::clone(&material.config)));
                    (state.material, state.warned) = (material, Warned::No);
                    numbers.reloaded(Reload::Taken);
                    tracing::info!(until = %when(state.material.until), "certificates read again");
                }
                Err(error) => {
                    if is_new {
                        numbers.reloaded(Reload::Refused);
                        let error = format!("{:#}", anyhow::Error::from(error));
                        tracing::error!(error, "the new certificates are of no use: the old ones stay");
                    }
                    if is_outdated && self.0.config.swap(None).is_some() {
                        tracing::error!("an authority of clients has expired: nobody gets in until there are others");
                    }
                }
            }
        }
        numbers.ends(state.material.until);
        state.warn(now);
    }
}

impl State {
    /// Says once that the certificate ends soon, and once that it has ended.
    fn warn(&mut self, now: SystemTime) {
        let Material { since, until, .. } = self.material;
        let near = NEAR.min(until.duration_since(since).unwrap_or_default() / 10);
        let due = match until.duration_since(now) {
            Err(_) => Warned::Over,
            Ok(left) if left < near => Warned::Near,
            Ok(_) => Warned::No,
        };
        if due > self.warned {
            self.warned = due;
            let until = when(until);
            match due {
                Warned::Over => tracing::error!(%until, "the certificate has expired: clients refuse it"),
                _ => tracing::warn!(%until, "the certificate expires soon, and nobody has renewed it"),
            }
        }
    }
}

/// A time as people read it.
fn when(time: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(time).format("%FT%TZ").to_string()
}
