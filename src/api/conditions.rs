//! What a write's headers demand: that something is, or is not, live (RFC 9110, section 13), and which bytes come
//! (RFC 9530).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::NaiveDateTime;

use super::Problem;
use crate::{
    depot::{self, Precondition, Tags},
    digest::Digest,
    path::SitePath,
};

/// What must hold of `file`, or of the whole site.
pub(super) fn precondition(headers: &HeaderMap, file: Option<&SitePath>) -> Result<Precondition, Problem> {
    Ok(Precondition {
        file: file.cloned(),
        matches: tags(headers, &header::IF_MATCH, true)?,
        matches_not: tags(headers, &header::IF_NONE_MATCH, false)?,
        unmodified_since: headers.get(header::IF_UNMODIFIED_SINCE).and_then(seconds),
    })
}

/// Refuses a read of another file than the one that the reader means.
pub(super) fn check_read(headers: &HeaderMap, digest: Digest, mtime: i64) -> Result<(), Problem> {
    let Precondition { matches, unmodified_since, .. } = precondition(headers, None)?;
    let holds = match matches {
        Some(tags) => tags.have(Some(digest)),
        None => unmodified_since.is_none_or(|since| mtime <= since),
    };
    if holds { Ok(()) } else { Err(depot::Error::Precondition { current: Some(digest) }.into()) }
}

/// A date as RFC 9110 writes it; another is to be ignored (section 13.1.4).
fn seconds(value: &HeaderValue) -> Option<i64> {
    Some(
        NaiveDateTime::parse_from_str(value.to_str().ok()?.trim(), "%a, %d %b %Y %H:%M:%S GMT")
            .ok()?
            .and_utc()
            .timestamp(),
    )
}

/// The tags of a header; a weak one is as good as a strong one unless the comparison is `strong`.
fn tags(headers: &HeaderMap, name: &HeaderName, strong: bool) -> Result<Option<Tags>, Problem> {
    let (mut tags, mut is_there) = (Vec::new(), false);
    for value in headers.get_all(name) {
        let wrong = || Problem::bad_request(format!("{name} is `*`, or entity tags in quotes with commas between"));
        if value.as_bytes().trim_ascii() == b"*" {
            return Ok(Some(Tags::Any));
        }
        let found = listed(value.as_bytes()).filter(|tags| !tags.is_empty()).ok_or_else(wrong)?;
        // A tag that is no digest is somebody else's: it matches nothing.
        let digest = |tag: &[u8]| std::str::from_utf8(tag).ok()?.parse::<Digest>().ok();
        tags.extend(found.into_iter().filter(|(_, is_weak)| !(strong && *is_weak)).filter_map(|(tag, _)| digest(tag)));
        is_there = true;
    }
    Ok(is_there.then_some(Tags::These(tags)))
}

/// The tags of a list, and whether each is weak; none when it is no list of tags. A tag may hold a comma, and any byte but a
/// quote; between two commas there may be nothing (RFC 9110, sections 5.6.1 and 8.8.3).
fn listed(mut list: &[u8]) -> Option<Vec<(&[u8], bool)>> {
    let mut tags = Vec::new();
    loop {
        list = list.trim_ascii_start();
        list = match list {
            [] => return Some(tags),
            [b',', after @ ..] => after,
            _ => {
                let (is_weak, tag) = list.strip_prefix(b"W/").map_or((false, list), |tag| (true, tag));
                let tag = tag.strip_prefix(b"\"")?;
                let end = tag.iter().position(|byte| *byte == b'"')?;
                tags.push((&tag[..end], is_weak));
                match tag[end + 1..].trim_ascii_start() {
                    [] => &[],
                    [b',', after @ ..] => after,
                    _ => return None,
                }
            }
        }
    }
}

/// The SHA-256 that `Content-Digest` or `Repr-Digest` announces. Other algorithms are not known here and ignored, as the
/// standard allows.
pub(super) fn announced(headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let mut announced = None;
    for name in ["content-digest", "repr-digest"] {
        for value in headers.get_all(name) {
            let wrong = || Problem::bad_request(format!("{name} is sha-256=:BASE64:, of 32 bytes (RFC 9530)"));
            for member in value.to_str().map_err(|_| wrong())?.split(',').map(str::trim) {
                let Some(bytes) = member.strip_prefix("sha-256=") else { continue };
                let bytes = bytes.strip_prefix(':').and_then(|bytes| bytes.strip_suffix(':')).ok_or_else(wrong)?;
                let bytes = BASE64_STANDARD.decode(bytes).map_err(|_| wrong())?;
                let digest = Digest::from(<[u8; 32]>::try_from(bytes).map_err(|_| wrong())?);
                if announced.replace(digest).is_some_and(|other| other != digest) {
                    return Err(Problem::bad_request("two digests are announced, and they differ"));
                }
            }
        }
    }
    Ok(announced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        [(HeaderName::from_static(name), value.parse().expect("a header"))].into_iter().collect()
    }

    #[test]
    fn tags_are_digests_in_quotes() {
        let digest = Digest::of("x");
        let of = |value: &str| precondition(&with("if-match", value), None).map(|condition| condition.matches);
        assert_eq!(of("*").ok(), Some(Some(Tags::Any)));
        let two = format!("\"other\", \"{digest}\"");
        assert_eq!(of(&two).ok(), Some(Some(Tags::These(vec![digest]))));
        assert_eq!(of(&format!("W/\"{digest}\"")).ok(), Some(Some(Tags::These(Vec::new()))), "weak is not enough");
        let odd = format!("\"a,b\",, W/\"\" ,\"{digest}\" ,");
        assert_eq!(of(&odd).ok(), Some(Some(Tags::These(vec![digest]))), "commas within and without");
        for wrong in [&*digest.to_string(), "", ",", "\"open", "\"a\" \"b\"", "W\"a\"", "*, \"a\""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let not = precondition(&with("if-none-match", &format!("W/\"{digest}\"")), None).expect("it is well written");
        assert_eq!(not.matches_not, Some(Tags::These(vec![digest])));
    }

    #[test]
    fn a_digest_is_read_as_rfc_9530_writes_it() {
        let example = "sha-512=:AA==:, sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        assert_eq!(announced(&with("content-digest", example)).ok(), Some(Some(Digest::of("abc"))));
        assert_eq!(announced(&with("repr-digest", "sha-512=:AA==:")).ok(), Some(None));
        for wrong in ["sha-256=ungWv48", "sha-256=:!:", "sha-256=:AA==:"] {
            assert!(announced(&with("content-digest", wrong)).is_err(), "{wrong}");
        }
    }
}
