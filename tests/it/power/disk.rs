//! A file system in a sparse file on a loop device, whose power can be cut.

use std::{
    fmt,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    part,
    run::{Runs as _, clean},
};

/// Which file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}

/// A mounted image; unmounted when dropped, which frees its loop device too.
pub(crate) struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes a file system in `image` and mounts it; a machine that does not allow that skips the test.
    pub(crate) fn format(kind: Kind, image: PathBuf, at: PathBuf) -> Option<Self> {
        part::part("root")?;
        part::part("mount")?;
        part::part("xfs_io")?;
        let (program, options, size): (_, &[&str], _) = match kind {
            Kind::Ext4 => ("mkfs.ext4", &["-q", "-F", "-m", "0"], 64 << 20),
            // Smaller ones are refused.
            Kind::Xfs => ("mkfs.xfs", &["-q", "-f"], 300 << 20),
        };
        let program = part::part(program)?;
        let file = std::fs::File::create(&image).expect("an image is made");
        file.set_len(size).expect("it is sparse");
        clean(&mut Command::new(program)).args(options).arg(&image).run().expect(0);
        let disk = Self { image, at };
        let run = disk.mount_command().run();
        if run.code != Some(0) {
            part::skip(&format!("no {kind} on a loop device, even for root ({})", run.stderr.trim()));
            return None;
        }
        Some(disk)
    }

    fn mount_command(&self) -> Command {
        let mut command = Command::new("mount");
        clean(&mut command).args(["-o", "loop"]).arg(&self.image).arg(&self.at);
        command
    }

    /// Stands by to cut the power without a delay.
    pub(crate) fn fuse(&self) -> Fuse {
        let program = part::part("xfs_io").expect("it was there");
        let mut command = Command::new(program);
        clean(&mut command).arg("-x").arg(&self.at).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Fuse { tool: command.spawn().expect("xfs_io starts"), at: self.at.clone() }
    }

    /// Mounts it again after a cut: the file system's own journal is replayed. Nobody may have a file open there.
    pub(crate) fn restart(&self) {
        clean(Command::new("umount").arg(&self.at)).run().expect(0);
        self.mount_command().run().expect(0);
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let about = rustix::fs::statvfs(&self.at).expect("a mounted file system answers");
        about.f_bavail * about.f_frsize
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, if need be: a process under test may be on its way out.
        let quick = clean(Command::new("umount").arg(&self.at)).stderr(Stdio::null()).status();
        if !quick.is_ok_and(|status| status.success()) {
            let _ = clean(Command::new("umount").arg("-l").arg(&self.at)).status();
        }
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
