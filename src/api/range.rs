//! A part of a file: `Range` and `If-Range` (RFC 9110, section 14).

use axum::http::{HeaderMap, header};

/// What a request asks for of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// The bytes from the first to the last.
    Part {
        /// The first byte's number, from 0.
        first: u64,
        /// The last byte's number.
        last: u64,
    },
    /// Nothing that it has.
    Nothing,
}

impl Wanted {
    /// What `headers` ask for of a file of `size` bytes with the entity tag `tag`, modified at `modified`.
    ///
    /// Several ranges at once are answered by the whole file, as the standard allows: only attackers and PDF readers of
    /// old ask for them.
    pub(super) fn of(headers: &HeaderMap, size: u64, tag: &str, modified: &str) -> Self {
        let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or_default());
        // The client has a part of another version: it gets the whole of this one.
        if text(header::IF_RANGE).is_some_and(|seen| seen != tag && seen != modified) {
            return Self::Whole;
        }
        let Some(range) = text(header::RANGE) else { return Self::Whole };
        match http_range_header::parse_range_header(range).map(|ranges| ranges.validate(size)) {
            // Not a range at all: ignored.
            Err(_) => Self::Whole,
            Ok(Err(_)) => Self::Nothing,
            Ok(Ok(ranges)) => match &ranges[..] {
                [range] => Self::Part { first: *range.start(), last: *range.end() },
                _ => Self::Whole,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &'static str, size: u64) -> Wanted {
        let headers = [(header::RANGE, range.parse().expect("a header"))].into_iter().collect();
        Wanted::of(&headers, size, "\"tag\"", "a date")
    }

    #[test]
    fn one_range_is_a_part() {
        assert_eq!(of("bytes=0-3", 10), Wanted::Part { first: 0, last: 3 });
        assert_eq!(of("bytes=4-", 10), Wanted::Part { first: 4, last: 9 });
        assert_eq!(of("bytes=-2", 10), Wanted::Part { first: 8, last: 9 });
        assert_eq!(of("bytes=8-100", 10), Wanted::Part { first: 8, last: 9 });
        assert_eq!(of("bytes=10-", 10), Wanted::Nothing);
        assert_eq!(of("bytes=0-0", 0), Wanted::Nothing);
        for whole in ["bytes=0-1,4-5", "pages=1-2", "bytes=x"] {
            assert_eq!(of(whole, 10), Wanted::Whole, "{whole}");
        }
    }

    #[test]
    fn a_part_of_another_version_is_no_use() {
        for (seen, part) in [("\"tag\"", true), ("a date", true), ("\"other\"", false), ("W/\"tag\"", false)] {
            let pairs = [(header::RANGE, "bytes=0-3"), (header::IF_RANGE, seen)];
            let headers = pairs.map(|(name, value)| (name, value.parse().expect("a header"))).into_iter().collect();
            let wanted = Wanted::of(&headers, 10, "\"tag\"", "a date");
            assert_eq!(wanted != Wanted::Whole, part, "{seen}");
        }
    }
}
