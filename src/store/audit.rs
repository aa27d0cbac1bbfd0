//! Reading again what the store holds, past every cache.
//!
//! Damage is told, not failed upon: who looks for it wants all of it. An error means that nothing can be told.

use super::{
    Room, Store,
    objects::{Fan, path},
};
use crate::{
    digest::Digest,
    disk::{self, Holding, Kind, Staging, Stat, held},
};

/// The content of one of the 256 folders of a room.
#[derive(Debug, Default)]
pub struct Shelf {
    /// What is named as it should be, sorted.
    pub digests: Vec<Digest>,
    /// Names that mean nothing here, with the folder's.
    pub strange: Vec<String>,
}

impl Store {
    /// What lies in one of the 256 folders of `room`.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn shelf(&self, room: Room, byte: u8) -> Result<Shelf, disk::Error> {
        let folder = format!("{byte:02x}");
        let mut shelf = Shelf::default();
        let Some(directory) = disk::if_there(self.fan(room).directory.directory(&folder))? else { return Ok(shelf) };
        for name in directory.list()? {
            match name.to_str().and_then(|name| format!("{folder}{name}").parse().ok()) {
                Some(digest) => shelf.digests.push(digest),
                None => shelf.strange.push(format!("{folder}/{}", name.to_string_lossy())),
            }
        }
        Ok(shelf)
    }

    /// The bytes of the node `digest`, read now.
    ///
    /// # Errors
    /// When nothing can be told, since this process may not read it or is short of something.
    pub fn read_node(&self, digest: &Digest) -> Result<Holding<Vec<u8>>, disk::Error> {
        let read = self.fan(Room::Manifests).directory.read(path(digest));
        Ok(match held(read)? {
            Holding::Whole(bytes) if Digest::of(&bytes) != *digest => {
                Holding::Damaged("its bytes have another digest".into())
            }
            held => held,
        })
    }

    /// Reads the object `digest`, which is to have `size` bytes where that is known.
    ///
    /// # Errors
    /// As [`Store::read_node`].
    pub fn read_object(&self, digest: &Digest, size: Option<u64>) -> Result<Holding<Stat>, disk::Error> {
        let Fan { directory, .. } = self.fan(Room::Objects);
        let stat = match held(directory.stat(path(digest)))? {
            Holding::Whole(stat) => stat,
            other => return Ok(other),
        };
        if let Some(size) = size.filter(|size| stat.kind == Kind::File && stat.size != *size) {
            return Ok(Holding::Damaged(format!("it has {} bytes, not {size}", stat.size)));
        }
        Ok(match held(directory.digest(path(digest)))? {
            Holding::Whole(read) if read != *digest => Holding::Damaged("its bytes have another digest".into()),
            Holding::Whole(_) if !stat.has_mode(false) && !stat.has_mode(true) => {
                Holding::Damaged(format!("it has the mode {:04o}", stat.mode))
            }
            Holding::Whole(_) => Holding::Whole(stat),
            Holding::Missing => Holding::Missing,
            Holding::Damaged(why) => Holding::Damaged(why),
        })
    }

    /// The folder and the name of what lies in `room` under `digest`; none when the folder is not there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn place_of(&self, room: Room, digest: &Digest) -> Result<Option<(disk::Directory, String)>, disk::Error> {
        let mut folder = digest.to_string();
        let name = folder.split_off(2);
        let directory = disk::if_directory(self.fan(room).directory.directory(folder))?;
        Ok(directory.map(|directory| (directory, name)))
    }

    /// Puts `bytes` in place of a damaged or missing node, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn replace_node(&self, staging: &Staging, digest: &Digest, bytes: &[u8]) -> Result<(), disk::Error> {
        let name = staging.bytes(bytes)?;
        staging.sync([&*name].into_iter())?;
        let fan = self.fan(Room::Manifests);
        fan.take(staging.directory(), &name, digest)?;
        fan.sync(&[digest.as_bytes()[0]].into())
    }
}
