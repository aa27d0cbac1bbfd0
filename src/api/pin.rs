//! `/v1/lock`: a release is pinned, and let go again.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    App, Problem,
    body::{blocking, check_message, check_wishes, object},
    caller::Caller,
};
use crate::{depot::Pin, digest::Digest};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    message: Option<String>,
    parent: Option<Digest>,
}

/// A lock, as it is sent.
#[derive(Serialize, ToSchema)]
pub(super) struct Locked {
    /// Who.
    by: String,
    /// Since when.
    at: DateTime<Utc>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// What was live then; null when nothing was.
    release: Option<Digest>,
}

impl From<Pin> for Locked {
    fn from(Pin { by, at, message, release }: Pin) -> Self {
        Self { by, at, message, release }
    }
}

/// `GET /v1/lock`: who pinned the release, and why.
pub(super) async fn get(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    match blocking(&app, |depot| depot.pin()).await? {
        Some(pin) => Ok(Json(Locked::from(pin)).into_response()),
        None => Err(Problem::not_locked()),
    }
}

/// `PUT /v1/lock {message?, parent?}`: no release follows on the live one until it is unlocked.
pub(super) async fn put(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    check_wishes(&headers)?;
    let body = body?;
    let Lock { message, parent } = object(&body, "{\"message\"?, \"parent\"?}")?;
    check_message(message.as_deref())?;
    let pinned = blocking(&app, move |depot| depot.set_pin(&by.name, message, parent)).await?;
    app.metrics.pins(true);
    let (by, release) = (&*pinned.pin.by, pinned.pin.release.map(|release| release.to_string()));
    tracing::info!(by, release, message = pinned.pin.message, "locked: no release follows until it is unlocked");
    let status = if pinned.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Locked::from(pinned.pin))).into_response())
}

/// `DELETE /v1/lock`: releases may follow again.
pub(super) async fn delete(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    check_wishes(&headers)?;
    let was_locked = blocking(&app, |depot| depot.remove_pin()).await?;
    app.metrics.pins(false);
    if was_locked {
        tracing::info!(by = by.name, "unlocked");
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_locked())
    }
}
