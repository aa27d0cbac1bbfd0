//! What lies on a volume before we touch it.

use std::ffi::OsStr;

use super::{
    Error, Layout, Volume,
    home::{DATA, HOME, NEXT_DATA},
};
use crate::disk::Kind;

/// What lies at a volume's root besides what the file system puts there and what is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survey {
    /// Nothing.
    Empty,
    /// Entries that somebody else put there, by name; the first few.
    Foreign(Vec<String>),
}

/// Names that say enough in an error.
const FEW: usize = 5;

impl Volume {
    /// Looks at the volume's root. `lost+found`, `.snapshot` and `.nfs…` are the file system's and do not count.
    ///
    /// # Errors
    /// When the root cannot be listed.
    pub fn survey(&self) -> Result<Survey, Error> {
        let mut foreign = Vec::new();
        for name in self.root().list()? {
            if foreign.len() < FEW && !is_the_file_systems(&name) && !self.is_ours(&name)? {
                foreign.push(name.to_string_lossy().into_owned());
            }
        }
        Ok(if foreign.is_empty() { Survey::Empty } else { Survey::Foreign(foreign) })
    }

    /// Whether it is ours, or, beside the one link of its layout, none of our business.
    pub(super) fn is_ours(&self, name: &OsStr) -> Result<bool, Error> {
        let text = name.to_str().unwrap_or_default();
        Ok(match (self.layout(), text) {
            (_, HOME) => self.root().stat(HOME)?.kind == Kind::Directory,
            (Layout::Docroot | Layout::Link(_), NEXT_DATA) => self.root().stat(NEXT_DATA)?.kind == Kind::Link,
            (Layout::Docroot, DATA) => self.live()?.is_some(),
            (Layout::Docroot, name) => self.is_our_link(name)?,
            (Layout::Link(link), name) => **link != *name || self.live()?.is_some(),
            (Layout::Files, _) => false,
        })
    }
}

pub(super) fn is_the_file_systems(name: &OsStr) -> bool {
    name == "lost+found" || name == ".snapshot" || name.to_str().is_some_and(|name| name.starts_with(".nfs"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_somebody_put_there_counts() {
        let scratch = tempfile::tempdir().expect("a directory");
        let volume = Volume::open(scratch.path(), None).expect("opened");
        for name in ["lost+found", ".longshore", ".snapshot"] {
            std::fs::create_dir(scratch.path().join(name)).expect("made");
        }
        std::fs::write(scratch.path().join(".nfs0001"), "").expect("written");
        symlink("..data/index.html", scratch.path().join("index.html")).expect("linked");
        assert_eq!(volume.survey().expect("looked"), Survey::Empty);
        symlink("..data/other", scratch.path().join("odd")).expect("linked");
        std::fs::write(scratch.path().join("theirs"), "").expect("written");
        assert_eq!(volume.survey().expect("looked"), Survey::Foreign(vec!["odd".into(), "theirs".into()]));
    }
}
