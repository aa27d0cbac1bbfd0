//! What a release is: a tree of directories, each a node of canonical bytes named by their digest, as in git.
//!
//! Two trees of one shape stand side by side. The **manifest** says which bytes lie at which path; the digest of its root
//! is the **release id** and depends on content only, so that client and server agree on it and "nothing changed" is
//! exact. The **times** give each path its modification time and live beside it, never in the release id.
//!
//! Folders exist by the files in them: an empty folder is not part of a release. This room does no I/O: nodes come from
//! whoever implements [`Nodes`], and new ones are handed back to be stored.

mod edit;
mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod node;
mod release;
mod time;
mod tree;

pub use edit::{Edited, Edits};
pub use file::{File, Sum};
pub use node::{Directory, Item, Leaf, Row, rows};
pub use release::{Folder, Release, Unread};
pub use time::Time;
pub use tree::Tree;

use std::{error::Error as StdError, sync::Arc};

use crate::{digest::Digest, path::PathError};

/// Where nodes are found by their digest.
pub trait Nodes {
    /// The bytes of the node `digest`, already checked against it.
    ///
    /// # Errors
    /// When the node is not there or cannot be read.
    fn node(&self, digest: &Digest) -> Result<Arc<[u8]>, Box<dyn StdError + Send + Sync>>;
}

/// Why a tree could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node is missing or unreadable.
    #[error("cannot read the manifest node {digest}")]
    Node {
        /// The node.
        digest: Digest,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A node's bytes are not in the canonical form.
    #[error("line {line} of the manifest node {digest} is not in the canonical form")]
    Malformed {
        /// The node.
        digest: Digest,
        /// The line, from 1.
        line: usize,
    },
    /// A node names a path that may not exist.
    #[error("a manifest names an impossible path")]
    Path(#[from] PathError),
    /// The times do not tell when a file was modified.
    #[error("{0:?} has no time")]
    NoTime(String),
    /// A file would lie where a folder is.
    #[error("{0:?} is a folder: a file cannot take its place")]
    IsFolder(String),
    /// A file would lie under a file.
    #[error("{0:?} is a file: nothing can lie under it")]
    IsFile(String),
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod memory {
    //! Nodes in a map, for tests.

    use std::{collections::HashMap, sync::Mutex};

    use super::*;

    #[derive(Default)]
    pub(crate) struct Memory(pub(crate) Mutex<HashMap<Digest, Arc<[u8]>>>);

    impl Memory {
        pub(crate) fn keep(&self, edited: Edited) -> Digest {
            self.0.lock().expect("tests do not poison").extend(edited.nodes.into_iter().map(|(k, v)| (k, v.into())));
            edited.root
        }
    }

    impl Nodes for Memory {
        fn node(&self, digest: &Digest) -> Result<Arc<[u8]>, Box<dyn StdError + Send + Sync>> {
            self.0.lock().expect("tests do not poison").get(digest).cloned().ok_or_else(|| "no such node".into())
        }
    }
}
