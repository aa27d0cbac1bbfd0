//! Archives: tar, tar.gz, tar.zst and zip, told by their first bytes and never by their name.
//!
//! The same door serves seeds and uploads, so everything in here is hostile. Only plain files and folders are taken, each
//! name at most once, and an archive that is cut, damaged or followed by something else is refused as a whole: by then
//! some files were handed over, and the caller drops them. No size that an archive announces is believed or reserved:
//! whoever takes the files bounds them.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod name;
mod pax;
mod places;
mod tar;
mod zip;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom},
};

use flate2::bufread::MultiGzDecoder;

use self::tar::Tar;
use super::{Error, Reading, Summary};

/// What libzstd says of a window that is too large.
const TOO_MUCH: &str = "too much memory";
/// Bytes held while an archive streams through.
const BUFFER: usize = 64 * 1024;
/// The largest window that a zstd archive may ask for, as a power of two: 128 MiB, the limit of the zstd program itself.
const ZSTD_WINDOW: u32 = 27;
/// The same for one of many: 8 MiB, what `zstd -19` takes, and the most that RFC 9659 lets HTTP have.
const SMALL_WINDOW: u32 = 23;

/// Hands over all files of an archive that comes as a stream, such as the body of an upload; one that is not what was
/// `announced` is refused.
///
/// # Errors
/// [`Error::Body`] when `bytes` fails, [`Kind::Refused`](super::Kind::Refused) for what an archive may not be,
/// [`Kind::Empty`](super::Kind::Empty) for one without files.
pub fn read_archive(bytes: &mut dyn Read, announced: Option<Format>, reading: &Reading<'_>) -> Result<Summary, Error> {
    let mut watched = Watched { bytes, failure: None };
    let outcome = read_stream("the archive", &mut watched, announced, reading);
    match watched.failure {
        Some(source) => Err(Error::Body { source }),
        None => outcome,
    }
}

/// Hands over all files of an archive in a file, from its beginning.
pub(super) fn read_file(place: &str, mut file: &File, reading: &Reading<'_>) -> Result<Summary, Error> {
    let failed = |error| Error::io("read", place, error);
    let mut head = [0; 512];
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let length = fill(file, &mut head).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    match Format::of(&head[..length]) {
        Ok(Format::Zip) => not_empty(place, zip::read(place, file, reading)?),
        _ => read_stream(place, file, None, reading),
    }
}

/// A kind of archive, as the first bytes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A plain tar.
    Tar,
    /// A tar in gzip.
    Gzip,
    /// A tar in zstd.
    Zstd,
    /// A zip.
    Zip,
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tar => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Zip => "zip",
        })
    }
}

impl Format {
    /// Tells by up to 512 bytes; otherwise why it is none.
    fn of(head: &[u8]) -> Result<Self, &'static str> {
        match head {
            [] => Err("is not an archive: there are no bytes at all"),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            // A frame, or a skippable frame, which some tools put first (RFC 8878, sections 3.1.1 and 3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Self::Zip),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => {
                Err("is compressed by xz: only tar, tar.gz, tar.zst and zip are taken")
            }
            [b'B', b'Z', b'h', ..] => Err("is compressed by bzip2: only tar, tar.gz, tar.zst and zip are taken"),
            [b'7', b'z', 0xbc, 0xaf, ..] => Err("is a 7z archive: only tar, tar.gz, tar.zst and zip are taken"),
            _ if tar::begins(head) => Ok(Self::Tar),
            _ => Err("is not an archive: its first bytes are those of no tar, tar.gz, tar.zst or zip"),
        }
    }
}

fn read_stream(
    place: &str,
    mut bytes: impl Read,
    announced: Option<Format>,
    reading: &Reading<'_>,
) -> Result<Summary, Error> {
    let broken = |error: io::Error| Error::malformed(place, error);
    let mut head = [0; 512];
    let length = fill(&mut bytes, &mut head).map_err(broken)?;
    let format = Format::of(&head[..length]).map_err(|why| match announced {
        Some(announced) => Error::malformed(place, format!("is announced as {announced} and {why}")),
        None => Error::malformed(place, why),
    })?;
    if let Some(announced) = announced.filter(|announced| *announced != format) {
        let why = format!("is announced as {announced}, and its first bytes are those of {format}");
        return Err(Error::malformed(place, why));
    }
    let mut bytes = BufReader::with_capacity(BUFFER, head[..length].chain(bytes));
    let summary = match format {
        Format::Tar => read_tar(place, &mut bytes, reading)?,
        Format::Gzip => read_tar(place, &mut MultiGzDecoder::new(&mut bytes), reading)?,
        Format::Zstd if !reading.is_one_of_many => read_zstd(place, &mut bytes, ZSTD_WINDOW, reading)?,
        Format::Zstd => match places::COMING.get() {
            Some(_held) => read_zstd(place, &mut bytes, SMALL_WINDOW, reading)?,
            None => {
                let mut scratch = spool(place, &mut bytes, reading)?;
                let _held = places::HERE.wait();
                let seek = |error| Error::io("read", "a temporary file", error);
                scratch.seek(SeekFrom::Start(0)).map_err(seek)?;
                read_zstd(place, &mut BufReader::with_capacity(BUFFER, scratch), SMALL_WINDOW, reading)?
            }
        },
        Format::Zip => {
            let scratch = spool(place, &mut bytes, reading)?;
            let _held = reading.is_one_of_many.then(|| places::HERE.wait());
            zip::read(place, &scratch, reading)?
        }
    };
    not_empty(place, summary)
}

fn read_zstd(place: &str, bytes: &mut impl BufRead, window: u32, reading: &Reading<'_>) -> Result<Summary, Error> {
    let broken = |error: io::Error| Error::malformed(place, error);
    let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(broken)?;
    decoder.window_log_max(window).map_err(broken)?;
    read_tar(place, &mut decoder, reading).map_err(|error| match error {
        Error::Malformed { why, .. } if why.contains(TOO_MUCH) => {
            let most = 1_u64 << (window - 20);
            let why = format!("takes more than {most} MiB of memory to unpack: pack it without --long and --ultra");
            Error::malformed(place, why)
        }
        other => other,
    })
}

fn read_tar(place: &str, bytes: &mut dyn Read, reading: &Reading<'_>) -> Result<Summary, Error> {
    // Headers are read in 512 bytes each; a decompressor should not be asked for less than it likes to give.
    Tar::new(place, &mut BufReader::with_capacity(BUFFER, bytes), reading).read(reading)
}

fn not_empty(place: &str, summary: Summary) -> Result<Summary, Error> {
    if summary.files == 0 { Err(Error::Empty { place: place.into() }) } else { Ok(summary) }
}

/// Puts a stream into a temporary file.
fn spool(place: &str, bytes: &mut impl BufRead, reading: &Reading<'_>) -> Result<File, Error> {
    let failed = |error| Error::io("write", "a temporary file", error);
    let mut scratch = (reading.scratch)().map_err(failed)?;
    loop {
        let chunk = match bytes.fill_buf() {
            Ok([]) => return Ok(scratch),
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::malformed(place, error)),
        };
        let length = chunk.len();
        io::Write::write_all(&mut scratch, chunk).map_err(failed)?;
        bytes.consume(length);
        reading.progress.fetch(length as u64);
    }
}

/// Fills the buffer as far as there are bytes.
fn fill(mut bytes: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match bytes.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Remembers whether the stream itself failed: to whatever reads from it, that looks like a damaged archive.
struct Watched<'a> {
    bytes: &'a mut dyn Read,
    failure: Option<io::Error>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer).map_err(|error| {
            let copy = io::Error::new(error.kind(), error.to_string());
            if error.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(error);
            }
            copy
        })
    }
}

#[cfg(test)]
mod tests;
