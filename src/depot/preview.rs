//! What a source would become, found out by reading alone.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    io::{self, Read},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{Depot, Error, Ingest};
use crate::{
    digest::{Digest, Hasher},
    manifest::{self, Edits, Nodes},
    path::SitePath,
    source::{Progress, Reading, Source},
};

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

impl Depot {
    /// The release id that `source` would become. Writes nothing, but for archives that have to be fetched first: those
    /// lie in a nameless file on the volume meanwhile.
    ///
    /// # Errors
    /// As the source says.
    pub(super) fn release_of(&self, source: &Source) -> Result<Digest, Error> {
        let files: Mutex<BTreeMap<SitePath, manifest::File>> = Mutex::default();
        let staging: OnceLock<Ingest> = OnceLock::new();
        let reading = Reading {
            sink: &|item, content| {
                let file = hash(content, item.executable)?;
                files.lock().unwrap_or_else(PoisonError::into_inner).insert(item.path.clone(), file);
                Ok(())
            },
            forget: &|path| {
                files.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
            },
            scratch: &|| {
                let staging = match staging.get() {
                    Some(staging) => staging,
                    None => {
                        let new = self.ingest().map_err(io::Error::other)?;
                        staging.get_or_init(|| new)
                    }
                };
                staging.scratch()
            },
            progress: &Progress::default(),
            is_one_of_many: false,
        };
        source.read(&reading)?;
        let mut edits = Edits::default();
        for (path, file) in files.into_inner().unwrap_or_else(PoisonError::into_inner) {
            edits.set(&path, file);
        }
        Ok(edits.apply(&NoNodes, None)?.root)
    }
}

fn hash(content: &mut dyn Read, executable: bool) -> io::Result<manifest::File> {
    let (mut hasher, mut size, mut chunk) = (Hasher::new(), 0, vec![0; CHUNK]);
    loop {
        match content.read(&mut chunk) {
            Ok(0) => return Ok(manifest::File { digest: hasher.finish(), size, executable }),
            Ok(filled) => {
                hasher.update(&chunk[..filled]);
                size += filled as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A tree that is built from nothing reads no node.
pub(super) struct NoNodes;

impl Nodes for NoNodes {
    fn node(&self, digest: &Digest) -> Result<Arc<[u8]>, Box<dyn StdError + Send + Sync>> {
        Err(format!("{digest} is not there").into())
    }
}
