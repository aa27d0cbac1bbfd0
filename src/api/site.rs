//! `/site/…`: changing what is live by hand.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri, Version},
    response::{IntoResponse as _, Response},
};

use super::{
    App, Problem,
    address::Address,
    answer::Written,
    body::{blocking, check_length, check_room, check_wishes, with_body},
    caller::Caller,
    conditions::{announced, precondition},
    media,
    wishes::Wishes,
};
use crate::{
    depot::{self, Change, Depot, Ingest, Proposal},
    entry::Cause,
    path::SitePath,
};

/// `PUT /site/{path}`: one file; with a trailing slash, an archive in place of the folder.
pub(super) async fn put(
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
    check_room(&app, &headers).await?;
    match Address::parse(uri.path())? {
        Address::Folder(folder) => archive(&app, by, &headers, wishes, folder, true, body).await,
        Address::File(path) => {
            let place = path.clone();
            let precondition = precondition(&headers, Some(&path))?;
            let at_work = app.clone();
            let done = with_body(&app, body, announced(&headers)?, move |depot, content| {
                let ingest = begin(depot, wishes)?;
                let staged = ingest.file(path, false, content)?;
                content.check()?;
                let (staging, change) = ingest.into_change(None, false);
                let proposal =
                    Proposal { precondition, guard: Some(wishes.guard), ..Proposal::new(change, Cause::Patch, &by) };
                let outcome = depot.commit(&staging, &proposal)?;
                at_work.committed(&outcome);
                Ok::<_, depot::Error>((outcome, staged.digest))
            });
            let (outcome, digest) = done.await?;
            Ok(Written::file(&outcome, &place, digest).into_response())
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
    let wishes = Wishes::of(uri.query(), &headers)?;
    check_wishes(&headers)?;
    check_length(version, &headers)?;
    check_room(&app, &headers).await?;
    match Address::parse(uri.path())? {
        Address::Folder(folder) => archive(&app, by, &headers, wishes, folder, false, body).await,
        Address::File(_) => {
            Err(Problem::bad_request("PATCH merges an archive into a folder: end the path with a slash"))
        }
    }
}

/// Where the files of a write go: nowhere, when it is only rehearsed.
pub(super) fn begin(depot: &Depot, wishes: Wishes) -> Result<Ingest, depot::Error> {
    if wishes.dry_run { depot.ingest_nowhere() } else { depot.ingest() }
}

async fn archive(
    app: &Arc<App>,
    by: String,
    headers: &HeaderMap,
    wishes: Wishes,
    folder: Option<SitePath>,
    replaces: bool,
    body: Body,
) -> Result<Response, Problem> {
    let cause = if replaces && folder.is_none() { Cause::Upload } else { Cause::Patch };
    let (precondition, announced_kind) = (precondition(headers, None)?, media::archive(headers)?);
    let at_work = app.clone();
    let done = with_body(app, body, announced(headers)?, move |depot, content| {
        let ingest = begin(depot, wishes)?;
        ingest.archive(folder.as_ref(), announced_kind, content)?;
        content.check()?;
        let (staging, change) = ingest.into_change(folder, replaces);
        let proposal = Proposal { precondition, guard: Some(wishes.guard), ..Proposal::new(change, cause, &by) };
        depot.commit(&staging, &proposal).inspect(|outcome| at_work.committed(outcome))
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
    let wishes = Wishes::of(uri.query(), &headers)?;
    check_wishes(&headers)?;
    let address = Address::parse(uri.path())?;
    let precondition = match &address {
        Address::File(path) => precondition(&headers, Some(path)),
        Address::Folder(_) => precondition(&headers, None),
    }?;
    let change = match address {
        Address::File(path) => Change::Remove(path),
        Address::Folder(Some(path)) => Change::RemoveFolder(path),
        Address::Folder(None) => {
            return Err(Problem::bad_request("the whole site cannot be deleted: put another one in its place"));
        }
    };
    let at_work = app.clone();
    let done = blocking(&app, move |depot| {
        let ingest = begin(depot, wishes)?;
        let proposal = Proposal { precondition, guard: Some(wishes.guard), ..Proposal::new(change, Cause::Patch, &by) };
        depot.commit(&ingest.staging, &proposal).inspect(|outcome| at_work.committed(outcome))
    });
    let outcome = done.await?;
    Ok(Written::site(&outcome).into_response())
}
