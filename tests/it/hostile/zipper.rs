//! Zip, record by record, with nothing made right: the two halves of an archive may say different things.

/// An entry, as the local header and the directory tell it.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) local: Record,
    pub(super) central: Record,
    /// What lies between the local header and the next one.
    pub(super) data: Vec<u8>,
    /// Where the directory says that it begins; else where it does.
    pub(super) offset: Option<u32>,
    /// In the directory only: the type and mode of the file, and on which system it was made (3 is Unix).
    pub(super) attributes: u32,
    pub(super) system: u8,
}

/// What both halves tell.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) sum: u32,
    pub(super) packed: u32,
    pub(super) size: u32,
    pub(super) extra: Vec<u8>,
}

/// The flag of names in UTF-8.
pub(super) const UTF_8: u16 = 1 << 11;

fn sum(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

impl Member {
    /// A plain file that is stored.
    pub(super) fn new(name: &[u8], content: &[u8]) -> Self {
        let size = u32::try_from(content.len()).expect("it is small");
        let record = Record {
            name: name.into(),
            flags: UTF_8,
            method: 0,
            sum: sum(content),
            packed: size,
            size,
            extra: Vec::new(),
        };
        Self {
            local: record.clone(),
            central: record,
            data: content.into(),
            offset: None,
            attributes: 0o100_644 << 16,
            system: 3,
        }
    }

    /// With both halves changed alike.
    pub(super) fn both(mut self, change: impl Fn(&mut Record)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    pub(super) fn mode(mut self, mode: u32) -> Self {
        self.attributes = mode << 16;
        self
    }
}

impl Record {
    fn common(&self) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("it is short").to_le_bytes();
        let mut bytes = Vec::new();
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend([0, 0, 0x21, 0x58]); // midnight, 2024-01-01
        for number in [self.sum, self.packed, self.size] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(length(&self.name));
        bytes.extend(length(&self.extra));
        bytes
    }
}

/// The archive: its members, its directory, its end, each to be had alone.
pub(super) struct Parts {
    pub(super) members: Vec<u8>,
    pub(super) directory: Vec<u8>,
    pub(super) end: Vec<u8>,
}

impl Parts {
    pub(super) fn of(members: &[Member]) -> Self {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for member in members {
            let at = member.offset.unwrap_or(u32::try_from(bytes.len()).expect("it is small"));
            bytes.extend(b"PK\x03\x04\x14\0");
            bytes.extend(member.local.common());
            bytes.extend(&member.local.name);
            bytes.extend(&member.local.extra);
            bytes.extend(&member.data);
            directory.extend(b"PK\x01\x02\x14");
            directory.extend([member.system, 0x14, 0]);
            directory.extend(member.central.common());
            directory.extend([0; 6]); // no comment, disk 0, no internal attributes
            directory.extend(member.attributes.to_le_bytes());
            directory.extend(at.to_le_bytes());
            directory.extend(&member.central.name);
            directory.extend(&member.central.extra);
        }
        let end = end(members.len(), directory.len(), bytes.len(), b"");
        Self { members: bytes, directory, end }
    }

    pub(super) fn whole(self) -> Vec<u8> {
        [self.members, self.directory, self.end].concat()
    }
}

/// The record at the end: so many entries, a directory so long, beginning there.
pub(super) fn end(entries: usize, length: usize, offset: usize, comment: &[u8]) -> Vec<u8> {
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    let long = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = b"PK\x05\x06\0\0\0\0".to_vec();
    bytes.extend(short(entries));
    bytes.extend(short(entries));
    bytes.extend(long(length));
    bytes.extend(long(offset));
    bytes.extend(short(comment.len()));
    bytes.extend(comment);
    bytes
}

/// An archive of these.
pub(super) fn zipped(members: &[Member]) -> Vec<u8> {
    Parts::of(members).whole()
}

/// A field of additional data.
pub(super) fn extra(id: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("it is short");
    [&id.to_le_bytes()[..], &length.to_le_bytes(), data].concat()
}
