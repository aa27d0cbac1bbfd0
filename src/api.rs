//! The door for uploads: HTTP in, commits out.
//!
//! Handlers parse what comes (paths, headers, bodies) into the types of the rooms below, run the depot on blocking
//! threads, and turn what comes back into answers. Nothing is held in memory: a body goes through one chunk to the disk.

mod address;
mod answer;
mod archive;
mod body;
mod caller;
mod conditions;
mod crowd;
mod deployment;
mod deploys;
mod error;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod heard;
pub mod host;
pub mod identity;
mod idle;
mod leftover;
pub mod listener;
mod media;
mod objects;
mod openapi;
mod operation;
pub mod origin;
pub mod pace;
mod parts;
mod pin;
pub mod places;
pub mod probes;
mod problems;
mod queue;
mod range;
mod read;
mod releases;
pub mod rights;
mod routes;
mod schemas;
mod seated;
mod site;
mod stall;
mod stream;
mod sync;
pub mod tls;
pub mod tokens;
mod uploads;
mod wishes;

pub use error::Problem;

use std::sync::Arc;

use axum::Router;

use crate::{depot::Depot, follow::Asker, shutdown::Shutdown, telemetry::Metrics};
use host::Hosts;
use identity::Identity;
use origin::Origins;
use places::Places;

/// What every handler may use.
#[derive(Debug)]
pub struct App {
    /// The volume and its store.
    pub depot: Arc<Depot>,
    /// Who is known; none when anybody on this machine may write (`--no-auth`).
    pub identity: Option<Identity>,
    /// Whether reading needs no token.
    pub public_read: bool,
    /// How many may bring something at once.
    pub places: Places,
    /// The names under which it may be asked for.
    pub hosts: Hosts,
    /// The origins whose pages may ask.
    pub origins: Origins,
    /// Who looks at the followed source; none when none is followed.
    pub asker: Option<Asker>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// To end the process when an outcome is unknown.
    pub shutdown: Shutdown,
}

/// All routes of the upload door.
pub fn router(app: Arc<App>) -> Router {
    routes::router(app)
}
