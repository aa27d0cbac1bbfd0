//! What must be true after a death: of what is shown at once, and of the volume after the next start.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::{
    format::{self, Release},
    scenario::{Environment, Known, Ran, is_torture},
    session::{Session, Told},
};
use crate::listing::{Listing, listing, visible};

/// A site as a reader finds it: each file with its bytes.
pub(crate) type Site = BTreeMap<String, Vec<u8>>;

/// After one point in so many, two starts follow.
const TWICE: usize = 4;

/// What is wrong, in words.
pub(crate) type Violations = Vec<String>;

/// What a reader finds below a document root. A link that leads nowhere is a 404: nothing is there.
pub(crate) fn shown(root: &Path) -> Site {
    let mut site = Site::new();
    let mut paths = if root.exists() { visible(root) } else { Vec::new() };
    while let Some(path) = paths.pop() {
        match fs::metadata(&path) {
            Ok(about) if about.is_dir() => {
                paths.extend(fs::read_dir(&path).expect("a folder lists").flatten().map(|entry| entry.path()));
            }
            Ok(_) => {
                let name = path.strip_prefix(root).expect("it lies below").to_string_lossy().into_owned();
                site.insert(name, fs::read(&path).expect("a file reads"));
            }
            Err(_) => {}
        }
    }
    site
}

/// Before anybody starts again.
pub(crate) fn after_death(known: &Known, ran: &Ran) -> Violations {
    let mut violations = Violations::new();
    let shown = ran.shown();
    if !is_whole(known, &shown) {
        violations.push(format!("TORN: what is shown is neither old nor new: {}", names(&shown)));
    }
    if ran.is_promised() && shown != known.new {
        violations.push(format!("LOST: acknowledged and not shown: {}", names(&shown)));
    }
    match format::head(&ran.pod.volume()) {
        Err(wrong) => violations.push(format!("TORN: the journal names what is not there: {wrong}")),
        Ok(head) => {
            if known.old != known.new && shown == known.new && !head.is_some_and(|head| known.is_of(&head, &shown)) {
                violations.push("TORN: the new site is shown, and the journal's head is another".into());
            }
        }
    }
    violations
}

/// Starts again, and after some of the points, told by their number, once more: then there is nothing to do.
pub(crate) fn again(known: &Known, ran: &Ran, environment: Environment<'_>, n: usize) -> Violations {
    let (scenario, volume) = (known.scenario, ran.pod.volume());
    let restart = || {
        let mut session = Session::new(&ran.pod, scenario.flags, environment, None);
        (scenario.again)(&mut session);
        session.end();
        match session.told {
            Told::Done => Ok(()),
            told => Err(format!("the next start fails: {told:?}\n{}", session.log)),
        }
    };
    if let Err(wrong) = restart() {
        return vec![wrong];
    }
    let mut violations = settled(known, ran);
    if !n.is_multiple_of(TWICE) && !is_torture() {
        return violations;
    }
    let before = still(&volume);
    match restart() {
        Err(wrong) => violations.push(wrong),
        Ok(()) => {
            let after = still(&volume);
            let differs = |path: &&std::path::PathBuf| before.get(*path) != after.get(*path);
            let paths: BTreeSet<_> = before.keys().chain(after.keys()).filter(differs).collect();
            if !paths.is_empty() {
                violations.push(format!("a start with nothing to do writes: {paths:?}"));
            }
        }
    }
    violations
}

/// After a start that had everything to finish.
fn settled(known: &Known, ran: &Ran) -> Violations {
    let (volume, shown) = (ran.pod.volume(), ran.shown());
    let mut violations = Violations::new();
    let head = match format::head(&volume) {
        Ok(head) => head.unwrap_or_default(),
        Err(wrong) => return vec![format!("TORN: the journal names what is not there: {wrong}")],
    };
    if !known.is_of(&head, &shown) {
        violations.push(format!("the start does not show the head: {}", names(&shown)));
    }
    if shown != known.old && shown != known.new {
        violations.push(format!("TORN: the start shows neither old nor new: {}", names(&shown)));
    }
    if ran.is_promised() && shown != known.new {
        violations.push(format!("LOST: acknowledged and not shown after a start: {}", names(&shown)));
    }
    violations.extend(dressed(&volume.join(known.scenario.root), &head));
    // Our directory is used, and swept, once it is complete; `trees` is made last.
    let swept: &[&str] =
        if volume.join(".longshore/trees").exists() { &["staging", "proposed", "uploads"] } else { &[] };
    for folder in swept {
        for left in fs::read_dir(volume.join(".longshore").join(folder)).into_iter().flatten().flatten() {
            violations.push(format!("left lying: {}", left.path().display()));
        }
    }
    violations.extend(empty_folders(&volume.join(known.scenario.root)));
    if fs::symlink_metadata(volume.join("..data_tmp")).is_ok() {
        violations.push("left lying at the root: ..data_tmp".into());
    }
    let tops: BTreeSet<&str> = shown.keys().filter_map(|path| path.split('/').next()).collect();
    for path in visible(&volume.join(known.scenario.root)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !tops.contains(&*name) {
            violations.push(format!("left lying at the root: {name}"));
        }
    }
    violations
}

/// Folders in which there is nothing: a release has none.
fn empty_folders(root: &Path) -> Violations {
    let mut violations = Violations::new();
    let mut paths = if root.exists() { visible(root) } else { Vec::new() };
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let below: Vec<_> =
                fs::read_dir(&path).expect("a folder lists").flatten().map(|entry| entry.path()).collect();
            if below.is_empty() {
                violations.push(format!("left lying: an empty folder, {}", path.display()));
            }
            paths.extend(below);
        }
    }
    violations
}

/// Whether a reader finds one of the two sites; with plain files, of each file one of its two states.
fn is_whole(known: &Known, shown: &Site) -> bool {
    if known.scenario.is_atomic {
        return *shown == known.old || *shown == known.new;
    }
    let paths: BTreeSet<_> = known.old.keys().chain(known.new.keys()).chain(shown.keys()).collect();
    paths.into_iter().all(|path| {
        let now = shown.get(path);
        now == known.old.get(path) || now == known.new.get(path)
    })
}

impl Known {
    /// Whether a release is the one that the scenario makes.
    pub(super) fn is_new(&self, release: &Release) -> bool {
        self.is_of(release, &self.new)
    }

    /// Whether a site is that of a release, perhaps with files beside it that the new one dropped and that linger.
    fn is_of(&self, release: &Release, site: &Site) -> bool {
        let lingers = |path: &String| self.scenario.flags.contains(&"--linger") && self.old.contains_key(path);
        let is_right = |(path, bytes): (&String, &Vec<u8>)| match release.get(path) {
            Some(file) => crate::uploads::hex(bytes) == file.digest,
            None => lingers(path),
        };
        release.keys().all(|path| site.contains_key(path)) && site.iter().all(is_right)
    }
}

/// Modes and mtimes are those that the release says.
fn dressed(root: &Path, release: &Release) -> Violations {
    let mut violations = Violations::new();
    for (path, file) in release {
        let Ok(about) = fs::metadata(root.join(path)) else { continue };
        let mode = if file.is_executable { 0o755 } else { 0o644 };
        if (about.mode() & 0o7777, about.mtime(), about.mtime_nsec()) != (mode, file.mtime, 0) {
            let (mode, mtime) = (about.mode(), about.mtime());
            violations.push(format!("{path} has mode {mode:o} and mtime {mtime}, not what the release says"));
        }
    }
    violations
}

/// The volume without replaced generations: those go when their time is over.
fn still(volume: &Path) -> Listing {
    let live = fs::read_link(volume.join("..data")).unwrap_or_default();
    let mut listing = listing(volume);
    let trees = Path::new(".longshore/trees");
    listing.retain(|path, _| path.starts_with(&live) || !path.starts_with(trees));
    listing
}

fn names(site: &Site) -> String {
    let name = |(path, bytes): (&String, &Vec<u8>)| format!("{path} = {:?}", String::from_utf8_lossy(bytes));
    site.iter().map(name).collect::<Vec<_>>().join(", ")
}
