//! `/v1/objects`: bytes by their digest, sent ahead of the release that names them.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, Version, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    App, Problem,
    body::{blocking, check_coming, check_length, check_wishes, with_body},
    caller::Caller,
    conditions::announced,
    media, wishes,
};
use crate::{
    depot::{self, Coming},
    digest::{Digest, NotADigest},
    manifest, path,
};

/// An object that was sent.
#[derive(Serialize, ToSchema)]
pub(super) struct Sent {
    digest: Digest,
    size: u64,
}

/// How many were sent.
#[derive(Serialize, ToSchema)]
pub(super) struct SentMany {
    objects: usize,
}

/// `HEAD /v1/objects/{digest}`: whether it need not be sent.
pub(super) async fn head(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let digest = digest(&name)?;
    match blocking(&app, move |depot| depot.object_size(&digest, &by)).await? {
        Some(size) => Ok([(header::CONTENT_LENGTH, size.to_string())].into_response()),
        None => Err(Problem::not_found(&name)),
    }
}

/// `PUT /v1/objects/{digest}`: one object, hashed while it comes.
pub(super) async fn put(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    wishes::none(uri.query(), &headers)?;
    check_wishes(&headers)?;
    check_length(version, &headers)?;
    check_coming(&app, &headers, Coming::Object).await?;
    let digest = digest(&name)?;
    let done = with_body(&app, body, announced(&headers)?, move |depot, content| {
        let is_new = depot.object_size(&digest, &by)?.is_none();
        let ingest = depot.ingest()?;
        let path = digest.to_string().parse().map_err(|error: path::PathError| manifest::Error::from(error))?;
        let staged = ingest.file(path, false, content)?;
        content.check()?;
        depot.keep_objects(ingest, &by)?;
        Ok::<_, depot::Error>((is_new, staged.size))
    });
    let (is_new, size) = done.await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Sent { digest, size })).into_response())
}

/// `POST /v1/objects`: an archive of many small ones, each named by its digest.
pub(super) async fn post(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    wishes::none(uri.query(), &headers)?;
    check_wishes(&headers)?;
    check_length(version, &headers)?;
    check_coming(&app, &headers, Coming::Files).await?;
    let kind = media::archive(&headers)?;
    let done = with_body(&app, body, announced(&headers)?, move |depot, content| {
        let ingest = depot.ingest()?;
        ingest.archive(None, kind, content)?;
        content.check()?;
        depot.keep_objects(ingest, &by)
    });
    Ok(Json(SentMany { objects: done.await? }).into_response())
}

fn digest(name: &str) -> Result<Digest, Problem> {
    name.parse().map_err(|error: NotADigest| Problem::bad_request(error.to_string()))
}
