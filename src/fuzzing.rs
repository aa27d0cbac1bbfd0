//! What the fuzz targets in `fuzz/` run, and what a plain `cargo test` replays their corpus through.
//!
//! A target takes any bytes, does with them what the program would, and panics where a promise is broken: not only that
//! nothing panics, but that what is taken is legal, bounded, and means one thing only. It tells whether the bytes were
//! taken, since a corpus of which nothing is taken would test little.

use std::io::{self, Read};

use crate::{api, entry::Entry, manifest, path::SitePath, source, store};

/// One target.
pub type Target = fn(&[u8]) -> bool;

/// All of them, by name; `fuzz/corpus/` has a folder for each.
pub const TARGETS: [(&str, Target); 10] = [
    ("path", path),
    ("node", manifest::fuzzing::node),
    ("deploy", api::fuzzing::deploy),
    ("tar", source::fuzzing::tar),
    ("zip", source::fuzzing::zip),
    ("headers", api::fuzzing::headers),
    ("form", api::fuzzing::form),
    ("tokens", api::tokens::fuzzing::tokens),
    ("jwt", api::identity::oidc::fuzzing::jwt),
    ("entry", store::fuzzing::entry),
];

/// Two paths with a NUL between, or one; each also as it would stand in an address.
fn path(bytes: &[u8]) -> bool {
    let mut paths = bytes.splitn(2, |byte| *byte == 0).map(SitePath::from_bytes);
    let (first, second) = (paths.next(), paths.next());
    if let Some(Ok(first)) = &first {
        assert_legal(first);
        if let Some(Ok(second)) = &second {
            let joined = first.join(second);
            if let Ok(joined) = &joined {
                assert_legal(joined);
                assert!(joined.as_str().strip_prefix(first.as_str()).is_some_and(|rest| rest.starts_with('/')));
                assert_eq!(joined.components().count(), first.components().count() + second.components().count());
            }
        }
    }
    let named = std::str::from_utf8(bytes).is_ok_and(api::fuzzing::address);
    named || matches!(first, Some(Ok(_)))
}

/// What [`crate::path`] promises of each path, written down once more, so that a mistake there is not repeated here.
pub(crate) fn assert_legal(path: &SitePath) {
    use std::path::{Component, Path};

    let text = path.as_str();
    assert_eq!(text.parse::<SitePath>().as_ref(), Ok(path), "it reads back");
    assert!((1..=3840).contains(&text.len()), "its length");
    let names: Vec<&str> = text.split('/').collect();
    assert!(names.len() <= 128, "its depth");
    for name in &names {
        assert!(
            (1..=255).contains(&name.len()) && *name != "." && !name.starts_with("..") && !name.starts_with(".nfs")
        );
    }
    let top = names[0].to_ascii_lowercase();
    assert!(![".longshore", "lost+found", ".snapshot"].contains(&&*top), "it is somebody else's");
    let is_bad = |c: char| c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c) || "\\\u{61c}\u{200e}\u{200f}".contains(c);
    let is_bidi = |c| ('\u{2028}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
    assert!(!text.chars().any(|c| is_bad(c) || is_bidi(c)), "it hides what it is");
    let inside = Path::new("/volume").join(path);
    let below = inside.strip_prefix("/volume").expect("it lies inside");
    assert!(below.components().all(|part| matches!(part, Component::Normal(_))));
    assert_eq!(below.components().count(), names.len());
    match path.parent() {
        Some(parent) => assert_eq!(format!("{parent}/{}", path.name()), text),
        None => assert_eq!(path.name(), text),
    }
}

/// An entry as the journal holds it: what reads back must be what was written.
pub(crate) fn assert_entry(entry: &Entry) {
    let line = entry.to_line();
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    assert_eq!(&serde_json::from_slice::<Entry>(&line).expect("what was written"), entry);
}

/// Bytes that come a few at a time, as from a network.
pub(crate) struct Pieces<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const SIZES: [usize; 6] = [1, 511, 2, 700, 3, 64];
        let size = SIZES[self.next % SIZES.len()].min(buffer.len());
        self.next += 1;
        self.bytes.read(&mut buffer[..size])
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Every input that the fuzzer was begun with, and every one that ever broke something.
    #[test]
    fn the_corpus_breaks_no_promise() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target) in TARGETS {
            let (mut taken, mut refused) = (0, 0);
            for file in fs::read_dir(corpus.join(name)).expect("a folder for each target") {
                let bytes = fs::read(file.expect("an entry").path()).expect("a file");
                *(if target(&bytes) { &mut taken } else { &mut refused }) += 1;
            }
            assert!(taken > 0 && refused > 0, "{name}: {taken} are taken, {refused} refused");
        }
    }
}
