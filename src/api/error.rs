//! The one place where what went wrong becomes a status and a problem type (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::idle::BodyIdle;
use crate::{depot, disk, manifest, source, volume};

/// An answer that says what is wrong, for a program (`type`) and for a person (`detail`).
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: String,
    more: Map<String, Value>,
    retry_after: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, title, detail: detail.into(), more: Map::new(), retry_after: None }
    }

    /// Whether the volume has no room for what is wanted.
    pub(super) fn is_full(&self) -> bool {
        self.status == StatusCode::INSUFFICIENT_STORAGE
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.into(), value);
        self
    }

    fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(super) fn bad_path(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-path", "The path is not possible", why)
    }

    pub(super) fn bad_request(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request makes no sense", why)
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Nothing is there", format!("nothing lies at {path:?}"))
    }

    pub(super) fn no_such_operation(op: &str) -> Self {
        let detail = format!("no entry was made by {op:?}: it did not come about, or is not kept any more");
        Self::new(StatusCode::NOT_FOUND, "no-such-operation", "The journal has no such operation", detail)
    }

    pub(super) fn no_such_range(size: u64) -> Self {
        let detail = format!("the file has {size} bytes");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "no-such-range", "The range lies outside of the file", detail)
            .with("size", size.into())
    }

    pub(super) fn unreadable(path: &crate::path::SitePath, error: &std::io::Error) -> Self {
        let detail = format!("{path}: {error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "volume-failed", "The volume failed", detail)
    }

    pub(super) fn no_such_route(path: &str) -> Self {
        let detail = format!("there is no {path:?} here: files lie under /site/, the history under /v1/releases");
        Self::new(StatusCode::NOT_FOUND, "no-such-route", "No such route", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "this route does not have this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not possible here", detail)
    }

    pub(super) fn unauthorized(why: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed", why)
    }

    pub(super) fn foreign_origin() -> Self {
        let detail = "without tokens only programs of this machine are served, under a loopback name";
        Self::new(StatusCode::FORBIDDEN, "foreign-origin", "The request comes from elsewhere", detail)
    }

    pub(super) fn length_required() -> Self {
        let detail = "send Content-Length (0 for an empty file) or Transfer-Encoding: chunked";
        Self::new(StatusCode::LENGTH_REQUIRED, "length-required", "The body does not say where it ends", detail)
    }

    pub(super) fn content_encoding() -> Self {
        let detail = "a Content-Encoding is not undone here: send the file itself";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", "The content is encoded", detail)
    }

    pub(super) fn content_coding(possible: &str) -> Self {
        let detail = format!("send the body as it is, or in one of {possible}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", "The content is encoded", detail)
    }

    pub(super) fn too_large(most: u64) -> Self {
        let detail = format!("a request has at most {most} bytes, unpacked: send the changes to a release instead");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    pub(super) fn not_built(header: &str) -> Self {
        let detail =
            format!("`{header}` is not possible on a write yet; `If-Match`, and `parent` of a deploy or rollback, are");
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-built", "This is not possible yet", detail)
    }

    pub(super) fn no_room(needed: u64, free: u64) -> Self {
        let detail = format!("{needed} bytes are announced, {free} are free: the old release is served on");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "volume-full", "The volume is full", detail)
            .with("needed", needed.into())
            .with("free", free.into())
    }

    pub(super) fn no_inodes(free: u64) -> Self {
        let detail = format!("{free} inodes are free, which is too few for a write: the old release is served on");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "volume-full", "The volume has no inodes left", detail)
            .with("free_inodes", free.into())
    }

    pub(super) fn panicked() -> Self {
        let detail = "a mistake in Longshore: its log says where";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Longshore failed", detail)
    }

    fn from_disk(error: &disk::Error) -> Self {
        let detail = error.to_string();
        if error.is_full() {
            let title = "The volume has no bytes or no inodes left";
            Self::new(StatusCode::INSUFFICIENT_STORAGE, "volume-full", title, detail)
        } else if error.is_denied() {
            let title = "The volume cannot be written to";
            let detail = error.cure().map_or_else(|| detail.clone(), |cure| format!("{detail}; {cure}"));
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "volume-not-writable", title, detail)
        } else if error.is_shortage() {
            let title = "The process is short of a resource";
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", title, detail).after(2)
        } else {
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "volume-failed", "The volume failed", detail)
        }
    }

    fn from_source(error: &source::Error) -> Self {
        let detail = chain(error);
        match error.kind() {
            source::Kind::Refused => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-archive", "The archive is refused", detail)
            }
            source::Kind::Empty => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "empty-archive", "No file is in the archive", detail)
            }
            source::Kind::Cut => Self::cut(detail),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The archive could not be read", detail),
        }
    }

    fn cut(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body-cut", "The body ended early", detail)
    }
}

/// An error and its causes, in one line, none twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The first error of type `T` among the causes.
fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

impl From<depot::Error> for Problem {
    fn from(error: depot::Error) -> Self {
        use depot::Error as E;
        let detail = chain(&error);
        match &error {
            E::OutcomeUnknown { op, .. } => {
                let title = "The outcome is unknown until the next start";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome-unknown", title, detail).with("op", json!(op))
            }
            E::Adrift => {
                let title = "Nothing is written until the next start";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "restarting", title, detail).after(5)
            }
            E::Diverged(_) => {
                let title = "The journal lacks what the volume has shown";
                Self::new(StatusCode::CONFLICT, "diverged", title, detail)
            }
            E::Foreign(_) | E::Unfit(_) | E::Volume(volume::Error::InTheWay { .. }) => {
                let title = "Somebody else's content is in the way";
                Self::new(StatusCode::CONFLICT, "foreign-content", title, detail)
            }
            E::Volume(volume::Error::NoSymlinks { .. }) => {
                let detail = format!("{detail}: start with --layout files");
                let title = "The volume cannot be written to";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "volume-not-writable", title, detail)
            }
            E::Volume(volume::Error::Locked { .. }) => {
                let title = "Another process holds the volume";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "volume-locked", title, detail).after(5)
            }
            E::Manifest(manifest::Error::IsFile(_) | manifest::Error::IsFolder(_)) => {
                let title = "A file and a folder cannot share a path";
                Self::new(StatusCode::CONFLICT, "path-conflict", title, detail)
            }
            E::Manifest(manifest::Error::Path(_)) => Self::bad_path(&detail),
            E::Content(_) if find::<BodyIdle>(&error).is_some() => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "body-idle", "The body stopped coming", detail)
            }
            E::Content(_) => Self::cut(detail),
            E::NotFound(path) => Self::not_found(path),
            E::Nothing => {
                let title = "No file is in the archive";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "empty-archive", title, detail)
            }
            E::Stale { current } => {
                let title = "The live release is another one";
                Self::new(StatusCode::PRECONDITION_FAILED, "stale-parent", title, detail)
                    .with("current", json!(current))
            }
            E::Precondition { current } => {
                let title = "Something else is live";
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", title, detail)
                    .with("current", json!(current))
            }
            E::Missing(missing) => {
                let title = "Objects are missing";
                Self::new(StatusCode::CONFLICT, "missing-objects", title, detail).with("missing", json!(missing))
            }
            E::Size { digest, real, .. } => {
                let title = "An object has another size";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-size", title, detail)
                    .with("digest", json!(digest))
                    .with("size", json!(real))
            }
            E::NoDigest { .. } => Self::bad_request(detail),
            E::Digest { found, .. } => {
                let title = "Other bytes came than were announced";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "digest-mismatch", title, detail)
                    .with("found", json!(found))
            }
            E::NoSuchRelease(_) | E::NotKept(_) => {
                Self::new(StatusCode::NOT_FOUND, "no-such-release", "The journal has no such release", detail)
            }
            E::Ambiguous(_) => {
                Self::new(StatusCode::BAD_REQUEST, "ambiguous-release", "Several releases begin so", detail)
            }
            E::NothingBefore => {
                Self::new(StatusCode::CONFLICT, "nothing-before", "There is nothing to go back to", detail)
            }
            damaged if damaged.is_damaged() => {
                tracing::error!(error = %detail, "the store is damaged");
                let title = "What is stored was changed from outside";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", title, detail)
            }
            other => match (other.disk(), other) {
                (Some(disk), _) => Self::from_disk(disk),
                (None, E::Source(error)) => Self::from_source(error),
                _ => {
                    tracing::error!(error = %detail, "a request failed");
                    Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Longshore failed", detail)
                }
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.more;
        body.insert("type".into(), format!("/problems/{}", self.slug).into());
        body.insert("title".into(), self.title.into());
        body.insert("status".into(), self.status.as_u16().into());
        body.insert("detail".into(), self.detail.into());
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"longshore\""));
        }
        response
    }
}
