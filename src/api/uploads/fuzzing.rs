//! The headers of tus.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderValue};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{checksum::Checksum, tus};

pub(in crate::api) fn tus(headers: &HeaderMap) -> bool {
    let mut is_taken = false;
    for name in ["upload-offset", "upload-length"] {
        let first = headers.get(name).map(HeaderValue::as_bytes);
        let expected = first.and_then(|text| std::str::from_utf8(text).ok()?.parse::<u128>().ok());
        match tus::number(headers, name) {
            Ok(None) => assert!(first.is_none()),
            Ok(Some(number)) => {
                assert_eq!(expected, Some(number.into()));
                assert!(i64::try_from(number).is_ok(), "no file is so long");
                is_taken = true;
            }
            Err(_) => {
                let is_alone = headers.get_all(name).iter().count() == 1;
                let is_plain = is_alone && first.is_some_and(|text| text.iter().all(u8::is_ascii_digit));
                assert!(!is_plain || expected.is_none_or(|number| number > i64::MAX as u128), "a good number");
            }
        }
    }
    if let Ok(Some(length)) = tus::length(headers) {
        assert_eq!(tus::number(headers, "upload-length").ok(), Some(Some(length)));
    }
    if let Ok((text, pairs)) = tus::metadata(headers) {
        assert_eq!(headers.get("upload-metadata").map_or(b"".as_slice(), HeaderValue::as_bytes), text.as_bytes());
        let told = text.split(',').filter(|pair| !pair.trim().is_empty()).count();
        assert_eq!(pairs.len(), told, "each key once");
        is_taken |= !pairs.is_empty();
        again(&pairs);
    }
    let _ = Checksum::of(headers);
    is_taken
}

/// What was understood, written and read once more, is the same.
fn again(pairs: &BTreeMap<String, String>) {
    let written: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value))).collect();
    let value = HeaderValue::from_str(&written.join(",")).expect("it came in a header");
    let headers = [("upload-metadata".parse().expect("a name"), value)].into_iter().collect();
    assert_eq!(&tus::metadata(&headers).expect("what was written").1, pairs);
}
