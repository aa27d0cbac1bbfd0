//! Where a hook listens: an address, or a program of this image.

use std::{
    cmp::Reverse,
    fmt, fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use rustix::fs::{Access, FileType};

/// Bytes of the shortest secret that can be taken out of what a hook says.
const SHORTEST: usize = 4;
/// Bytes from which on the name of a folder in an address may be a key.
const LIKE_A_KEY: usize = 12;

/// A hook. Printed without what may be secret in an address: user, password, query, and the path, which many a service
/// makes of a key.
#[derive(Clone, PartialEq, Eq)]
pub enum Hook {
    /// An address that gets a POST.
    Address(Url),
    /// A program, by its absolute path.
    Program(PathBuf),
}

impl FromStr for Hook {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('/') {
            return Ok(Self::Program(text.into()));
        }
        match text.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self::Address(url)),
            _ => Err("it is no address, as in http://127.0.0.1:9000/published, nor the absolute path of a program"),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(url) => {
                let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
                let path = if url.path() == "/" { "" } else { "…" };
                write!(out, "{}://{}{port}/{path}", url.scheme(), url.host_str().unwrap_or_default())
            }
            Self::Program(path) => path.display().fmt(out),
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Hook {
    /// What a hook said, without what its address keeps secret: many an error page repeats what it was asked for.
    pub(super) fn conceal(&self, mut said: String) -> String {
        let Self::Address(url) = self else { return said };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (url.username(), url.password().unwrap_or_default());
        let mut secrets = vec![password.to_owned(), decoded(password)];
        secrets.push(BASE64_STANDARD.encode(format!("{}:{}", decoded(user), decoded(password))));
        secrets.extend([url.path().to_owned(), decoded(url.path()), url.query().unwrap_or_default().to_owned()]);
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.extend(url.path().split('/').filter(|name| name.len() >= LIKE_A_KEY).map(str::to_owned));
        // What is part of another goes after it; what is very short would be found everywhere.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
            said = said.replace(secret, "…");
        }
        said
    }

    /// Looks whether a program is there and can be run, so that a start tells it and not the first release.
    ///
    /// # Errors
    /// When it cannot, with the way out.
    pub fn check(&self) -> Result<(), String> {
        let Self::Program(path) = self else { return Ok(()) };
        let stat = rustix::fs::stat(path).map_err(|errno| {
            format!("there is no such program in this image ({errno}): mount one, or name an address, which needs none")
        })?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err("it is no plain file".into());
        }
        rustix::fs::access(path, Access::EXEC_OK).map_err(|errno| {
            format!("it cannot be run ({errno}): `chmod +x` it; a ConfigMap's files need `defaultMode: 0555`")
        })?;
        match interpreter(path) {
            Some(needed) if rustix::fs::access(&needed, Access::EXEC_OK).is_err() => Err(format!(
                "it is run by {}, which this image does not have: use another image, a static program, or an address",
                needed.display()
            )),
            _ => Ok(()),
        }
    }
}

/// What runs a script, by its first line. Who may run a program may not be able to read it: then nobody knows.
#[expect(clippy::disallowed_methods, reason = "the operator's own program, not on the volume")]
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut first = Vec::new();
    BufReader::new(fs::File::open(path).ok()?.take(256)).read_until(b'\n', &mut first).ok()?;
    let line = first.strip_prefix(b"#!")?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&line[..end])))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn hook(text: &str) -> Hook {
        text.parse().expect("a hook")
    }

    #[test]
    fn an_address_keeps_its_secrets() {
        let address = hook("http://me:secret@127.0.0.1:9/told?token=secret");
        assert_eq!(format!("{address} {address:?}"), "http://127.0.0.1:9/… http://127.0.0.1:9/…");
        let said = "Cannot POST /told?token=secret: Basic bWU6c2VjcmV0, of secret".to_owned();
        assert_eq!(address.conceal(said), "Cannot POST …?…: Basic …, of …");
        assert_eq!(hook("/bin/check").to_string(), "/bin/check");
        for wrong in ["ftp://host/", "check", "./check", "", "http:///"] {
            assert!(wrong.parse::<Hook>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_program_that_cannot_be_run_is_told_at_the_start() {
        let scratch = tempfile::tempdir().expect("a directory");
        let wrong = |name: &str| hook(scratch.path().join(name).to_str().expect("UTF-8")).check().expect_err(name);
        let make = |name: &str, text: &str, mode| {
            fs::write(scratch.path().join(name), text).expect("written");
            fs::set_permissions(scratch.path().join(name), fs::Permissions::from_mode(mode)).expect("set");
        };
        make("plain", "#!/bin/sh\n", 0o644);
        make("orphan", "#! /nowhere/sh -e\n", 0o755);
        assert!(wrong("none").contains("no such program"));
        assert!(wrong("").contains("no plain file"));
        assert!(wrong("plain").contains("defaultMode"));
        assert!(wrong("orphan").contains("/nowhere/sh"));
        assert_eq!((hook("/bin/sh").check(), hook("http://127.0.0.1:9/").check()), (Ok(()), Ok(())));
    }
}
