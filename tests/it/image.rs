//! File systems of other kinds: an image in a file, mounted by root through a loop device.

use std::{
    fs::File,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

use crate::{part, pod::text, run::Runs as _};

/// How long an unmount is tried again.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mounted file system, unmounted when dropped.
pub(crate) struct Image {
    at: std::path::PathBuf,
    file: NamedTempFile,
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
        let image = Self { at: at.into(), file };
        let mounted = image.mount_command().run();
        if mounted.code != Some(0) {
            part::skip(&format!("no mounting of loop devices ({})", mounted.stderr.trim()));
            return None;
        }
        Some(image)
    }

    fn mount_command(&self) -> Command {
        let mut command = Command::new("mount");
        command.args(["-o", "loop", text(self.file.path()), text(&self.at)]);
        command
    }

    /// Unmounts it and mounts it again. Nobody may have a file open there for long: a child that another test just started
    /// holds copies of our descriptors until it becomes its program.
    pub(crate) fn mount_again(&self) {
        let start = Instant::now();
        let mut unmounted = Command::new("umount").arg(&self.at).run();
        while unmounted.stderr.contains("busy") && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
            unmounted = Command::new("umount").arg(&self.at).run();
        }
        unmounted.expect(0);
        self.mount_command().run().expect(0);
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Lazily: a process under test may be on its way out. The loop device goes with it.
        let _ = Command::new("umount").args(["-q", "-l"]).arg(&self.at).status();
    }
}
