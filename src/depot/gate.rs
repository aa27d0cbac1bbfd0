//! Asking another program before a release is made.
//!
//! Whoever is asked may take long, and others are to write meanwhile. So a release is staged under the volume's lock, as a
//! whole tree that can be read; then the lock is let go, and whoever is asked looks at it. What passes counts only for the
//! head that it was made from: when another became live, all begins again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, Utc};

use super::{
    Change, Counts, Depot, Error, Notice, Outcome, Proposal, State,
    plan::{Overlay, Plan},
};
use crate::{
    digest::Digest,
    disk::{self, Directory, Kind, Staged, Staging, Stat},
    entry::{Committed, Entry},
    manifest::{File, Tree},
    volume::{self, Layout, Lingering},
};

/// How often one commit asks, when others publish meanwhile.
pub(super) const MOST_ASKS: usize = 5;
/// Commits that may ask at once: each keeps a thread while it waits, and readers need some, too.
const MOST_WAITING: usize = 64;
/// Files that the log names.
const FEW: usize = 20;

/// Who is asked before a release is made.
pub trait Gate: fmt::Debug + Send + Sync {
    /// Whether `proposed` may be made; waits for the answer.
    ///
    /// # Errors
    /// When it may not, or nobody says so.
    fn ask(&self, proposed: &Notice) -> Result<(), Veto>;
}

/// Why a release may not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veto {
    /// In a sentence.
    pub why: String,
    /// The status of the answer, or the exit code.
    pub status: Option<i32>,
    /// What was said about it.
    pub output: String,
    /// Whether it is an answer: else nobody could be asked, and may be able to the next time.
    pub is_answer: bool,
    /// Whether nobody waits any more, since this process ends.
    pub is_ending: bool,
}

/// What became of one try to commit.
#[derive(Debug)]
pub(super) enum Tried {
    /// It has come to its end.
    Done(Outcome),
    /// Somebody has to be asked first.
    Asks(Box<Proposed>),
}

/// A release that is staged, and that somebody is to be asked about.
#[derive(Debug)]
pub(super) struct Proposed {
    notice: Notice,
    /// The tree goes when this is dropped.
    _place: Staging,
    directory: Directory,
    /// Its files, as they were staged.
    seen: BTreeMap<String, Seen>,
    /// Those that the change brings: the others are live.
    brought: BTreeSet<String>,
}

/// A release that was let pass.
#[derive(Debug)]
pub(super) struct Passed {
    previous: Option<Digest>,
    release: Digest,
    at: DateTime<Utc>,
}

impl Passed {
    /// The time of its entry, when it still is for `head`: so that each file has the mtime that was seen.
    pub(super) fn at(&self, head: Option<&Committed>) -> Option<DateTime<Utc>> {
        (self.previous == head.map(|head| head.digest)).then_some(self.at)
    }

    pub(super) fn is_for(&self, entry: &Entry) -> bool {
        self.previous == entry.previous && self.release == entry.release
    }
}

impl Depot {
    /// This depot, asking `gate` before each release but those that are shown already.
    #[must_use]
    pub fn asking(self, gate: Option<Arc<dyn Gate>>) -> Self {
        Self { gate, ..self }
    }

    /// Whether somebody is asked about `change`.
    pub(super) fn asks_for(&self, change: &Change) -> bool {
        self.gate.is_some() && !matches!(change, Change::Adopt { .. })
    }

    /// Commits `proposal` as soon as it is let pass.
    pub(super) fn commit_through_gate(&self, staging: &Staging, proposal: &Proposal<'_>) -> Result<Outcome, Error> {
        let mut passed = None;
        let mut asked = 0;
        loop {
            let proposed = match self.try_commit(staging, proposal, passed.as_ref())? {
                Tried::Done(outcome) => return Ok(outcome),
                Tried::Asks(_) if asked == MOST_ASKS => return Err(Error::Overtaken),
                Tried::Asks(proposed) => proposed,
            };
            asked += 1;
            let waiting = Waiting::begin(&self.asking)?;
            let answer = self.gate.as_ref().map_or(Ok(()), |gate| gate.ask(&proposed.notice));
            drop(waiting);
            // Also where the answer is no: what is live may have been written to.
            let unwritten = proposed.check_unwritten();
            answer.map_err(|veto| Error::Vetoed(Box::new(veto)))?;
            unwritten?;
            let Entry { previous, release, at, .. } = proposed.notice.entry;
            passed = Some(Passed { previous, release, at });
        }
    }

    /// Stages what `planned` makes of the site as a tree that others can read. The caller holds the lock.
    pub(super) fn propose(
        &self,
        state: &State,
        staging: &Staging,
        planned: &Plan,
        entry: Entry,
    ) -> Result<Proposed, Error> {
        let nodes = Overlay::new(state.store.nodes(), &planned.nodes);
        // What is in the way is adopted now, not when somebody was asked.
        let top = self.volume.top(&nodes, planned.release, &Lingering::default())?;
        if let Some(name) = self.volume.in_the_way(top.iter().map(|name| &**name))?.first() {
            return Err(volume::Error::InTheWay { path: name.to_string_lossy().into() }.into());
        }
        let place = state.home.propose()?;
        let mut sent: HashMap<Digest, &Staged> = HashMap::new();
        for (staged, mtime) in &planned.files {
            // What the store has is not touched: it may be live.
            if !state.store.holds(&staged.digest, staged.size)? && !sent.contains_key(&staged.digest) {
                staging.dress(staged, *mtime)?;
                sent.insert(staged.digest, staged);
            }
        }
        let object = |digest: &Digest| match sent.get(digest) {
            Some(staged) => Ok((staging.directory().clone(), staged.name.clone())),
            None => state.store.object(digest),
        };
        let live = match self.volume.layout() {
            Layout::Files => None,
            Layout::Docroot | Layout::Link(_) => self.volume.live()?,
        };
        let tree = state.home.grow_proposal(&place, &nodes, planned.release, live.as_deref(), &object)?;
        let (directory, seen) = (tree.clone(), seen(&tree)?);
        let (tree, tree_in_volume) = self.whereabouts(&tree);
        let site = Tree::<File>::new(&nodes, planned.release.manifest).total()?;
        let counts = Some(Counts::of(&planned.changes));
        let set = planned.changes.iter().filter_map(|change| change.is.map(|(file, _)| (&change.path, file.digest)));
        let brought = set.filter(|(_, digest)| sent.contains_key(digest)).map(|(path, _)| path.to_string()).collect();
        let notice = Notice { entry, counts, site, tree, tree_in_volume };
        Ok(Proposed { notice, _place: place, directory, seen, brought })
    }
}

/// One more that waits for an answer, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Result<Self, Error> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) < MOST_WAITING { Ok(waiting) } else { Err(Error::TooManyAsk) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Proposed {
    /// Fails when somebody wrote to a file of the tree while it was looked at: a file that is to be published, or one that
    /// is live, may share its bytes.
    fn check_unwritten(&self) -> Result<(), Error> {
        let now = seen(&self.directory)?;
        let differs = |(path, was): &(&String, &Seen)| now.get(*path).is_none_or(|now| !now.is_same(was));
        let mut written = self.seen.iter().filter(differs).map(|(path, _)| path.as_str()).peekable();
        let Some(first) = written.peek().copied() else { return Ok(()) };
        // A copy, or a file that is gone from the tree, is nobody's but the tree's.
        let is_shared = |path: &&str| now.get(*path).is_some_and(|now| now.is_shared) && !self.brought.contains(*path);
        let live: Vec<&str> = written.filter(is_shared).collect();
        if !live.is_empty() {
            tracing::error!(
                count = live.len(),
                files = live[..live.len().min(FEW)].join(", "),
                "files were written to in the staged tree that are live as well: send them again"
            );
        }
        let why = format!("it, or somebody else, wrote to {first} in the staged tree, which is only to be read");
        Err(Error::Vetoed(Box::new(Veto {
            why,
            status: None,
            output: String::new(),
            is_answer: true,
            is_ending: false,
        })))
    }
}

/// What tells whether a file was written to.
#[derive(Clone, Copy, Debug)]
struct Seen {
    inode: u64,
    size: u64,
    mtime: (i64, u32),
    /// Whether it has other names: a release, or what is live, may have the same bytes.
    is_shared: bool,
}

impl Seen {
    fn is_same(&self, other: &Self) -> bool {
        (self.inode, self.size, self.mtime) == (other.inode, other.size, other.mtime)
    }
}

/// All files below `tree`.
fn seen(tree: &Directory) -> Result<BTreeMap<String, Seen>, disk::Error> {
    let mut files = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let directory = if folder.is_empty() { tree.clone() } else { tree.directory(&folder)? };
        for name in directory.list()? {
            let path = if folder.is_empty() { String::new() } else { format!("{folder}/") } + &name.to_string_lossy();
            let Some(stat) = disk::if_there(directory.stat(&name))? else { continue };
            if stat.kind == Kind::Directory {
                folders.push(path);
            } else {
                let Stat { inode, size, mtime, mtime_nanos, links, .. } = stat;
                files.insert(path, Seen { inode, size, mtime: (mtime, mtime_nanos), is_shared: links > 1 });
            }
        }
    }
    Ok(files)
}
