//! How a token file is written: a token a line, attributes after it, `#` before a comment.
//!
//! A line that is not wholly understood grants nothing. A later version may know attributes that narrow what a token
//! may do, and this one must not read them as no limit at all.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use super::{Caller, Secret, Token};
use crate::digest::Digest;

/// The largest file that is read, in bytes: Kubernetes' own limit for a Secret.
const LARGEST: u64 = 1 << 20;
/// The shortest token, in bytes, that is taken without a warning.
const SHORTEST: usize = 16;
/// The longest name, in bytes.
const LONGEST_NAME: usize = 64;

/// What is wrong with a line; its text is not part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) why: &'static str,
}

/// The file's bytes.
#[expect(clippy::disallowed_methods, reason = "the operator's own file, not on the volume")]
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
    }
    Ok(bytes)
}

/// The tokens in `bytes`, and what a person should look at.
pub(super) fn parse(bytes: &[u8]) -> (Vec<Token>, Vec<Warning>) {
    let (mut tokens, mut warnings) = (Vec::new(), Vec::new());
    // An editor's byte order mark would become part of the first token.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (index, bytes) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let mut warn = |why| warnings.push(Warning { line: index + 1, why });
        let Ok(line) = std::str::from_utf8(bytes) else {
            warn("not UTF-8: the line is ignored");
            continue;
        };
        let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        let Some(token) = words.next() else { continue };
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            warn("a token has visible ASCII characters only: the line is ignored");
            continue;
        }
        let digest = Digest::of(token);
        match name(words) {
            Ok(name) => {
                if token.len() < SHORTEST {
                    warn("a token of less than 16 characters can be guessed");
                }
                let name = name.map_or_else(|| format!("token:{}", &digest.to_string()[..8]), str::to_owned);
                tokens.push(Token { digest: Secret(digest), caller: Caller { name: name.into() } });
            }
            Err(why) => warn(why),
        }
    }
    (tokens, warnings)
}

/// The name among a line's attributes.
fn name<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, &'static str> {
    let mut name = None;
    for attribute in attributes {
        match attribute.split_once('=') {
            Some(("name", _)) if name.is_some() => return Err("two names: the line is ignored"),
            Some(("name", value)) if is_name(value) => name = Some(value),
            Some(("name", _)) => return Err("a name is up to 64 of A-Z a-z 0-9 . _ - @ +: the line is ignored"),
            _ => return Err("after the token only name=… may follow: the line is ignored"),
        }
    }
    Ok(name)
}

/// A name goes into journals, logs and answers: plain, and never like a name that we make (`token:…`).
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &[u8]) -> (Vec<String>, Vec<usize>) {
        let (tokens, warnings) = parse(text);
        let names = tokens.iter().map(|token| token.caller.name().to_owned()).collect();
        (names, warnings.iter().map(|warning| warning.line).collect())
    }

    #[test]
    fn a_line_that_is_not_understood_grants_nothing() {
        let text = b"0123456789abcdef0 name=a\n\
            0123456789abcdef1 path=/blog\n\
            0123456789abcdef2 name=a name=b\n\
            0123456789abcdef3 name=\n\
            0123456789abcdef4 admin\n\
            0123456789abcdef5 name=token:01020304\n\
            0123456789abcdef\xc3\xa9\n\
            0123456789abcdef\xff\n\
            0123456789abcdef6 name=z # who it is";
        assert_eq!(names(text), (vec!["a".to_owned(), "z".to_owned()], vec![2, 3, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn a_short_token_works_and_is_warned_of() {
        assert_eq!(names(b"short name=a\n0123456789abcdef name=b"), (vec!["a".to_owned(), "b".to_owned()], vec![1]));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_token() {
        let (tokens, warnings) = parse(b"\xef\xbb\xbf0123456789abcdef");
        assert_eq!((tokens[0].digest.0, warnings), (Digest::of("0123456789abcdef"), vec![]));
    }

    #[test]
    fn a_warning_never_repeats_the_line() {
        let (_, warnings) = parse(b"hunter2 oops=hunter2\nhunter2");
        assert!(warnings.len() == 2 && !format!("{warnings:?}").contains("hunter2"));
    }

    #[test]
    fn a_huge_file_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(LARGEST + 1).expect("a length");
        assert_eq!(read(file.path()).expect_err("an error").kind(), io::ErrorKind::FileTooLarge);
    }
}
