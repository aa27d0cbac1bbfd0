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
mod deploys;
mod error;
pub mod idle;
mod leftover;
pub mod listener;
mod objects;
pub mod probes;
mod problems;
mod range;
mod read;
mod releases;
mod site;
mod stall;
mod stream;
pub mod tokens;

pub use error::Problem;

use std::sync::Arc;

use axum::{Router, http::Uri, response::IntoResponse as _, routing::get};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{depot::Depot, shutdown::Shutdown, telemetry::Metrics};
use tokens::Tokens;

/// What every handler may use.
#[derive(Debug)]
pub struct App {
    /// The volume and its store.
    pub depot: Arc<Depot>,
    /// Who may write; none when anybody on this machine may (`--no-auth`).
    pub tokens: Option<Tokens>,
    /// Whether reading needs no token.
    pub public_read: bool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// To end the process when an outcome is unknown.
    pub shutdown: Shutdown,
}

/// All routes of the upload door.
pub fn router(app: Arc<App>) -> Router {
    let site = || get(read::get).put(site::put).patch(site::patch).delete(site::delete);
    Router::new()
        .route("/site/", site())
        .route("/site/{*path}", site())
        .route("/v1/releases", get(releases::list).post(deploys::deploy))
        .route("/v1/objects", axum::routing::post(objects::post))
        .route("/v1/objects/{digest}", axum::routing::put(objects::put).head(objects::head))
        .route("/v1/releases/{id}", get(releases::one))
        .route("/v1/diff/{one}/{other}", get(releases::differences))
        .route("/v1/ops/{op}", get(releases::operation))
        .route("/v1/rollback", axum::routing::post(releases::roll_back))
        .fallback(|uri: Uri| async move { Problem::no_such_route(uri.path()) })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(axum::middleware::from_fn_with_state(app.clone(), answer::note))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| Problem::panicked().into_response()))
        .with_state(app)
}
