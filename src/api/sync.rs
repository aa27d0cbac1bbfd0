//! `POST /v1/sync`: a look at the followed source now.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{App, Problem, body::check_wishes};
use crate::digest::Digest;

/// How long a request waits for its look: proxies cut what takes longer.
const PATIENCE: Duration = Duration::from_secs(50);

#[derive(Serialize, ToSchema)]
pub(super) struct Synced {
    outcome: &'static str,
    seq: Option<u64>,
    release: Option<Digest>,
}

/// `POST /v1/sync`: what a look finds that begins now; 202 when it takes longer than a request may.
pub(super) async fn sync(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    check_wishes(&headers)?;
    let Some(asker) = &app.asker else { return Err(Problem::no_source()) };
    let Ok(answer) = timeout(PATIENCE, asker.ask()).await else {
        let looking = Synced { outcome: "looking", seq: None, release: None };
        return Ok((StatusCode::ACCEPTED, Json(looking)).into_response());
    };
    let looked = answer.ok_or_else(Problem::ending)?.map_err(|error| Problem::of_look(&error))?;
    let head = looked.head.as_ref().map(|head| &head.entry);
    let (seq, release) = (head.map(|entry| entry.seq), head.map(|entry| entry.release));
    Ok(Json(Synced { outcome: looked.outcome.label(), seq, release }).into_response())
}
