//! How a volume shows a release.
//!
//! | layout | the application's document root | a publish is | promise |
//! | --- | --- | --- | --- |
//! | `docroot` | the volume itself | the rename of one link, `..data` | all files at once |
//! | `link` | `NAME` in the volume | the rename of one link, `NAME` | the same, and no state below the document root |
//! | `files` | the volume itself | a rename a file: assets, then HTML, then deletions | each file at once |

use std::{fmt, str::FromStr};

use super::{
    Error,
    home::{DATA, FORMAT, HOME},
};
use crate::{
    disk::{self, Directory},
    path::SitePath,
};

/// What [`Home`](super::Home)'s format file says before the layout.
const VERSION: &str = "longshore-volume 1 ";

/// How a volume shows a release. A volume keeps the layout that it began with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Each name at the root is a link through `..data`, the one link that publishes, as in kubelet's volumes.
    #[default]
    Docroot,
    /// The one link that publishes has this name, as with git-sync.
    Link(Box<str>),
    /// Plain files at the root.
    Files,
}

impl Layout {
    /// The layout of one link; none when `name` is no plain name, or somebody else's.
    #[must_use]
    pub fn link(name: &str) -> Option<Self> {
        let path: SitePath = name.parse().ok()?;
        path.parent().is_none().then(|| Self::Link(name.into()))
    }

    /// The name of the one link that publishes, where there is one.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        match self {
            Self::Docroot => Some(DATA),
            Self::Link(name) => Some(name),
            Self::Files => None,
        }
    }

    /// What the volume at `root` was begun with.
    pub(super) fn of(root: &Directory) -> Result<Option<Self>, Error> {
        let Some(text) = disk::if_there(root.read(format!("{HOME}/{FORMAT}")))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let layout = text.strip_suffix('\n').and_then(|line| line.strip_prefix(VERSION)?.parse().ok());
        layout.map(Some).ok_or_else(|| Error::Format(text.trim().into()))
    }

    /// The line of the format file.
    pub(super) fn to_line(&self) -> String {
        format!("{VERSION}{self}\n")
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Docroot => out.write_str("docroot"),
            Self::Link(name) => write!(out, "link {name}"),
            Self::Files => out.write_str("files"),
        }
    }
}

/// A text that is no layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALayout;

impl FromStr for Layout {
    type Err = NotALayout;

    fn from_str(text: &str) -> Result<Self, NotALayout> {
        match (text, text.strip_prefix("link ")) {
            ("docroot", _) => Ok(Self::Docroot),
            ("files", _) => Ok(Self::Files),
            (_, Some(name)) => Self::link(name).ok_or(NotALayout),
            _ => Err(NotALayout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_reads_back() {
        for layout in [Layout::Docroot, Layout::Files, Layout::link("html").expect("a plain name")] {
            assert_eq!(layout.to_string().parse(), Ok(layout));
        }
        for name in ["", "a/b", "..data", ".longshore", "..", "lost+found"] {
            assert_eq!(Layout::link(name), None, "{name}");
        }
        for text in ["link", "link ", "linkhtml", "docroot html"] {
            assert_eq!(text.parse::<Layout>(), Err(NotALayout), "{text}");
        }
    }
}
