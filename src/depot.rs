//! The one room that holds a store and a volume, and the two verbs.
//!
//! * **commit** appends one entry to the site's journal: "from now on the site is release R".
//! * **apply** makes the volume show the journal's head.
//!
//! Filling, uploading a file, deploying a folder, rolling back are all built of these. The order within a commit is what
//! a power cut tests: objects, manifest nodes and the new generation are durable before the entry; the entry alone
//! decides; then comes the one rename; and only then is anybody told. Before the entry an error leaves the old release,
//! after it the next start goes on to the new one: never a mix.
//!
//! Everything here blocks, and is called from blocking threads.

mod adopt;
mod allowance;
mod announced;
mod apply;
mod author;
mod change;
mod clean;
mod commit;
mod deploy;
mod diverge;
mod error;
mod examine;
mod fill;
mod folders;
mod gate;
mod guard;
mod history;
mod ingest;
mod inspect;
mod keep;
mod limits;
mod linger;
mod live;
mod look;
mod notice;
mod pin;
mod plan;
mod pool;
mod precondition;
mod prepare;
mod preview;
mod reconcile;
mod rehearse;
mod repair;
mod replaced;
mod reserve;
mod retain;
mod seed;
#[cfg(test)]
mod tests;
mod told;
mod uploads;
mod verify;
mod watch;

pub use announced::Coming;
pub use apply::Recovered;
pub use author::Author;
pub use change::{Change, Condition, Proposal};
pub use clean::Cleaned;
pub use commit::Outcome;
pub use deploy::Deploy;
pub use diverge::Divergence;
pub use error::Error;
pub use examine::SiteCondition;
pub use fill::Filled;
pub use gate::{Gate, Veto};
pub use guard::{Guard, MaxDelete};
pub use history::{NotATarget, Rollback, Target};
pub use ingest::Ingest;
pub use inspect::{Look, Looks};
pub use keep::Keep;
pub use limits::{Exceeded, Limits, MinFree};
pub use live::Found;
pub use look::{Changed, Listed};
pub use notice::{Counts, Notice};
pub use pin::Pinned;
pub use precondition::{Precondition, Tags};
pub use reconcile::{Decision, Reconciled};
pub use repair::Repair;
pub use seed::{Occasion, When};
pub use told::Untold;
pub use uploads::{Finished, Piece, Turn, Upload, UploadError, Wanted};
pub use verify::{Finding, Lost, Needs, Place, Scope, Verified, grouped};

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::MutexGuard;

pub use crate::{
    store::Pin,
    volume::{Layout, Waiting},
};

pub use crate::source::Format;
use crate::{
    disk::Staging,
    entry::Committed,
    manifest::{File, Sum, Tree},
    store::Store,
    volume::{self, Home, Lock, Retired, Volume},
};

/// How much longer a write waits for others of its own process than for another one.
const QUEUE: u32 = 12;

/// How a depot works.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long a write waits for another process to free the volume.
    pub patience: Duration,
    /// How the volume is to show a release; none: as it has it.
    pub layout: Option<Layout>,
    /// What stays of the past.
    pub keep: Keep,
    /// How much clients may bring.
    pub limits: Limits,
}

/// A store, a volume, and what this process knows of both.
#[derive(Debug)]
pub struct Depot {
    volume: Volume,
    /// Our directory on the volume, once there is one: this or another process makes it with the first write.
    state: RwLock<Option<Arc<State>>>,
    retired: Mutex<Retired>,
    /// When the root's links were last looked at.
    looked: Mutex<Option<Instant>>,
    /// Taken before the volume's lock: the threads of one process queue here, where waiting costs nothing.
    turn: parking_lot::Mutex<()>,
    /// When another process last kept us from the volume. Taken after the turn.
    refused: parking_lot::Mutex<Option<Instant>>,
    /// How long a write waits for another process to free the volume.
    patience: Duration,
    keep: Keep,
    limits: Limits,
    /// What adoptions exchanged out.
    replaced: Mutex<replaced::Seen>,
    /// Adoptions that nobody has asked for yet.
    adopted: AtomicU64,
    /// Removals for age that nobody has asked for yet.
    expired: AtomicU64,
    /// When what nothing names was last removed; held while that is done.
    cleaned: Mutex<Option<Instant>>,
    /// Whether a write found no room since.
    cramped: AtomicBool,
    /// What this process counted last of the time that it has looked after the volume.
    watched: Mutex<Option<watch::Last>>,
    /// Whether what is changed by hand is taken over.
    adopts: bool,
    /// What was live where the last one reached who reaches one folder only.
    live_objects: Mutex<Option<author::LiveObjects>>,
    /// Commits that wait for the gate's answer.
    asking: AtomicUsize,
    /// Who writes to which upload.
    turns: uploads::Turns,
    /// Who is asked before a release is made.
    gate: Option<Arc<dyn Gate>>,
    /// Set when an entry may have become durable without being shown: from there only a new start knows.
    adrift: AtomicBool,
    /// Whether the journal lacks what the volume has shown: until somebody decides, nothing is written.
    diverged: AtomicBool,
}

/// What is there once a volume has been written to.
#[derive(Debug)]
struct State {
    home: Home,
    store: Store,
}

impl Depot {
    /// The depot on the volume mounted at `path`. Writes nothing yet.
    ///
    /// # Errors
    /// When there is no such directory, it cannot be read, or it has another layout.
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let Options { patience, layout, keep, limits } = options;
        let depot = Self {
            volume: Volume::open(path, layout)?,
            state: RwLock::new(None),
            retired: Mutex::new(Retired::default()),
            looked: Mutex::new(None),
            turn: parking_lot::Mutex::new(()),
            refused: parking_lot::Mutex::new(None),
            patience,
            keep,
            limits,
            replaced: Mutex::default(),
            adopted: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            cleaned: Mutex::new(None),
            cramped: AtomicBool::new(false),
            watched: Mutex::new(None),
            adopts: false,
            asking: AtomicUsize::new(0),
            live_objects: Mutex::default(),
            turns: uploads::Turns::default(),
            gate: None,
            adrift: AtomicBool::new(false),
            diverged: AtomicBool::new(false),
        };
        depot.state()?;
        Ok(depot)
    }

    /// The newest entry; none while the site has not begun.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn head(&self) -> Result<Option<Arc<Committed>>, Error> {
        match self.state()? {
            Some(state) => Ok(state.store.journal().head()?),
            None => Ok(None),
        }
    }

    /// Whether an outcome is unknown, so that this process must not write any more, and should end.
    #[must_use]
    pub fn is_adrift(&self) -> bool {
        self.adrift.load(Ordering::SeqCst)
    }

    /// What stays of the past.
    #[must_use]
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// How much clients may bring.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the live release has; nothing while there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn size(&self) -> Result<Sum, Error> {
        let Some((state, _, release)) = self.serve()? else { return Ok(Sum::default()) };
        Ok(Tree::<File>::new(state.store.nodes(), release.manifest).total()?)
    }

    /// Bytes that an upload leaves free on the volume.
    ///
    /// # Errors
    /// When the disk does not tell.
    pub fn min_free(&self) -> Result<u64, Error> {
        Ok(self.limits.min_free.of(self.volume.root().capacity()?.bytes))
    }

    /// Bytes and inodes free on the volume.
    ///
    /// # Errors
    /// When the disk does not tell.
    pub fn room(&self) -> Result<crate::disk::Room, Error> {
        Ok(self.volume.room()?)
    }

    /// Takes the volume for this thread, waiting `patience` at most for other processes, and longer for others of this one,
    /// as long as these get on: of many large uploads that end together, each is to be published.
    fn lock(&self, state: &State, patience: Duration) -> Result<(MutexGuard<'_, ()>, Lock), Error> {
        let start = Instant::now();
        let turn =
            self.turn.try_lock_for(patience * QUEUE).ok_or(volume::Error::Locked { waited: patience * QUEUE })?;
        let mut refused = self.refused.lock();
        // Whoever waited meanwhile waited for us all.
        let is_over = refused.is_some_and(|at| at >= start);
        let lock = state.home.lock(if is_over { Duration::ZERO } else { patience });
        match lock {
            Ok(_) => *refused = None,
            Err(_) if !is_over && patience >= self.patience => *refused = Some(Instant::now()),
            Err(_) => {}
        }
        drop(refused);
        let lock = lock?;
        // Whoever had it before us may have set this, after we were let in.
        if self.is_adrift() {
            return Err(Error::Adrift);
        }
        Ok((turn, lock))
    }

    fn state(&self) -> Result<Option<Arc<State>>, Error> {
        if let Some(state) = &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Some(state.clone()));
        }
        let Some(home) = self.volume.home()? else { return Ok(None) };
        self.adopt_state(home)
    }

    fn adopt_state(&self, home: Home) -> Result<Option<Arc<State>>, Error> {
        let Some(store) = Store::open(&home.directory, home.mode)? else { return Ok(None) };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(state.get_or_insert_with(|| Arc::new(State { home, store })).clone()))
    }

    /// Our directory, made if need be; refuses while content that cannot be adopted lies where the site would begin.
    fn state_for_writing(&self) -> Result<Arc<State>, Error> {
        self.check_writable()?;
        if let Some(state) = self.state()? {
            return Ok(state);
        }
        let home = self.volume.make_home(&Store::FOLDERS)?;
        // Of somebody who died while making it, before there was anything to recover.
        Staging::sweep(&home.staging)?;
        self.adopt_state(home)?.ok_or(Error::Adrift)
    }

    /// Refuses while nothing may be written.
    fn check_writable(&self) -> Result<(), Error> {
        if self.is_adrift() {
            return Err(Error::Adrift);
        }
        // A volume that has had a release is never filled again as if it were new.
        self.check_divergence()?;
        let state = self.state()?;
        let begun = match &state {
            Some(state) => state.store.journal().head()?.is_some(),
            None => false,
        };
        if begun { Ok(()) } else { self.check_adoptable() }
    }
}
