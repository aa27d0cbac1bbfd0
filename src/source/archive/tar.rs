//! Tar, read block by block.
//!
//! The `tar` crate understands one header; what belongs to which entry, and where the next one begins, is decided here,
//! since tar's hostile inputs all live there: two names or two sizes for one entry, sizes that overflow, archives that
//! end early or go on after their end.

use std::io::Read;

use tar::{EntryType, Header};

use super::{
    super::{Error, Item, Reading, Summary, delivery::Undelivered},
    fill,
    name::Names,
    pax::Pax,
};

/// Everything in a tar is a multiple of this.
const BLOCK: usize = 512;
/// Bytes of a long name or an extended header: far more than any path needs.
const LONGEST_EXTENSION: u64 = 1024 * 1024;
/// Bytes of padding after the end: tape blocks are 10 KiB, and some tools pad to a few MiB.
const MOST_PADDING: u64 = 16 * 1024 * 1024;
/// The first size that the header's own field of eleven octal digits cannot hold.
const HUGE: u64 = 1 << 33;

/// A tar archive on its way in.
pub(super) struct Tar<'a> {
    place: &'a str,
    bytes: &'a mut dyn Read,
    names: Names<'a>,
    /// From a GNU header before the entry.
    long_name: Option<Vec<u8>>,
    /// From a PAX header before the entry.
    pax: Option<Pax>,
    summary: Summary,
}

/// Whether a tar can begin like this.
pub(super) fn begins(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<BLOCK>() else { return false };
    is_zero(block) || header(block).is_some()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The header in a block, if its checksum is right.
fn header(block: &[u8; BLOCK]) -> Option<Header> {
    let mut header = Header::new_old();
    *header.as_mut_bytes() = *block;
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The checksum counts its own field as spaces.
    let expected = sum(&block[..148]) + sum(&block[156..]) + 8 * u32::from(b' ');
    header.cksum().is_ok_and(|checksum| checksum == expected).then_some(header)
}

/// The size in a header, in octal digits or, for huge files, as a binary number (a GNU extension).
fn size(header: &Header) -> Option<u64> {
    match header.as_old().size {
        // Negative, or more than 64 bits: two readers would take different bits of it.
        [first, rest @ ..] if first & 0x80 != 0 && (first != 0x80 || !is_zero(&rest[..3])) => None,
        _ => header.entry_size().ok(),
    }
}

/// Whether mode, owner, group, time and device are numbers, though most of them mean nothing here: some readers take the
/// archive to end where one is not.
fn is_numeric(header: &Header) -> bool {
    let block = header.as_bytes();
    let fields = [100..108, 108..116, 116..124, 136..148, 329..337, 337..345];
    // The old header ends before the device.
    let count = if header.as_ustar().is_some() || header.as_gnu().is_some() { fields.len() } else { 4 };
    fields.into_iter().take(count).all(|field| match &block[field] {
        [0x80 | 0xff, ..] => true,
        digits => {
            let digits = digits.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
            digits.iter().all(|byte| matches!(byte, b'0'..=b'7'))
        }
    })
}

impl<'a> Tar<'a> {
    /// `place` is the archive's name for messages.
    pub(super) fn new(place: &'a str, bytes: &'a mut dyn Read, reading: &Reading<'_>) -> Self {
        let names = Names::new(place, reading.most_names());
        Self { place, bytes, names, long_name: None, pax: None, summary: Summary::default() }
    }

    /// Hands all files over, up to the end of the bytes.
    pub(super) fn read(mut self, reading: &Reading<'_>) -> Result<Summary, Error> {
        loop {
            let block = self.block()?;
            if is_zero(&block) {
                self.end()?;
                return Ok(self.summary);
            }
            let Some(header) = header(&block) else {
                return Err(self.malformed(format_args!(
                    "is not a tar archive, or damaged: a header's checksum is wrong{}",
                    self.after()
                )));
            };
            self.entry(&header, reading)?;
        }
    }

    fn entry(&mut self, header: &Header, reading: &Reading<'_>) -> Result<(), Error> {
        let shown = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let refused = |why: &str| Err(Error::refused(self.place, &shown, why));
        let Some(size) = size(header) else { return refused("has a size that is no number") };
        if !is_numeric(header) {
            return refused("has an owner, a mode, a time or a device that is no number");
        }
        match header.entry_type() {
            EntryType::Regular => self.file(header, size, reading),
            EntryType::Directory if size != 0 => refused("is a folder with bytes of its own"),
            EntryType::Directory => self.folder(header),
            EntryType::XHeader if self.pax.is_some() => refused("has two PAX headers"),
            EntryType::XHeader => {
                let records = self.extension(size, &shown)?;
                let pax = Pax::parse(&records).map_err(|why| Error::refused(self.place, &shown, why))?;
                self.pax = Some(pax);
                Ok(())
            }
            EntryType::XGlobalHeader => {
                let records = self.extension(size, &shown)?;
                match Pax::parse(&records) {
                    // `git archive` puts the commit's name there.
                    Ok(pax) if pax == Pax::default() => Ok(()),
                    Ok(_) => Err(Error::refused(self.place, &shown, "is a global PAX header with a path or a size")),
                    Err(why) => Err(Error::refused(self.place, &shown, why)),
                }
            }
            EntryType::GNULongName if self.long_name.is_some() => refused("has two long names"),
            EntryType::GNULongName => {
                let mut name = self.extension(size, &shown)?;
                name.pop_if(|last| *last == 0);
                self.long_name = Some(name);
                Ok(())
            }
            // The name that a link leads to; the link itself follows and is refused by its own name.
            EntryType::GNULongLink => self.extension(size, &shown).map(drop),
            other => {
                let name = self.name(header)?;
                Err(Error::refused(self.place, String::from_utf8_lossy(&name), is_no_file(other)))
            }
        }
    }

    /// The entry's name, wherever it stands, once.
    fn name(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        match (self.long_name.take(), self.pax.as_mut().and_then(|pax| pax.path.take())) {
            (Some(long), Some(pax)) if long != pax => {
                Err(Error::refused(self.place, String::from_utf8_lossy(&pax), "has two different long names"))
            }
            (_, Some(name)) | (Some(name), None) => Ok(name),
            (None, None) => Ok(header.path_bytes().into_owned()),
        }
    }

    fn folder(&mut self, header: &Header) -> Result<(), Error> {
        let name = self.name(header)?;
        let size = self.pax.take().and_then(|pax| pax.size).unwrap_or(0);
        if size != 0 {
            return Err(Error::refused(
                self.place,
                String::from_utf8_lossy(&name),
                "is a folder with bytes of its own",
            ));
        }
        self.names.folder(&name)
    }

    fn file(&mut self, header: &Header, size: u64, reading: &Reading<'_>) -> Result<(), Error> {
        let name = self.name(header)?;
        let size = match self.pax.take().and_then(|pax| pax.size) {
            Some(pax) if pax != size && pax < HUGE => {
                return Err(Error::refused(self.place, String::from_utf8_lossy(&name), "has two different sizes"));
            }
            Some(pax) => pax,
            None => size,
        };
        let path = self.names.file(&name)?;
        let executable = header.mode().is_ok_and(|mode| mode & 0o100 != 0);
        let modified = header.mtime().ok().and_then(|seconds| seconds.try_into().ok());
        let item = Item { path, executable, size: Some(size), modified };
        let mut content = self.bytes.take(size);
        match reading.deliver(&item, &mut content) {
            Ok(bytes) => {
                self.summary.files += 1;
                self.summary.bytes += bytes;
            }
            Err(Undelivered::Sink(source)) => return Err(Error::Sink { path: item.path, source }),
            Err(Undelivered::Content(error)) => {
                return Err(self.malformed(format_args!("is cut short or damaged in {:?}: {error}", item.path)));
            }
        }
        self.padding(size)
    }

    /// The bytes of a header that belongs to the next one.
    fn extension(&mut self, size: u64, shown: &str) -> Result<Vec<u8>, Error> {
        if size > LONGEST_EXTENSION {
            return Err(Error::refused(self.place, shown, "is a header of more than 1 MiB"));
        }
        let mut bytes = Vec::new();
        let outcome = self.bytes.take(size).read_to_end(&mut bytes);
        match outcome {
            Ok(length) if length as u64 == size => self.padding(size).map(|()| bytes),
            Ok(_) => Err(self.cut()),
            Err(error) => Err(self.malformed(error)),
        }
    }

    /// Passes over what fills the last block of an entry.
    fn padding(&mut self, size: u64) -> Result<(), Error> {
        let used = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..(BLOCK - used) % BLOCK];
        match fill(&mut *self.bytes, rest) {
            Ok(length) if length == rest.len() => Ok(()),
            Ok(_) => Err(self.cut()),
            Err(error) => Err(self.malformed(error)),
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Error> {
        let mut block = [0; BLOCK];
        match fill(&mut *self.bytes, &mut block) {
            Ok(BLOCK) => Ok(block),
            Ok(_) => Err(self.cut()),
            Err(error) => Err(self.malformed(format_args!("is damaged{}: {error}", self.after()))),
        }
    }

    /// After the first block of zeros: a second one, and then nothing but padding. Reading to the very end also lets a
    /// decompressor compare its checksum.
    fn end(&mut self) -> Result<(), Error> {
        if self.long_name.is_some() || self.pax.is_some() {
            return Err(self.malformed("ends with a header that belongs to no entry"));
        }
        if !is_zero(&self.block()?) {
            return Err(self.malformed("goes on after one block of zeros: an end has two"));
        }
        let mut buffer = [0; 16 * BLOCK];
        let mut padding = 0;
        loop {
            match fill(&mut *self.bytes, &mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) if !is_zero(&buffer[..length]) => return Err(self.malformed("goes on after its end")),
                Ok(length) => padding += length as u64,
                Err(error) => return Err(self.malformed(format_args!("is damaged after its last entry: {error}"))),
            }
            if padding > MOST_PADDING {
                return Err(self.malformed("has more than 16 MiB of zeros after its end"));
            }
        }
    }

    fn after(&self) -> String {
        match self.summary.files {
            0 => String::new(),
            files => format!(" after {files} files"),
        }
    }

    fn cut(&self) -> Error {
        self.malformed(format_args!("is cut short{}: the end of the archive is missing", self.after()))
    }

    fn malformed(&self, why: impl ToString) -> Error {
        Error::malformed(self.place, why)
    }
}

/// Why an entry that is neither file nor folder is refused.
fn is_no_file(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "is a symbolic link: only files and folders are taken",
        EntryType::Link => "is a hard link: only files and folders are taken",
        EntryType::Char | EntryType::Block => "is a device: only files and folders are taken",
        EntryType::Fifo => "is a FIFO: only files and folders are taken",
        EntryType::GNUSparse => "is a sparse file: those are not taken",
        _ => "is of an unknown type: only files and folders are taken",
    }
}
