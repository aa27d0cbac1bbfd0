//! The volume that the application mounts, and how a release shows on it.
//!
//! The layout is kubelet's own for ConfigMaps: each name at the root is a link through `..data`, the one link whose
//! rename publishes. Behind it lies a generation, a complete tree of plain files, built out of sight.
//!
//! ```text
//! index.html -> ..data/index.html
//! ..data     -> .longshore/trees/<generation>
//! .longshore/trees/<generation>/index.html
//! ```

mod compare;
mod drift;
mod exchange;
mod files;
mod flip;
mod foreign;
mod generation;
mod given_up;
mod home;
mod inspect;
mod layout;
mod linger;
mod links;
mod lock;
mod publish;
mod quarantine;
mod remains;
mod shown;
mod survey;
mod sweep;

pub use drift::{Drift, Drifted, Place};
pub use exchange::Replaced;
pub use files::Put;
pub use foreign::{Foreign, Found, Unfit};
pub use home::{Home, tree_of};
pub use inspect::{Fault, KnownInode, inspect_file, inspect_folder};
pub use layout::Layout;
pub use linger::Lingering;
pub use lock::Lock;
pub use publish::Prepared;
pub use quarantine::Salvage;
pub use remains::Remains;
pub use shown::Shown;
pub use survey::Survey;
pub use sweep::{Retired, Waiting};

use std::{path::Path, time::Duration};

use crate::{
    digest::Digest,
    disk::{self, Directory, Room},
    manifest,
};

/// A volume, by its root.
#[derive(Clone, Debug)]
pub struct Volume {
    root: Directory,
    layout: Layout,
}

/// Where a volume finds the bytes of an object: a folder and a name in it.
pub type FindObject<'a> = dyn Fn(&Digest) -> Result<(Directory, String), disk::Error> + 'a;

/// Why a volume cannot show what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The release cannot be read.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// Something that is not ours lies where a link must be.
    #[error("{path:?} on the volume is not Longshore's, and the release has an entry of that name")]
    InTheWay {
        /// Its name at the volume's root.
        path: String,
    },
    /// The state on the volume is of another version or layout.
    #[error("the volume's state has the format {0:?}, which this version of Longshore does not know")]
    Format(String),
    /// The volume was begun with another layout than the one that is asked for.
    #[error("the volume has the layout `{has}`, not `{wanted}`")]
    Layout {
        /// What it was begun with.
        has: Layout,
        /// What is asked for.
        wanted: Layout,
    },
    /// The file system lacks what the layout is made of.
    #[error("the volume's file system has no symbolic links, which the layout `{layout}` publishes by")]
    NoSymlinks {
        /// What is asked for.
        layout: Layout,
    },
    /// Somebody wrote over a file in place, through every name that its bytes had here.
    #[error("the content of {path:?} was changed from outside, and no other copy of it is left")]
    Damaged {
        /// Where it lies in the site.
        path: String,
        /// What was found.
        source: disk::Error,
    },
    /// Another process has held the lock for too long.
    #[error("another process has held the lock of the volume for {} s", waited.as_secs())]
    Locked {
        /// How long we waited.
        waited: Duration,
    },
}

impl Error {
    /// What went wrong with the content of `path`.
    fn of_content(path: &str, error: disk::Error) -> Self {
        match error.is_damaged() {
            true => Self::Damaged { path: path.into(), source: error },
            false => error.into(),
        }
    }
}

impl Volume {
    /// The volume mounted at `path`, in the layout that it was begun with; a new one, in the `wanted` layout. Writes
    /// nothing.
    ///
    /// # Errors
    /// When there is no such directory; [`Error::Layout`] when it was begun with another layout than the one `wanted`.
    pub fn open(path: &Path, wanted: Option<Layout>) -> Result<Self, Error> {
        let root = Directory::open(path)?;
        match (Layout::of(&root)?, wanted) {
            (Some(has), Some(wanted)) if has != wanted => Err(Error::Layout { has, wanted }),
            (has, wanted) => Ok(Self { root, layout: has.or(wanted).unwrap_or_default() }),
        }
    }

    /// How it shows a release.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The volume's root.
    #[must_use]
    pub fn root(&self) -> &Directory {
        &self.root
    }

    /// What is free on it.
    ///
    /// # Errors
    /// When the disk does not tell.
    pub fn room(&self) -> Result<Room, disk::Error> {
        self.root.room()
    }
}
