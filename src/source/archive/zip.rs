//! Zip, from a file that one can seek in.
//!
//! A zip says everything twice, at each entry and in the directory at its end, and readers that believe different halves
//! see different archives. So both must agree, entries may not overlap, nothing may stand before the first entry or after
//! the end, and no name may be there twice.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt as _,
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

/// Bytes of an entry's record in the directory, without its name and what follows.
const RECORD: usize = 46;
/// Bytes of the two records that zip64 has before that one.
const RECORD_64: usize = 56;
const LOCATOR: usize = 20;
/// The flag of an entry whose sizes and checksum follow it.
const HAS_DESCRIPTOR: u16 = 1 << 3;
/// The flags of what is encrypted: an entry, strongly, and its local header.
const IS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// The flag that says that a name is UTF-8.
const IS_UTF_8: u16 = 1 << 11;
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
    let refused = |why| Error::malformed(place, why);
    ends_the_file(file, archive.comment(), archive.len()).map_err(refused)?;
    archive.validate_header_consistency().map_err(broken)?;
    follow_each_other(file, &mut archive).map_err(broken)?.map_err(refused)?;
    let mut names = Names::new(place, reading.most_names());
    let mut summary = Summary::default();
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(broken)?;
        let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let mut entry = archive
            .by_index_with_options(index, ZipReadOptions::new())
            .map_err(|error| describe(place, &shown, &error))?;
        is_plain(file, &entry).map_err(|why| Error::refused(place, &shown, why))?;
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
    // Whichever system made it: some readers believe the upper half anyway.
    let claimed = entry.external_attributes() >> 16;
    if !matches!(mode & TYPE, 0 | PLAIN | FOLDER) || !matches!(claimed & TYPE, 0 | PLAIN | FOLDER) {
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

/// Whether the entry is not encrypted, and has one name, however one reads it. The crate takes that of a field for Unicode (0x7075) without a
/// word, other readers do not know the field; and a name that is said to be UTF-8, and is not, each reads in its own way.
fn is_plain(file: &File, entry: &ZipFile<'_, impl Read>) -> Result<(), &'static str> {
    let record = |at: u64, bytes: &mut [u8]| file.read_exact_at(bytes, at).map_err(|_| "is cut short");
    let start = entry.central_header_start();
    let mut head = [0; RECORD];
    record(start, &mut head)?;
    let mut name = vec![0; usize::from(u16::from_le_bytes([head[28], head[29]]))];
    record(start + RECORD as u64, &mut name)?;
    let is_text = std::str::from_utf8(&name).is_ok();
    let flags = u16::from_le_bytes([head[8], head[9]]);
    if flags & IS_ENCRYPTED != 0 {
        return Err("is encrypted");
    }
    if flags & IS_UTF_8 != 0 && !is_text {
        return Err("is said to be UTF-8 and is not");
    }
    // In another code page the name is hardly readable: there the field is what everybody takes.
    if is_text && name != entry.name_raw() { Err("has two different names") } else { Ok(()) }
}

/// When the entry was modified: zip's own field has no time zone, so only the extension of Info-ZIP tells.
fn modified(entry: &ZipFile<'_, impl Read>) -> Option<i64> {
    entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time().map(i64::from),
        _ => None,
    })
}

/// Whether the record that ends an archive also ends the file, and the directory ends where that record begins.
///
/// It reads by place: the crate's reader relies on where the file was left.
fn ends_the_file(file: &File, comment: &[u8], entries: usize) -> Result<(), &'static str> {
    let none = "is no zip archive: it has no end";
    let length = file.metadata().map_err(|_| none)?.len();
    let start = length.checked_sub((END + comment.len()) as u64).ok_or(none)?;
    let end: [u8; END] = bytes_at(file, start).ok_or(none)?;
    if !end.starts_with(b"PK\x05\x06") || usize::from(u16::from_le_bytes([end[20], end[21]])) != comment.len() {
        return Err("goes on after its end");
    }
    // Some readers look for the last one of these.
    if comment.windows(4).any(|four| four == b"PK\x05\x06") {
        return Err("has another end in its comment");
    }
    let between = "has something between its directory and its end";
    let (count, size, offset) = (little(&end[10..12]), little(&end[12..16]), little(&end[16..20]));
    if count != u64::from(u16::MAX) && size != u64::from(u32::MAX) && offset != u64::from(u32::MAX) {
        return if size + offset == start && count == entries as u64 { Ok(()) } else { Err(between) };
    }
    // Some number is too large for its field: all stand in a zip64 record, and a locator after it.
    let at = start.checked_sub((LOCATOR + RECORD_64) as u64).ok_or(between)?;
    let locator: [u8; LOCATOR] = bytes_at(file, start - LOCATOR as u64).ok_or(between)?;
    let record: [u8; RECORD_64] = bytes_at(file, at).ok_or(between)?;
    let is_right = locator.starts_with(b"PK\x06\x07")
        && little(&locator[8..16]) == at
        && record.starts_with(b"PK\x06\x06")
        && little(&record[32..40]) == entries as u64
        && little(&record[40..48]).checked_add(little(&record[48..56])) == Some(at);
    if is_right { Ok(()) } else { Err(between) }
}

/// Whether the entries lie one behind the other, from the file's first byte to its directory, and nothing between them but
/// the descriptors that they announce: readers of streams see what lies there, others do not.
fn follow_each_other(
    file: &File,
    archive: &mut ZipArchive<impl Read + Seek>,
) -> Result<Result<(), &'static str>, ZipError> {
    let mut entries = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        let data = entry.data_start().unwrap_or_default();
        entries.push((entry.header_start(), data, entry.compressed_size(), entry.size(), entry.crc32()));
    }
    entries.sort_unstable();
    let mut at = 0;
    let ends = entries.iter().skip(1).map(|(start, ..)| *start).chain([archive.central_directory_start()]);
    for (&(start, data, packed, size, sum), next) in entries.iter().zip(ends) {
        if start != at {
            return Ok(Err("has something in front of its first entry"));
        }
        let Some(gap) = data.checked_add(packed).and_then(|end| next.checked_sub(end)) else {
            return Ok(Err("has entries that overlap"));
        };
        let flags: Option<[u8; 2]> = bytes_at(file, start + 6);
        let is_described = flags.is_some_and(|flags| u16::from_le_bytes(flags) & HAS_DESCRIPTOR != 0);
        let is_right = match gap {
            0 => true,
            12..=24 if is_described => describes(file, data + packed, gap, (sum, packed, size)),
            _ => false,
        };
        if !is_right {
            return Ok(Err("has something between two entries"));
        }
        at = next;
    }
    Ok(Ok(()))
}

/// Whether a descriptor of `length` bytes at `at`, in any of its four shapes, says these very numbers.
fn describes(file: &File, at: u64, length: u64, (sum, packed, size): (u32, u64, u64)) -> bool {
    let mut bytes = [0; 24];
    let Some(bytes) = usize::try_from(length).ok().and_then(|length| bytes.get_mut(..length)) else { return false };
    if file.read_exact_at(bytes, at).is_err() {
        return false;
    }
    let numbers = match length {
        16 | 24 => bytes.strip_prefix(b"PK\x07\x08"),
        _ => Some(&*bytes),
    };
    let Some((own, sizes)) = numbers.and_then(|numbers| numbers.split_at_checked(4)) else { return false };
    let (first, second) = sizes.split_at(sizes.len() / 2);
    matches!(length, 12 | 16 | 20 | 24) && [little(own), little(first), little(second)] == [sum.into(), packed, size]
}

/// So many bytes of the file, wherever its cursor is.
fn bytes_at<const LENGTH: usize>(file: &File, at: u64) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
}

/// A number of up to eight bytes, the lowest first.
fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
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
