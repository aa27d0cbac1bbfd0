//! The volume's format, read as ARCHITECTURE.md documents it and by nothing of the product: what another program would find.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{pod::journal_of, uploads::hex};

/// A file as a release has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) is_executable: bool,
    pub(super) mtime: i64,
}

/// A release: its files by path.
pub(super) type Release = BTreeMap<String, File>;

/// What is wrong, in words; the first thing found.
pub(super) type Checked<T> = Result<T, String>;

/// A volume's state, each object and node read and hashed once.
pub(super) struct State {
    home: PathBuf,
    objects: BTreeSet<String>,
}

impl State {
    pub(super) fn of(volume: &Path) -> Self {
        Self { home: volume.join(".longshore"), objects: BTreeSet::new() }
    }

    /// The release of an entry, with all it is made of read again.
    pub(super) fn release(&mut self, entry: &Value) -> Checked<Release> {
        let root = |member: &str| entry[member].as_str().ok_or(format!("an entry without {member}: {entry}"));
        let mut times = BTreeMap::new();
        self.folder("times", root("times")?, "", &mut |path, words| {
            if let ["at", mtime, highest] = words {
                let mtime: i64 = mtime.parse().map_err(|_| format!("{path} has the mtime {mtime}"))?;
                let highest: i64 = highest.parse().map_err(|_| format!("{path} has the highest mtime {highest}"))?;
                if highest < mtime {
                    return Err(format!("{path} has the mtime {mtime}, above its highest, {highest}"));
                }
                times.insert(path.to_owned(), mtime);
            } else if words[0] != "gone" {
                return Err(format!("times say of {path}: {words:?}"));
            }
            Ok(())
        })?;
        let mut release = Release::new();
        self.folder("manifest", root("release")?, "", &mut |path, words| {
            let [kind @ ("file" | "exec"), digest, size] = words else {
                return Err(format!("a manifest says of {path}: {words:?}"));
            };
            let size = size.parse().map_err(|_| format!("{path} has the size {size}"))?;
            let mtime = times.remove(path).ok_or(format!("{path} has no mtime"))?;
            let file = File { digest: (*digest).to_owned(), size, is_executable: *kind == "exec", mtime };
            release.insert(path.to_owned(), file);
            Ok(())
        })?;
        for (path, file) in &release {
            self.object(&file.digest, file.size).map_err(|wrong| format!("{path}: {wrong}"))?;
        }
        match times.keys().next() {
            Some(path) => Err(format!("{path} has an mtime and is not in the release")),
            None => Ok(release),
        }
    }

    /// Calls `visit` with the path and the words of each leaf below the node `digest`.
    fn folder(
        &self,
        kind: &str,
        digest: &str,
        above: &str,
        visit: &mut dyn FnMut(&str, &[&str]) -> Checked<()>,
    ) -> Checked<()> {
        let (shard, name) = digest.split_at_checked(2).ok_or(format!("{digest:?} is no digest"))?;
        let path = self.home.join("manifests").join(shard).join(name);
        let bytes = fs::read(&path).map_err(|error| format!("node {digest}: {error}"))?;
        if hex(&bytes) != digest {
            return Err(format!("node {digest} has the digest {}", hex(&bytes)));
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("node {digest} is no text"))?;
        let first = format!("longshore-{kind} 1\n");
        let body = text.strip_prefix(&first).ok_or(format!("node {digest} is no {kind}"))?;
        let mut last = None;
        for line in body.lines() {
            let words = match (kind, line.split(' ').next()) {
                ("manifest", Some("dir" | "part")) => 4,
                ("times", Some("dir" | "part" | "gone")) => 2,
                _ => 3,
            };
            let mut words: Vec<_> = line.splitn(words + 1, ' ').collect();
            let name = words.pop().filter(|_| words.len() >= 2).ok_or(format!("node {digest} says {line:?}"))?;
            if last.replace(name) >= Some(name) {
                return Err(format!("node {digest} is not sorted at {name:?}"));
            }
            match words[0] {
                "dir" => self.folder(kind, words[1], &format!("{above}{name}"), visit)?,
                "part" => self.folder(kind, words[1], above, visit)?,
                _ => visit(&format!("{above}{name}"), &words)?,
            }
        }
        Ok(())
    }

    fn object(&mut self, digest: &str, size: u64) -> Checked<()> {
        if self.objects.insert(digest.to_owned()) {
            let (shard, name) = digest.split_at_checked(2).ok_or(format!("{digest:?} is no digest"))?;
            let bytes = fs::read(self.home.join("objects").join(shard).join(name));
            let bytes = bytes.map_err(|error| format!("object {digest}: {error}"))?;
            if hex(&bytes) != digest || bytes.len() as u64 != size {
                return Err(format!("object {digest} of {size} bytes is {} of {}", hex(&bytes), bytes.len()));
            }
        }
        Ok(())
    }
}

/// The newest entry and its release; none while the journal has not begun. Reads every entry and all that any names.
pub(super) fn head(volume: &Path) -> Checked<Option<Release>> {
    let mut state = State::of(volume);
    // The number and the digest of the entry before; those in between may not be kept any more.
    let (mut before, mut head) = ((0, Value::Null), None);
    // A pair of path and mtime means the same bytes for ever: a browser's cache stands on it.
    let mut meanings: BTreeMap<(String, i64), File> = BTreeMap::new();
    for (entry, bytes) in journal_of(volume) {
        let seq = entry["seq"].as_u64().ok_or(format!("an entry without a number: {entry}"))?;
        if before.0 + 1 == seq && entry["previous"] != before.1 {
            return Err(format!("entry {seq} does not follow from the one before"));
        }
        before = (seq, hex(&bytes).into());
        let release = state.release(&entry).map_err(|wrong| format!("entry {seq}: {wrong}"))?;
        for (path, file) in &release {
            let before = meanings.entry((path.clone(), file.mtime)).or_insert_with(|| file.clone());
            if before.digest != file.digest {
                return Err(format!("entry {seq}: {path} of {} had other bytes before", file.mtime));
            }
        }
        head = Some(release);
    }
    Ok(head)
}
