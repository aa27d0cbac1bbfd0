//! The words of tus 1.0 (tus.io/protocols/resumable-upload): what its headers say, and what answers say in them.

use std::collections::BTreeMap;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::super::{Problem, answer::http_date};
use crate::depot::Upload;

/// The one version.
pub(super) const VERSION: &str = "1.0.0";
/// What is spoken beyond the core protocol.
pub(super) const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination";
/// The Content-Type of a piece.
pub(super) const PIECE: &str = "application/offset+octet-stream";

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSIONS: HeaderName = HeaderName::from_static("tus-version");
/// Bytes of an upload that a client may announce: what a file's size can say.
const MOST: u64 = i64::MAX.cast_unsigned();

/// The answer of `work`, to a client that speaks this version; with the headers that every answer has.
pub(super) async fn speak(headers: &HeaderMap, work: impl Future<Output = Result<Response, Problem>>) -> Response {
    let is_known = headers.get(RESUMABLE).is_some_and(|version| version == VERSION);
    let mut response = if is_known {
        work.await.unwrap_or_else(Problem::into_response)
    } else {
        let mut response = Problem::tus_version(VERSION).into_response();
        response.headers_mut().insert(VERSIONS, HeaderValue::from_static(VERSION));
        response
    };
    response.headers_mut().insert(RESUMABLE, HeaderValue::from_static(VERSION));
    response
}

/// The header `name`. Of two that say different things, whatever stands between us and the client may have believed the other.
pub(super) fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Problem::bad_request(format!("{name} is there twice"))),
    }
}

/// The number that the header `name` says.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let Some(value) = once(headers, name)? else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number <= MOST);
    let wrong = || Problem::bad_request(format!("{name} is a number of bytes, at most {MOST}"));
    number.ok_or_else(wrong).map(Some)
}

/// The length of a new upload: `Upload-Length`, or `Upload-Defer-Length: 1` when it is told later.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let deferred = headers.get("upload-defer-length").map(|value| value == "1");
    match (number(headers, "upload-length")?, deferred) {
        (Some(length), None) => Ok(Some(length)),
        (None, Some(true)) => Ok(None),
        _ => Err(Problem::bad_request(
            "send Upload-Length, or Upload-Defer-Length: 1 when it is told later; one of both",
        )),
    }
}

/// `Upload-Metadata`: pairs of a key and its value in Base64, with commas between.
pub(super) fn metadata(headers: &HeaderMap) -> Result<(String, BTreeMap<String, String>), Problem> {
    let wrong = |why: &str| Problem::bad_request(format!("Upload-Metadata is KEY BASE64, with commas between: {why}"));
    let mut values = headers.get_all("upload-metadata").iter();
    let Some(value) = values.next() else { return Ok(Default::default()) };
    let text = value.to_str().map_err(|_| wrong("it is not ASCII"))?;
    if values.next().is_some() {
        return Err(wrong("it is there twice"));
    }
    let mut pairs = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let bytes = BASE64_STANDARD.decode(value.trim()).map_err(|_| wrong(&format!("{key:?} has another value")))?;
        // Other clients' keys may hold anything; ours are text.
        let value = String::from_utf8(bytes).or_else(|error| match key {
            "path" | "sha256" => Err(wrong(&format!("{key:?} is not UTF-8"))),
            _ => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        })?;
        if pairs.insert(key.to_owned(), value).is_some() {
            return Err(wrong(&format!("{key:?} is there twice")));
        }
    }
    Ok((text.to_owned(), pairs))
}

/// What is told of an upload in each answer: where it goes on, when it goes, what it became.
pub(super) fn told(upload: &Upload) -> HeaderMap {
    let mut told = HeaderMap::new();
    let mut tell = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            told.insert(HeaderName::from_static(name), value);
        }
    };
    tell("upload-offset", upload.offset.to_string());
    match &upload.finished {
        None => tell("upload-expires", http_date(upload.expires)),
        Some(finished) => {
            tell("etag", super::super::answer::etag(finished.digest));
            match (finished.seq, finished.release) {
                (Some(seq), Some(release)) => {
                    tell("longshore-seq", seq.to_string());
                    tell("longshore-release", release.to_string());
                }
                _ => tell("content-location", format!("/v1/objects/{}", finished.digest)),
            }
        }
    }
    told
}

/// What `HEAD` tells besides.
pub(super) fn described(upload: &Upload) -> HeaderMap {
    let mut told = told(upload);
    match upload.length {
        Some(length) => told.insert("upload-length", length.into()),
        None => told.insert("upload-defer-length", HeaderValue::from_static("1")),
    };
    if let Some(metadata) = HeaderValue::try_from(&upload.metadata).ok().filter(|_| !upload.metadata.is_empty()) {
        told.insert("upload-metadata", metadata);
    }
    told.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        [(HeaderName::from_static(name), value.parse().expect("a header"))].into_iter().collect()
    }

    #[test]
    fn metadata_is_read_as_tus_writes_it() {
        let of = |value: &str| metadata(&with("upload-metadata", value)).map(|(_, pairs)| pairs);
        let example = of("filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential").expect("the protocol's own");
        assert_eq!(example["filename"], "world_domination_plan.pdf");
        assert_eq!(example["is_confidential"], "");
        assert!(of("name /w==").is_ok(), "others' keys may be no text");
        for wrong in ["path /w==", "path !", "path YQ==, path YQ=="] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_is_digits_and_fits_a_file() {
        let of = |value: &str| number(&with("upload-offset", value), "upload-offset").ok().flatten();
        assert_eq!((of("0"), of("007"), of("9223372036854775807")), (Some(0), Some(7), Some(MOST)));
        for wrong in ["", "-1", "+1", "1.0", "0x1", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
