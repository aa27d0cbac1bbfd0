//! Zip, from a file that one can seek in.
//!
//! A zip says everything twice, at each entry and in the directory at its end, and readers that believe different halves
//! see different archives. So both must agree, entries may not overlap, nothing may stand before the first entry or after
//! the end, and no name may be there twice.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use zip::{
    ExtraField, ZipArchive,
    read::{ArchiveOffset, Config, ZipFile, ZipReadOptions},
    result::ZipError,
};

use super::{
    super::{Error, Item, Reading, Summary, delivery::Undelivered},
    name::Names,
};

/// Bytes of the record that ends an archive, without its comment.
const END: usize = 22;
/// The bits of a Unix mode that say of which type a file is (`inode(7)`).
const TYPE: u32 = 0o170_000;
/// A plain file's.
const PLAIN: u32 = 0o100_000;
/// A folder's.
const FOLDER: u32 = 0o040_000;

/// Hands all files over.
pub(super) fn read(place: &str, file: &File, reading: &Reading<'_>) -> Result<Summary, Error> {
    let broken = |error: ZipError| describe(place, "", &error);
    // The directory, about a hundred bytes for each entry, is held in memory.
    let left = Cell::new(reading.largest_directory());
    let bytes = BufReader::new(Bounded { file, left: &left });
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, bytes).map_err(broken)?;
    left.set(u64::MAX);
    ends_the_file(file, archive.comment()).map_err(|why| Error::malformed(place, why))?;
    archive.validate_header_consistency().map_err(broken)?;
    let mut names = Names::new(place, reading.most_names());
    let mut summary = Summary::default();
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(broken)?;
        let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let mut entry = archive
            .by_index_with_options(index, ZipReadOptions::new())
            .map_err(|error| describe(place, &shown, &error))?;
        if let Some(bytes) = take(place, &shown, &mut entry, &mut names, reading)? {
            summary.files += 1;
            summary.bytes += bytes;
        }
    }
    Ok(summary)
}

/// Hands one entry over, unless it is a folder; the bytes it had.
fn take(
    place: &str,
    shown: &str,
    entry: &mut ZipFile<'_, impl Read>,
    names: &mut Names<'_>,
    reading: &Reading<'_>,
) -> Result<Option<u64>, Error> {
    let refused = |why: &str| Err(Error::refused(place, shown, why));
    // Many tools write UTF-8 and do not say so; what is no UTF-8 is what zip began with, code page 437.
    let name = match std::str::from_utf8(entry.name_raw()) {
        Ok(name) => name.to_owned(),
        Err(_) => entry.name().map_err(|error| describe(place, shown, &error))?.into_owned(),
    };
    let mode = entry.unix_mode().unwrap_or(PLAIN);
    if !matches!(mode & TYPE, 0 | PLAIN | FOLDER) {
        return refused("is a link or another special file: only files and folders are taken");
    }
    if name.ends_with('/') {
        return if entry.size() == 0 {
            names.folder(name.as_bytes()).map(|()| None)
        } else {
            refused("is a folder with bytes of its own")
        };
    }
    if mode & TYPE == FOLDER {
        return refused("is a folder by its mode and a file by its name");
    }
    let path = names.file(name.as_bytes())?;
    let item = Item { path, executable: mode & 0o100 != 0, size: Some(entry.size()), modified: modified(entry) };
    match reading.deliver(&item, entry) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Undelivered::Sink(source)) => Err(Error::Sink { path: item.path, source }),
        Err(Undelivered::Content(error)) => Err(describe(place, shown, &error.into())),
    }
}

/// When the entry was modified: zip's own field has no time zone, so only the extension of Info-ZIP tells.
fn modified(entry: &ZipFile<'_, impl Read>) -> Option<i64> {
    entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time().map(i64::from),
        _ => None,
    })
}

/// Whether the record that ends an archive also ends the file, and the directory ends where that record begins.
fn ends_the_file(mut file: &File, comment: &[u8]) -> Result<(), &'static str> {
    let mut end = [0; END];
    let start = file
        .seek(SeekFrom::End(0))
        .and_then(|length| {
            let start = length.saturating_sub((END + comment.len()) as u64);
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut end).map(|()| start)
        })
        .map_err(|_| "is no zip archive: it has no end")?;
    let number = |at: usize| u32::from_le_bytes([end[at], end[at + 1], end[at + 2], end[at + 3]]);
    if !end.starts_with(b"PK\x05\x06") || usize::from(u16::from_le_bytes([end[20], end[21]])) != comment.len() {
        return Err("goes on after its end");
    }
    let (size, offset) = (number(12), number(16));
    // All ones: the numbers stand in a zip64 record, and the crate follows them.
    let is_zip64 = size == u32::MAX || offset == u32::MAX || end[10..12] == [0xff; 2];
    if !is_zip64 && u64::from(size) + u64::from(offset) != start {
        return Err("has something between its directory and its end");
    }
    Ok(())
}

/// An error of the crate: the file system's own, or the archive's.
fn describe(place: &str, shown: &str, error: &ZipError) -> Error {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => {
            Error::io("read", place, io::Error::from_raw_os_error(error.raw_os_error().unwrap_or_default()))
        }
        ZipError::Io(error) if shown.is_empty() => Error::malformed(place, format_args!("is damaged: {error}")),
        ZipError::Io(error) => Error::malformed(place, format_args!("is cut short or damaged in {shown:?}: {error}")),
        other if shown.is_empty() => Error::malformed(place, format_args!("is not taken: {other}")),
        other => Error::refused(place, shown, format_args!("is not taken: {other}")),
    }
}

/// A file of which only so much may be read: the directory is held in memory, and its size is the archive's to say.
struct Bounded<'a> {
    file: &'a File,
    left: &'a Cell<u64>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other("its directory is too large: make it a tar")),
        }
        Ok(read)
    }
}

impl Seek for Bounded<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
