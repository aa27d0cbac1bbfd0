//! `POST /site/{dir}/`: the files of a form, as `curl -F` and browsers send them, merged into a folder in one release.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri, Version, header},
    response::{IntoResponse as _, Response},
};

use super::{
    App, Problem,
    address::Address,
    answer::Written,
    body::{check_coming, check_length, check_wishes, with_body},
    caller::Caller,
    conditions::{announced, precondition},
    parts::Parts,
    wishes::Wishes,
};
use crate::{
    depot::{Coming, Proposal},
    entry::Cause,
};

/// `POST /site/{dir}/`: several files and folders at once.
pub(super) async fn post(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wishes = Wishes::of(uri.query(), &headers)?;
    check_wishes(&headers)?;
    check_length(version, &headers)?;
    let Address::Folder(folder) = Address::parse(uri.path())? else {
        return Err(Problem::bad_request("POST puts the files of a form into a folder: end the path with a slash"));
    };
    let boundary = boundary(&headers)?;
    check_coming(&app, &headers, Coming::Files).await?;
    let precondition = precondition(&headers, None)?;
    let at_work = app.clone();
    let done = with_body(&app, body, announced(&headers)?, move |depot, content| {
        let ingest = depot.ingest_beside(None, wishes.dry_run)?;
        let mut parts = Parts::new(content, boundary);
        let mut count = 0_u64;
        while let Some((path, mut bytes)) = parts.next(folder.as_ref())? {
            ingest
                .file(path, false, &mut bytes)
                .map_err(|error| bytes.take_failure().unwrap_or_else(|| error.into()))?;
            count += 1;
        }
        drop(parts);
        if count == 0 {
            return Err(Problem::bad_request("the form has no file"));
        }
        content.check()?;
        let (staging, change) = ingest.into_change(None, false);
        let proposal = Proposal { precondition, guard: Some(wishes.guard), ..Proposal::new(change, Cause::Patch, &by) };
        Ok(depot.commit(&staging, &proposal).inspect(|outcome| at_work.committed(outcome))?)
    });
    Ok(Written::site(&done.await?).into_response())
}

pub(super) fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let why = "POST takes multipart/form-data with a boundary, as `curl -F a=@FILE` sends it; one file, or an archive, is sent by PUT";
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(value).map_err(|_| Problem::unsupported_type(why))
}
