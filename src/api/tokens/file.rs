//! How a token file is written: a token a line, or `sha256:` and its digest; attributes after it, `#` before a comment.
//!
//! A line that is not wholly understood grants nothing. A later version may know attributes that narrow what a token
//! may do, and this one must not read them as no limit at all.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{Secret, Token};
use crate::{
    api::rights::{Grant, Scopes},
    digest::Digest,
    path::SitePath,
    telemetry::Way,
};

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

/// The bytes of the file at `path`; of a directory, those of each file in it, as a mounted Secret has one for each key.
pub(super) fn read(path: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    if !is_directory(path)? {
        return Ok(vec![(path.into(), read_one(path)?)]);
    }
    let mut files = Vec::new();
    for name in names(path)? {
        let file = path.join(name);
        if !is_directory(&file)? {
            files.push((file.clone(), read_one(&file)?));
        }
    }
    Ok(files)
}

/// The names in a directory, sorted; those that begin with a dot are kubelet's own links.
#[expect(clippy::disallowed_methods, reason = "the operator's own directory, not on the volume")]
fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = names.collect::<io::Result<_>>()?;
    names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    names.sort_unstable();
    Ok(names)
}

/// Whether a directory lies there, perhaps behind a link.
#[expect(clippy::disallowed_methods, reason = "the operator's own file, not on the volume")]
fn is_directory(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.is_dir())
}

#[expect(clippy::disallowed_methods, reason = "the operator's own file, not on the volume")]
fn read_one(path: &Path) -> io::Result<Vec<u8>> {
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
        // As `sha256sum` prints it: who reads the file then learns no token.
        let hashed = token.strip_prefix("sha256:");
        let digest = match hashed.map(str::parse) {
            Some(Ok(digest)) => digest,
            Some(Err(_)) => {
                warn("after sha256: come 64 hexadecimal digits, in lower case: the line is ignored");
                continue;
            }
            None => Digest::of(token),
        };
        match attributes(words) {
            Ok(Attributes { name, scopes, within }) => {
                if hashed.is_none() && token.len() < SHORTEST {
                    warn("a token of less than 16 characters can be guessed");
                }
                let name = name.map_or_else(|| format!("token:{}", &digest.to_string()[..8]), str::to_owned);
                let scopes = scopes.unwrap_or(Scopes::ALL);
                tokens.push(Token { digest: Secret(digest), grant: Grant { name, scopes, within, way: Way::File } });
            }
            Err(why) => warn(why),
        }
    }
    (tokens, warnings)
}

/// What follows a token.
#[derive(Default)]
struct Attributes<'a> {
    name: Option<&'a str>,
    scopes: Option<Scopes>,
    within: Option<SitePath>,
}

/// Reads `name=…`, `scopes=…` and `path=…`, each once.
fn attributes<'a>(words: impl Iterator<Item = &'a str>) -> Result<Attributes<'a>, &'static str> {
    let mut read = Attributes::default();
    for word in words {
        let is_twice = match word.split_once('=') {
            Some(("name", value)) if is_name(value) => read.name.replace(value).is_some(),
            Some(("name", _)) => return Err("a name is up to 64 of A-Z a-z 0-9 . _ - @ +: the line is ignored"),
            Some(("scopes", value)) => {
                let why = "scopes are read, upload, rollback, admin, with commas between: the line is ignored";
                read.scopes.replace(Scopes::parse(value).ok_or(why)?).is_some()
            }
            Some(("path", value)) => {
                let why = "a path is a folder of the site, as blog or blog/drafts: the line is ignored";
                let folder = value.strip_suffix('/').unwrap_or(value);
                read.within.replace(folder.parse().map_err(|_| why)?).is_some()
            }
            _ => return Err("after the token only name=…, scopes=… and path=… may follow: the line is ignored"),
        };
        if is_twice {
            return Err("an attribute is there twice: the line is ignored");
        }
    }
    Ok(read)
}

/// A name goes into journals, logs and answers: plain, and never like a name that we make (`token:…`).
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rights::Scope;

    fn names(text: &[u8]) -> (Vec<String>, Vec<usize>) {
        let (tokens, warnings) = parse(text);
        let names = tokens.iter().map(|token| token.grant.name.clone()).collect();
        (names, warnings.iter().map(|warning| warning.line).collect())
    }

    #[test]
    fn a_line_that_is_not_understood_grants_nothing() {
        let text = b"0123456789abcdef0 name=a\n\
            0123456789abcdef1 path=/blog\n\
            0123456789abcdef1 scopes=write\n\
            0123456789abcdef1 path=a path=b\n\
            0123456789abcdef1 group=x\n\
            sha256:0123456789abcdef1 name=x\n\
            0123456789abcdef2 name=a name=b\n\
            0123456789abcdef3 name=\n\
            0123456789abcdef4 admin\n\
            0123456789abcdef5 name=token:01020304\n\
            0123456789abcdef\xc3\xa9\n\
            0123456789abcdef\xff\n\
            0123456789abcdef6 name=z # who it is";
        assert_eq!(names(text), (vec!["a".to_owned(), "z".to_owned()], vec![2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
    }

    #[test]
    fn attributes_narrow_what_a_token_may_do() {
        let digest = Digest::of("0123456789abcdef");
        let (tokens, warnings) =
            parse(format!("sha256:{digest} name=ci scopes=upload,read path=blog/\nplain-token-of-20-bytes").as_bytes());
        assert_eq!((tokens.len(), warnings.len()), (2, 0));
        assert_eq!(tokens[0].digest.0, digest);
        let Grant { name, scopes, within, .. } = &tokens[0].grant;
        assert_eq!((name.as_str(), within.as_ref().map(|within| within.as_str())), ("ci", Some("blog")));
        assert!(scopes.has(Scope::Upload) && scopes.has(Scope::Read) && !scopes.has(Scope::Rollback));
        assert!(tokens[1].grant.scopes.has(Scope::Admin) && tokens[1].grant.within.is_none());
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

    #[test]
    fn a_directory_is_all_its_files_but_the_hidden_ones() {
        let secret = tempfile::tempdir().expect("a directory");
        let path = |name: &str| secret.path().join(name);
        fs::create_dir(path("..2026_11_25")).expect("made");
        fs::write(path("..2026_11_25/ci"), "0123456789abcdef0").expect("written");
        std::os::unix::fs::symlink("..2026_11_25", path("..data")).expect("linked");
        std::os::unix::fs::symlink("..data/ci", path("ci")).expect("linked");
        fs::write(path("admin"), "0123456789abcdef1").expect("written");
        fs::create_dir(path("folder")).expect("made");
        let read = read(secret.path()).expect("read");
        let names: Vec<_> = read.iter().map(|(path, _)| path.file_name().expect("a name")).collect();
        assert_eq!(names, ["admin", "ci"]);
        assert_eq!(read[1].1, b"0123456789abcdef0");
    }
}
