//! What a write's headers demand: that something is, or is not, live (RFC 9110, section 13), and which bytes come
//! (RFC 9530).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::NaiveDateTime;

use super::Problem;
use crate::{
    depot::{Precondition, Tags},
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
    let mut tags = Vec::new();
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    for value in values {
        let wrong = || Problem::bad_request(format!("{name} is `*`, or entity tags in quotes with commas between"));
        let text = value.to_str().map_err(|_| wrong())?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        for tag in text.split(',').map(str::trim) {
            let (tag, is_weak) = tag.strip_prefix("W/").map_or((tag, false), |tag| (tag, true));
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(wrong)?;
            // A tag that is no digest is somebody else's: it matches nothing.
            tags.extend(tag.parse::<Digest>().ok().filter(|_| !(strong && is_weak)));
        }
    }
    Ok(Some(Tags::These(tags)))
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
        assert!(of(&digest.to_string()).is_err() && of("").is_err());
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
