//! What a Content-Type says of a body.

use axum::http::{HeaderMap, header};

use super::Problem;
use crate::depot::Format;

/// What may be sent to a folder, for people.
const POSSIBLE: &str = "application/x-tar, application/gzip, application/zstd, application/zip, or no Content-Type";

/// The kind of archive that is announced; none where the bytes are to tell.
pub(super) fn archive(headers: &HeaderMap) -> Result<Option<Format>, Problem> {
    let refused = |media: &str| {
        let form = if media == "multipart/form-data" { "; a form is sent by POST to /site/{dir}/" } else { "" };
        Problem::unsupported_type(format!("an archive is not {media:?}: send {POSSIBLE}{form}"))
    };
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request("Content-Type is there twice"));
    }
    let value = value.to_str().map_err(|_| refused("(not text)"))?;
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match &*media {
        // curl --data-binary announces a form of the old kind, whatever the bytes are.
        "" | "application/octet-stream" | "application/x-www-form-urlencoded" => Ok(None),
        "application/x-tar" | "application/tar" | "application/x-gtar" => Ok(Some(Format::Tar)),
        "application/gzip"
        | "application/x-gzip"
        | "application/x-compressed-tar"
        | "application/x-tgz"
        | "application/x-gtar-compressed" => Ok(Some(Format::Gzip)),
        "application/zstd" | "application/x-zstd" | "application/x-zstd-compressed-tar" => Ok(Some(Format::Zstd)),
        "application/zip" | "application/x-zip-compressed" | "application/x-zip" => Ok(Some(Format::Zip)),
        other => Err(refused(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_without_its_parameters() {
        let of = |value: &str| {
            archive(&[(header::CONTENT_TYPE, value.parse().expect("a value"))].into_iter().collect()).ok()
        };
        assert_eq!(of("Application/X-Tar; charset=binary"), Some(Some(Format::Tar)));
        assert_eq!(of("application/x-tgz"), Some(Some(Format::Gzip)));
        assert_eq!(of("application/x-www-form-urlencoded"), Some(None));
        assert_eq!((of("text/html"), of("multipart/form-data; boundary=x")), (None, None));
    }
}
