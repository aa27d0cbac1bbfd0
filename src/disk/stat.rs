//! What an entry of a directory is, as `lstat(2)` tells.

use rustix::fs::{self, FileType};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, FIFO or socket.
    Special,
}

/// What `lstat(2)` tells of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Modified, in whole seconds since 1970.
    pub mtime: i64,
    /// The rest of that second, in nanoseconds.
    pub mtime_nanos: u32,
    /// Status changed, in whole seconds since 1970.
    pub ctime: i64,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// Names that the inode has.
    pub links: u64,
    /// The inode's number: equal for names of the same bytes on one file system.
    pub inode: u64,
    /// The file system: another one than its folder's is mounted there.
    pub device: u64,
}

impl From<fs::Stat> for Stat {
    #[expect(clippy::unnecessary_cast, reason = "the fields differ in type by architecture")]
    fn from(stat: fs::Stat) -> Self {
        Self {
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Link,
                _ => Kind::Special,
            },
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: stat.st_mtime as i64,
            mtime_nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
            ctime: stat.st_ctime as i64,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            links: stat.st_nlink as u64,
            inode: stat.st_ino,
            device: stat.st_dev as u64,
        }
    }
}

impl Stat {
    /// Whether this is a plain file of `size` bytes, `mtime` (no fraction) and executable bit.
    #[must_use]
    pub fn is(&self, size: u64, mtime: i64, executable: bool) -> bool {
        self.kind == Kind::File
            && (self.size, self.mtime, self.mtime_nanos) == (size, mtime, 0)
            && (self.mode & 0o111 != 0) == executable
    }

    /// Whether somebody wrote to this file since we gave it its mtime, which has no fraction.
    #[must_use]
    pub fn was_written(&self) -> bool {
        self.mtime_nanos != 0
    }

    /// Whether the mode is one that a file is published with, but for group-write, which kubelet adds where the Pod has
    /// an `fsGroup`.
    #[must_use]
    pub fn has_mode(&self, executable: bool) -> bool {
        self.mode & !0o020 == if executable { 0o755 } else { 0o644 }
    }
}
