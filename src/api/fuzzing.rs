//! Headers, addresses, deploys and forms from anywhere.

use std::{collections::BTreeSet, io::Read};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::{
    address::Address,
    conditions::{announced, check_read, precondition},
    deployment::{self, Coding, Files, Request},
    form, media,
    parts::Parts,
    range::Wanted,
    uploads, wishes,
};
use crate::{
    depot::Tags,
    digest::Digest,
    fuzzing::{Pieces, assert_legal},
    path::SitePath,
};

/// What stands behind `/site/` in an address.
pub(crate) fn address(text: &str) -> bool {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/');

    let Ok(address) = Address::parse(&format!("/site/{text}")) else { return false };
    let (path, slash) = match &address {
        Address::File(path) => (path, ""),
        Address::Folder(Some(path)) => (path, "/"),
        Address::Folder(None) => return text.is_empty(),
    };
    assert_legal(path);
    let twice = percent_decode_str(path.as_str()).collect::<Vec<u8>>();
    assert!(twice.split(|byte| *byte == b'/').count() == path.components().count(), "a slash in disguise");
    assert!(twice.split(|byte| *byte == b'/').all(|name| name != b".."), "a way out in disguise");
    let encoded = format!("/site/{}{slash}", utf8_percent_encode(path.as_str(), ENCODED));
    assert_eq!(Address::parse(&encoded).ok(), Some(address), "one address, one file");
    true
}

/// The body of a deploy, as JSON, in gzip or in zstd.
pub(crate) fn deploy(bytes: &[u8]) -> bool {
    let coding = match bytes {
        [0x1f, 0x8b, ..] => Coding::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Coding::Zstd,
        _ => Coding::Plain,
    };
    let read = |bytes: &mut dyn Read| deployment::read(coding, bytes, 1_000).map(|request| write(&request));
    let (whole, pieces) = (read(&mut &*bytes).ok(), read(&mut Pieces::new(bytes)).ok());
    assert_eq!(whole, pieces, "in pieces it is another");
    let Some(written) = whole else { return false };
    let again = deployment::read(Coding::Plain, &mut written.to_string().as_bytes(), 1_000).expect("what was written");
    assert_eq!(write(&again), written);
    true
}

fn write(request: &Request) -> Value {
    let files = |files: &Files| {
        let one = |(path, file): (&SitePath, &crate::manifest::File)| {
            assert_legal(path);
            let content = json!({ "digest": file.digest, "size": file.size, "executable": file.executable });
            (path.to_string(), content)
        };
        Value::Object(files.0.iter().map(one).collect())
    };
    let Request { manifest, base, set, remove, parent, message } = request;
    let members = [
        ("manifest", manifest.as_ref().map(files)),
        ("base", base.as_ref().map(|base| base.0.clone())),
        ("set", set.as_ref().map(files)),
        ("remove", remove.as_ref().map(|removed| json!(removed.0))),
        ("parent", parent.map(|parent| json!(parent))),
        ("message", message.as_ref().map(|message| json!(message))),
    ];
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

/// A line with the size of a file, then lines of headers.
pub(crate) fn headers(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let size = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok()).unwrap_or(10);
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            headers.append(name, value);
        }
    }
    let is_ranged = range(&headers, size);
    let is_sent = uploads::fuzzing::tus(&headers);
    let _ = (Coding::of(&headers).is_ok(), media::archive(&headers).is_ok(), wishes::dry_run(&headers).is_ok());
    is_ranged | conditions(&headers) | is_sent
}

/// Whether a part is asked for; it lies in the file, and is the one that was meant.
fn range(headers: &HeaderMap, size: u64) -> bool {
    let wanted = Wanted::of(headers, size, "\"tag\"", "a date");
    if let Wanted::Part { first, last } = wanted {
        assert!(first <= last && last < size, "{first} to {last} of {size}");
    }
    if headers.contains_key(header::IF_RANGE) {
        let mut strict = headers.clone();
        strict.insert(header::IF_RANGE, HeaderValue::from_static("\"another\""));
        assert_eq!(Wanted::of(&strict, size, "\"tag\"", "a date"), Wanted::Whole, "a part of another version");
    }
    // The plain forms of RFC 9110, section 14.1.2, read once more.
    let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    // Longer ones the library takes for no range, which is allowed.
    let is_plain = |digits: &str| (1..=30).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let plain = match text.and_then(|text| text.split_once('-')) {
        // The end of an empty file can be had, and no Content-Range can name it: all of it is sent.
        Some(("", _)) if size == 0 => None,
        Some(("", last)) if is_plain(last) => last.parse::<u64>().ok().map(|count| match count {
            0 => None,
            count => size.checked_sub(1).map(|last| (size.saturating_sub(count), last)),
        }),
        Some((first, "")) if is_plain(first) => {
            first.parse::<u64>().ok().map(|first| (first < size).then(|| (first, size - 1)))
        }
        Some((first, last)) if is_plain(first) && is_plain(last) => match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => Some((first < size).then(|| (first, last.min(size - 1)))),
            _ => None,
        },
        _ => None,
    };
    if let Some(expected) = plain.filter(|_| !headers.contains_key(header::IF_RANGE)) {
        let expected = expected.map_or(Wanted::Nothing, |(first, last)| Wanted::Part { first, last });
        assert_eq!(wanted, expected, "{text:?} of {size}");
    }
    matches!(wanted, Wanted::Part { .. })
}

/// Whether a condition or a digest is told.
fn conditions(headers: &HeaderMap) -> bool {
    let with = |name: HeaderName, value: &str| -> HeaderMap {
        [(name, HeaderValue::from_str(value).expect("digests are ASCII"))].into_iter().collect()
    };
    let digest = announced(headers).ok().flatten();
    if let Some(digest) = digest {
        let value = format!("sha-256=:{}:", BASE64_STANDARD.encode(digest.as_bytes()));
        let again = with(HeaderName::from_static("content-digest"), &value);
        assert_eq!(announced(&again).ok(), Some(Some(digest)));
    }
    let _ = check_read(headers, Digest::of("x"), 0);
    let Ok(condition) = precondition(headers, None) else { return digest.is_some() };
    for (name, tags) in [(header::IF_MATCH, condition.matches), (header::IF_NONE_MATCH, condition.matches_not)] {
        let Some(tags) = tags else { continue };
        let value = match &tags {
            Tags::Any => "*".into(),
            Tags::These(digests) if digests.is_empty() => "\"nobody's\"".into(),
            Tags::These(digests) => {
                let texts: Vec<_> = digests.iter().map(|digest| format!("\"{digest}\"")).collect();
                texts.join(", ")
            }
        };
        let again = precondition(&with(name.clone(), &value), None).expect("what was written");
        let again = if name == header::IF_MATCH { again.matches } else { again.matches_not };
        assert_eq!(again, Some(tags));
    }
    true
}

/// A line with the Content-Type, then a form.
pub(crate) fn form(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = bytes.split_at(end);
    let Ok(value) = HeaderValue::from_bytes(line) else { return false };
    let headers: HeaderMap = [(header::CONTENT_TYPE, value)].into_iter().collect();
    let Ok(boundary) = form::boundary(&headers) else { return false };
    let body = body.strip_prefix(b"\n").unwrap_or_default();
    let whole = parts(&mut &*body, &boundary);
    let pieces = parts(&mut Pieces::new(body), &boundary);
    assert!(whole == pieces, "in pieces it is another");
    let files = whole.unwrap_or_default();
    let mut seen = BTreeSet::new();
    for (path, _) in &files {
        assert_legal(path);
        assert!(seen.insert(path), "{path} is there twice");
    }
    assert!(files.iter().map(|(_, content)| content.len()).sum::<usize>() <= body.len(), "more than there is");
    !files.is_empty()
}

/// The files of a form, when it is whole.
fn parts(body: &mut (dyn Read + Send), boundary: &str) -> Option<Vec<(SitePath, Vec<u8>)>> {
    let mut parts = Parts::new(body, boundary.to_owned());
    let mut files = Vec::new();
    while let Some((path, mut part)) = parts.next(None).ok()? {
        let mut content = Vec::new();
        part.read_to_end(&mut content).ok()?;
        files.push((path, content));
    }
    Some(files)
}
