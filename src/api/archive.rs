//! `GET /site/{dir}/?archive=tar.gz`: everything in one file, ready to be put back.

use std::{
    fs,
    io::{self, Read, Write},
    str::FromStr,
};

use chrono::{DateTime, Datelike as _, Timelike as _};

use crate::{
    depot::{Depot, Listed},
    digest::{Digest, Hasher},
    manifest::File,
    path::SitePath,
};

/// The kind of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tar,
    TarGz,
    TarZst,
    Zip,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tar" => Ok(Self::Tar),
            "tar.gz" | "tgz" => Ok(Self::TarGz),
            "tar.zst" => Ok(Self::TarZst),
            "zip" => Ok(Self::Zip),
            other => Err(format!("{other:?} is none of tar, tar.gz, tar.zst, zip")),
        }
    }
}

impl Kind {
    /// Its end of a file name.
    pub(super) const fn end(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
            Self::Zip => "zip",
        }
    }

    /// Its media type.
    pub(super) const fn media(self) -> &'static str {
        match self {
            Self::Tar => "application/x-tar",
            Self::TarGz => "application/gzip",
            Self::TarZst => "application/zstd",
            Self::Zip => "application/zip",
        }
    }

    /// Writes an archive of `files`, their names without the first `skip` bytes.
    pub(super) fn write(self, depot: &Depot, files: &[Listed], skip: usize, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Tar => tar(depot, files, skip, out).map(drop),
            Self::TarGz => {
                let packed = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                tar(depot, files, skip, packed)?.finish().map(drop)
            }
            Self::TarZst => tar(depot, files, skip, zstd::Encoder::new(out, 3)?)?.finish().map(drop),
            Self::Zip => zip(depot, files, skip, out),
        }
    }
}

fn tar<W: Write>(depot: &Depot, files: &[Listed], skip: usize, out: W) -> io::Result<W> {
    let mut archive = tar::Builder::new(out);
    for Listed { path, file, mtime } in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.size);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        header.set_mtime(u64::try_from(*mtime).unwrap_or_default());
        let content = Checked::open(depot, path, *file)?;
        archive.append_data(&mut header, &path.as_str()[skip..], content)?;
    }
    archive.into_inner()
}

fn zip(depot: &Depot, files: &[Listed], skip: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut archive = zip::ZipWriter::new_stream(out);
    for Listed { path, file, mtime } in files {
        let options = zip::write::SimpleFileOptions::default()
            .unix_permissions(if file.executable { 0o755 } else { 0o644 })
            .large_file(file.size >= u64::from(u32::MAX));
        let options = time(*mtime).map_or(options, |time| options.last_modified_time(time));
        archive.start_file(&path.as_str()[skip..], options)?;
        io::copy(&mut Checked::open(depot, path, *file)?, &mut archive)?;
    }
    archive.finish().map(drop).map_err(io::Error::other)
}

/// A file's bytes, which fail to end when they are not what their digest says.
struct Checked {
    content: io::Take<fs::File>,
    hasher: Hasher,
    digest: Digest,
}

impl Checked {
    fn open(depot: &Depot, path: &SitePath, file: File) -> io::Result<Self> {
        let content = depot.content(path, file).map_err(io::Error::other)?.take(file.size);
        Ok(Self { content, hasher: Hasher::new(), digest: file.digest })
    }
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        if read == 0 && !buffer.is_empty() && self.hasher.clone().finish() != self.digest {
            let why = format!("object {} was changed from outside", self.digest);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(read)
    }
}

/// A zip's time, in UTC: from 1980, to two seconds.
fn time(mtime: i64) -> Option<zip::DateTime> {
    let at = DateTime::from_timestamp(mtime, 0)?;
    let of = |number: u32| u8::try_from(number).ok();
    let (year, month, day) = (u16::try_from(at.year()).ok()?, of(at.month())?, of(at.day())?);
    zip::DateTime::from_date_and_time(year, month, day, of(at.hour())?, of(at.minute())?, of(at.second())?).ok()
}
