//! Archives, well made and ill made.

use std::io::{Cursor, Write as _};

use tar::{EntryType, Header};

/// A tar of plain files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Tar::new();
    for (path, bytes) in files {
        archive = archive.file(path, bytes);
    }
    archive.finish()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub(crate) fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes it")
}

pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        archive.start_file(*path, zip::write::SimpleFileOptions::default()).expect("memory takes it");
        archive.write_all(bytes).expect("memory takes it");
    }
    archive.finish().expect("memory takes it").into_inner()
}

/// A tar written entry by entry, with no care for what an entry says: names go in as they are.
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(crate) fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", 0o644, bytes)
    }

    /// Any entry at all; `path` and `target` are at most 100 bytes.
    pub(crate) fn entry(self, kind: EntryType, path: &str, target: &str, mode: u32, bytes: &[u8]) -> Self {
        self.dated(kind, path, target, mode, 1_700_000_000, bytes)
    }

    pub(crate) fn dated(
        mut self,
        kind: EntryType,
        path: &str,
        target: &str,
        mode: u32,
        modified: u64,
        bytes: &[u8],
    ) -> Self {
        let mut header = Header::new_ustar();
        let names = header.as_ustar_mut().expect("it is one");
        names.name[..path.len()].copy_from_slice(path.as_bytes());
        names.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(modified);
        header.set_uid(4_242);
        header.set_gid(4_242);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The archive with its end.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1_024, 0);
        self.bytes
    }
}
