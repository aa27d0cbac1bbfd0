//! Making what was written survive a power cut, and knowing how.
//!
//! On the local file systems named here one `syncfs(2)` covers every file written since its descriptor was opened. On a
//! network file system, and on any that we do not know, each file and directory is synced by itself: `syncfs` promises
//! nothing there. A sync that failed is final: the kernel drops the dirty pages it could not write, so that a second try
//! would succeed and lie.

use std::{fs::File, path::Path};

use rustix::{fs, io::Errno};

use super::{Directory, Error};
use crate::planted::{self, Mistake};

/// Files and directories that are cheaper to sync one by one.
const FEW: usize = 16;

/// What matters about the file system of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// On this machine, with a `syncfs` that keeps its promise.
    Local,
    /// On another machine: a reader there may hold a removed file open, and `syncfs` proves nothing.
    Network,
    /// Unknown: synced file by file.
    Other,
}

/// What is free on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes free for this user.
    pub bytes: u64,
    /// Inodes free for this user; `u64::MAX` where the file system does not count them.
    pub inodes: u64,
}

impl Directory {
    /// The file system it lies on.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn file_system(&self) -> Result<FileSystem, Error> {
        let stat = fs::fstatfs(self.fd()).map_err(self.failed("fstatfs", Path::new("")))?;
        // The numbers of statfs(2): ext2-4, xfs, btrfs, tmpfs, f2fs and overlayfs; nfs, cifs, smb2, ceph, 9p and FUSE.
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "32-bit magic numbers")]
        Ok(match stat.f_type as u32 {
            0xEF53 | 0x5846_5342 | 0x9123_683E | 0x0102_1994 | 0xF2F5_2010 | 0x794C_7630 => FileSystem::Local,
            0x6969 | 0xFF53_4D42 | 0xFE53_4D42 | 0x00C3_6400 | 0x0102_1997 | 0x6573_5546 => FileSystem::Network,
            _ => FileSystem::Other,
        })
    }

    /// What is free there.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn room(&self) -> Result<Room, Error> {
        let stat = fs::fstatvfs(self.fd()).map_err(self.failed("fstatvfs", Path::new("")))?;
        let inodes = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Ok(Room { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), inodes })
    }

    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// When the disk says so; final.
    pub fn sync(&self) -> Result<(), Error> {
        planted::sync(Some(Mistake::DropDirectoryFsync), || fs::fsync(self.fd()))
            .map_err(self.failed("fsync", Path::new("")))
    }

    /// Makes all that was written to its file system durable.
    ///
    /// # Errors
    /// When the disk says so; final.
    pub fn sync_file_system(&self) -> Result<(), Error> {
        planted::sync(Some(Mistake::DropSyncfs), || fs::syncfs(self.fd())).map_err(self.failed("syncfs", Path::new("")))
    }

    /// Makes the plain file `name` durable.
    ///
    /// # Errors
    /// When the disk says so; final.
    pub fn sync_file(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        let file = self.file(&name)?;
        planted::sync(None, || fs::fsync(&file)).map_err(self.failed("fsync", name.as_ref()))
    }
}

/// Closes a file that was written to. A file server may tell only now that it could not keep the bytes (close(2)), and
/// tells nobody else: whoever opens the file later and syncs it learns nothing.
pub(super) fn close(file: File) -> Result<(), Errno> {
    match nix::unistd::close(file) {
        // It is closed all the same.
        Ok(()) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}

impl FileSystem {
    /// Whether one `syncfs` is the way to make `count` files and directories durable.
    #[must_use]
    pub fn syncs_at_once(self, count: usize) -> bool {
        self == Self::Local && count > FEW
    }
}
