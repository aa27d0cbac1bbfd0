//! File systems that are small, or turn read-only: tmpfs mounted by root.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{part, run::Runs as _};

/// A tmpfs, unmounted when dropped.
pub(crate) struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    /// Mounts one; a machine that does not let root mount skips the test.
    pub(crate) fn mount(at: &Path, options: &str) -> Option<Self> {
        part::part("root")?;
        part::part("mount")?;
        let run = command("mount", &["-t", "tmpfs", "-o", options, "longshore-test"], at).run();
        if run.code != Some(0) {
            part::skip(&format!("no mounting, even for root ({})", run.stderr.trim()));
            return None;
        }
        Some(Self { at: at.into() })
    }

    pub(crate) fn make_read_only(&self) {
        command("mount", &["-o", "remount,ro"], &self.at).run().expect(0);
    }

    pub(crate) fn make_writable(&self) {
        command("mount", &["-o", "remount,rw"], &self.at).run().expect(0);
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let about = rustix::fs::statvfs(&self.at).expect("a mounted file system answers");
        about.f_bavail * about.f_frsize
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process under test may be on its way out.
        let _ = command("umount", &["-l"], &self.at).status();
    }
}

fn command(program: &str, arguments: &[&str], at: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(at);
    command
}
