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
    body::{blocking, check_coming, check_length, check_wishes, with_body},
    caller::Caller,
    conditions::{announced, precondition},
    media,
    wishes::Wishes,
};
use crate::{
    depot::{self, Author, Change, Coming, Proposal},
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
    let address = address(&by, &uri)?;
    match address {
        Address::Folder(folder) => archive(&app, by, &headers, wishes, folder, true, body).await,
        Address::File(path) => {
            check_coming(&app, &headers, Coming::File(path.clone())).await?;
            let place = path.clone();
            let precondition = precondition(&headers, Some(&path))?;
            let at_work = app.clone();
            let done = with_body(&app, body, announced(&headers)?, move |depot, content| {
                let ingest = depot.ingest_beside(None, wishes.dry_run)?;
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
    let address = address(&by, &uri)?;
    match address {
        Address::Folder(folder) => archive(&app, by, &headers, wishes, folder, false, body).await,
        Address::File(_) => {
            Err(Problem::bad_request("PATCH merges an archive into a folder: end the path with a slash"))
        }
    }
}

/// What is to change, when its author reaches it.
fn address(by: &Author, uri: &Uri) -> Result<Address, Problem> {
    let address = Address::parse(uri.path())?;
    match &address {
        Address::File(path) | Address::Folder(Some(path)) => by.check(path)?,
        // What differs there is seen when it is committed.
        Address::Folder(None) => {}
    }
    Ok(address)
}

async fn archive(
    app: &Arc<App>,
    by: Author,
    headers: &HeaderMap,
    wishes: Wishes,
    folder: Option<SitePath>,
    replaces: bool,
    body: Body,
) -> Result<Response, Problem> {
    check_coming(app, headers, Coming::Files).await?;
    let cause = if replaces && folder.is_none() { Cause::Upload } else { Cause::Patch };
    let (precondition, announced_kind) = (precondition(headers, None)?, media::archive(headers)?);
    let at_work = app.clone();
    let done = with_body(app, body, announced(headers)?, move |depot, content| {
        let clears = replaces.then_some(folder.as_ref());
        let ingest = depot.ingest_beside(clears, wishes.dry_run)?;
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
    let address = address(&by, &uri)?;
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
        let ingest = depot.ingest_beside(None, wishes.dry_run)?;
        let proposal = Proposal { precondition, guard: Some(wishes.guard), ..Proposal::new(change, Cause::Patch, &by) };
        depot.commit(&ingest.staging, &proposal).inspect(|outcome| at_work.committed(outcome))
    });
    let outcome = done.await?;
    Ok(Written::site(&outcome).into_response())
}
