//! `/v1/…`: what the site was, and going back to it.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    App, Problem,
    answer::Written,
    body::{blocking, check_wishes},
    caller::Caller,
};
use crate::{
    depot::Target,
    digest::Digest,
    entry::{Cause, Entry, SiteId},
};

/// Entries that are listed unless more are asked for.
const LISTED: usize = 100;
/// And at most.
const MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct History {
    site: Option<SiteId>,
    releases: Vec<Published>,
}

#[derive(Serialize)]
struct Published {
    seq: u64,
    release: Digest,
    cause: Cause,
    by: String,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Digest>,
}

impl From<Entry> for Published {
    fn from(entry: Entry) -> Self {
        let Entry { seq, release, cause, by, at, message, parent, .. } = entry;
        Self { seq, release, cause, by, at, message, parent }
    }
}

/// `GET /v1/releases[?limit=N]`: the journal, newest first.
pub(super) async fn list(
    _: Caller,
    State(app): State<Arc<App>>,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(listing) = listing.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = listing.limit.unwrap_or(LISTED).min(MOST);
    let entries = blocking(&app, move |depot| depot.history(limit)).await?;
    let site = entries.first().map(|newest| newest.entry.site.clone());
    let releases = entries.iter().map(|committed| committed.entry.clone().into()).collect();
    Ok(Json(History { site, releases }).into_response())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollBack {
    to: Option<Value>,
    parent: Option<Digest>,
}

/// `POST /v1/rollback {to?, parent?}`: an old release again.
pub(super) async fn roll_back(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    check_wishes(&headers)?;
    let body = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let wish: RollBack = if body.trim_ascii().is_empty() {
        RollBack::default()
    } else {
        let why = |error| Problem::bad_request(format!("the body is not {{\"to\"?, \"parent\"?}}: {error}"));
        serde_json::from_slice(&body).map_err(why)?
    };
    let target = match wish.to {
        None | Some(Value::Null) => Target::Before,
        Some(Value::Number(seq)) => {
            Target::Seq(seq.as_u64().ok_or_else(|| Problem::bad_request("`to` is no entry's number"))?)
        }
        Some(Value::String(id)) => {
            id.parse().map_err(|error: crate::depot::NotATarget| Problem::bad_request(error.to_string()))?
        }
        Some(_) => return Err(Problem::bad_request("`to` is a release id or an entry's number")),
    };
    let at_work = app.clone();
    let outcome = blocking(&app, move |depot| {
        depot.roll_back(&target, wish.parent, &by).inspect(|outcome| at_work.committed(outcome))
    });
    let outcome = outcome.await?;
    Ok(Written::site(&outcome).into_response())
}
