//! Archives from anywhere.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Mutex,
};

use super::{Format, read_archive};
use crate::{
    fuzzing::{Pieces, assert_legal},
    path::SitePath,
    source::{Cause, Error, Item, Progress, Reading, Summary},
};

/// Bytes that are unpacked: past that, whoever takes the files has had enough.
const MOST: usize = 1 << 20;
/// A header or a block of content of a tar.
const BLOCK: usize = 512;

/// A tar, perhaps in gzip or zstd; once more with all checksums right, which no fuzzer finds by chance.
pub(crate) fn tar(bytes: &[u8]) -> bool {
    let mut mended = bytes.to_vec();
    mend_tar(&mut mended);
    let is_taken = check(bytes);
    if mended == bytes { is_taken } else { check(&mended) || is_taken }
}

/// A zip; once more with the CRC of each stored file right.
pub(crate) fn zip(bytes: &[u8]) -> bool {
    let mut mended = bytes.to_vec();
    mend_zip(&mut mended);
    let is_taken = check(bytes);
    if mended == bytes { is_taken } else { check(&mended) || is_taken }
}

/// The files of an archive: executable, modified, content.
type Files = BTreeMap<SitePath, (bool, Option<i64>, Vec<u8>)>;

fn check(bytes: &[u8]) -> bool {
    let (files, outcome) = read(&mut &*bytes);
    let (in_pieces, other) = read(&mut Pieces::new(bytes));
    let Ok(Summary { files: count, bytes: sum }) = outcome else {
        assert!(other.is_err(), "refused at once, and taken in pieces");
        return false;
    };
    assert_eq!(other.ok(), Some(Summary { files: count, bytes: sum }), "taken at once, and not in pieces");
    assert!(files == in_pieces, "other files in pieces");
    assert_eq!(files.len() as u64, count);
    assert_eq!(files.values().map(|(.., content)| content.len() as u64).sum::<u64>(), sum);
    if Format::of(&bytes[..bytes.len().min(BLOCK)]) == Ok(Format::Tar) {
        assert!(sum + count * BLOCK as u64 <= bytes.len() as u64, "more than there is");
    }
    for path in files.keys() {
        assert_legal(path);
        let mut above = path.parent();
        while let Some(folder) = above {
            assert!(!files.contains_key(&folder), "{folder} is a file and a folder");
            above = folder.parent();
        }
    }
    true
}

fn read(bytes: &mut dyn Read) -> (Files, Result<Summary, Error>) {
    let files = Mutex::new((Files::new(), 0));
    let sink = |item: &Item, content: &mut dyn Read| -> Result<(), Cause> {
        let mut files = files.lock().expect("no panic");
        let mut bytes = Vec::new();
        content.take((MOST + 1 - files.1) as u64).read_to_end(&mut bytes)?;
        files.1 += bytes.len();
        if files.1 > MOST {
            return Err("enough".into());
        }
        assert!(item.size.is_none_or(|size| size == bytes.len() as u64), "another size than was told");
        let before = files.0.insert(item.path.clone(), (item.executable, item.modified, bytes));
        assert!(before.is_none(), "{} came twice", item.path);
        Ok(())
    };
    let forget = |path: &SitePath| panic!("{path} was taken back");
    let memory = || rustix::fs::memfd_create("archive", rustix::fs::MemfdFlags::CLOEXEC);
    let scratch = || -> io::Result<_> { Ok(memory()?.into()) };
    let progress = Progress::default();
    let reading =
        Reading { sink: &sink, forget: &forget, scratch: &scratch, progress: &progress, is_one_of_many: true };
    let outcome = read_archive(bytes, None, &reading);
    (files.into_inner().expect("no panic").0, outcome)
}

/// Writes the right checksum into each header of a plain tar.
fn mend_tar(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + BLOCK) {
        at += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let digits = block[124..136].iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
        let size = digits.fold(0_usize, |size, digit| size.saturating_mul(8).saturating_add(usize::from(digit - b'0')));
        at = size.checked_next_multiple_of(BLOCK).and_then(|size| at.checked_add(size)).unwrap_or(usize::MAX - BLOCK);
    }
}

/// Writes the right CRC beside each stored file, and at the file the name that the directory has for it, wherever the directory says that one lies.
fn mend_zip(bytes: &mut [u8]) {
    let long = |bytes: &[u8], at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    let short = |bytes: &[u8], at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    for at in 0..bytes.len() {
        if !bytes[at..].starts_with(b"PK\x01\x02") || short(bytes, at + 10) != Some(0) {
            continue;
        }
        let content = (|| {
            let start = long(bytes, at + 42)?;
            bytes.get(start..)?.starts_with(b"PK\x03\x04").then_some(())?;
            let content = start + 30 + short(bytes, start + 26)? + short(bytes, start + 28)?;
            let mut crc = flate2::Crc::new();
            crc.update(bytes.get(content..content.checked_add(long(bytes, at + 20)?)?)?);
            Some((start, crc.sum().to_le_bytes()))
        })();
        let Some((start, crc)) = content else { continue };
        let (length, here) = (short(bytes, at + 28).unwrap_or(0), short(bytes, start + 26).unwrap_or(0));
        if length == here && at + 46 + length <= bytes.len() {
            bytes.copy_within(at + 46..at + 46 + length, start + 30);
        }
        for field in [at + 16, start + 14] {
            if let Some(field) = bytes.get_mut(field..field + 4) {
                field.copy_from_slice(&crc);
            }
        }
    }
}
