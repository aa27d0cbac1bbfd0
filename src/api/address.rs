//! What a URL's path names: a file or a folder of the site.

use percent_encoding::percent_decode_str;

use super::Problem;
use crate::path::SitePath;

/// What lies behind `/site/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A file.
    File(SitePath),
    /// A folder, named with a trailing slash; none for the whole site.
    Folder(Option<SitePath>),
}

/// Where the site begins.
const SITE: &str = "/site/";

impl Address {
    /// Reads the path of a URL as it was sent, still encoded: decoded once, never normalised, so that no spelling of a
    /// way out becomes harmless by accident, nor a harmless one a way out.
    pub(super) fn parse(path: &str) -> Result<Self, Problem> {
        let rest = path.strip_prefix(SITE).ok_or_else(|| Problem::no_such_route(path))?;
        let (rest, is_folder) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, rest.is_empty()),
        };
        if rest.is_empty() {
            // `/site//` is no name for the site.
            return if path == SITE { Ok(Self::Folder(None)) } else { Err(Problem::bad_path("the path is empty")) };
        }
        let bytes: Vec<u8> = percent_decode_str(rest).collect();
        if bytes.iter().filter(|byte| **byte == b'/').count() != rest.matches('/').count() {
            return Err(Problem::bad_path("an encoded slash (%2F) does not separate folders: send it as it is"));
        }
        let site_path = SitePath::from_bytes(&bytes).map_err(|error| Problem::bad_path(&error.to_string()))?;
        if is_encoded_twice(site_path.as_str()) {
            return Err(Problem::bad_path("the path is percent-encoded twice: encode it once"));
        }
        Ok(if is_folder { Self::Folder(Some(site_path)) } else { Self::File(site_path) })
    }
}

/// Whether what is left after decoding would decode again to what may not stand in a path. A `%` by itself may.
fn is_encoded_twice(path: &str) -> bool {
    let refused = |byte: u8| matches!(byte, b'.' | b'/' | b'\\' | b'%' | 0..=31 | 127);
    path.match_indices('%')
        .filter_map(|(at, _)| path.get(at + 1..at + 3))
        .any(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()) && u8::from_str_radix(hex, 16).is_ok_and(refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str) {
        assert!(Address::parse(path).is_err(), "{path}");
    }

    #[test]
    fn names_files_and_folders() {
        let file = |path: &str| Some(Address::File(path.parse().expect("a path")));
        assert_eq!(Address::parse("/site/").ok(), Some(Address::Folder(None)));
        assert_eq!(Address::parse("/site/a%20b/%C3%BC+.html").ok(), file("a b/ü+.html"));
        assert_eq!(Address::parse("/site/100%25.html").ok(), file("100%.html"));
        let folder = Address::Folder(Some("a/b".parse().expect("a path")));
        assert_eq!(Address::parse("/site/a/b/").ok(), Some(folder));
    }

    #[test]
    fn refuses_a_way_out_in_every_spelling() {
        for path in [
            "/site/../x",
            "/site/a/../../x",
            "/site/%2e%2e/x",
            "/site/.%2E/x",
            "/site/%252e%252e/x",
            "/site/..%2fx",
            "/site/a%2Fb",
            "/site/%5c..%5cx",
            "/site/%00",
            "/site/a%00.html",
            "/site//etc/passwd",
            "/site/a//b",
            "/site//",
            "/site/%c0%ae%c0%ae/x",
            "/site/.longshore/journal/x",
            "/site/..data/x",
            "/site/lost+found/x",
            "/site/./x",
            "/site/%252fx",
            "/site/%2525",
            "/etc/passwd",
        ] {
            refused(path);
        }
    }
}
