//! Every route of the door, in one table: the router, the authorisation before it, the OpenAPI document and the tests of
//! permissions are made from it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::{Method, Uri},
    middleware,
    response::IntoResponse as _,
    routing::{MethodRouter, any},
};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::path::Parameter;

use super::{
    App, Problem,
    answer::{self, Written},
    caller, deployment, deploys, form, host, objects, openapi,
    operation::{Access, Operation, bytes, header, json, must, operation, query, segment},
    origin, pin, places,
    problems::ProblemType::{self, *},
    read, releases,
    rights::Scope,
    schemas, site, sync, uploads,
};
use crate::digest::Digest;

/// Files of the site, and its folders, which end in a slash: two paths for OpenAPI, one for the router.
const FILE: &str = "/site/{path}";
const FOLDER: &str = "/site/{folder}/";
const SITE: &str = "/site/";

const ARCHIVES: &[&str] = &["application/x-tar", "application/gzip", "application/zstd", "application/zip"];
const FORM: &[&str] = &["multipart/form-data"];
const PIECE: &[&str] = &["application/offset+octet-stream"];
const ANYTHING: &[&str] = &["*/*"];

/// What may be wrong with any request that needs a token.
const ASKING: &[ProblemType] =
    &[Misdirected, BadRequest, Unauthorized, Forbidden, ForeignOrigin, CallerUnknown, Overloaded, Internal];
/// With reading.
const READING: &[ProblemType] = &[VolumeFailed, VolumeNotWritable, Damaged];
/// With writing.
const WRITING: &[ProblemType] = &[
    Locked,
    PreconditionFailed,
    ForeignContent,
    Diverged,
    VolumeLocked,
    Restarting,
    OutcomeUnknown,
    VolumeFull,
    VolumeFailed,
    VolumeNotWritable,
    Damaged,
];
/// With making a release.
const PUBLISHING: &[ProblemType] = &[Vetoed, Overtaken];
/// With a body.
const SENDING: &[ProblemType] = &[
    LengthRequired,
    BodyCut,
    BodyIdle,
    BodySlow,
    TooManyUploads,
    FileTooLarge,
    SiteTooLarge,
    TooManyFiles,
    ContentEncoding,
    DigestMismatch,
];
/// With a small body.
const LATE: &[ProblemType] = &[BodyIdle, BodySlow];
/// With what a path names.
const PLACES: &[ProblemType] = &[BadPath, PathConflict];
const ARCHIVED: &[ProblemType] = &[BadPath, PathConflict, BadArchive, EmptyArchive, UnsupportedType];
/// With an upload that can be resumed.
const TUS: &[ProblemType] = &[TusVersion, NoSuchUpload, OffsetMismatch, UploadBusy, ChecksumMismatch];
/// With what a guard refuses.
const GUARDED: &[ProblemType] = &[TooManyDeletions, EmptySite];

/// All operations.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Operation> {
    use Access::{Anybody, Reader};
    const UPLOAD: Access = Access::Caller(Scope::Upload);
    const ROLLBACK: Access = Access::Caller(Scope::Rollback);
    const ADMIN: Access = Access::Caller(Scope::Admin);
    const READ: Access = Access::Caller(Scope::Read);
    let mut table = vec![
        operation(Method::GET, "/openapi.json", Anybody, openapi::get)
            .named("openapi", "This document")
            .answers(200, "OpenAPI 3.1", Some(bytes(&["application/json"]))),

        operation(Method::GET, FILE, Reader, read::get)
            .named("readFile", "The live file, whole or one range of it")
            .with([path(), header::<String>("Range", "One range; several answer the whole"),
                   header::<String>("If-Range", "An ETag, or a time"),
                   header::<String>("If-Match", "412 when the live file has another ETag"),
                   header::<String>("If-None-Match", "304 when the live file has this ETag"),
                   header::<String>("If-Modified-Since", "304 when the live file is not newer")])
            .answers(200, "The file; its ETag is its SHA-256", Some(bytes(ANYTHING)))
            .answers(206, "A range of it", Some(bytes(ANYTHING)))
            .answers(304, "What the client has", None)
            .fails(&[ASKING, READING, &[BadPath, NotFound, NoSuchRange, PreconditionFailed]]),
        operation(Method::PUT, FILE, UPLOAD, site::put)
            .named("putFile", "One file, published when the answer comes")
            .with([path()]).with(preconditions()).with(guards()).with(digests())
            .takes(bytes(ANYTHING).optional())
            .answers(200, "It replaced another, or was there", Some(json::<Written>()))
            .answers(201, "It is new", Some(json::<Written>()))
            .fails(&[ASKING, SENDING, PLACES, WRITING, PUBLISHING, GUARDED]),
        operation(Method::DELETE, FILE, UPLOAD, site::delete)
            .named("deleteFile", "A file less")
            .with([path()]).with(preconditions()).with(guards())
            .answers(200, "It is gone", Some(json::<Written>()))
            .fails(&[ASKING, PLACES, WRITING, PUBLISHING, GUARDED, &[NotFound, ContentEncoding]]),

        operation(Method::DELETE, FOLDER, UPLOAD, site::delete)
            .named("deleteFolder", "A folder less, with all that is in it")
            .with([folder()]).with(preconditions()).with(guards())
            .answers(200, "It is gone", Some(json::<Written>()))
            .fails(&[ASKING, PLACES, WRITING, PUBLISHING, GUARDED, &[NotFound, ContentEncoding]]),
    ];
    for (route, ids, parameters) in [
        (SITE, ["readSite", "putSite", "patchSite", "postSite"], None),
        (FOLDER, ["readFolder", "putFolder", "patchFolder", "postFolder"], Some(folder())),
    ] {
        table.extend([
            operation(Method::GET, route, Reader, read::get)
                .named(ids[0], "The folder's index.html; with `list` its files, with `archive` all in one")
                .with(parameters.clone())
                .with([query::<String>("list", "Its files, as JSON"),
                       query::<String>("archive", "tar, tar.gz, tar.zst or zip")])
                .answers(200, "The page, the list, or the archive", [json::<read::Folder>(), bytes(ANYTHING)])
                .answers(206, "A range of the page", Some(bytes(ANYTHING)))
                .answers(304, "What the client has", None)
                .fails(&[ASKING, READING, &[BadPath, NotFound, NoSuchRange, PreconditionFailed]]),
            operation(Method::PUT, route, UPLOAD, site::put)
                .named(ids[1], "An archive in place of all that lies in the folder")
                .with(parameters.clone()).with(preconditions()).with(guards()).with(digests())
                .takes(bytes(ARCHIVES))
                .answers(200, "It is live", Some(json::<Written>()))
                .fails(&[ASKING, SENDING, ARCHIVED, WRITING, PUBLISHING, GUARDED]),
            operation(Method::PATCH, route, UPLOAD, site::patch)
                .named(ids[2], "An archive merged into the folder")
                .with(parameters.clone()).with(preconditions()).with(guards()).with(digests())
                .takes(bytes(ARCHIVES))
                .answers(200, "It is live", Some(json::<Written>()))
                .fails(&[ASKING, SENDING, ARCHIVED, WRITING, PUBLISHING, GUARDED]),
            operation(Method::POST, route, UPLOAD, form::post)
                .named(ids[3], "The files of a form, merged into the folder as one release")
                .with(parameters).with(preconditions()).with(guards()).with(digests())
                .takes(bytes(FORM))
                .answers(200, "They are live", Some(json::<Written>()))
                .fails(&[ASKING, SENDING, PLACES, WRITING, PUBLISHING, GUARDED, &[UnsupportedType]]),
        ]);
    }
    table.extend([
        operation(Method::GET, "/v1/releases", READ, releases::list)
            .named("listReleases", "The journal, newest first")
            .with([query::<schemas::Count>("limit", "Entries of a page, at most 1,000; 100 unless told"),
                   query::<schemas::Count>("before", "Only entries with a smaller number: `next` of the page before")])
            .answers(200, "A page of it", Some(json::<releases::History>()))
            .fails(&[ASKING, READING]),
        operation(Method::POST, "/v1/releases", UPLOAD, deploys::deploy)
            .named("deploy", "A release by its manifest, or by the changes to another; objects are sent before")
            .with(preconditions()).with(guards()).with(digests())
            .with([header::<String>("Content-Encoding", "gzip or zstd")])
            .takes(json::<deployment::Request>())
            .answers(200, "Nothing differed: no release was made", Some(json::<Written>()))
            .answers(201, "The release is live", Some(json::<Written>()))
            .fails(&[ASKING, SENDING, PLACES, WRITING, PUBLISHING, GUARDED,
                     &[TooLarge, MissingObjects, WrongSize, StaleParent, NoSuchRelease, AmbiguousRelease, EmptyArchive]]),
        operation(Method::GET, "/v1/releases/{id}", READ, releases::one)
            .named("readRelease", "A release and its files")
            .with([id("id")])
            .answers(200, "The release", Some(json::<releases::Whole>()))
            .fails(&[ASKING, READING, &[NoSuchRelease, AmbiguousRelease]]),
        operation(Method::GET, "/v1/diff/{one}/{other}", READ, releases::differences)
            .named("compareReleases", "The paths in which two releases differ")
            .with([id("one"), id("other")])
            .answers(200, "The differences", Some(json::<releases::Differences>()))
            .fails(&[ASKING, READING, &[NoSuchRelease, AmbiguousRelease]]),
        operation(Method::GET, "/v1/ops/{op}", READ, releases::operation)
            .named("readOperation", "What became of an operation whose answer was lost")
            .with([segment::<schemas::Uuid>("op", "The operation: a UUID")])
            .answers(200, "The entry that it made", Some(json::<releases::Published>()))
            .fails(&[ASKING, READING, &[NoSuchOperation]]),
        operation(Method::POST, "/v1/rollback", ROLLBACK, releases::roll_back)
            .named("rollBack", "An old release again: `to`, or the last other deploy, seed or adoption")
            .with(preconditions()).with(guards())
            .takes(json::<releases::RollBack>().optional())
            .answers(200, "It is live", Some(json::<Written>()))
            .fails(&[ASKING, WRITING, PUBLISHING, GUARDED, LATE, &[ContentEncoding, StaleParent, NoSuchRelease, AmbiguousRelease, NothingBefore]]),
        operation(Method::HEAD, "/v1/objects/{digest}", UPLOAD, objects::head)
            .named("findObject", "Whether an object need not be sent")
            .with([segment::<Digest>("digest", "Its SHA-256")])
            .answers(200, "It is there; Content-Length is its size", None)
            .fails(&[ASKING, READING, &[NotFound]]),
        operation(Method::PUT, "/v1/objects/{digest}", UPLOAD, objects::put)
            .named("putObject", "One object, kept for a day until a release names it")
            .with([segment::<Digest>("digest", "Its SHA-256")]).with(digests())
            .takes(bytes(ANYTHING).optional())
            .answers(200, "It was there", Some(json::<objects::Sent>()))
            .answers(201, "It waits", Some(json::<objects::Sent>()))
            .fails(&[ASKING, SENDING, WRITING]),
        operation(Method::POST, "/v1/objects", UPLOAD, objects::post)
            .named("putObjects", "An archive of objects, each named by its SHA-256")
            .with(digests())
            .takes(bytes(ARCHIVES))
            .answers(200, "They wait", Some(json::<objects::SentMany>()))
            .fails(&[ASKING, SENDING, ARCHIVED, WRITING]),
        operation(Method::OPTIONS, "/v1/uploads", Anybody, uploads::options)
            .named("describeUploads", "What of tus 1.0 is spoken here")
            .answers(204, "Tus-Version, Tus-Extension, Tus-Checksum-Algorithm, Tus-Max-Size", None),
        operation(Method::POST, "/v1/uploads", UPLOAD, uploads::begin)
            .named("beginUpload", "A new upload that can be resumed, perhaps with its first piece")
            .with([tus(), header::<schemas::Count>("Upload-Length", "Its bytes"),
                   header::<schemas::One>("Upload-Defer-Length", "1: its length is told later"),
                   header::<String>("Upload-Metadata", "KEY BASE64, with commas between. `path`: where in the site it is \
                                    published; `sha256`: what its bytes must hash to, in hexadecimal digits"),
                   checksum()])
            .with(preconditions()).with(digests())
            .takes(bytes(PIECE).optional())
            .answers(201, "It has begun: Location", None)
            .fails(&[ASKING, SENDING, PLACES, WRITING, PUBLISHING, GUARDED, TUS, &[UnsupportedType]]),
        operation(Method::HEAD, "/v1/uploads/{id}", UPLOAD, uploads::head)
            .named("findUpload", "Where an upload goes on: Upload-Offset. Ends the request that writes to it")
            .with([segment::<schemas::Uuid>("id", "The upload"), tus()])
            .answers(200, "Upload-Offset, Upload-Length, Upload-Expires", None)
            .fails(&[ASKING, READING, &[TusVersion, NoSuchUpload, UploadBusy]]),
        operation(Method::PATCH, "/v1/uploads/{id}", UPLOAD, uploads::append)
            .named("appendUpload", "The next piece; with the last one the upload is an object, or published")
            .with([segment::<schemas::Uuid>("id", "The upload"), tus(),
                   must::<schemas::Count>("Upload-Offset", "Where the piece begins"),
                   header::<schemas::Count>("Upload-Length", "The upload's bytes, when that was not told before"),
                   checksum()])
            .with(digests())
            .takes(bytes(PIECE))
            .answers(204, "It is there: Upload-Offset; at the end ETag, and the release or the object", None)
            .fails(&[ASKING, SENDING, PLACES, WRITING, PUBLISHING, GUARDED, TUS, &[UnsupportedType]]),
        operation(Method::DELETE, "/v1/uploads/{id}", UPLOAD, uploads::end)
            .named("endUpload", "An upload less; one that is finished stays published")
            .with([segment::<schemas::Uuid>("id", "The upload"), tus()])
            .answers(204, "It is gone", None)
            .fails(&[ASKING, WRITING, &[ContentEncoding, TusVersion, NoSuchUpload, UploadBusy]]),
        operation(Method::POST, "/v1/uploads/{id}", UPLOAD, uploads::instead)
            .named("overrideUpload", "PATCH or DELETE of an upload, for a client that has neither")
            .with([segment::<schemas::Uuid>("id", "The upload"), tus(),
                   must::<schemas::Override>("X-HTTP-Method-Override", "The method that is meant"),
                   header::<schemas::Count>("Upload-Offset", "Where the piece begins"),
                   header::<schemas::Count>("Upload-Length", "The upload's bytes, when that was not told before"),
                   checksum()])
            .with(digests())
            .takes(bytes(PIECE).optional())
            .answers(200, "As HEAD", None)
            .answers(204, "As PATCH or DELETE", None)
            .fails(&[ASKING, SENDING, PLACES, WRITING, PUBLISHING, GUARDED, TUS, &[UnsupportedType]]),
        operation(Method::POST, "/v1/sync", ADMIN, sync::sync)
            .named("sync", "A look at the followed source that begins now")
            .answers(200, "What it found", [json::<sync::Synced>()])
            .answers(202, "It takes longer than a request may", [json::<sync::Synced>()])
            .fails(&[ASKING, WRITING, PUBLISHING, &[ContentEncoding, NoSource, SourceUnreachable, SourceFailed]]),
        operation(Method::GET, "/v1/lock", READ, pin::get)
            .named("readLock", "Who locked the release, and why")
            .answers(200, "It is locked", [json::<pin::Locked>()])
            .fails(&[ASKING, READING, &[NotLocked]]),
        operation(Method::PUT, "/v1/lock", ADMIN, pin::put)
            .named("lock", "No release follows on the live one until it is unlocked")
            .takes(json::<pin::Lock>().optional())
            .answers(200, "The same caller had locked it", [json::<pin::Locked>()])
            .answers(201, "It is locked", [json::<pin::Locked>()])
            .fails(&[ASKING, WRITING, LATE, &[ContentEncoding, StaleParent]]),
        operation(Method::DELETE, "/v1/lock", ADMIN, pin::delete)
            .named("unlock", "Releases may follow again")
            .answers(204, "It is unlocked", None)
            .fails(&[ASKING, WRITING, &[ContentEncoding, NotLocked]]),
    ]);
    table
}

fn path() -> Parameter {
    segment::<String>("path", "Where, with slashes between folders, each part percent-encoded")
}

fn folder() -> Parameter {
    segment::<String>("folder", "Where, with slashes between folders, each part percent-encoded")
}

fn id(name: &str) -> Parameter {
    segment::<schemas::Id>(name, "An entry's number, or the first 8 or more digits of the release id")
}

fn preconditions() -> [Parameter; 3] {
    [
        header::<String>(
            "If-Match",
            "412 unless what is live has this ETag: the file's, or the site's, its release id",
        ),
        header::<String>("If-None-Match", "412 when what is live has this ETag; with `*`, when anything is there"),
        header::<String>(
            "If-Unmodified-Since",
            "412 when what is live is newer: the file, or the release. Not asked where If-Match is",
        ),
    ]
}

/// How far a write may go, and whether it is only rehearsed.
fn guards() -> [Parameter; 3] {
    [
        query::<schemas::MaxDelete>("max-delete", "How many files it may remove: a number, a part of them, or all"),
        query::<bool>("allow-empty", "Whether it may leave no file"),
        header::<schemas::Boolean>("Dry-Run", "?1: answers 200 with what would change, and changes nothing"),
    ]
}

fn tus() -> Parameter {
    must::<schemas::Tus>("Tus-Resumable", "The version of tus")
}

fn checksum() -> Parameter {
    header::<String>("Upload-Checksum", "sha256 or sha1, and BASE64 of the piece; 460 when other bytes come")
}

fn digests() -> [Parameter; 2] {
    [
        header::<String>("Content-Digest", "sha-256=:BASE64: of the body; 422 when other bytes come (RFC 9530)"),
        header::<String>("Repr-Digest", "The same"),
    ]
}

/// The router of the upload door.
pub(super) fn router(app: Arc<App>) -> Router {
    let mut paths: BTreeMap<&str, MethodRouter<Arc<App>>> = BTreeMap::new();
    for Operation { path, access, mut methods, problems, .. } in table() {
        if problems.contains(&TooManyUploads) {
            methods = methods.route_layer(middleware::from_fn_with_state(app.clone(), places::gate));
        }
        let gate = middleware::from_fn_with_state((app.clone(), access), caller::gate);
        let methods = methods.route_layer(gate);
        let others = paths.remove(path);
        paths.insert(
            path,
            match others {
                Some(others) => others.merge(methods),
                None => methods,
            },
        );
    }
    let mut closed = |path| {
        let methods = paths.remove(path).unwrap_or_default();
        methods.fallback(|| async { Problem::method_not_allowed() }).with_state(app.clone())
    };
    let (files, folders) = (closed(FILE), closed(FOLDER));
    let below = any(move |request: Request| {
        let methods = if request.uri().path().ends_with('/') { &folders } else { &files };
        methods.clone().oneshot(request)
    });
    let mut router = Router::new().route("/site/{*path}", below);
    for (path, methods) in paths {
        router = router.route(path, methods);
    }
    router
        .fallback(|uri: Uri| async move { Problem::no_such_route(uri.path()) })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(middleware::from_fn_with_state(app.clone(), origin::check))
        .layer(middleware::from_fn_with_state(app.clone(), host::check))
        .layer(middleware::from_fn_with_state(app.clone(), answer::note))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| Problem::panicked().into_response()))
        .with_state(app)
}
