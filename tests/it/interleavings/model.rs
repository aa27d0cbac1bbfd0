//! The reference model: what the upload door promises, restated on a map of paths and a list of releases.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::script::{Condition, Deploy, Files, SHARED, Step, To};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    pub(super) bytes: String,
    pub(super) executable: bool,
}

/// Files by path.
pub(super) type Site = BTreeMap<String, File>;

/// What a request is answered. Releases stand for their ids, of which the same content always has the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Live(Site),
    /// The statuses of the requests.
    Stored(Vec<u16>),
    Made {
        status: u16,
        seq: u64,
        site: Site,
        changed: u64,
        removed: u64,
        bytes: u64,
    },
    /// A problem, with what is current or missing.
    Refused {
        status: u16,
        kind: String,
        current: Current,
        missing: BTreeSet<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Current {
    Unsaid,
    Nothing,
    Site(Site),
    Bytes(String),
}

/// An entry of the journal.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) site: Rc<Site>,
    /// Whether it made a whole site: where a rollback without a target goes.
    whole: bool,
}

/// A server's past and present.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// Entries before the case, and of it.
    past: Rc<Vec<Release>>,
    new: Vec<Release>,
    /// Contents that need not be sent, but for the shared ones.
    known: BTreeSet<String>,
    /// The number of the entry that was live at the beginning.
    start: u64,
}

/// A content of a case: each has a size of its own.
pub(super) fn bytes(case: u64, content: u8) -> String {
    let case = if content < SHARED { "all".into() } else { case.to_string() };
    format!("{case} {content}{}", "+".repeat(content.into()))
}

pub(super) fn site(case: u64, files: &Files, folder: &str) -> Site {
    let file = |(content, executable): &(u8, bool)| File { bytes: bytes(case, *content), executable: *executable };
    files.iter().map(|(path, content)| (format!("{folder}{path}"), file(content))).collect()
}

/// Whether a file lies below another.
fn has_conflict(site: &Site) -> bool {
    site.keys().any(|path| path.match_indices('/').any(|(end, _)| site.contains_key(&path[..end])))
}

fn refused(status: u16, kind: &str) -> Said {
    Said::Refused { status, kind: kind.into(), current: Current::Unsaid, missing: BTreeSet::new() }
}

/// What a client means to do to a site.
struct Wish<'a> {
    condition: Condition,
    /// The file that the condition is of; none: the site.
    file: Option<&'a str>,
    next: Result<Site, Said>,
    whole: bool,
    /// Whether it says that it may remove much, or all; whether it names what goes.
    meant: bool,
    names_it: bool,
}

impl Model {
    pub(super) fn live(&self) -> Option<&Rc<Site>> {
        self.new.last().or(self.past.last()).map(|release| &release.site)
    }

    pub(super) fn seq(&self) -> u64 {
        (self.past.len() + self.new.len()) as u64
    }

    /// A case begins with what is live; returns the entry's number.
    pub(super) fn begin(&mut self) -> u64 {
        self.start = self.seq();
        self.start
    }

    /// A case is over.
    pub(super) fn settle(&mut self) {
        Rc::make_mut(&mut self.past).append(&mut self.new);
        self.known.clear();
    }

    /// What a step of a client that saw `seen` may be answered, each with what is then. Just one thing when it is alone:
    /// a deploy beside others meets more than one moment of theirs.
    pub(super) fn outcomes(&self, case: u64, step: &Step, seen: &Site, alone: bool) -> Vec<(Said, Self)> {
        let live = self.live().map(|live| (**live).clone()).unwrap_or_default();
        match step {
            Step::Look if live.is_empty() => vec![(refused(404, "not-found"), self.clone())],
            Step::Look => vec![(Said::Live(live), self.clone())],
            Step::Send { contents, at_once } => {
                let mut next = self.clone();
                let new: Vec<bool> = contents
                    .iter()
                    .map(|content| *content >= SHARED && next.known.insert(bytes(case, *content)))
                    .collect();
                let statuses = new.into_iter().map(|new| if new { 201 } else { 200 }).collect();
                let mut said = vec![if *at_once { vec![200] } else { statuses }];
                if !alone && !at_once {
                    // Of two who send the same both may hear that it is new.
                    said = (0..1_u32 << contents.len())
                        .map(|bits| (0..contents.len()).map(|n| if bits >> n & 1 == 1 { 201 } else { 200 }).collect())
                        .collect();
                }
                said.into_iter().map(|statuses| (Said::Stored(statuses), next.clone())).collect()
            }
            Step::Deploy(deploy) => self.deploy(case, deploy, seen, &live, alone),
            Step::Put { path, content, condition } => {
                let mut next = live.clone();
                next.insert((*path).to_owned(), File { bytes: bytes(case, *content), executable: false });
                let creates = !live.contains_key(*path);
                let wish = Wish { condition: *condition, file: Some(path), ..Wish::of(next) };
                let (mut said, next) = self.write(wish, seen, &live);
                if let Said::Made { status, .. } = &mut said {
                    *status = if creates { 201 } else { 200 };
                }
                vec![(said, next)]
            }
            Step::Delete { path, condition } => {
                let mut next = live.clone();
                let gone = next.remove(*path).ok_or_else(|| refused(404, "not-found"));
                let next = gone.map(|_| next);
                let wish =
                    Wish { condition: *condition, file: Some(path), next, names_it: true, ..Wish::of(Site::new()) };
                vec![self.write(wish, seen, &live)]
            }
            Step::DeleteFolder { folder, condition } => {
                let mut next = live.clone();
                next.retain(|path, _| !path.starts_with(folder));
                let next = if next == live { Err(refused(404, "not-found")) } else { Ok(next) };
                vec![self.write(
                    Wish { condition: *condition, next, names_it: true, ..Wish::of(Site::new()) },
                    seen,
                    &live,
                )]
            }
            Step::Archive { folder, clears, files, condition } => {
                let mut next = live.clone();
                next.retain(|path, _| !(*clears && path.starts_with(folder)));
                next.extend(site(case, files, folder));
                let whole = *clears && folder.is_empty();
                vec![self.write(Wish { condition: *condition, whole, ..Wish::of(next) }, seen, &live)]
            }
            Step::RollBack { to, parent, condition } => vec![self.roll_back(*to, *parent, *condition, seen, &live)],
        }
    }

    fn deploy(&self, case: u64, deploy: &Deploy, seen: &Site, live: &Site, alone: bool) -> Vec<(Said, Self)> {
        let set = site(case, &deploy.set, "");
        let is_new = |bytes: &str| !bytes.starts_with("all") && !self.known.contains(bytes);
        let missing: BTreeSet<String> =
            set.values().map(|file| file.bytes.clone()).filter(|bytes| is_new(bytes)).collect();
        let mut next = if deploy.base { seen.clone() } else { Site::new() };
        let gone = deploy.remove.is_none_or(|path| next.remove(path).is_some());
        next.extend(set);
        let next = if gone { Ok(next) } else { Err(refused(404, "not-found")) };
        let wish =
            Wish { condition: deploy.condition, next, whole: true, meant: deploy.meant, ..Wish::of(Site::new()) };
        let mut refusals: Vec<Said> = Vec::new();
        if deploy.parent && seen != live {
            refusals.push(stale(live));
        }
        refusals.extend(wish.unmet(seen, live));
        if !missing.is_empty() {
            let kind = "missing-objects".into();
            refusals.push(Said::Refused { status: 409, kind, current: Current::Unsaid, missing });
        }
        // The first of them; of a deploy beside others, any.
        if alone {
            refusals.truncate(1);
        }
        if !refusals.is_empty() {
            return refusals.into_iter().map(|said| (said, self.clone())).collect();
        }
        let (mut said, next) = self.write(wish, seen, live);
        if let Said::Made { status, .. } = &mut said
            && next.seq() > self.seq()
        {
            *status = 201;
        }
        vec![(said, next)]
    }

    fn roll_back(&self, to: To, parent: bool, condition: Condition, seen: &Site, live: &Site) -> (Said, Self) {
        if parent && seen != live {
            return (stale(live), self.clone());
        }
        let all = || self.new.iter().rev().chain(self.past.iter().rev());
        let found = match to {
            To::Before => {
                let before = all().find(|release| release.whole && *release.site != *live);
                before.map(|release| (*release.site).clone()).ok_or_else(|| refused(409, "nothing-before"))
            }
            To::Seen => Ok(seen.clone()),
            To::Start => Ok((*all().nth((self.seq() - self.start) as usize).expect("it is kept").site).clone()),
            To::Nowhere => Err(refused(404, "no-such-release")),
        };
        match found {
            Err(said) => (said, self.clone()),
            Ok(next) => self.write(Wish { condition, names_it: true, ..Wish::of(next) }, seen, live),
        }
    }

    /// The rules that all writes have in common.
    fn write(&self, wish: Wish<'_>, seen: &Site, live: &Site) -> (Said, Self) {
        if let Some(said) = wish.unmet(seen, live) {
            return (said, self.clone());
        }
        let next = match wish.next {
            Err(said) => return (said, self.clone()),
            Ok(next) if has_conflict(&next) => return (refused(409, "path-conflict"), self.clone()),
            Ok(next) => next,
        };
        let removed = live.keys().filter(|path| !next.contains_key(*path)).count();
        let changed = next.iter().filter(|(path, file)| live.get(*path) != Some(file));
        let (changed, bytes) =
            changed.fold((0, 0), |(files, bytes), (_, file)| (files + 1, bytes + file.bytes.len() as u64));
        let mut after = self.clone();
        if next != *live {
            if next.is_empty() && !wish.meant {
                return (refused(409, "empty-site"), self.clone());
            }
            if !wish.meant && !wish.names_it && removed * 2 > live.len() && next.len() * 2 < live.len() {
                return (refused(409, "too-many-deletions"), self.clone());
            }
            after.new.push(Release { site: Rc::new(next.clone()), whole: wish.whole });
            after.known.extend(next.values().map(|file| file.bytes.clone()));
        }
        (Said::Made { status: 200, seq: after.seq(), site: next, changed, removed: removed as u64, bytes }, after)
    }
}

fn stale(live: &Site) -> Said {
    let current = Current::Site(live.clone());
    Said::Refused { status: 412, kind: "stale-parent".into(), current, missing: BTreeSet::new() }
}

impl Wish<'_> {
    fn of(next: Site) -> Self {
        Self { condition: Condition::None, file: None, next: Ok(next), whole: false, meant: false, names_it: false }
    }

    /// The answer when what it presumes is not so.
    fn unmet(&self, seen: &Site, live: &Site) -> Option<Said> {
        let is = |site: &Site| {
            self.file.map_or_else(
                || Current::Site(site.clone()),
                |path| site.get(path).map_or(Current::Nothing, |file| Current::Bytes(file.bytes.clone())),
            )
        };
        let (was, current) = (is(seen), is(live));
        let there = current != Current::Nothing;
        let holds = match self.condition {
            Condition::None => true,
            Condition::Match => there && was == current,
            Condition::MatchAny => there,
            Condition::NoneMatch => !there || was != current,
            Condition::NoneMatchAny => !there,
        };
        let (status, kind, missing) = (412, "precondition-failed".into(), BTreeSet::new());
        (!holds).then_some(Said::Refused { status, kind, current, missing })
    }
}
