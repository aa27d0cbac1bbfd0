//! Manifest nodes as files, checked against their digest when read, and kept in memory while they are in use.

use std::{
    error::Error as StdError,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

use super::{
    Error,
    objects::{Fan, path},
};
use crate::{
    digest::Digest,
    disk::{self, Directory},
    manifest::Nodes,
};

/// Nodes kept in memory: each has about 256 lines of 85 bytes, so about 22 MB when all are in use.
const KEPT: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not zero");

pub(super) struct NodeFiles {
    fan: Fan,
    kept: Mutex<LruCache<Digest, Arc<[u8]>>>,
}

impl NodeFiles {
    pub(super) fn new(directory: Directory, mode: u32) -> Self {
        Self { fan: Fan { directory, mode }, kept: Mutex::new(LruCache::new(KEPT)) }
    }

    pub(super) fn holds(&self, digest: &Digest) -> Result<bool, disk::Error> {
        disk::if_there(self.fan.directory.stat(path(digest))).map(|stat| stat.is_some())
    }

    pub(super) fn fan(&self) -> &Fan {
        &self.fan
    }
}

impl Nodes for NodeFiles {
    fn node(&self, digest: &Digest) -> Result<Arc<[u8]>, Box<dyn StdError + Send + Sync>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = kept().get(digest) {
            return Ok(bytes.clone());
        }
        let bytes = self.fan.directory.read(path(digest))?;
        if Digest::of(&bytes) != *digest {
            let what = format!("manifest node {digest}");
            return Err(Error::Damaged { what, why: "its bytes have another digest".into() }.into());
        }
        let bytes: Arc<[u8]> = bytes.into();
        kept().put(*digest, bytes.clone());
        Ok(bytes)
    }
}

impl std::fmt::Debug for NodeFiles {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("NodeFiles").field("fan", &self.fan).finish_non_exhaustive()
    }
}
