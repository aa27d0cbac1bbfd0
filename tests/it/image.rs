//! File systems of other kinds: an image in a file, mounted by root through a loop device.

use std::{fs::File, path::Path, process::Command};

use tempfile::NamedTempFile;

use crate::{part, pod::text, run::Runs as _};

/// A mounted file system, unmounted when dropped.
pub(crate) struct Image {
    at: std::path::PathBuf,
    _file: NamedTempFile,
}

impl Image {
    /// Makes a file system of `mebibytes` with the program `mkfs.…` and its `flags`, and mounts it; a machine that cannot
    /// skips the test.
    pub(crate) fn mount(at: &Path, mkfs: &str, flags: &[&str], mebibytes: u64) -> Option<Self> {
        part::part("root")?;
        let program = part::part(mkfs)?;
        let file = NamedTempFile::with_prefix("longshore-image-").expect("a file is made");
        File::set_len(file.as_file(), mebibytes << 20).expect("its size is set");
        Command::new(program).args(flags).arg(file.path()).run().expect(0);
        let mounted = Command::new("mount").args(["-o", "loop", text(file.path()), text(at)]).run();
        if mounted.code != Some(0) {
            part::skip(&format!("no mounting of loop devices ({})", mounted.stderr.trim()));
            return None;
        }
        Some(Self { at: at.into(), _file: file })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Lazily: a process under test may be on its way out. The loop device goes with it.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
