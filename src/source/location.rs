//! Where seed content comes from, as the user wrote it.
//!
//! Written: a path; `s3://bucket/prefix`, `gs://…`, `az://…` (keys as they are, not percent-encoded); or the address of
//! an archive, `https://…` or `http://…`. Shown again without user names, passwords and queries, since a presigned
//! address is a credential.

use std::{fmt, path::PathBuf, str::FromStr};

use url::Url;

/// Where seed content comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory, or an archive in a file: told apart when it is read.
    Local(PathBuf),
    /// A bucket's keys below a prefix, or an archive in a bucket.
    Bucket(BucketLocation),
    /// An archive at an address.
    Archive(Url),
}

/// A place in a bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketLocation {
    /// Whose protocol.
    pub cloud: Cloud,
    /// The bucket (Azure: the container).
    pub bucket: String,
    /// The keys' common beginning without the last `/`; empty for the whole bucket.
    pub prefix: String,
    /// Whether the user closed the prefix with `/`, which says that it is not an archive's key.
    pub closed: bool,
}

/// A family of object stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon S3 and everything that speaks like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// Why a text is no [`Location`]. It never repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing.
    #[error("a source is empty: name a directory, an archive, a bucket or an address")]
    Empty,
    /// A scheme that is not known.
    #[error("sources do not begin with `{0}://`: known are s3, gs, az, https, http, or a path")]
    Scheme(String),
    /// A bucket's name that cannot be one.
    #[error("the bucket's name may hold letters, digits, `.`, `-` and `_` only (no user, password or port)")]
    Bucket,
    /// A prefix with `//`, `.` or `..` in it.
    #[error("the bucket's prefix has an empty, `.` or `..` component, or a control character")]
    Prefix,
    /// An address that cannot be read.
    #[error("the archive's address is not valid: {0}")]
    Address(url::ParseError),
}

impl Cloud {
    /// The scheme in front of `://`.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

impl BucketLocation {
    /// Whether the last component is named like an archive, so that it may be one.
    #[must_use]
    pub fn may_be_archive(&self) -> bool {
        const ENDINGS: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".zip"];
        let key = self.prefix.to_ascii_lowercase();
        !self.closed && ENDINGS.iter().any(|ending| key.ends_with(ending))
    }

    fn parse(cloud: Cloud, rest: &str) -> Result<Self, LocationError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(is_plain) {
            return Err(LocationError::Bucket);
        }
        let (prefix, closed) = match prefix.strip_suffix('/') {
            Some(prefix) => (prefix, true),
            None => (prefix, false),
        };
        let is_bad = |name: &str| matches!(name, "" | "." | "..") || name.chars().any(char::is_control);
        if (!prefix.is_empty() || closed) && prefix.split('/').any(is_bad) {
            return Err(LocationError::Prefix);
        }
        Ok(Self { cloud, bucket: bucket.into(), prefix: prefix.into(), closed })
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Local(text.into()));
        };
        let bucket = |cloud| BucketLocation::parse(cloud, rest).map(Self::Bucket);
        match scheme.to_ascii_lowercase().as_str() {
            "s3" => bucket(Cloud::S3),
            "gs" => bucket(Cloud::Google),
            "az" => bucket(Cloud::Azure),
            "https" | "http" => Url::parse(text).map(Self::Archive).map_err(LocationError::Address),
            other if other.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) => {
                Err(LocationError::Scheme(other.into()))
            }
            _ => Ok(Self::Local(text.into())),
        }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::Local(path)
    }
}

impl fmt::Display for BucketLocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cloud, bucket, prefix, closed } = self;
        write!(out, "{}://{bucket}", cloud.scheme())?;
        if !prefix.is_empty() {
            write!(out, "/{prefix}")?;
        }
        out.write_str(if *closed { "/" } else { "" })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(out),
            Self::Bucket(bucket) => bucket.fmt(out),
            Self::Archive(url) => {
                write!(out, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(out, ":{port}")?;
                }
                out.write_str(url.path())?;
                out.write_str(if url.query().is_some() { "?…" } else { "" })
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Debug for BucketLocation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Location {
        text.parse().expect(text)
    }

    #[test]
    fn reads_back_what_it_shows() {
        for text in ["/seed", "webpage", "s3://b", "s3://b/a b/ü+%41", "gs://b/x/", "az://c/y", "https://h:1/a.tar"] {
            assert_eq!(parse(text).to_string(), text);
            assert_eq!(parse(&parse(text).to_string()), parse(text));
        }
    }

    #[test]
    fn shows_no_secrets() {
        let location = parse("https://user:pass@example.org/site.zip?X-Amz-Signature=abc#frag");
        assert_eq!(location.to_string(), "https://example.org/site.zip?…");
        assert_eq!(format!("{location:?}"), location.to_string());
        let error = "s3://KEY:SECRET@bucket/x".parse::<Location>().expect_err("no credentials here");
        assert!(!error.to_string().contains("SECRET"));
    }

    #[test]
    fn keeps_the_query() {
        let Location::Archive(url) = parse("https://example.org/a.tar?x=1&y=%2F") else { panic!("an address") };
        assert_eq!(url.query(), Some("x=1&y=%2F"));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in
            ["", "ftp://h/x", "file:///x", "s3://", "s3:///x", "s3://b//x", "s3://b/../x", "s3://b//", "http://"]
        {
            text.parse::<Location>().expect_err(text);
        }
    }

    #[test]
    fn tells_archives_by_key() {
        for (text, is) in
            [("s3://b/a.tar.gz", true), ("s3://b/A.ZIP", true), ("s3://b/a.zip/", false), ("s3://b/a", false)]
        {
            let Location::Bucket(bucket) = parse(text) else { panic!("a bucket") };
            assert_eq!(bucket.may_be_archive(), is, "{text}");
        }
    }
}
