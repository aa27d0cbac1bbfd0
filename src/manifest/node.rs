//! The canonical bytes of a directory, and how a large one is split.
//!
//! A node is text: a line that names its kind and version, then one line an entry, sorted by key bytes. An entry is the
//! leaf's own words, `dir DIGEST [TOTAL]`, or `part DIGEST [TOTAL]`, each followed by the key: a file's name, a folder's
//! name and `/`, or the first key of a part. Names hold no control characters ([`crate::path`]), so a line ends where it
//! seems to.
//!
//! A directory of more than [`FEW`] entries is split into parts after each key whose SHA-256 begins with a zero byte,
//! about every 256th. Where it is split depends on its keys alone, never on its history, so equal directories have equal
//! digests; and one change rewrites one part. Parts are listed, and split again, in the same way one level up.

use std::{collections::BTreeMap, fmt::Debug, str::FromStr};

use super::{Error, Nodes};
use crate::digest::Digest;

/// Entries that always stay in one node.
const FEW: usize = 256;
/// Levels of parts: 256 to this power is beyond any directory, and a hostile choice of names ends here.
const LEVELS: usize = 4;

/// What a tree holds at a path.
pub trait Leaf: Clone + PartialEq + Debug {
    /// What a folder adds up.
    type Total: Total;
    /// The first line of each node.
    const KIND: &'static str;
    /// Whether a leaf and a folder of one name may stand side by side.
    const SHARES_NAMES: bool;

    /// What this leaf adds to the folders above it.
    fn total(&self) -> Self::Total;
    /// Writes its words to `line`, without the name.
    fn write(&self, line: &mut String);
    /// Reads its words back; none when they are not a leaf's.
    fn parse<'a>(kind: &str, words: &mut dyn FnMut() -> Option<&'a str>) -> Option<Self>;
}

/// A sum over leaves.
pub trait Total: Copy + Default + PartialEq + Debug {
    /// Both together.
    #[must_use]
    fn add(self, other: Self) -> Self;
    /// Writes its words, each with a space before it.
    fn write(&self, line: &mut String);
    /// Reads them back.
    fn parse<'a>(words: &mut dyn FnMut() -> Option<&'a str>) -> Option<Self>;
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<L: Leaf> {
    /// A file.
    Leaf(L),
    /// A folder: its node and what lies below it.
    Folder(Digest, L::Total),
}

/// The entries of a directory by key: a file's name, or a folder's name and `/`.
pub type Directory<L> = BTreeMap<Box<str>, Item<L>>;

impl<L: Leaf> Item<L> {
    fn total(&self) -> L::Total {
        match self {
            Self::Leaf(leaf) => leaf.total(),
            Self::Folder(_, total) => *total,
        }
    }
}

/// A directory as nodes: its root, what lies below it, and the bytes of each node.
pub(super) struct Encoded<T> {
    pub(super) root: Digest,
    pub(super) total: T,
    pub(super) nodes: Vec<(Digest, Vec<u8>)>,
}

struct Line<T> {
    key: Box<str>,
    words: String,
    total: T,
}

/// The canonical nodes of `directory`.
pub(super) fn encode<L: Leaf>(directory: &Directory<L>) -> Encoded<L::Total> {
    let lines = directory.iter().map(|(key, item)| {
        let mut words = String::new();
        match item {
            Item::Leaf(leaf) => leaf.write(&mut words),
            Item::Folder(digest, total) => write_reference::<L>(&mut words, "dir", *digest, *total),
        }
        Line { key: key.clone(), words, total: item.total() }
    });
    let mut nodes = Vec::new();
    let mut lines: Vec<_> = lines.collect();
    for level in 0.. {
        let mut parts = Vec::new();
        for chunk in split(lines, level) {
            let total = chunk.iter().fold(L::Total::default(), |sum, line| sum.add(line.total));
            let mut text = format!("{}\n", L::KIND);
            for line in &chunk {
                text.push_str(&line.words);
                text.push(' ');
                text.push_str(&line.key);
                text.push('\n');
            }
            let digest = Digest::of(&text);
            nodes.push((digest, text.into_bytes()));
            let mut words = String::new();
            write_reference::<L>(&mut words, "part", digest, total);
            let key = chunk.into_iter().next().map(|line| line.key).unwrap_or_default();
            parts.push((digest, Line { key, words, total }));
        }
        if let [(root, line)] = &parts[..] {
            return Encoded { root: *root, total: line.total, nodes };
        }
        lines = parts.into_iter().map(|(_, line)| line).collect();
    }
    unreachable!("the last level is never split")
}

fn write_reference<L: Leaf>(words: &mut String, kind: &str, digest: Digest, total: L::Total) {
    words.push_str(kind);
    words.push(' ');
    words.push_str(&digest.to_string());
    total.write(words);
}

fn split<T>(lines: Vec<Line<T>>, level: usize) -> Vec<Vec<Line<T>>> {
    if lines.len() <= FEW || level >= LEVELS {
        return vec![lines];
    }
    let mut chunks = vec![Vec::new()];
    for line in lines {
        let ends = Digest::of(line.key.as_bytes()).as_bytes()[level] == 0;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(line);
        }
        if ends {
            chunks.push(Vec::new());
        }
    }
    if chunks.last().is_some_and(Vec::is_empty) {
        chunks.pop();
    }
    chunks
}

/// Reads the directory `digest`, parts and all; `seen` hears of each node that was read.
pub(super) fn decode<L: Leaf>(
    nodes: &dyn Nodes,
    digest: &Digest,
    seen: &mut dyn FnMut(Digest),
) -> Result<Directory<L>, Error> {
    let mut directory = Directory::new();
    gather::<L>(nodes, digest, LEVELS, &mut directory, seen)?;
    Ok(directory)
}

fn gather<L: Leaf>(
    nodes: &dyn Nodes,
    digest: &Digest,
    levels: usize,
    directory: &mut Directory<L>,
    seen: &mut dyn FnMut(Digest),
) -> Result<(), Error> {
    let bytes = nodes.node(digest).map_err(|source| Error::Node { digest: *digest, source })?;
    seen(*digest);
    rows::<L>(digest, &bytes, &mut |line, row| {
        let malformed = || Error::Malformed { digest: *digest, line };
        match row {
            Row::Part(part, ..) => {
                let levels = levels.checked_sub(1).ok_or_else(malformed)?;
                gather::<L>(nodes, &part, levels, directory, seen)
            }
            Row::Entry(key, item) => {
                if directory.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(malformed());
                }
                directory.insert(key, item);
                Ok(())
            }
        }
    })
}

/// What `key` names in the directory `digest`. Of a large one only those parts are read that may hold it: a site may have all
/// its files in one folder, and somebody looks for each of them.
pub(super) fn find<L: Leaf>(nodes: &dyn Nodes, digest: &Digest, key: &str) -> Result<Option<Item<L>>, Error> {
    let mut at = *digest;
    for _ in 0..=LEVELS {
        let bytes = nodes.node(&at).map_err(|source| Error::Node { digest: at, source })?;
        let (mut part, mut found) = (None, None);
        rows::<L>(&at, &bytes, &mut |_, row| {
            match row {
                Row::Part(digest, _, first) if *first <= *key => part = Some(digest),
                Row::Entry(name, item) if *name == *key => found = Some(item),
                Row::Part(..) | Row::Entry(..) => {}
            }
            Ok(())
        })?;
        match part {
            Some(part) if found.is_none() => at = part,
            _ => return Ok(found),
        }
    }
    Err(Error::Malformed { digest: at, line: 0 })
}

/// One line of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Row<L: Leaf> {
    /// A node of which the directory is made, among others, what is in it, and its first key.
    Part(Digest, L::Total, Box<str>),
    /// An entry by its key.
    Entry(Box<str>, Item<L>),
}

/// Reads the lines of one node alone, whose `bytes` have been checked against its `digest`; `each` gets them with their
/// numbers, from 2. The order of keys is not checked.
///
/// # Errors
/// [`Error::Malformed`]; or those of `each`.
pub fn rows<L: Leaf>(
    digest: &Digest,
    bytes: &[u8],
    each: &mut dyn FnMut(usize, Row<L>) -> Result<(), Error>,
) -> Result<(), Error> {
    let malformed = |line| Error::Malformed { digest: *digest, line };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(0))?;
    let body = text.strip_prefix(L::KIND).and_then(|text| text.strip_prefix('\n')).ok_or_else(|| malformed(1))?;
    for (index, line) in body.split_inclusive('\n').enumerate() {
        let number = index + 2;
        let malformed = || malformed(number);
        let line = line.strip_suffix('\n').ok_or_else(malformed)?;
        let mut rest = line;
        let mut word = || {
            let (word, after) = rest.split_once(' ')?;
            rest = after;
            Some(word)
        };
        let kind = word().ok_or_else(malformed)?;
        let row = if kind == "dir" || kind == "part" {
            let digest: Digest = word().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
            let total = L::Total::parse(&mut word).ok_or_else(malformed)?;
            if kind == "part" {
                Row::Part(digest, total, rest.into())
            } else {
                Row::Entry(rest.into(), Item::Folder(digest, total))
            }
        } else {
            let leaf = L::parse(kind, &mut word).ok_or_else(malformed)?;
            Row::Entry(rest.into(), Item::Leaf(leaf))
        };
        if let Row::Entry(key, item) = &row {
            let name = if matches!(item, Item::Folder(..)) { key.strip_suffix('/') } else { Some(&**key) };
            if name.is_none_or(|name| name.is_empty() || name.contains('/')) {
                return Err(malformed());
            }
        }
        each(number, row)?;
    }
    Ok(())
}

/// A decimal number in its one spelling: without a plus sign or zeros in front.
pub(super) fn number<T: FromStr>(word: &str) -> Option<T> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (!digits.starts_with('0') || word == "0");
    if is_plain { word.parse().ok() } else { None }
}
