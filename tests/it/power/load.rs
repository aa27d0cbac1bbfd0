//! The load: clients that change the site at random, and note what was acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
};

use serde_json::{Value, json};

use super::random::Random;
use crate::{archive::tar, http::try_call, pod::TOKEN, stored::Site, uploads::hex};

/// Paths that the clients use; a mix of names at the root and in folders.
const PATHS: [&str; 10] = [
    "index.html",
    "about.html",
    "feed.xml",
    "news/1.html",
    "news/2.html",
    "news/old/3.html",
    "assets/site.css",
    "assets/pictures/ship.svg",
    "docs/a/b/c/deep.html",
    "docs/index.html",
];
const FOLDERS: [&str; 3] = ["news/", "assets/", "docs/"];

/// What a release must be when its deed was acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    /// Files by path, each with its digest.
    pub(crate) has: BTreeMap<String, String>,
    /// Below this nothing else may be: a folder's name, or nothing for the whole site.
    pub(crate) only_below: Option<String>,
    /// The very release.
    pub(crate) is: Option<String>,
}

impl Claim {
    /// Why `site`, the release `release`, is not what was acknowledged.
    pub(crate) fn is_broken_by(&self, release: &str, site: &Site) -> Option<String> {
        if let Some(wanted) = self.is.as_ref().filter(|wanted| *wanted != release) {
            return Some(format!("the release is {release} and not {wanted}"));
        }
        if let Some((path, _)) =
            self.has.iter().find(|(path, digest)| site.get(*path).map(|file| &file.digest) != Some(*digest))
        {
            return Some(format!("{path} is {:?}", site.get(path)));
        }
        let only = self.only_below.as_ref()?;
        let mut below = site.keys().filter(|path| path.starts_with(only.as_str()) || *path == only);
        below.find(|path| !self.has.contains_key(*path)).map(|path| format!("{path} is still there"))
    }
}

/// One request that changes the site.
pub(crate) struct Deed {
    method: &'static str,
    path: String,
    body: Vec<u8>,
    claim: Claim,
}

impl Deed {
    fn random(random: &mut Random, notes: &Notes) -> Self {
        match random.below(100) {
            0..=39 => Self::put(random),
            40..=49 => Self::delete(random),
            50..=64 => Self::archive(random, false),
            65..=84 => Self::archive(random, true),
            85..=91 => Self::merge(random),
            _ => Self::roll_back(random, notes),
        }
    }

    fn put(random: &mut Random) -> Self {
        let (path, body) = (*random.pick(&PATHS), random.bytes(100_000));
        let claim = Claim { has: [(path.to_owned(), hex(&body))].into(), ..Claim::default() };
        Self { method: "PUT", path: format!("/site/{path}"), body, claim }
    }

    fn delete(random: &mut Random) -> Self {
        let path = if random.percent(30) { *random.pick(&FOLDERS) } else { *random.pick(&PATHS) };
        let claim = Claim { only_below: Some(path.to_owned()), ..Claim::default() };
        Self { method: "DELETE", path: format!("/site/{path}?allow-empty=true"), body: Vec::new(), claim }
    }

    /// A whole site or a folder: of so few files that each is synced by itself, or of so many that `syncfs` is used.
    fn archive(random: &mut Random, is_large: bool) -> Self {
        let folder = if random.percent(60) { "" } else { *random.pick(&FOLDERS) };
        let count = if is_large { random.between(17, 60) } else { random.between(2, 9) };
        let (body, has) = pack(&files(random, count), folder);
        let claim = Claim { has, only_below: Some(folder.to_owned()), is: None };
        Self { method: "PUT", path: format!("/site/{folder}?max-delete=all"), body, claim }
    }

    fn merge(random: &mut Random) -> Self {
        let folder = *random.pick(&FOLDERS);
        let count = random.between(1, 25);
        let (body, has) = pack(&files(random, count), folder);
        Self { method: "PATCH", path: format!("/site/{folder}"), body, claim: Claim { has, ..Claim::default() } }
    }

    fn roll_back(random: &mut Random, notes: &Notes) -> Self {
        let releases: Vec<_> = notes.acknowledged().iter().filter_map(|one| one.release.clone()).collect();
        let release = if releases.is_empty() { String::new() } else { random.pick(&releases).clone() };
        let body = if release.is_empty() { json!({}) } else { json!({ "to": release }) };
        let claim = Claim { is: Some(release).filter(|release| !release.is_empty()), ..Claim::default() };
        Self { method: "POST", path: "/v1/rollback".into(), body: body.to_string().into_bytes(), claim }
    }
}

/// Files for an archive or a seed, some in folders.
pub(crate) fn files(random: &mut Random, count: usize) -> BTreeMap<String, Vec<u8>> {
    let name = |number: usize| match number % 4 {
        0 => format!("page-{number}.html"),
        1 => format!("section/{number}.html"),
        2 => format!("section/{}/{number}.html", number % 3),
        _ => format!("media-{}/{number}.bin", number % 2),
    };
    (0..count).map(|number| (name(number), random.bytes(20_000))).collect()
}

/// The digests of files below a folder.
pub(crate) fn digests(files: &BTreeMap<String, Vec<u8>>, folder: &str) -> BTreeMap<String, String> {
    files.iter().map(|(path, bytes)| (format!("{folder}{path}"), hex(bytes))).collect()
}

fn pack(files: &BTreeMap<String, Vec<u8>>, folder: &str) -> (Vec<u8>, BTreeMap<String, String>) {
    let listed: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    (tar(&listed), digests(files, folder))
}

/// What somebody was told is done.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) claim: Claim,
    /// The entry; none when nobody said which, but it was the newest.
    pub(crate) seq: Option<u64>,
    pub(crate) release: Option<String>,
}

/// What the clients know, and what a failed round prints.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    acknowledged: Mutex<Vec<Acknowledged>>,
    log: Mutex<Vec<String>>,
    /// Set just before the power is cut: an error is in order from here on.
    is_cut: AtomicBool,
    /// Whether what is acknowledged after that counts all the same.
    counts_late: bool,
    /// Errors that nothing explains.
    wrong: Mutex<Vec<String>>,
}

impl Notes {
    pub(crate) fn new(counts_late: bool) -> Self {
        Self { counts_late, ..Self::default() }
    }

    pub(crate) fn acknowledged(&self) -> Vec<Acknowledged> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what was acknowledged in time.
    pub(crate) fn acknowledge(&self, one: Acknowledged) {
        if self.is_cut.load(Ordering::SeqCst) && !self.counts_late {
            return;
        }
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }

    pub(crate) fn begin(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn note(&self, line: String) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.wrong.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the site at `url` until the power is gone; tells `acks` of each success.
    pub(crate) fn client(&self, url: &str, random: &mut Random, acks: &Sender<()>) {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str())];
        loop {
            let Deed { method, path, body, claim } = Deed::random(random, self);
            let was_cut = self.is_cut.load(Ordering::SeqCst);
            let answer = try_call(method, &format!("{url}{path}"), &headers, body);
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            let told = answer.as_ref().ok().filter(|_| (200..300).contains(&status));
            let told = told.map(|answer| serde_json::from_slice::<Value>(&answer.body).unwrap_or_default());
            let seq = told.as_ref().and_then(|told| told["seq"].as_u64());
            self.note(format!(
                "{method} {path}: {status} seq {seq:?} {}",
                if was_cut { "(after the cut)" } else { "" }
            ));
            match (status, told) {
                (200..300, Some(told)) => {
                    let release = told["release"].as_str().map(String::from);
                    self.acknowledge(Acknowledged { claim, seq, release });
                    let _ = acks.send(());
                }
                // Nothing there to delete or to go back to.
                (400..500, _) => {}
                _ if self.is_cut.load(Ordering::SeqCst) => return,
                (503, _) => {}
                _ => {
                    let answer = answer.map_or_else(|error| format!("{error:?}"), |answer| answer.to_string());
                    let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
                    wrong.push(format!("{method} {path} failed without a cut: {answer}"));
                    return;
                }
            }
        }
    }
}
