//! Where releases are kept: objects, manifests and the journal.
//!
//! Today the store lies on the volume itself, below `.longshore/`. What it holds never changes once it is there: objects
//! and manifest nodes are named by their digests, and a journal entry is made once, if absent. Everything that an entry
//! names is durable before the entry is.

mod audit;
mod journal;
mod nodes;
mod objects;
mod pin;
mod told;

pub use audit::Shelf;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use journal::fuzzing;
pub use journal::{Appended, Content, History, Journal, Piece};
pub use pin::Pin;

use std::collections::BTreeSet;

use crate::{
    digest::Digest,
    disk::{self, Directory, FileSystem, Staged, Staging},
};
use nodes::NodeFiles;
use objects::{Fan, Objects};

/// Objects, manifests and journal.
#[derive(Debug)]
pub struct Store {
    objects: Objects,
    nodes: NodeFiles,
    journal: Journal,
    home: Directory,
    file_system: FileSystem,
}

/// Why the store cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// What is stored is not what was stored.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// Which entry, node or object.
        what: String,
        /// In what way.
        why: String,
    },
    /// An entry that a later version wrote.
    #[error("journal entry {seq} has format {version}, which this version of Longshore does not know")]
    Newer {
        /// The entry.
        seq: u64,
        /// Its format.
        version: u32,
    },
    /// What was folded together may not be durable, so nothing may be removed for it: only the next start can tell.
    #[error("the journal was folded, and may not be durable")]
    Unsynced(#[source] disk::Error),
    /// The entry may or may not have become durable: only the next start can tell.
    #[error("the outcome of operation {op} is unknown until the next start")]
    OutcomeUnknown {
        /// The operation.
        op: uuid::Uuid,
        /// What failed.
        #[source]
        source: disk::Error,
    },
}

impl Store {
    /// The folders of a store, below its home.
    pub const FOLDERS: [&'static str; 3] = ["objects", "manifests", "journal"];

    /// The store in `home`; none when its folders are not all there. `mode` is that of folders and files it makes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(home: &Directory, mode: u32) -> Result<Option<Self>, Error> {
        let [objects, manifests, journal] = Self::FOLDERS.map(|name| disk::if_there(home.directory(name)));
        let (Some(objects), Some(manifests), Some(journal)) = (objects?, manifests?, journal?) else { return Ok(None) };
        Ok(Some(Self {
            objects: Objects::new(objects, mode),
            nodes: NodeFiles::new(manifests, mode),
            journal: Journal::new(journal),
            home: home.clone(),
            file_system: home.file_system()?,
        }))
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Manifest nodes by digest.
    #[must_use]
    pub fn nodes(&self) -> &dyn crate::manifest::Nodes {
        &self.nodes
    }

    /// The folder and the name of the object `digest`.
    ///
    /// # Errors
    /// When its folder is not there.
    pub fn object(&self, digest: &Digest) -> Result<(Directory, String), disk::Error> {
        self.objects.find(digest)
    }

    /// The size of the object `digest`, when it is there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn object_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        Ok(self.objects.size(digest)?)
    }

    /// Whether the object `digest` is there with other bytes: somebody wrote through a link to it. Told by its size, and,
    /// `thoroughly`, by reading it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_damaged(&self, digest: &Digest, size: u64, thoroughly: bool) -> Result<bool, Error> {
        Ok(self.objects.is_damaged(digest, size, thoroughly)?)
    }

    /// Whether the object `digest` is there, with this size.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn holds(&self, digest: &Digest, size: u64) -> Result<bool, disk::Error> {
        self.objects.holds(digest, size)
    }

    /// Puts a staged file in place of a damaged object, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn replace(&self, staging: &Staging, staged: &Staged, mtime: i64) -> Result<(), Error> {
        staging.dress(staged, mtime)?;
        staging.sync([&*staged.name].into_iter())?;
        self.objects.fan().take(staging.directory(), &staged.name, &staged.digest)?;
        Ok(self.objects.fan().sync(&[staged.digest.as_bytes()[0]].into())?)
    }

    /// Takes staged files, each with the mtime it is first published with, and nodes in, durably: when this returns,
    /// an entry may name them.
    ///
    /// A crash on the way leaves objects and nodes that nothing names; they are whole, since each was synced under
    /// another name before it got this one. What was not there before is noted in `admitted`, also on an error.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn admit(
        &self,
        staging: &Staging,
        files: &[(Staged, i64)],
        nodes: &[(Digest, Vec<u8>)],
        admitted: &mut Admitted,
    ) -> Result<(), Error> {
        // By room: a file may have the very bytes of a node.
        let mut seen = BTreeSet::new();
        let mut moves = Vec::new();
        for (staged, mtime) in files {
            if seen.insert((Room::Objects, staged.digest)) && !self.objects.holds(&staged.digest, staged.size)? {
                staging.dress(staged, *mtime)?;
                moves.push((Room::Objects, staged.digest, staged.name.clone()));
            }
        }
        for (digest, bytes) in nodes {
            if seen.insert((Room::Manifests, *digest)) && !self.nodes.holds(digest)? {
                moves.push((Room::Manifests, *digest, staging.bytes(bytes)?));
            }
        }
        staging.sync(moves.iter().map(|(.., name)| &**name))?;
        for (room, digest, name) in &moves {
            self.fan(*room).take(staging.directory(), name, digest)?;
            admitted.0.push((*room, *digest, name.clone()));
        }
        // Also where an object was there already: another process may have put it there a moment ago.
        let touched: BTreeSet<u8> = files.iter().map(|(staged, _)| staged.digest.as_bytes()[0]).collect();
        let written: BTreeSet<u8> = nodes.iter().map(|(digest, _)| digest.as_bytes()[0]).collect();
        if self.file_system.syncs_at_once(touched.len() + written.len() + 2) {
            self.home.sync_file_system()?;
            return Ok(());
        }
        self.objects.fan().sync(&touched)?;
        self.nodes.fan().sync(&written)?;
        Ok(())
    }

    /// Takes back what was admitted for an entry that was not made: on a full disk it would keep its space for nothing.
    /// Files are staged again, for another try. Only under the volume's lock, since nobody else can have counted on them
    /// meanwhile.
    pub fn withdraw(&self, staging: &Staging, admitted: &Admitted) {
        for (room, digest, name) in &admitted.0 {
            if let Err(error) = self.fan(*room).give_back(digest, staging.directory(), name) {
                tracing::warn!(%error, "what an entry that was not made would have named stays");
            }
        }
    }

    /// Removes what lies in `room` under `digest`, for which nothing may have a name any more; tells how many bytes that
    /// freed. None when nothing is there. Only under the volume's lock.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove(&self, room: Room, digest: &Digest) -> Result<Option<u64>, Error> {
        let Some(stat) = disk::if_there(self.fan(room).directory.stat(objects::path(digest)))? else { return Ok(None) };
        self.fan(room).drop(digest)?;
        Ok(Some(if stat.links > 1 { 0 } else { stat.size }))
    }

    fn fan(&self, room: Room) -> &Fan {
        match room {
            Room::Objects => self.objects.fan(),
            Room::Manifests => self.nodes.fan(),
        }
    }
}

/// What one call of [`Store::admit`] brought in.
#[derive(Debug, Default)]
pub struct Admitted(Vec<(Room, Digest, String)>);

/// The two rooms in which files are named by their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// The bytes of files.
    Objects,
    /// Nodes of manifests and times.
    Manifests,
}
