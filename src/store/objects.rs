//! Files named by their digest, spread over 256 folders by its first byte, as git does.

use std::collections::BTreeSet;

use crate::{
    digest::Digest,
    disk::{self, Directory, Kind},
};

/// The objects' folder.
#[derive(Debug)]
pub(super) struct Objects(Fan);

impl Objects {
    pub(super) fn new(directory: Directory, mode: u32) -> Self {
        Self(Fan { directory, mode })
    }

    /// Whether the object is there with this size. One that somebody wrote through a link has another: it counts as
    /// absent and is replaced.
    pub(super) fn holds(&self, digest: &Digest, size: u64) -> Result<bool, disk::Error> {
        Ok(self.size(digest)? == Some(size))
    }

    /// Its size, when it is there.
    pub(super) fn size(&self, digest: &Digest) -> Result<Option<u64>, disk::Error> {
        let stat = disk::if_there(self.0.directory.stat(path(digest)))?;
        Ok(stat.filter(|stat| stat.kind == Kind::File).map(|stat| stat.size))
    }

    /// Whether it is there and is not what it was.
    pub(super) fn is_damaged(&self, digest: &Digest, size: u64, thoroughly: bool) -> Result<bool, disk::Error> {
        let Some(stat) = disk::if_there(self.0.directory.stat(path(digest)))? else { return Ok(false) };
        if stat.size != size || !thoroughly {
            return Ok(stat.size != size);
        }
        Ok(self.0.directory.digest(path(digest))? != *digest)
    }

    pub(super) fn find(&self, digest: &Digest) -> Result<(Directory, String), disk::Error> {
        let (folder, name) = split(digest);
        Ok((self.0.directory.directory(folder)?, name))
    }

    pub(super) fn fan(&self) -> &Fan {
        &self.0
    }
}

/// A folder of 256 folders.
#[derive(Debug)]
pub(super) struct Fan {
    pub(super) directory: Directory,
    pub(super) mode: u32,
}

impl Fan {
    /// Moves the staged file `name` to its place, over a damaged one.
    pub(super) fn take(&self, staging: &Directory, name: &str, digest: &Digest) -> Result<(), disk::Error> {
        let (folder, last) = split(digest);
        let folder = match disk::if_there(self.directory.directory(&folder))? {
            Some(folder) => folder,
            None => self.directory.make_directory(&folder, self.mode)?,
        };
        staging.rename(name, &folder, last)
    }

    /// Undoes [`Fan::take`].
    pub(super) fn give_back(&self, digest: &Digest, staging: &Directory, name: &str) -> Result<(), disk::Error> {
        self.directory.rename(path(digest), staging, name)
    }

    /// Removes the file for `digest`; nothing there is fine.
    pub(super) fn drop(&self, digest: &Digest) -> Result<(), disk::Error> {
        disk::if_there(self.directory.unlink(path(digest))).map(drop)
    }

    /// Makes what was moved into these of the 256 durable; and, since they may be new, the one above.
    pub(super) fn sync(&self, touched: &BTreeSet<u8>) -> Result<(), disk::Error> {
        for byte in touched {
            if let Some(folder) = disk::if_there(self.directory.directory(format!("{byte:02x}")))? {
                folder.sync()?;
            }
        }
        self.directory.sync()
    }
}

fn split(digest: &Digest) -> (String, String) {
    let mut folder = digest.to_string();
    let name = folder.split_off(2);
    (folder, name)
}

/// Where `digest` lies within a fan.
pub(super) fn path(digest: &Digest) -> String {
    let (folder, name) = split(digest);
    format!("{folder}/{name}")
}
