//! `GET` and `HEAD /site/…`: what is live.

use std::{io::SeekFrom, sync::Arc};

use axum::{
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use chrono::DateTime;
use serde::{Deserialize, Serialize, Serializer};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

use super::{
    App, Problem,
    address::Address,
    answer::{etag, http_date, repr_digest},
    archive::Kind,
    body::blocking,
    caller::Reach,
    conditions::check_read,
    range::Wanted,
    releases::Line,
    stream::{self, Turn, streamed},
};
use crate::{
    depot::{Depot, Error, Found, Listed},
    digest::Digest,
    path::SitePath,
};

/// Bytes read from a file at a time.
const CHUNK: usize = 64 * 1024;

/// What else than a file may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    archive: Option<String>,
    list: Option<String>,
}

/// `GET` and `HEAD /site/{path}`: a live file, or a part of it; for a folder its `index.html`, with `?list` what is in
/// it, with `?archive=KIND` everything in one file.
pub(super) async fn get(
    reach: Reach,
    State(app): State<Arc<App>>,
    uri: Uri,
    wish: Result<Query<Wish>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let address = Address::parse(uri.path())?;
    match &address {
        Address::File(path) => reach.check(Some(path))?,
        Address::Folder(folder) => reach.check(folder.as_ref())?,
    }
    let Query(wish) = wish.map_err(|error| Problem::bad_request(error.body_text()))?;
    match (address, wish) {
        (Address::File(path), Wish { archive: None, list: None }) => file(&app, Some(path), &method, &headers).await,
        (Address::Folder(folder), Wish { archive: None, list: None }) => file(&app, folder, &method, &headers).await,
        (Address::Folder(folder), Wish { archive: Some(kind), list: None }) => {
            archive(&app, folder, kind.parse().map_err(Problem::bad_request)?, &method).await
        }
        (Address::Folder(folder), Wish { archive: None, list: Some(_) }) => list(&app, folder).await,
        (Address::Folder(_), _) => Err(Problem::bad_request("`archive` and `list` exclude each other")),
        (Address::File(_), _) => {
            Err(Problem::bad_request("`archive` and `list` are for folders: end the path in a slash"))
        }
    }
}

async fn file(
    app: &Arc<App>,
    path: Option<SitePath>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let name = path.as_ref().map_or("/", |path| path.as_str()).to_owned();
    let found = blocking(app, move |depot| depot.find(path.as_ref())).await?;
    let found = found.ok_or_else(|| Problem::not_found(&name))?;
    check_read(headers, found.file.digest, found.mtime)?;
    let (tag, modified) = (etag(found.file.digest), http_date(found.mtime));
    if is_known(headers, &tag, found.mtime) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag), (header::LAST_MODIFIED, modified)]).into_response());
    }
    let size = found.file.size;
    // RFC 9110, section 14.2: only GET has ranges.
    let wanted = if method == Method::GET { Wanted::of(headers, size, &tag, &modified) } else { Wanted::Whole };
    let (status, first, length) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Nothing => {
            let mut response = Problem::no_such_range(size).into_response();
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let mut response = (status, ()).into_response();
    set(&mut response, header::CONTENT_TYPE, &media_type(&found.path));
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    set(&mut response, header::ETAG, &tag);
    set(&mut response, header::LAST_MODIFIED, &modified);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::HeaderName::from_static("repr-digest"), &repr_digest(found.file.digest));
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{}/{size}", first + length - 1));
    }
    // Uploaded pages must not act with the rights of this origin, nor be taken for another type.
    set(&mut response, header::CONTENT_SECURITY_POLICY, "sandbox");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if method == Method::GET {
        *response.body_mut() = part(found, first, length).await?;
    }
    Ok(response)
}

/// Whether the client has this version: by its tag, or, where it sends none, by its time (RFC 9110, section 13.2.2).
fn is_known(headers: &HeaderMap, tag: &str, mtime: i64) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    match (text(header::IF_NONE_MATCH), text(header::IF_MODIFIED_SINCE)) {
        (Some(seen), _) => seen.trim() == "*" || seen.split(',').any(|one| one.trim().trim_start_matches("W/") == tag),
        (None, Some(since)) => DateTime::parse_from_rfc2822(since).is_ok_and(|since| mtime <= since.timestamp()),
        (None, None) => false,
    }
}

async fn part(found: Found, first: u64, length: u64) -> Result<Body, Problem> {
    let mut content = tokio::fs::File::from_std(found.content);
    if first > 0 {
        content.seek(SeekFrom::Start(first)).await.map_err(|error| Problem::unreadable(&found.path, &error))?;
    }
    Ok(Body::from_stream(ReaderStream::with_capacity(content.take(length), CHUNK)))
}

fn media_type(path: &SitePath) -> String {
    let kind = mime_guess::from_path(path.as_str()).first_or_octet_stream();
    match (kind.type_().as_str(), kind.subtype().as_str()) {
        ("text", _) | (_, "javascript") => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    }
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The live release, and its files below `folder`; it is an error when there are none.
fn live(depot: &Depot, folder: Option<&SitePath>) -> Result<(Digest, Vec<Listed>), Error> {
    let name = || folder.map_or_else(|| "/".into(), |folder| format!("{folder}/"));
    let head = depot.head()?.ok_or_else(|| Error::NotFound(name()))?;
    let files = depot.files(head.entry.release(), folder)?;
    if files.is_empty() {
        return Err(Error::NotFound(name()));
    }
    Ok((head.entry.release, files))
}

async fn archive(app: &Arc<App>, folder: Option<SitePath>, kind: Kind, method: &Method) -> Result<Response, Problem> {
    let skip = folder.as_ref().map_or(0, |folder| folder.as_str().len() + 1);
    let name = folder.as_ref().map_or("site", |folder| folder.name()).to_owned();
    let turn = Turn::take().await?;
    let (release, files) = blocking(app, move |depot| live(depot, folder.as_ref())).await?;
    let body = match *method {
        Method::HEAD => Body::empty(),
        _ => streamed(app, turn, move |depot, out| kind.write(depot, &files, skip, out)),
    };
    let mut response = Response::new(body);
    set(&mut response, header::CONTENT_TYPE, kind.media());
    // The archive's own bytes may differ from one version of Longshore to the next: the tag names what is in it.
    set(&mut response, header::ETAG, &format!("W/{}", etag(release)));
    // A name is no more than a wish (RFC 6266): what a header cannot hold is left out.
    let name: String = name.chars().filter(|char| char.is_ascii_alphanumeric() || "-_.".contains(*char)).collect();
    let disposition = format!("attachment; filename=\"{name}.{}\"", kind.end());
    set(&mut response, header::CONTENT_DISPOSITION, &disposition);
    Ok(response)
}

#[derive(Serialize, ToSchema)]
pub(super) struct Folder {
    release: Digest,
    #[serde(serialize_with = "lines")]
    #[schema(value_type = Vec<Line>)]
    files: Vec<Listed>,
}

fn lines<S: Serializer>(files: &[Listed], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(files.iter().map(Line::from))
}

async fn list(app: &Arc<App>, folder: Option<SitePath>) -> Result<Response, Problem> {
    let turn = Turn::take().await?;
    let (release, files) = blocking(app, move |depot| live(depot, folder.as_ref())).await?;
    Ok(([(header::ETAG, etag(release))], stream::json(app, turn, Folder { release, files })?).into_response())
}
