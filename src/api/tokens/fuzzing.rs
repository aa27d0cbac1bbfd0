//! Token files, and values of `Authorization`.

use std::sync::{Arc, LazyLock, RwLock};

use super::{Inner, Now, Tokens, file};
use crate::{digest::Digest, telemetry::Metrics};

/// A token file, a NUL, and a value of `Authorization`.
pub(crate) fn tokens(bytes: &[u8]) -> bool {
    static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let (text, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let (found, warnings) = file::parse(text);
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    assert!(found.len() <= lines.len() && warnings.iter().all(|warning| (1..=lines.len()).contains(&warning.line)));
    for token in &found {
        let is_named = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+:".contains(&byte);
        let name = &token.grant.name;
        assert!((1..=64).contains(&name.len()) && name.bytes().all(is_named), "{name:?}");
        token.grant.within.iter().for_each(crate::fuzzing::assert_legal);
        let digest = token.digest.0;
        assert!(!name.contains(&digest.to_string()[..9]), "a name that tells much of the digest");
    }
    // A token is good when it, or its digest, is the first word of a line, and for nobody else.
    let words: Vec<&[u8]> = lines.iter().filter_map(|line| first_word(line)).collect();
    let is_in = |token: &[u8]| {
        let hashed = format!("sha256:{}", Digest::of(token)).into_bytes();
        words.iter().any(|word| *word == token || *word == hashed)
    };
    let count = found.len();
    let now = RwLock::new(Now { tokens: found, ..Now::default() });
    let tokens = Tokens(Arc::new(Inner { path: "tokens".into(), metrics: METRICS.clone(), now }));
    let granted = tokens.check(value);
    if granted.is_some() {
        let (scheme, token) = value.split_at_checked(7).expect("a scheme and a blank");
        assert!(scheme.eq_ignore_ascii_case(b"bearer ") && is_in(token.trim_ascii()), "an unknown token is let in");
    }
    for word in words.iter().copied() {
        if word.starts_with(b"sha256:") {
            let hashed = [b"Bearer ", word].concat();
            assert!(tokens.check(&hashed).is_none() || is_in(word), "a digest does as the token does");
            continue;
        }
        if let Some(grant) = tokens.check(&[b"bEARER   ", word, b" "].concat()) {
            assert_eq!(tokens.check(&[b"Bearer ", word].concat()), Some(grant));
            for other in [&word[1..], &word[..word.len() - 1], &[word, b"x"].concat(), &word.to_ascii_uppercase()] {
                assert!(is_in(other) || tokens.check(&[b"Bearer ", other].concat()).is_none(), "nearly a token");
            }
        }
    }
    assert!(tokens.check(b"Bearer ").is_none() && tokens.check(b"Bearer").is_none(), "no token at all");
    count > 0
}

/// The first word of a line that may name a token.
fn first_word(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let word = std::str::from_utf8(line).ok()?.split_whitespace().next()?;
    (!word.starts_with('#')).then_some(word.as_bytes())
}
