//! A file of a release: which bytes, how many, and whether they may be executed.

use std::fmt::Write as _;

use super::node::{Leaf, Total, number};
use crate::digest::Digest;

/// One file of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
    /// Whether its mode is 0755 rather than 0644.
    pub executable: bool,
}

/// Files and bytes below a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Files at any depth.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
}

impl Total for Sum {
    fn add(self, other: Self) -> Self {
        Self { files: self.files.saturating_add(other.files), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn write(&self, line: &mut String) {
        let _ = write!(line, " {} {}", self.files, self.bytes);
    }

    fn parse<'a>(words: &mut dyn FnMut() -> Option<&'a str>) -> Option<Self> {
        Some(Self { files: number(words()?)?, bytes: number(words()?)? })
    }
}

impl Leaf for File {
    type Total = Sum;
    const KIND: &'static str = "longshore-manifest 1";
    const SHARES_NAMES: bool = false;

    fn total(&self) -> Sum {
        Sum { files: 1, bytes: self.size }
    }

    fn write(&self, line: &mut String) {
        let kind = if self.executable { "exec" } else { "file" };
        let _ = write!(line, "{kind} {} {}", self.digest, self.size);
    }

    fn parse<'a>(kind: &str, words: &mut dyn FnMut() -> Option<&'a str>) -> Option<Self> {
        let executable = match kind {
            "file" => false,
            "exec" => true,
            _ => return None,
        };
        Some(Self { digest: words()?.parse().ok()?, size: number(words()?)?, executable })
    }
}
