//! A file system on a loop device, whose power can be cut.

use std::{
    fmt,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{image::Image, part, run::clean};

/// Which file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    /// Whether its syncs fail once the power is gone. On xfs the `fsync` of a directory then succeeds, so that what a server
    /// says from there on, when nobody could hear it any more, tells nothing.
    pub(crate) fn fails_when_dead(self) -> bool {
        self == Self::Ext4
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}

/// A file system whose power can be cut.
pub(crate) struct Disk {
    image: Image,
    at: PathBuf,
}

impl Disk {
    /// Makes one and mounts it; a machine that does not allow that skips the test.
    pub(crate) fn mount(kind: Kind, at: PathBuf) -> Option<Self> {
        part::part("xfs_io")?;
        let image = match kind {
            Kind::Ext4 => Image::mount(&at, "mkfs.ext4", &["-q", "-F", "-m", "0"], 64),
            // Smaller ones are refused.
            Kind::Xfs => Image::mount(&at, "mkfs.xfs", &["-q", "-f"], 300),
        };
        image.map(|image| Self { image, at })
    }

    /// Stands by to cut the power without a delay.
    pub(crate) fn fuse(&self) -> Fuse {
        let program = part::part("xfs_io").expect("it was there");
        let mut command = Command::new(program);
        clean(&mut command).arg("-x").arg(&self.at).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Fuse { tool: command.spawn().expect("xfs_io starts"), at: self.at.clone() }
    }

    /// Mounts it again after a cut: the file system's own journal is replayed.
    pub(crate) fn restart(&self) {
        self.image.mount_again();
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let about = rustix::fs::statvfs(&self.at).expect("a mounted file system answers");
        about.f_bavail * about.f_frsize
    }
}

/// What cuts the power: `xfs_io`, which waits for the word. It serves ext4 as well: the call is one.
pub(crate) struct Fuse {
    tool: Child,
    at: PathBuf,
}

impl Fuse {
    /// `EXT4_IOC_SHUTDOWN` (or xfs's) without flushing the log: what is not on the disk now never will be.
    pub(crate) fn blow(mut self) {
        let mut input = self.tool.stdin.take().expect("it is piped");
        input.write_all(b"shutdown\nquit\n").expect("xfs_io listens");
        drop(input);
        self.tool.wait().expect("xfs_io ends");
        assert!(is_dead(&self.at), "the shutdown took no effect: this would test nothing");
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = self.tool.kill();
        let _ = self.tool.wait();
    }
}

fn is_dead(at: &Path) -> bool {
    match rustix::fs::open(at, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()) {
        Ok(root) => rustix::fs::fsync(root) == Err(rustix::io::Errno::IO),
        Err(errno) => errno == rustix::io::Errno::IO,
    }
}
