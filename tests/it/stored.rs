//! What stands on a volume, read by the formats that ARCHITECTURE.md documents and by nothing of the product's code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::uploads::hex;

/// What a reader can tell of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) digest: String,
    pub(crate) mtime: i64,
    pub(crate) executable: bool,
}

/// The files of a site by path.
pub(crate) type Site = BTreeMap<String, File>;

/// One entry of the journal.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) release: String,
    pub(crate) site: Site,
}

/// The store on a volume, all of it read and checked: each entry follows from the one before, each node and object that
/// an entry leads to is there with the digest that is its name, and a path with an mtime always means the same bytes.
pub(crate) fn entries(volume: &Path) -> Result<Vec<Entry>, String> {
    let mut reader = Reader { state: volume.join(".longshore"), objects: BTreeSet::new(), nodes: BTreeMap::new() };
    let mut entries = Vec::new();
    let (mut previous, mut dated) = (Value::Null, BTreeMap::new());
    for (index, path) in journal_files(&reader.state)?.into_iter().enumerate() {
        let bytes = read(&path)?;
        let entry: Value = serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let seq = index as u64 + 1;
        if entry["seq"] != seq || !path.ends_with(format!("{seq:020}.json")) || entry["previous"] != previous {
            return Err(format!("{} is not entry {seq} after the digest {previous}: {entry}", path.display()));
        }
        previous = hex(&bytes).into();
        let id = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let release = id("release");
        let site = reader.site(&release, &id("times")).map_err(|error| format!("entry {seq}: {error}"))?;
        for (path, file) in &site {
            let digest = dated.entry((path.clone(), file.mtime)).or_insert_with(|| file.digest.clone());
            if *digest != file.digest {
                return Err(format!("entry {seq}: {path} had the mtime {} with other bytes", file.mtime));
            }
        }
        entries.push(Entry { seq, release, site });
    }
    Ok(entries)
}

fn journal_files(state: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = state.join("journal");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

struct Reader {
    state: PathBuf,
    /// Objects that were read and are whole.
    objects: BTreeSet<String>,
    nodes: BTreeMap<String, String>,
}

impl Reader {
    fn site(&mut self, release: &str, times: &str) -> Result<Site, String> {
        let (mut files, mut mtimes) = (BTreeMap::new(), BTreeMap::new());
        self.manifest(release, "", &mut files)?;
        self.times(times, "", &mut mtimes)?;
        let mut site = Site::new();
        for (path, (digest, executable)) in files {
            self.check_object(&digest).map_err(|error| format!("{path}: {error}"))?;
            let mtime = *mtimes.get(&path).ok_or_else(|| format!("{path} has no time"))?;
            site.insert(path, File { digest, mtime, executable });
        }
        Ok(site)
    }

    fn manifest(
        &mut self,
        digest: &str,
        above: &str,
        files: &mut BTreeMap<String, (String, bool)>,
    ) -> Result<(), String> {
        for line in self.node(digest, "longshore-manifest 1")?.lines().skip(1) {
            let words: Vec<_> = line.splitn(5, ' ').collect();
            match words[..] {
                ["dir", digest, _, _, key] => self.manifest(digest, &format!("{above}{key}"), files)?,
                ["part", digest, _, _, _] => self.manifest(digest, above, files)?,
                [kind @ ("file" | "exec"), digest, _, ..] => {
                    let name = line.splitn(4, ' ').last().unwrap_or_default();
                    files.insert(format!("{above}{name}"), (digest.to_owned(), kind == "exec"));
                }
                _ => return Err(format!("manifest node {digest}: {line:?}")),
            }
        }
        Ok(())
    }

    fn times(&mut self, digest: &str, above: &str, mtimes: &mut BTreeMap<String, i64>) -> Result<(), String> {
        for line in self.node(digest, "longshore-times 1")?.lines().skip(1) {
            let words: Vec<_> = line.splitn(3, ' ').collect();
            match words[..] {
                ["dir", digest, key] => self.times(digest, &format!("{above}{key}"), mtimes)?,
                ["part", digest, _] => self.times(digest, above, mtimes)?,
                ["gone", ..] => {}
                ["at", mtime, rest] => {
                    let name = rest.split_once(' ').map_or("", |(_, name)| name);
                    mtimes.insert(format!("{above}{name}"), mtime.parse().map_err(|_| format!("{line:?}"))?);
                }
                _ => return Err(format!("times node {digest}: {line:?}")),
            }
        }
        Ok(())
    }

    fn node(&mut self, digest: &str, kind: &str) -> Result<String, String> {
        if let Some(node) = self.nodes.get(digest) {
            return Ok(node.clone());
        }
        let bytes = self.named("manifests", digest)?;
        let node = String::from_utf8(bytes).map_err(|error| format!("node {digest}: {error}"))?;
        if node.lines().next() != Some(kind) {
            return Err(format!("node {digest} is no {kind}"));
        }
        self.nodes.insert(digest.to_owned(), node.clone());
        Ok(node)
    }

    fn check_object(&mut self, digest: &str) -> Result<(), String> {
        if !self.objects.contains(digest) {
            self.named("objects", digest)?;
            self.objects.insert(digest.to_owned());
        }
        Ok(())
    }

    /// The bytes of a file that is named by its digest.
    fn named(&self, room: &str, digest: &str) -> Result<Vec<u8>, String> {
        let (shard, name) = digest.split_at_checked(2).ok_or_else(|| format!("no digest: {digest:?}"))?;
        let path = self.state.join(room).join(shard).join(name);
        let bytes = read(&path)?;
        match hex(&bytes) == digest {
            true => Ok(bytes),
            false => Err(format!("{}: its {} bytes have another digest", path.display(), bytes.len())),
        }
    }
}

/// What an application reads at the root of a volume; a name whose link leads nowhere is not there for it.
pub(crate) fn shown(volume: &Path) -> Result<Site, String> {
    let mut site = Site::new();
    let mut paths = crate::listing::visible(volume);
    paths.retain(|path| fs::metadata(path).is_ok());
    while let Some(path) = paths.pop() {
        let failed = |error| format!("{}: {error}", path.display());
        let about = fs::metadata(&path).map_err(failed)?;
        if about.is_dir() {
            paths.extend(fs::read_dir(&path).map_err(failed)?.flatten().map(|entry| entry.path()));
            continue;
        }
        let name = path.strip_prefix(volume).map_err(|error| error.to_string())?.display().to_string();
        let digest = hex(&read(&path)?);
        site.insert(name, File { digest, mtime: about.mtime(), executable: about.mode() & 0o111 != 0 });
    }
    Ok(site)
}

/// How two sites differ, for messages.
pub(crate) fn difference(is: &Site, should_be: &Site) -> String {
    let mut lines = Vec::new();
    for path in is.keys().chain(should_be.keys()).collect::<BTreeSet<_>>() {
        let (is, should_be) = (is.get(path), should_be.get(path));
        if is != should_be {
            lines.push(format!("{path}: {is:?} and not {should_be:?}"));
        }
    }
    lines.join("; ")
}
