//! The one place where what went wrong becomes a status and a problem type (RFC 9457).

use std::time::Duration;

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    idle::{BodyIdle, BodySlow},
    problems::ProblemType,
    rights::{Grant, Scope},
    uploads::Mismatch,
};
use crate::{depot, disk, manifest, path::SitePath, source, telemetry::Way, volume};

/// An answer that says what is wrong, for a program (`type`) and for a person (`detail`).
#[derive(Debug)]
pub struct Problem {
    kind: ProblemType,
    detail: String,
    more: Map<String, Value>,
    retry_after: Option<u32>,
}

impl Problem {
    fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), more: Map::new(), retry_after: None }
    }

    /// Whether the volume has no room for what is wanted.
    pub(super) fn is_full(&self) -> bool {
        self.kind == ProblemType::VolumeFull
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
        Self::new(ProblemType::BadPath, why)
    }

    pub(super) fn bad_request(why: impl Into<String>) -> Self {
        Self::new(ProblemType::BadRequest, why)
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::new(ProblemType::NotFound, format!("nothing lies at {path:?}"))
    }

    pub(super) fn no_source() -> Self {
        Self::new(ProblemType::NoSource, "no source is followed here: start with --from and --every")
    }

    pub(super) fn ending() -> Self {
        Self::new(ProblemType::Restarting, "this process ends, or its look at the source failed: see its log").after(5)
    }

    /// What keeps a source from being followed.
    pub(super) fn of_look(error: &depot::Error) -> Self {
        match error {
            depot::Error::Source(cause) if cause.kind() == source::Kind::Unreachable => {
                Self::new(ProblemType::SourceUnreachable, chain(error)).after(5)
            }
            depot::Error::Source(cause)
                if matches!(cause.kind(), source::Kind::Denied | source::Kind::Cut | source::Kind::Failed) =>
            {
                Self::new(ProblemType::SourceFailed, chain(error))
            }
            other => Self::from(other),
        }
    }

    pub(super) fn not_locked() -> Self {
        Self::new(ProblemType::NotLocked, "the site is not locked: `PUT /v1/lock` locks it")
    }

    pub(super) fn no_such_operation(op: &str) -> Self {
        let detail = format!("no entry was made by {op:?}: it did not come about, or is not kept any more");
        Self::new(ProblemType::NoSuchOperation, detail)
    }

    pub(super) fn no_such_range(size: u64) -> Self {
        let detail = format!("the file has {size} bytes");
        Self::new(ProblemType::NoSuchRange, detail).with("size", size.into())
    }

    pub(super) fn unreadable(path: &SitePath, error: &std::io::Error) -> Self {
        let detail = format!("{path}: {error}");
        Self::new(ProblemType::VolumeFailed, detail)
    }

    pub(super) fn no_such_route(path: &str) -> Self {
        let detail = format!("there is no {path:?} here: files lie under /site/, the history under /v1/releases");
        Self::new(ProblemType::NoSuchRoute, detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "this route does not have this method";
        Self::new(ProblemType::MethodNotAllowed, detail)
    }

    pub(super) fn unauthorized(why: &str) -> Self {
        Self::new(ProblemType::Unauthorized, why)
    }

    pub(super) fn foreign_origin() -> Self {
        let detail = "without tokens only programs of this machine are served, under a loopback name";
        Self::new(ProblemType::ForeignOrigin, detail)
    }

    pub(super) fn cross_origin() -> Self {
        let detail =
            "a page of another origin asks for a change: `--origin` lists those that may; a proxy must pass Host on";
        Self::new(ProblemType::ForeignOrigin, detail)
    }

    pub(super) fn misdirected() -> Self {
        let detail = "this server is not asked for under this name: --host lists those under which it is";
        Self::new(ProblemType::Misdirected, detail)
    }

    pub(super) fn caller_unknown(after: Duration) -> Self {
        let detail = "whoever vouches for this token does not answer, and nobody is let in unasked: send it again";
        let seconds = u32::try_from(after.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        Self::new(ProblemType::CallerUnknown, detail).after(seconds)
    }

    pub(super) fn no_scope(scope: Scope, grant: &Grant) -> Self {
        let scope = scope.as_str();
        let why = match grant.way {
            Way::Oidc => "--oidc-scopes says which it has",
            Way::Kubernetes => "no role lets its account do that",
            Way::File | Way::None => "its line in the token file says scopes=…",
        };
        let detail = format!("this token has not the scope `{scope}`: {why}");
        Self::new(ProblemType::Forbidden, detail).with("scope", scope.into())
    }

    pub(super) fn out_of_reach(within: &SitePath) -> Self {
        let detail = format!("this token reaches only what lies below {within:?}: ask for /site/{within}/");
        Self::new(ProblemType::Forbidden, detail).with("within", within.as_str().into())
    }

    pub(super) fn length_required() -> Self {
        let detail = "send Content-Length (0 for an empty file) or Transfer-Encoding: chunked";
        Self::new(ProblemType::LengthRequired, detail)
    }

    pub(super) fn content_encoding() -> Self {
        let detail = "a Content-Encoding is not undone here: send the file itself";
        Self::new(ProblemType::ContentEncoding, detail)
    }

    pub(super) fn unsupported_type(why: impl Into<String>) -> Self {
        Self::new(ProblemType::UnsupportedType, why)
    }

    pub(super) fn content_coding(possible: &str) -> Self {
        let detail = format!("send the body as it is, or in one of {possible}");
        Self::new(ProblemType::ContentEncoding, detail)
    }

    pub(super) fn too_large(most: u64) -> Self {
        let detail = format!("a request has at most {most} bytes, unpacked: send the changes to a release instead");
        Self::new(ProblemType::TooLarge, detail)
    }

    pub(super) fn too_many_uploads(most: usize) -> Self {
        let detail = format!("{most} requests with a body are under way (--max-uploads): send it again in a moment");
        Self::new(ProblemType::TooManyUploads, detail).with("limit", most.into()).after(5)
    }

    pub(super) fn too_many_of_client(most: usize) -> Self {
        let detail = format!(
            "{most} requests with a body from this address are under way (--max-client-uploads): send it again in a moment"
        );
        Self::new(ProblemType::TooManyUploads, detail).with("limit", most.into()).after(5)
    }

    pub(super) fn too_many_answers(most: usize) -> Self {
        let detail = format!("{most} lists and archives are being sent already: ask for it again in a moment");
        Self::new(ProblemType::Overloaded, detail).after(2)
    }

    pub(super) fn no_inodes(free: u64) -> Self {
        let detail = format!("{free} inodes are free, which is too few for a write: the old release is served on");
        Self::new(ProblemType::VolumeFull, detail).with("free_inodes", free.into())
    }

    pub(super) fn no_such_upload(id: &str) -> Self {
        let detail = format!("there is no upload {id:?}: `POST /v1/uploads` begins one, and tells its Location");
        Self::new(ProblemType::NoSuchUpload, detail)
    }

    pub(super) fn tus_version(version: &str) -> Self {
        Self::new(ProblemType::TusVersion, format!("send Tus-Resumable: {version}"))
    }

    fn from_upload(error: &depot::UploadError) -> Self {
        use depot::UploadError as E;
        let detail = error.to_string();
        match error {
            E::NoSuch(_) => Self::new(ProblemType::NoSuchUpload, detail),
            E::Offset { offset, .. } => Self::new(ProblemType::OffsetMismatch, detail).with("offset", json!(offset)),
            E::TooLong { .. } | E::Length { .. } => Self::bad_request(detail),
            E::Busy => Self::new(ProblemType::UploadBusy, detail).after(1),
        }
    }

    pub(super) fn panicked() -> Self {
        let detail = "a mistake in Longshore: its log says where";
        Self::new(ProblemType::Internal, detail)
    }

    fn from_disk(error: &disk::Error) -> Self {
        let detail = error.to_string();
        if error.is_full() {
            Self::new(ProblemType::VolumeFull, detail)
        } else if error.is_denied() {
            let detail = error.cure().map_or_else(|| detail.clone(), |cure| format!("{detail}; {cure}"));
            Self::new(ProblemType::VolumeNotWritable, detail)
        } else if error.is_shortage() {
            Self::new(ProblemType::Overloaded, detail).after(2)
        } else {
            Self::new(ProblemType::VolumeFailed, detail)
        }
    }

    fn from_source(error: &source::Error) -> Self {
        let detail = chain(error);
        match error.kind() {
            source::Kind::Refused => Self::new(ProblemType::BadArchive, detail),
            source::Kind::Empty => Self::new(ProblemType::EmptyArchive, detail),
            source::Kind::Cut => Self::cut(detail),
            _ => Self::new(ProblemType::Internal, detail),
        }
    }

    fn cut(detail: String) -> Self {
        Self::new(ProblemType::BodyCut, detail)
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

/// The error of type `T` that `error` was made of.
fn inner<T: std::error::Error + 'static>(error: &std::io::Error) -> Option<&T> {
    error.get_ref()?.downcast_ref()
}

/// The first error of type `T` among the causes.
fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The problem of a body that we gave up on, when that is among the causes.
fn lateness(error: &(dyn std::error::Error + 'static)) -> Option<ProblemType> {
    let slow = || find::<BodySlow>(error).map(|_| ProblemType::BodySlow);
    find::<BodyIdle>(error).map(|_| ProblemType::BodyIdle).or_else(slow)
}

impl From<BytesRejection> for Problem {
    /// Of a small body, which is read at once.
    fn from(error: BytesRejection) -> Self {
        match lateness(&error) {
            Some(kind) => Self::new(kind, chain(&error)),
            None => Self::bad_request(error.body_text()),
        }
    }
}

impl From<depot::Error> for Problem {
    fn from(error: depot::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&depot::Error> for Problem {
    fn from(error: &depot::Error) -> Self {
        use depot::{Error as E, Exceeded};
        let detail = chain(error);
        match error {
            E::OutcomeUnknown { op, .. } => Self::new(ProblemType::OutcomeUnknown, detail).with("op", json!(op)),
            E::Adrift => Self::new(ProblemType::Restarting, detail).after(5),
            E::Diverged(_) => Self::new(ProblemType::Diverged, detail),
            E::Foreign(_) | E::Unfit(_) | E::Volume(volume::Error::InTheWay { .. }) => {
                Self::new(ProblemType::ForeignContent, detail)
            }
            E::Volume(volume::Error::NoSymlinks { .. }) => {
                let detail = format!("{detail}: start with --layout files");
                Self::new(ProblemType::VolumeNotWritable, detail)
            }
            E::Volume(volume::Error::Locked { .. }) => Self::new(ProblemType::VolumeLocked, detail).after(5),
            E::Manifest(manifest::Error::IsFile(_) | manifest::Error::IsFolder(_)) => {
                Self::new(ProblemType::PathConflict, detail)
            }
            E::Manifest(manifest::Error::Path(_)) => Self::bad_path(&detail),
            E::Upload(error) => Self::from_upload(error),
            E::Content(cause) if let Some(mismatch) = inner::<Mismatch>(cause) => match mismatch {
                Mismatch::Checksum => Self::new(ProblemType::ChecksumMismatch, mismatch.to_string()),
                Mismatch::Digest { found, .. } => {
                    Self::new(ProblemType::DigestMismatch, mismatch.to_string()).with("found", json!(found))
                }
            },
            E::Content(_) | E::Source(_) if let Some(kind) = lateness(error) => Self::new(kind, detail),
            E::Content(_) => Self::cut(detail),
            E::NotFound(path) => Self::not_found(path),
            E::Nothing => Self::new(ProblemType::EmptyArchive, detail),
            E::OutOfReach { within, .. } => Self::new(ProblemType::Forbidden, detail).with("within", json!(within)),
            E::Stale { current } => Self::new(ProblemType::StaleParent, detail).with("current", json!(current)),
            E::Precondition { current } => {
                Self::new(ProblemType::PreconditionFailed, detail).with("current", json!(current))
            }
            E::TooManyDeletions { removed, files } => Self::new(ProblemType::TooManyDeletions, detail)
                .with("removed", json!(removed))
                .with("files", json!(files)),
            E::EmptySite => Self::new(ProblemType::EmptySite, detail),
            E::Pinned(pin) => Self::new(ProblemType::Locked, detail).with("lock", json!(pin)),
            E::Vetoed(veto) if veto.is_ending => Self::new(ProblemType::Restarting, detail).after(5),
            E::TooManyAsk => Self::new(ProblemType::Overloaded, detail).after(2),
            E::Vetoed(veto) => {
                tracing::info!(why = %detail, "a write was vetoed");
                Self::new(ProblemType::Vetoed, detail)
                    .with("hook_status", json!(veto.status))
                    .with("output", json!(veto.output))
            }
            E::Overtaken => Self::new(ProblemType::Overtaken, detail).after(2),
            E::Missing(missing) => Self::new(ProblemType::MissingObjects, detail).with("missing", json!(missing)),
            E::Size { digest, real, .. } => {
                Self::new(ProblemType::WrongSize, detail).with("digest", json!(digest)).with("size", json!(real))
            }
            E::NoDigest { .. } => Self::bad_request(detail),
            E::Digest { found, .. } => Self::new(ProblemType::DigestMismatch, detail).with("found", json!(found)),
            E::Exceeded(exceeded) => {
                let (kind, limit, wanted) = match *exceeded {
                    Exceeded::File { limit, wanted } => (ProblemType::FileTooLarge, limit, wanted),
                    Exceeded::Site { limit, wanted } => (ProblemType::SiteTooLarge, limit, wanted),
                    Exceeded::Files { limit, wanted } | Exceeded::Folders { limit, wanted } => {
                        (ProblemType::TooManyFiles, limit, wanted)
                    }
                };
                Self::new(kind, detail).with("limit", json!(limit)).with("wanted", json!(wanted))
            }
            E::NoRoom { needed, free, floor } => Self::new(ProblemType::VolumeFull, detail)
                .with("needed", json!(needed))
                .with("free", json!(free))
                .with("min_free", json!(floor))
                .with("missing", json!(needed.saturating_add(*floor).saturating_sub(*free))),
            E::NoSuchRelease(_) | E::NotKept(_) => Self::new(ProblemType::NoSuchRelease, detail),
            E::Ambiguous(_) => Self::new(ProblemType::AmbiguousRelease, detail),
            E::NothingBefore => Self::new(ProblemType::NothingBefore, detail),
            damaged if damaged.is_damaged() => {
                tracing::error!(error = %detail, "the store is damaged");
                Self::new(ProblemType::Damaged, detail)
            }
            other => match (other.disk(), other) {
                (Some(disk), _) => Self::from_disk(disk),
                (None, E::Source(error)) => Self::from_source(error),
                _ => {
                    tracing::error!(error = %detail, "a request failed");
                    Self::new(ProblemType::Internal, detail)
                }
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.more;
        let status = self.kind.status();
        body.insert("type".into(), self.kind.uri().into());
        body.insert("title".into(), self.kind.title().into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), self.detail.into());
        let mut response = (status, Json(Value::Object(body))).into_response();
        // For whoever counts.
        response.extensions_mut().insert(self.kind);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"longshore\""));
        }
        response
    }
}
