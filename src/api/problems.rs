//! The types of problems that an answer may tell of, in one table: programs know them by `type`, and the documentation,
//! the OpenAPI document and the answers take them from here.

use axum::http::StatusCode;

/// The one status that is not HTTP's own, but tus 1.0's.
const CHECKSUM_MISMATCH: StatusCode = match StatusCode::from_u16(460) {
    Ok(status) => status,
    Err(_) => unreachable!(),
};

macro_rules! status {
    (CHECKSUM_MISMATCH) => {
        CHECKSUM_MISMATCH
    };
    ($name:ident) => {
        StatusCode::$name
    };
}

macro_rules! problem_types {
    ($($(#[$doc:meta])* $name:ident, $status:ident, $slug:literal, $title:literal;)*) => {
        /// A type of problem; a type never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum ProblemType {
            $($(#[$doc])* $name,)*
        }

        impl ProblemType {
            /// All of them, by status.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$name => status!($status),)* }
            }

            /// The last part of its URI.
            pub(super) const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// Its `type`.
            pub(super) fn uri(self) -> String {
                format!("/problems/{}", self.slug())
            }

            /// The same for every problem of the type (RFC 9457, section 3.1.3).
            pub(super) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problem_types! {
    BadPath, BAD_REQUEST, "bad-path", "The path is not possible";
    BadRequest, BAD_REQUEST, "bad-request", "The request makes no sense";
    BodyCut, BAD_REQUEST, "body-cut", "The body ended early";
    AmbiguousRelease, BAD_REQUEST, "ambiguous-release", "Several releases begin so";
    Unauthorized, UNAUTHORIZED, "unauthorized", "A token is needed";
    ForeignOrigin, FORBIDDEN, "foreign-origin", "The request comes from elsewhere";
    Forbidden, FORBIDDEN, "forbidden", "The token does not reach that far";
    NotFound, NOT_FOUND, "not-found", "Nothing is there";
    NoSuchRoute, NOT_FOUND, "no-such-route", "No such route";
    NoSuchRelease, NOT_FOUND, "no-such-release", "The journal has no such release";
    NoSuchOperation, NOT_FOUND, "no-such-operation", "The journal has no such operation";
    NoSuchUpload, NOT_FOUND, "no-such-upload", "No such upload";
    NotLocked, NOT_FOUND, "not-locked", "Nothing is locked";
    MethodNotAllowed, METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not possible here";
    BodyIdle, REQUEST_TIMEOUT, "body-idle", "The body stopped coming";
    BodySlow, REQUEST_TIMEOUT, "body-slow", "The body comes too slowly";
    PathConflict, CONFLICT, "path-conflict", "A file and a folder cannot share a path";
    ForeignContent, CONFLICT, "foreign-content", "Somebody else's content is in the way";
    Diverged, CONFLICT, "diverged", "The journal lacks what the volume has shown";
    NothingBefore, CONFLICT, "nothing-before", "There is nothing to go back to";
    MissingObjects, CONFLICT, "missing-objects", "Objects are missing";
    TooManyDeletions, CONFLICT, "too-many-deletions", "More files would be removed than the write may";
    EmptySite, CONFLICT, "empty-site", "No file would be left";
    NoSource, CONFLICT, "no-source", "No source is followed";
    OffsetMismatch, CONFLICT, "offset-mismatch", "The upload goes on elsewhere";
    LengthRequired, LENGTH_REQUIRED, "length-required", "The body does not say where it ends";
    StaleParent, PRECONDITION_FAILED, "stale-parent", "The live release is another one";
    PreconditionFailed, PRECONDITION_FAILED, "precondition-failed", "Something else is live";
    TusVersion, PRECONDITION_FAILED, "tus-version", "Another version of tus is spoken here";
    TooLarge, PAYLOAD_TOO_LARGE, "too-large", "The request is too large";
    FileTooLarge, PAYLOAD_TOO_LARGE, "file-too-large", "A file is larger than is allowed";
    SiteTooLarge, PAYLOAD_TOO_LARGE, "site-too-large", "The site would be larger than is allowed";
    TooManyFiles, PAYLOAD_TOO_LARGE, "too-many-files", "The site would have more files than are allowed";
    Misdirected, MISDIRECTED_REQUEST, "misdirected", "This server has other names";
    ContentEncoding, UNSUPPORTED_MEDIA_TYPE, "content-encoding", "The content is encoded";
    UnsupportedType, UNSUPPORTED_MEDIA_TYPE, "unsupported-type", "The body is of another type";
    NoSuchRange, RANGE_NOT_SATISFIABLE, "no-such-range", "The range lies outside of the file";
    BadArchive, UNPROCESSABLE_ENTITY, "bad-archive", "The archive is refused";
    EmptyArchive, UNPROCESSABLE_ENTITY, "empty-archive", "No file is in the archive";
    DigestMismatch, UNPROCESSABLE_ENTITY, "digest-mismatch", "Other bytes came than were announced";
    WrongSize, UNPROCESSABLE_ENTITY, "wrong-size", "An object has another size";
    Vetoed, UNPROCESSABLE_ENTITY, "vetoed", "The pre-publish hook does not let it pass";
    Locked, LOCKED, "locked", "The release is locked";
    UploadBusy, LOCKED, "upload-busy", "Another request writes to the upload";
    ChecksumMismatch, CHECKSUM_MISMATCH, "checksum-mismatch", "The piece has another checksum";
    TooManyUploads, TOO_MANY_REQUESTS, "too-many-uploads", "Too many uploads are under way";
    Internal, INTERNAL_SERVER_ERROR, "internal", "Longshore failed";
    VolumeFailed, INTERNAL_SERVER_ERROR, "volume-failed", "The volume failed";
    VolumeNotWritable, INTERNAL_SERVER_ERROR, "volume-not-writable", "The volume cannot be written to";
    Damaged, INTERNAL_SERVER_ERROR, "damaged", "What is stored was changed from outside";
    OutcomeUnknown, INTERNAL_SERVER_ERROR, "outcome-unknown", "The outcome is unknown until the next start";
    SourceUnreachable, BAD_GATEWAY, "source-unreachable", "The followed source does not answer";
    SourceFailed, BAD_GATEWAY, "source-failed", "The followed source cannot be read";
    VolumeLocked, SERVICE_UNAVAILABLE, "volume-locked", "Another process holds the volume";
    Overtaken, SERVICE_UNAVAILABLE, "overtaken", "Others publish faster than the hook answers";
    CallerUnknown, SERVICE_UNAVAILABLE, "caller-unknown", "Who sends this cannot be told just now";
    Overloaded, SERVICE_UNAVAILABLE, "overloaded", "The process is short of a resource";
    Restarting, SERVICE_UNAVAILABLE, "restarting", "Nothing is written until the next start";
    VolumeFull, INSUFFICIENT_STORAGE, "volume-full", "The volume has no bytes or no inodes left";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_documentation_lists_each_type_with_its_status() {
        let rows = include_str!("../../docs/http.md").lines().filter(|line| line.starts_with("| `/problems/"));
        let mut listed = BTreeMap::new();
        for row in rows {
            let mut cells = row.split('|').skip(1).map(str::trim);
            let (types, status) = (cells.next().expect("types"), cells.next().expect("a status"));
            for name in types.split('`').filter(|part| !part.trim_matches([',', ' ']).is_empty()) {
                let slug = name.strip_prefix("/problems/").unwrap_or(name);
                assert!(listed.insert(slug, status.parse().expect("a number")).is_none(), "{slug} is listed twice");
            }
        }
        let real: BTreeMap<&str, u16> =
            ProblemType::ALL.iter().map(|each| (each.slug(), each.status().as_u16())).collect();
        assert_eq!(listed, real);
    }
}
