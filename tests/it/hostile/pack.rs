//! Inputs as archives, in each way that a name can stand in one.

use super::{
    inputs::{Class, Entry, Kind, Thing},
    tape::{self, Block},
    zipper::{Member, zipped},
};
use crate::archive::{gzip, zstandard};

/// Where an archive says its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In tar's own header.
    Header,
    /// In a PAX record.
    Pax,
    /// In GNU's long name.
    Long,
    /// In both halves of a zip.
    Zip,
}

/// What is put around an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coat {
    Plain,
    Gzip,
    Zstd,
}

/// Those that differ.
pub(super) const SHAPES: [(Shape, Coat); 6] = [
    (Shape::Header, Coat::Plain),
    (Shape::Header, Coat::Gzip),
    (Shape::Header, Coat::Zstd),
    (Shape::Pax, Coat::Plain),
    (Shape::Long, Coat::Plain),
    (Shape::Zip, Coat::Plain),
];

impl Shape {
    pub(super) fn class(self) -> Class {
        if self == Self::Zip { Class::Zip } else { Class::Tar }
    }

    pub(super) fn ending(self, coat: Coat) -> &'static str {
        match (self, coat) {
            (Self::Zip, _) => "zip",
            (_, Coat::Plain) => "tar",
            (_, Coat::Gzip) => "tar.gz",
            (_, Coat::Zstd) => "tar.zst",
        }
    }
}

/// The input as an archive of that kind; otherwise why it cannot be one.
pub(super) fn pack(thing: &Thing, shape: Shape, coat: Coat) -> Result<Vec<u8>, &'static str> {
    let plain = match thing {
        Thing::Archive(bytes) => match (&bytes[..bytes.len().min(4)], shape, coat) {
            ([b'P', b'K', ..], Shape::Zip, Coat::Plain) => return Ok(bytes.clone()),
            ([b'P', b'K', ..], _, _) => return Err("its bytes are a zip"),
            ([0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [_, 0x2a, 0x4d, 0x18], Shape::Header, Coat::Plain) => {
                return Ok(bytes.clone());
            }
            ([0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [_, 0x2a, 0x4d, 0x18], _, _) => {
                return Err("its bytes are packed already");
            }
            (_, Shape::Header, _) => bytes.clone(),
            _ => return Err("its bytes are a tar's"),
        },
        Thing::Entries(entries) if shape == Shape::Zip => {
            let mut members = vec![Member::new(b"good.html", b"good")];
            for entry in entries {
                members.push(member(entry)?);
            }
            zipped(&members)
        }
        Thing::Entries(entries) => {
            let mut blocks = vec![tape::file(b"good.html", b"good")];
            for entry in entries {
                blocks.push(block(entry, shape)?);
            }
            tape::tape(&blocks)
        }
    };
    Ok(match coat {
        Coat::Plain => plain,
        Coat::Gzip => gzip(&plain),
        Coat::Zstd => zstandard(&plain),
    })
}

fn block(entry: &Entry, shape: Shape) -> Result<Vec<u8>, &'static str> {
    let Entry { kind, name, bytes } = entry;
    let size = bytes.len() as u64;
    let (name_there, front) = match shape {
        Shape::Pax => (&b"named-elsewhere"[..], tape::pax(&[tape::record(b"path", name)])),
        Shape::Long => (&b"named-elsewhere"[..], tape::entry(b'L', b"././@LongLink", &[&**name, b"\0"].concat())),
        _ if name.contains(&0) => return Err("NUL ends a name in tar's header"),
        _ if name.len() > 100 => return long(entry),
        _ => (&**name, Vec::new()),
    };
    let block = match kind {
        Kind::File(mode) => Block::new(b'0', name_there, size).mode(*mode),
        Kind::Folder(mode) => Block::new(b'5', name_there, size).mode(*mode),
        Kind::Symlink(target) => Block::new(b'2', name_there, size).target(target),
        Kind::Link(target) => Block::new(b'1', name_there, size).target(target),
        Kind::Special(b's') => return Err("tar knows no sockets"),
        Kind::Special(letter) => Block::new(*letter, name_there, size),
    };
    Ok([front, block.with(bytes)].concat())
}

/// A name in two fields, which meet at a slash.
fn long(entry: &Entry) -> Result<Vec<u8>, &'static str> {
    let why = "the fields of tar's header have 155 and 100 bytes";
    let (name, bytes) = (&entry.name, &entry.bytes);
    let at = (name.len().saturating_sub(101)..name.len().min(156)).find(|at| name[*at] == b'/').ok_or(why)?;
    if name.len() - at - 1 > 100 {
        return Err(why);
    }
    Ok(Block::new(b'0', &name[at + 1..], bytes.len() as u64).put(345, &name[..at]).with(bytes))
}

fn member(entry: &Entry) -> Result<Member, &'static str> {
    if entry.name.len() > usize::from(u16::MAX) {
        return Err("zip's names have at most 64 KiB");
    }
    let member = Member::new(&entry.name, &entry.bytes);
    Ok(match &entry.kind {
        Kind::File(mode) => member.mode(0o100_000 | mode),
        Kind::Folder(mode) => member.mode(0o040_000 | mode),
        Kind::Symlink(target) => Member::new(&entry.name, target).mode(0o120_777),
        Kind::Link(_) => return Err("zip knows no hard links"),
        Kind::Special(b'3') => member.mode(0o020_644),
        Kind::Special(b'4') => member.mode(0o060_644),
        Kind::Special(b'6') => member.mode(0o010_644),
        Kind::Special(b's') => member.mode(0o140_644),
        Kind::Special(_) => return Err("zip's kinds are those of Unix"),
    })
}
