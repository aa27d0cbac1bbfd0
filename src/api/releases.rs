//! `/v1/…`: what the site was, and going back to it.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    App, Problem,
    answer::{Written, etag},
    body::{blocking, check_wishes, object},
    caller::{Caller, Reach},
    conditions::precondition,
    schemas,
    stream::{self, Turn},
    wishes::Wishes,
};
use crate::{
    depot::{self, Changed, Listed, NotATarget, Rollback, Target},
    digest::Digest,
    entry::{Cause, Entry, SiteId},
    manifest::File,
};

/// Entries that are listed unless more are asked for.
const LISTED: usize = 100;
/// And at most.
const MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    limit: Option<usize>,
    before: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct History {
    #[schema(value_type = Option<String>)]
    site: Option<SiteId>,
    releases: Vec<Published>,
    /// What `before` is for the entries that follow, when there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Published {
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

/// `GET /v1/releases[?limit=N][&before=SEQ]`: the journal, newest first.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(listing) = listing.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = listing.limit.unwrap_or(LISTED).clamp(1, MOST);
    // One more tells whether there is a next page.
    let mut entries = blocking(&app, move |depot| depot.history(listing.before, limit + 1)).await?;
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let site = entries.first().map(|newest| newest.entry.site.clone());
    let next = entries.last().filter(|_| has_more).map(|last| last.entry.seq);
    let releases = entries.iter().map(|committed| committed.entry.clone().into()).collect();
    let mut response = Json(History { site, releases, next }).into_response();
    if let Some(link) = next.and_then(|next| {
        HeaderValue::try_from(format!("</v1/releases?limit={limit}&before={next}>; rel=\"next\"")).ok()
    }) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// A release, and what is in it.
#[derive(Serialize, ToSchema)]
pub(super) struct Whole {
    #[serde(flatten)]
    published: Published,
    bytes: u64,
    #[serde(serialize_with = "by_path")]
    #[schema(value_type = HashMap<String, Dated>)]
    manifest: Vec<Listed>,
}

/// A path, with what lies there.
#[derive(Serialize, ToSchema)]
pub(super) struct Line<'a> {
    path: &'a str,
    #[serde(flatten)]
    file: Content,
    mtime: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Content)]
struct Content {
    digest: Digest,
    size: u64,
    executable: bool,
}

impl From<File> for Content {
    fn from(File { digest, size, executable }: File) -> Self {
        Self { digest, size, executable }
    }
}

impl<'a> From<&'a Listed> for Line<'a> {
    fn from(Listed { path, file, mtime }: &'a Listed) -> Self {
        Self { path: path.as_str(), file: (*file).into(), mtime: *mtime }
    }
}

#[derive(Serialize, ToSchema)]
struct Dated {
    #[serde(flatten)]
    file: Content,
    mtime: i64,
}

fn by_path<S: Serializer>(files: &[Listed], out: S) -> Result<S::Ok, S::Error> {
    let dated = |listed: &Listed| Dated { file: listed.file.into(), mtime: listed.mtime };
    out.collect_map(files.iter().map(|listed| (listed.path.as_str(), dated(listed))))
}

/// `GET /v1/releases/{id}`: one release, by its number or its id, with its files.
pub(super) async fn one(
    reach: Reach,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (target, turn) = (target(&id)?, Turn::take().await?);
    let (entry, files) = blocking(&app, move |depot| {
        let committed = depot.entry(&target)?;
        let files = depot.files(committed.entry.release(), reach.within())?;
        Ok::<_, depot::Error>((committed.entry.clone(), files))
    })
    .await?;
    let bytes = files.iter().map(|listed| listed.file.size).sum();
    // Weak: entries of one release differ in what is said about them.
    let tag = format!("W/{}", etag(entry.release));
    let whole = Whole { published: entry.into(), bytes, manifest: files };
    Ok(([(header::ETAG, tag)], stream::json(&app, turn, whole)?).into_response())
}

#[derive(Serialize, ToSchema)]
pub(super) struct Differences {
    from: Digest,
    to: Digest,
    changes: Vec<Difference>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Difference {
    path: String,
    from: Option<Content>,
    to: Option<Content>,
}

impl From<Changed> for Difference {
    fn from(Changed { path, was, is }: Changed) -> Self {
        Self { path: path.as_str().into(), from: was.map(Content::from), to: is.map(Content::from) }
    }
}

/// `GET /v1/diff/{one}/{other}`: the paths in which two releases differ.
pub(super) async fn differences(
    reach: Reach,
    State(app): State<Arc<App>>,
    Path((one, other)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (one, other) = (target(&one)?, target(&other)?);
    let turn = Turn::take().await?;
    let (from, to, changes) = blocking(&app, move |depot| {
        let (from, to) = (depot.entry(&one)?.entry.release, depot.entry(&other)?.entry.release);
        Ok::<_, depot::Error>((from, to, depot.differences(from, to)?))
    })
    .await?;
    let changes = changes.into_iter().filter(|change| reach.check(Some(&change.path)).is_ok()).map(Difference::from);
    let whole = Differences { from, to, changes: changes.collect() };
    stream::json(&app, turn, whole)
}

/// `GET /v1/ops/{op}`: what became of an operation whose answer was lost.
pub(super) async fn operation(State(app): State<Arc<App>>, Path(op): Path<String>) -> Result<Response, Problem> {
    let id = op.parse().map_err(|_| Problem::bad_request(format!("{op:?} is no UUID")))?;
    match blocking(&app, move |depot| depot.operation(id)).await? {
        Some(committed) => Ok(Json(Published::from(committed.entry.clone())).into_response()),
        None => Err(Problem::no_such_operation(&op)),
    }
}

/// The release that the member `name` of a request names: by its number, or by its id.
pub(super) fn named(name: &str, value: &Value) -> Result<Target, Problem> {
    match value {
        Value::Number(seq) => {
            seq.as_u64().map(Target::Seq).ok_or_else(|| Problem::bad_request(format!("`{name}` is no entry's number")))
        }
        Value::String(id) => target(id),
        _ => Err(Problem::bad_request(format!("`{name}` is a release id or an entry's number"))),
    }
}

fn target(id: &str) -> Result<Target, Problem> {
    id.parse().map_err(|error: NotATarget| Problem::bad_request(error.to_string()))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollBack {
    #[schema(value_type = Option<schemas::Target>)]
    to: Option<Value>,
    parent: Option<Digest>,
}

/// `POST /v1/rollback {to?, parent?}`: an old release again.
pub(super) async fn roll_back(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Wishes { dry_run, guard } = Wishes::of(uri.query(), &headers)?;
    check_wishes(&headers)?;
    let precondition = precondition(&headers, None)?;
    let body = body?;
    let wish: RollBack = object(&body, "{\"to\"?, \"parent\"?}")?;
    let target = match wish.to {
        None | Some(Value::Null) => Target::Before,
        Some(to) => named("to", &to)?,
    };
    let at_work = app.clone();
    let wish = Rollback { target, parent: wish.parent, precondition, guard, dry_run, by };
    let outcome = blocking(&app, move |depot| depot.roll_back(&wish).inspect(|outcome| at_work.committed(outcome)));
    let outcome = outcome.await?;
    Ok(Written::site(&outcome).into_response())
}
