//! `/site/…`: what is live, and changing it by hand.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header},
    response::{IntoResponse as _, Response},
};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::{
    App, Problem,
    address::Address,
    answer::{Written, etag, http_date, repr_digest},
    body::{blocking, check_length, check_room, check_wishes, with_body},
    caller::{Caller, Reader},
};
use crate::{
    depot::{Change, Proposal},
    entry::Cause,
    path::SitePath,
};

/// Bytes read from a file at a time.
const CHUNK: usize = 64 * 1024;

/// `GET` and `HEAD /site/{path}`: a live file; for a folder, its `index.html`.
pub(super) async fn get(
    _: Reader,
    State(app): State<Arc<App>>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path = match Address::parse(uri.path())? {
        Address::File(path) => Some(path),
        Address::Folder(folder) => folder,
    };
    let wanted = path.as_ref().map_or("/", |path| path.as_str()).to_owned();
    let found = blocking(&app, move |depot| depot.find(path.as_ref())).await?;
    let found = found.ok_or_else(|| Problem::not_found(&wanted))?;
    let tag = etag(found.file.digest);
    let seen = headers.get(header::IF_NONE_MATCH).and_then(|seen| seen.to_str().ok());
    if seen.is_some_and(|seen| seen.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let body = match method {
        Method::HEAD => Body::empty(),
        _ => {
            let file = tokio::fs::File::from_std(found.content).take(found.file.size);
            Body::from_stream(ReaderStream::with_capacity(file, CHUNK))
        }
    };
    let kind = mime_guess::from_path(found.path.as_str()).first_or_octet_stream();
    let kind = match (kind.type_().as_str(), kind.subtype().as_str()) {
        ("text", _) | (_, "javascript") => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    };
    let mut response = Response::new(body);
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, kind);
    set(header::CONTENT_LENGTH, found.file.size.to_string());
    set(header::ETAG, tag);
    set(header::LAST_MODIFIED, http_date(found.mtime));
    set(header::HeaderName::from_static("repr-digest"), repr_digest(found.file.digest));
    // Uploaded pages must not act with the rights of this origin, nor be taken for another type.
    set(header::CONTENT_SECURITY_POLICY, "sandbox".into());
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff".into());
    Ok(response)
}

/// `PUT /site/{path}`: one file; with a trailing slash, an archive in place of the folder.
pub(super) async fn put(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_wishes(&headers)?;
    check_length(version, &headers)?;
    check_room(&app, &headers)?;
    match Address::parse(uri.path())? {
        Address::Folder(folder) => archive(&app, by, folder, true, body).await,
        Address::File(path) => {
            let name = path.name().to_owned();
            let at_work = app.clone();
            let done = with_body(&app, body, move |depot, content| {
                let ingest = depot.ingest()?;
                let staged = ingest.file(path, false, content)?;
                let (staging, change) = ingest.into_change(None, false);
                let outcome = depot.commit(&staging, &Proposal::new(change, Cause::Patch, &by))?;
                at_work.committed(&outcome);
                Ok((outcome, staged.digest))
            });
            let (outcome, digest) = done.await?;
            Ok(Written::file(&outcome, &name, digest).into_response())
        }
    }
}

/// `PATCH /site/{dir}/`: an archive merged into the folder.
pub(super) async fn patch(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check_wishes(&headers)?;
    check_length(version, &headers)?;
    check_room(&app, &headers)?;
    match Address::parse(uri.path())? {
        Address::Folder(folder) => archive(&app, by, folder, false, body).await,
        Address::File(_) => {
            Err(Problem::bad_request("PATCH merges an archive into a folder: end the path with a slash"))
        }
    }
}

async fn archive(
    app: &Arc<App>,
    by: String,
    folder: Option<SitePath>,
    replaces: bool,
    body: Body,
) -> Result<Response, Problem> {
    let cause = if replaces && folder.is_none() { Cause::Upload } else { Cause::Patch };
    let at_work = app.clone();
    let done = with_body(app, body, move |depot, bytes| {
        let ingest = depot.ingest()?;
        ingest.archive(folder.as_ref(), bytes)?;
        let (staging, change) = ingest.into_change(folder, replaces);
        depot.commit(&staging, &Proposal::new(change, cause, &by)).inspect(|outcome| at_work.committed(outcome))
    });
    let outcome = done.await?;
    Ok(Written::site(&outcome).into_response())
}

/// `DELETE /site/{path}`: a file; with a trailing slash, a folder.
pub(super) async fn delete(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_wishes(&headers)?;
    let change = match Address::parse(uri.path())? {
        Address::File(path) => Change::Remove(path),
        Address::Folder(Some(path)) => Change::RemoveFolder(path),
        Address::Folder(None) => {
            return Err(Problem::bad_request("the whole site cannot be deleted: put another one in its place"));
        }
    };
    let at_work = app.clone();
    let done = blocking(&app, move |depot| {
        let ingest = depot.ingest()?;
        let proposal = Proposal::new(change, Cause::Patch, &by);
        depot.commit(&ingest.staging, &proposal).inspect(|outcome| at_work.committed(outcome))
    });
    let outcome = done.await?;
    Ok(Written::site(&outcome).into_response())
}
