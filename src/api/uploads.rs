//! `/v1/uploads`: large files over bad networks, by tus 1.0, which browsers and many clients speak.

mod checksum;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod tus;

pub(super) use checksum::Mismatch;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::{
    App, Problem,
    body::{blocking, check_coming, check_coming_of, check_length, check_wishes, with_body},
    caller::Caller,
    conditions::precondition,
    wishes,
};
use crate::depot::{Author, Coming, Piece, Precondition, Turn, Upload, Wanted};
use checksum::{Checked, Checksum};
use tus::{number, speak};

/// `OPTIONS /v1/uploads`: what is spoken here.
pub(super) async fn options(State(app): State<Arc<App>>) -> Response {
    let most = [("tus-max-size", app.depot.limits().file.to_string())];
    let headers = [
        ("tus-resumable", tus::VERSION),
        ("tus-version", tus::VERSION),
        ("tus-extension", tus::EXTENSIONS),
        ("tus-checksum-algorithm", checksum::ALGORITHMS),
    ];
    (StatusCode::NO_CONTENT, headers, most).into_response()
}

/// `POST /v1/uploads`: begins an upload, perhaps with its first piece.
pub(super) async fn begin(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let work = async {
        check(&uri, version, &headers)?;
        let length = tus::length(&headers)?;
        let checksum = Checksum::of(&headers)?;
        let (announced, has_piece) = (number(&headers, "content-length")?, is_piece(&headers));
        if !has_piece && checksum.is_some() {
            let why =
                "a digest is that of the first piece, and none comes: `sha256` in Upload-Metadata is that of all bytes";
            return Err(Problem::bad_request(why));
        }
        if headers.contains_key("upload-concat") {
            return Err(Problem::bad_request("uploads are not put together here (Upload-Concat): send it as one"));
        }
        if !has_piece && announced.is_some_and(|announced| announced > 0) {
            return Err(Problem::unsupported_type(format!("the first bytes of an upload are sent as {}", tus::PIECE)));
        }
        let wanted = wanted(by.clone(), length, &headers)?;
        let coming = wanted.path.clone().map_or(Coming::Object, Coming::File);
        let bytes = length.unwrap_or_default().max(announced.unwrap_or_default());
        check_coming_of(&app, &headers, coming, bytes).await?;
        let upload = blocking(&app, move |depot| depot.begin_upload(wanted)).await?;
        let id = upload.id;
        let upload = if has_piece || length == Some(0) {
            let piece = Piece { offset: 0, length: None, announced, is_whole: checksum.is_some() };
            match append_to(&app, &by, id, piece, checksum, body).await {
                Err(problem) => {
                    // Its client does not know its name.
                    blocking(&app, move |depot| depot.end_upload(&depot.turn(id, &by)?)).await.unwrap_or_else(
                        |problem| {
                            tracing::debug!(?problem, "an upload that failed at once goes by its age");
                        },
                    );
                    return Err(problem);
                }
                done => done?,
            }
        } else {
            upload
        };
        let location = HeaderValue::try_from(format!("/v1/uploads/{id}")).map_err(|_| Problem::panicked())?;
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], tus::told(&upload)).into_response())
    };
    speak(&headers, work).await
}

/// What the client wants of a new upload.
fn wanted(by: Author, length: Option<u64>, headers: &HeaderMap) -> Result<Wanted, Problem> {
    let (metadata, pairs) = tus::metadata(headers)?;
    let path = pairs.get("path").map(|path| path.parse());
    let path = path.transpose().map_err(|error: crate::path::PathError| Problem::bad_path(&error.to_string()))?;
    path.as_ref().map_or(Ok(()), |path| by.check(path))?;
    let digest = pairs.get("sha256").map(|digest| digest.parse()).transpose();
    let digest = digest.map_err(|error: crate::digest::NotADigest| Problem::bad_request(error.to_string()))?;
    let precondition = precondition(headers, path.as_ref())?;
    if path.is_none() && precondition != Precondition::default() {
        let why = "a precondition is for an upload that is published: name its path in Upload-Metadata";
        return Err(Problem::bad_request(why));
    }
    Ok(Wanted { by, length, metadata, path, digest, precondition })
}

/// `HEAD /v1/uploads/{id}`: where it goes on.
pub(super) async fn head(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let work = async {
        let id = name(&id)?;
        let upload = blocking(&app, move |depot| depot.upload(&depot.turn(id, &by)?)).await?;
        Ok((StatusCode::OK, tus::described(&upload)).into_response())
    };
    speak(&headers, work).await
}

/// `PATCH /v1/uploads/{id}`: the next piece.
pub(super) async fn append(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let work = async {
        check(&uri, version, &headers)?;
        if !is_piece(&headers) {
            return Err(Problem::unsupported_type(format!("a piece of an upload is sent as {}", tus::PIECE)));
        }
        let missing = || Problem::bad_request("Upload-Offset is missing: where the piece begins, as HEAD tells");
        let offset = number(&headers, "upload-offset")?.ok_or_else(missing)?;
        let (length, announced) = (number(&headers, "upload-length")?, number(&headers, "content-length")?);
        let checksum = Checksum::of(&headers)?;
        check_coming(&app, &headers, Coming::Piece).await?;
        let piece = Piece { offset, length, announced, is_whole: checksum.is_some() };
        let upload = append_to(&app, &by, name(&id)?, piece, checksum, body).await?;
        Ok((StatusCode::NO_CONTENT, tus::told(&upload)).into_response())
    };
    speak(&headers, work).await
}

/// `DELETE /v1/uploads/{id}`: ends it.
pub(super) async fn end(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let work = async {
        wishes::none(uri.query(), &headers)?;
        check_wishes(&headers)?;
        let id = name(&id)?;
        blocking(&app, move |depot| depot.end_upload(&depot.turn(id, &by)?)).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    speak(&headers, work).await
}

/// `POST /v1/uploads/{id}`, for a client that has neither PATCH nor DELETE: `X-HTTP-Method-Override` says which it means.
pub(super) async fn instead(
    caller: Caller,
    state: State<Arc<App>>,
    id: Path<String>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let method = headers.get("x-http-method-override").map(HeaderValue::as_bytes);
    match method.and_then(|method| Method::from_bytes(method).ok()) {
        Some(Method::PATCH) => append(caller, state, id, uri, version, headers, body).await,
        Some(Method::DELETE) => end(caller, state, id, uri, headers).await,
        Some(Method::HEAD) => head(caller, state, id, headers).await,
        _ => {
            let why = "POST to an upload stands for another method: X-HTTP-Method-Override is PATCH, DELETE or HEAD";
            speak(&headers, async { Err(Problem::bad_request(why)) }).await
        }
    }
}

fn check(uri: &Uri, version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    wishes::none(uri.query(), headers)?;
    check_wishes(headers)?;
    check_length(version, headers)
}

fn is_piece(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // Some clients add a charset to everything.
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(tus::PIECE)
}

fn name(id: &str) -> Result<Uuid, Problem> {
    // One spelling: the folder of the upload is named so.
    let parsed = Uuid::try_parse(id).ok().filter(|parsed| parsed.to_string() == id);
    parsed.ok_or_else(|| Problem::no_such_upload(id))
}

async fn append_to(
    app: &Arc<App>,
    by: &Author,
    id: Uuid,
    piece: Piece,
    checksum: Option<Checksum>,
    body: Body,
) -> Result<Upload, Problem> {
    let by = by.clone();
    let turn: Turn = blocking(app, move |depot| depot.turn(id, &by)).await?;
    // Whoever ends this turn need not wait for a client that sends no more.
    let bytes = body.into_data_stream().take_until(turn.over().clone().cancelled_owned());
    let at_work = app.clone();
    with_body(app, Body::from_stream(bytes), None, move |depot, content| {
        let (upload, outcome) = depot.append(&turn, piece, &mut Checked::new(content, checksum))?;
        outcome.iter().for_each(|outcome| at_work.committed(outcome));
        Ok::<_, crate::depot::Error>(upload)
    })
    .await
}
