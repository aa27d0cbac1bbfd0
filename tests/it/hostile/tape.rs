//! Tar, block by block, with nothing made right: whatever a header can say, true or not.

/// A header on its way.
pub(super) struct Block([u8; 512]);

impl Block {
    /// A POSIX header; a name of more than 100 bytes is cut.
    pub(super) fn new(kind: u8, name: &[u8], size: u64) -> Self {
        let mut block = [0; 512];
        let length = name.len().min(100);
        block[..length].copy_from_slice(&name[..length]);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[156] = kind;
        // An owner and a time that must not matter.
        Self(block).octal(100, 8, 0o644).octal(108, 8, 4_242).octal(116, 8, 4_242).octal(124, 12, size).octal(
            136,
            12,
            1_700_000_000,
        )
    }

    fn octal(self, at: usize, width: usize, number: u64) -> Self {
        let digits = format!("{number:0width$o}\0", width = width - 1);
        self.put(at, &digits.as_bytes()[digits.len() - width..])
    }

    pub(super) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(super) fn mode(self, mode: u32) -> Self {
        self.octal(100, 8, mode.into())
    }

    /// The field of the size, as it is to stand there.
    pub(super) fn size(self, field: &[u8; 12]) -> Self {
        self.put(124, field)
    }

    /// Where a link leads.
    pub(super) fn target(self, target: &[u8]) -> Self {
        let length = target.len().min(100);
        self.put(157, &target[..length])
    }

    /// The magic of GNU tar, which is another format.
    pub(super) fn gnu(self) -> Self {
        self.put(257, b"ustar  \0")
    }

    /// With its checksum, and its content filled up to whole blocks.
    pub(super) fn with(self, content: &[u8]) -> Vec<u8> {
        let mut block = self.put(148, b"        ").0;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = block.to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// A plain file.
pub(super) fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    Block::new(b'0', name, content.len() as u64).with(content)
}

/// Anything, with the content that its size says.
pub(super) fn entry(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    Block::new(kind, name, content.len() as u64).with(content)
}

/// An extended header of these records.
pub(super) fn pax(records: &[Vec<u8>]) -> Vec<u8> {
    entry(b'x', b"pax", &records.concat())
}

/// A record: its length counts itself.
pub(super) fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

/// An archive of these, with its end.
pub(super) fn tape(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1_024]].concat()
}
