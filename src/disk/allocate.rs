//! Space that is taken so that it is there when it is needed.

use std::{io::Write as _, path::Path};

use rustix::{
    fs::{self, FallocateFlags},
    io::Errno,
};

use super::{Directory, Error, Room, sync::close};

/// Bytes written at a time where space cannot be had without writing.
const CHUNK: u64 = 128 * 1024;

impl Directory {
    /// What its file system has, free or not.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn capacity(&self) -> Result<Room, Error> {
        let stat = fs::fstatvfs(self.fd()).map_err(self.failed("fstatvfs", Path::new("")))?;
        let inodes = if stat.f_files == 0 { u64::MAX } else { stat.f_files };
        Ok(Room { bytes: stat.f_blocks.saturating_mul(stat.f_frsize), inodes })
    }

    /// Whether each further name of a file counts as an inode there: tmpfs does so.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn counts_names(&self) -> Result<bool, Error> {
        const TMPFS: u32 = 0x0102_1994;
        let stat = fs::fstatfs(self.fd()).map_err(self.failed("fstatfs", Path::new("")))?;
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "32-bit magic numbers")]
        Ok(stat.f_type as u32 == TMPFS)
    }

    /// Makes the file `name`, which must not be there, with `bytes` of space behind it; whoever dies on the way leaves a
    /// shorter one.
    ///
    /// # Errors
    /// When the disk refuses, or has not as much.
    pub fn allocate(&self, name: &str, mode: u32, bytes: u64) -> Result<(), Error> {
        let mut file = self.create(name, mode)?;
        match fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let zeros = vec![0; CHUNK.min(bytes) as usize];
                let mut left = bytes;
                while left > 0 {
                    let next = &zeros[..left.min(CHUNK) as usize];
                    let path = self.path().join(name);
                    file.write_all(next).map_err(|source| Error { call: "write", path, source })?;
                    left -= next.len() as u64;
                }
            }
            done => done.map_err(self.failed("fallocate", Path::new(name)))?,
        }
        close(file).map_err(self.failed("close", Path::new(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_is_taken() {
        let scratch = tempfile::tempdir().expect("a directory");
        let directory = Directory::open(scratch.path()).expect("opened");
        directory.allocate("bytes", 0o600, 300_000).expect("there is room");
        assert_eq!(directory.stat("bytes").expect("there").size, 300_000);
        assert!(directory.allocate("bytes", 0o600, 1).is_err(), "it is there already");
        assert!(directory.capacity().expect("told").bytes >= directory.room().expect("told").bytes);
    }
}
