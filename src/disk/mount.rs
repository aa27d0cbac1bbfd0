//! What can be told of a directory without touching it: the file system, its size, and whether we may write.

use std::path::Path;

use rustix::fs::{self, Access, AtFlags, CWD, StatVfsMountFlags};

use super::{Directory, Error, Stat};

/// The file system that a directory lies on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its kind, or its magic number.
    pub kind: String,
    /// Whether it is mounted read-only.
    pub is_read_only: bool,
    /// Bytes, free or not.
    pub bytes: u64,
    /// Inodes, used or not; none where the file system does not count them.
    pub inodes: Option<u64>,
}

impl Directory {
    /// The file system that it lies on.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn mount(&self) -> Result<Mount, Error> {
        let failed = |call| self.failed(call, Path::new(""));
        let magic = fs::fstatfs(self.fd()).map_err(failed("fstatfs"))?.f_type;
        let stat = fs::fstatvfs(self.fd()).map_err(failed("fstatvfs"))?;
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "32-bit magic numbers")]
        let magic = magic as u32;
        Ok(Mount {
            kind: name_of(magic).map_or_else(|| format!("file system {magic:#x}"), String::from),
            is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
            bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            inodes: (stat.f_files != 0).then_some(stat.f_files),
        })
    }

    /// Fails when this process may not make and remove entries here. Changes nothing.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_writable(&self) -> Result<(), Error> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        fs::accessat(self.fd(), ".", access, AtFlags::EACCESS).map_err(self.failed("faccessat2", Path::new("")))
    }
}

impl Stat {
    /// What `path` is; a link is not followed.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| Error { call: "lstat", path: path.into(), source: errno.into() };
        fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map(Self::from).map_err(failed)
    }
}

/// The names for the numbers of statfs(2).
fn name_of(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x0102_1994 => "tmpfs",
        0xF2F5_2010 => "f2fs",
        0x794C_7630 => "overlayfs",
        0x6969 => "nfs",
        0xFF53_4D42 => "cifs",
        0xFE53_4D42 => "smb",
        0x00C3_6400 => "ceph",
        0x0102_1997 => "9p",
        0x6573_5546 => "fuse",
        0x4D44 => "vfat",
        _ => return None,
    })
}
