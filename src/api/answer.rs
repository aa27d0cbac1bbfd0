//! What answers have in common: who counts them, how they name a file, how they speak of a write.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::DateTime;
use serde::Serialize;
use utoipa::ToSchema;

use super::{App, problems::ProblemType, releases::Difference};
use crate::{
    depot::{Changed, Outcome},
    digest::Digest,
    path::SitePath,
    telemetry::{Limit, Route},
};

/// Paths that the answer to a dry run names.
const MOST_CHANGES: usize = 10_000;

/// Counts each request, and those that a limit refused.
pub(super) async fn note(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (method, route) = (request.method().clone(), Route::of(request.uri().path()));
    let mut response = next.run(request).await;
    // What we answer is for programs: a browser that shows it all the same runs nothing of it, nor takes it for a page.
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    app.metrics.request(&method, route, response.status());
    if let Some(limit) = response.extensions().get().and_then(limit) {
        app.metrics.bounds.refused(limit);
    }
    response
}

/// The limit that a problem tells of.
fn limit(problem: &ProblemType) -> Option<Limit> {
    match problem {
        ProblemType::FileTooLarge => Some(Limit::FileBytes),
        ProblemType::SiteTooLarge => Some(Limit::SiteBytes),
        ProblemType::TooManyFiles => Some(Limit::SiteFiles),
        ProblemType::TooManyUploads => Some(Limit::Uploads),
        ProblemType::VolumeFull => Some(Limit::FreeBytes),
        _ => None,
    }
}

impl App {
    /// Tells log and metrics of a write.
    pub(super) fn committed(&self, outcome: &Outcome) {
        if outcome.is_new && outcome.rehearsed.is_none() {
            let entry = &outcome.head.entry;
            self.metrics.committed(entry.cause.as_str());
            self.metrics.published(entry.seq);
            if let Ok(live) = self.depot.size() {
                self.metrics.bounds.lives(live.files, live.bytes);
            }
            let (seq, release, cause, by) = (entry.seq, entry.release, entry.cause.as_str(), &*entry.by);
            tracing::info!(seq, %release, cause, by, changed = outcome.changed, removed = outcome.removed, "published");
        }
    }
}

/// What a write answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Written {
    seq: u64,
    release: Digest,
    /// Files set.
    changed: u64,
    /// Files removed.
    removed: u64,
    /// Bytes of the files set.
    bytes: u64,
    /// Of the one file that was put.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// What the client may have meant instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Whether nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    /// The paths that would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Difference>>,
    /// How many more there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes_left_out: Option<usize>,
    #[serde(skip)]
    status: StatusCode,
}

/// Said to whoever puts an archive as a file: `curl -T site.tgz …/site/` does, since curl adds the file's name.
fn hint(path: &SitePath) -> Option<String> {
    let is_archive = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip"].iter().any(|end| path.name().ends_with(end));
    let folder = path.parent().map_or_else(String::new, |folder| format!("{folder}/"));
    is_archive.then(|| {
        format!(
            "this archive was stored as one file; to put what is in it in place of all that lies in the folder, send it \
             to the folder itself: curl -T - …/site/{folder} < ARCHIVE"
        )
    })
}

impl Written {
    pub(super) fn site(outcome: &Outcome) -> Self {
        let Outcome { head, changed, removed, bytes, .. } = outcome;
        let (seq, release) = (head.entry.seq, head.entry.release);
        let (changed, removed, bytes) = (*changed, *removed, *bytes);
        let changes = outcome.rehearsed.as_ref();
        let left_out = changes.and_then(|changes| changes.len().checked_sub(MOST_CHANGES)).filter(|count| *count > 0);
        let some = |changes: &Vec<Changed>| changes.iter().take(MOST_CHANGES).cloned().map(Difference::from).collect();
        Self {
            seq,
            release,
            changed,
            removed,
            bytes,
            digest: None,
            hint: None,
            dry_run: changes.map(|_| true),
            changes: changes.map(some),
            changes_left_out: left_out,
            status: StatusCode::OK,
        }
    }

    /// Of a deploy: 201 when it made a release.
    pub(super) fn release(outcome: &Outcome) -> Self {
        let status = if outcome.is_new && outcome.rehearsed.is_none() { StatusCode::CREATED } else { StatusCode::OK };
        Self { status, ..Self::site(outcome) }
    }

    pub(super) fn file(outcome: &Outcome, path: &SitePath, digest: Digest) -> Self {
        let status = if outcome.creates && outcome.rehearsed.is_none() { StatusCode::CREATED } else { StatusCode::OK };
        Self { digest: Some(digest), hint: hint(path), status, ..Self::site(outcome) }
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let tag = etag(self.digest.unwrap_or(self.release));
        let mut response = (self.status, Json(self)).into_response();
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// The strong entity tag of some content: its digest.
pub(super) fn etag(digest: Digest) -> String {
    format!("\"{digest}\"")
}

/// `Last-Modified`, as RFC 9110, section 5.6.7, wants it.
pub(super) fn http_date(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// `Repr-Digest` of RFC 9530.
pub(super) fn repr_digest(digest: Digest) -> String {
    format!("sha-256=:{}:", BASE64_STANDARD.encode(digest.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_of_digests_as_rfc_9530_does() {
        let example = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        assert_eq!(repr_digest(Digest::of("abc")), example);
    }

    #[test]
    fn speaks_http_dates() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
