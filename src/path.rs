//! The name of a file within a site, proved safe once.
//!
//! A [`SitePath`] is parsed where text enters (a URL, an archive, a bucket's key, a directory's entry) and trusted from
//! there on: it is relative, has no empty, `.` or `..` component, no control, bidirectional or backslash character, and
//! never names what belongs to Longshore, to kubelet or to the file system. It does not promise that the path is free on
//! a volume, nor that two paths differ on a file system that folds case.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::planted::Mistake;

/// Bytes in one component: `NAME_MAX` of every Linux file system.
pub const LONGEST_NAME: usize = 255;
/// Bytes in a whole path: `PATH_MAX` (4,096) less room for the mount point and the generation in front of it.
pub const LONGEST_PATH: usize = 3_840;
/// Components in a path: enough for any site, too few to exhaust a stack.
pub const DEEPEST_PATH: usize = 128;

/// The relative, `/`-separated name of one file or folder of a site.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SitePath(Box<str>);

/// Why a text is not a [`SitePath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing there to name.
    #[error("the path is empty")]
    Empty,
    /// A leading `/`: every path is relative to the site.
    #[error("{0:?} is absolute: a path is relative to the site")]
    Absolute(String),
    /// `a//b`, or a file with a trailing `/`.
    #[error("{0:?} has an empty component")]
    EmptyComponent(String),
    /// `.` or `..`.
    #[error("{0:?} has a component {1:?}: paths may not climb or stand still")]
    Climbs(String, &'static str),
    /// A control, bidirectional or backslash character.
    #[error("{0:?} holds the character U+{1:04X}: control and bidirectional characters and backslashes are refused")]
    Character(String, u32),
    /// Bytes that are not UTF-8.
    #[error("{0:?} is not UTF-8")]
    NotUtf8(String),
    /// A name that is somebody else's on the volume.
    #[error("{0:?} is reserved: {1}")]
    Reserved(String, &'static str),
    /// A component over [`LONGEST_NAME`] bytes.
    #[error("{:?}… has a component of {bytes} bytes: at most {LONGEST_NAME} are possible", start(.path))]
    LongName {
        /// The whole path.
        path: String,
        /// Bytes of the component that is too long.
        bytes: usize,
    },
    /// A path over [`LONGEST_PATH`] bytes.
    #[error("{:?}… has {} bytes: at most {LONGEST_PATH} are possible", start(.0), .0.len())]
    LongPath(String),
    /// A path of more than [`DEEPEST_PATH`] components.
    #[error("{:?}… is more than {DEEPEST_PATH} levels deep", start(.0))]
    Deep(String),
}

/// The beginning of a long path, for an error that a person can read.
fn start(path: &str) -> String {
    path.chars().take(40).collect()
}

impl SitePath {
    /// Parses a path that should be UTF-8.
    ///
    /// # Errors
    /// As [`SitePath::from_str`], and for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.parse(),
            Err(_) => Err(PathError::NotUtf8(String::from_utf8_lossy(bytes).into_owned())),
        }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, outermost first; there is at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The first component.
    #[must_use]
    pub fn top(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The last component.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder that holds it, unless it lies at the site's root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// This folder's file `below`.
    ///
    /// # Errors
    /// When both together are too long or too deep.
    pub fn join(&self, below: &Self) -> Result<Self, PathError> {
        format!("{self}/{below}").parse()
    }
}

/// Checks one component; `top` when it stands at the site's root, where the file system and Longshore have names too.
fn check_component(path: &str, name: &str, top: bool) -> Result<(), PathError> {
    if name == ".." && Mistake::LetClimb.is_made() {
        return Ok(());
    }
    match name {
        "" => return Err(PathError::EmptyComponent(path.into())),
        "." => return Err(PathError::Climbs(path.into(), ".")),
        ".." => return Err(PathError::Climbs(path.into(), "..")),
        _ => {}
    }
    let reserved = |why| Err(PathError::Reserved(path.into(), why));
    let folded = fold(name);
    if folded.starts_with("..") {
        return reserved("names that begin with `..` are kubelet's and Longshore's links");
    }
    if folded.starts_with(".nfs") {
        return reserved("`.nfs…` files are an NFS client's");
    }
    if top {
        match folded.trim_end_matches(['.', ' ']) {
            ".longshore" => return reserved("`.longshore` holds Longshore's own state"),
            "lost+found" => return reserved("`lost+found` is the file system's"),
            ".snapshot" => return reserved("`.snapshot` is the file server's"),
            _ => {}
        }
    }
    if name.len() > LONGEST_NAME {
        return Err(PathError::LongName { path: path.into(), bytes: name.len() });
    }
    Ok(())
}

/// The name as a file system sees it that folds case and ignores what is not shown (ext4's `casefold`, HFS+); SMB cuts
/// dots and spaces off its end besides.
fn fold(name: &str) -> String {
    let is_shown = |character: &char| !matches!(character, '\u{ad}' | '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}');
    // Up and down again: `ſ` is an `s` that way.
    name.chars().filter(is_shown).flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Characters that hide what a name is, or end it, for a terminal, a log or another system.
fn is_refused(character: char) -> bool {
    character.is_control()
        || matches!(character, '\\' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl FromStr for SitePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > LONGEST_PATH {
            return Err(PathError::LongPath(text.into()));
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute(text.into()));
        }
        if let Some(character) = text.chars().find(|&character| is_refused(character)) {
            return Err(PathError::Character(text.into(), character.into()));
        }
        for (depth, name) in text.split('/').enumerate() {
            if depth >= DEEPEST_PATH {
                return Err(PathError::Deep(text.into()));
            }
            check_component(text, name, depth == 0)?;
        }
        Ok(Self(text.into()))
    }
}

impl From<SitePath> for String {
    fn from(path: SitePath) -> Self {
        path.0.into()
    }
}

impl TryFrom<String> for SitePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        text.parse()
    }
}

impl fmt::Display for SitePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for SitePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl AsRef<std::path::Path> for SitePath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> PathError {
        text.parse::<SitePath>().expect_err(text)
    }

    #[test]
    fn takes_what_websites_use() {
        for text in
            ["index.html", "a/b/c.css", "a b/ü+%.html", ".well-known/x", "a..b", ".htaccess", "日本.html", "%2e%2e"]
        {
            assert_eq!(text.parse::<SitePath>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn refuses_every_way_out() {
        for text in ["", "/etc/passwd", "..", ".", "a/../../x", "a/..", "./a", "a//b", "a/", "/", "a/./b"] {
            refused(text);
        }
    }

    #[test]
    fn refuses_what_hides_or_ends_a_name() {
        for text in ["a\0b", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\\b", "C:\\x", "a\u{7f}", "a\u{85}"] {
            assert!(matches!(refused(text), PathError::Character(..)), "{text:?}");
        }
        assert!(matches!(SitePath::from_bytes(b"a\xff"), Err(PathError::NotUtf8(_))));
    }

    #[test]
    fn refuses_names_of_others() {
        for text in [
            ".longshore/journal/x",
            ".Longshore",
            ".long\u{200c}shore",
            ".long\u{17f}hore/x",
            ".longshore. ",
            "..data",
            ".\u{200d}.",
            "a/..x",
            "a/.nfs0001",
            "lost+found/x",
            ".snapshot",
        ] {
            assert!(matches!(refused(text), PathError::Reserved(..)), "{text:?}");
        }
    }

    #[test]
    fn knows_its_limits() {
        assert!("x".repeat(255).parse::<SitePath>().is_ok());
        assert!(matches!(refused(&"x".repeat(256)), PathError::LongName { bytes: 256, .. }));
        assert!(matches!(refused(&"xxxxxxx/".repeat(512)), PathError::LongPath(_)));
        assert!(matches!(refused(&vec!["x"; 1_000].join("/")), PathError::Deep(_)));
    }

    #[test]
    fn knows_its_parts() {
        let path: SitePath = "a/b/c".parse().expect("a plain path");
        assert_eq!((path.top(), path.name()), ("a", "c"));
        assert_eq!(path.parent().expect("it has one").as_str(), "a/b");
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_inside(text in "\\PC{0,40}|[a./]{0,12}") {
            if let Ok(path) = text.parse::<SitePath>() {
                prop_assert!(path.components().all(|name| !name.is_empty() && !name.starts_with("..") && name != "."));
                prop_assert_eq!(path.as_str(), text);
            }
        }
    }
}
