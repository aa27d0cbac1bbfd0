//! Noticing what somebody does to the volume by hand, an old `kubectl cp` habit.
//!
//! A slow scan is the truth; events are quick, but only hints (none comes on network file systems, and watches are
//! limited). What an event names is looked at first: mostly it is what we published ourselves, and the site need not be
//! compared for that.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::{
    depot::{Depot, Error, Look, Looks},
    shutdown::Shutdown,
    telemetry::Metrics,
};

/// Time between two looks at the whole volume.
const SCAN: Duration = Duration::from_mins(1);
/// After an event, how long to wait for those that come with it; and until what is taken over has to be still.
const SETTLE: Duration = Duration::from_millis(1_100);
/// Paths that are looked at one by one; with more, the whole volume is.
const MOST: usize = 256;
/// Names in the log.
const FEW: usize = 5;

/// Notices what is changed by hand.
#[derive(Debug)]
pub struct Inspect {
    /// What is looked at.
    pub depot: Arc<Depot>,
    /// Where the volume is mounted.
    pub volume: PathBuf,
    /// Told of what is found.
    pub metrics: Arc<Metrics>,
}

/// What the events named since the last look.
#[derive(Debug, Default)]
struct Stirred {
    paths: Mutex<BTreeSet<PathBuf>>,
    notify: Notify,
}

/// One task's memory, handed to the thread that looks and back.
struct Memory {
    looks: Looks,
    said: Vec<String>,
    is_unsettled: bool,
    watch: Watch,
}

impl Inspect {
    /// Looks until `shutdown` begins. Failures are logged and tried again.
    pub async fn run(self, shutdown: Shutdown) {
        let this = Arc::new(self);
        let stirred = Arc::new(Stirred::default());
        let watch = Watch::new(this.volume.clone(), &stirred);
        let mut memory = Memory { looks: Looks::default(), said: Vec::new(), is_unsettled: false, watch };
        let mut wait = Duration::ZERO;
        loop {
            let mut is_hint = false;
            tokio::select! {
                () = shutdown.recv() => return,
                () = tokio::time::sleep(wait) => {}
                () = stirred.notify.notified() => {
                    is_hint = true;
                    tokio::select! {
                        () = shutdown.recv() => return,
                        () = tokio::time::sleep(SETTLE) => {}
                    }
                }
            }
            let paths = std::mem::take(&mut *stirred.paths.lock().unwrap_or_else(PoisonError::into_inner));
            let look = Arc::clone(&this);
            let looking = tokio::task::spawn_blocking(move || {
                let wait = look.look(&mut memory, is_hint.then_some(&paths));
                (memory, wait)
            });
            match looking.await {
                Ok((back, next)) => (memory, wait) = (back, next),
                Err(error) => {
                    tracing::error!(%error, "looking at the volume failed: what is changed by hand is not noticed");
                    return;
                }
            }
        }
    }

    /// Looks at what events named, or at everything; tells when to look again.
    fn look(&self, memory: &mut Memory, hinted: Option<&BTreeSet<PathBuf>>) -> Duration {
        let folders = self.depot.folders_to_watch();
        // What happened in another generation before it was watched has no event.
        let is_new = folders.is_ok_and(|folders| memory.watch.follow(&folders));
        let looked = self.try_look(memory, hinted.filter(|_| !is_new));
        for _ in 0..self.depot.take_adopted() {
            self.metrics.committed("adopt");
        }
        match looked {
            Ok(Some(look)) => {
                self.say(&mut memory.said, &look);
                memory.is_unsettled = look.is_unsettled;
                if look.is_unsettled { SETTLE } else { SCAN }
            }
            Ok(None) => {
                memory.is_unsettled = true;
                SETTLE
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "what was changed by hand stays as it is");
                SCAN
            }
        }
    }

    fn try_look(&self, memory: &mut Memory, hinted: Option<&BTreeSet<PathBuf>>) -> Result<Option<Look>, Error> {
        let named: Option<Vec<&str>> = hinted.filter(|paths| paths.len() < MOST).and_then(|paths| {
            paths.iter().map(|path| path.strip_prefix(&self.volume).ok().and_then(Path::to_str)).collect()
        });
        let is_news = |named: &&str| !memory.said.iter().any(|said| named.ends_with(&**said));
        if let Some(named) = named.filter(|named| !memory.is_unsettled && named.iter().all(is_news))
            && self.depot.is_expected(named.into_iter())?
        {
            return Ok(Some(Look { drifted: memory.said.clone(), is_unsettled: false }));
        }
        self.depot.inspect(&mut memory.looks)
    }

    fn say(&self, said: &mut Vec<String>, look: &Look) {
        self.metrics.drifts(look.drifted.len());
        if *said == look.drifted {
            return;
        }
        said.clone_from(&look.drifted);
        let (files, few) = (said.len(), &said[..said.len().min(FEW)]);
        match files {
            0 => tracing::info!("the volume shows the release again, and nothing else"),
            _ => tracing::warn!(files, ?few, "the volume was changed by hand"),
        }
    }
}

/// Watches the root and the folders of the live generation.
struct Watch {
    volume: PathBuf,
    watcher: Option<RecommendedWatcher>,
    /// What is watched with all below it.
    folders: Vec<PathBuf>,
    is_limited: bool,
}

impl Watch {
    fn new(volume: PathBuf, stirred: &Arc<Stirred>) -> Self {
        let heard = Arc::clone(stirred);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Our own looking is an `Access`, and would wake us for ever.
            if let Ok(Event { kind, paths, .. }) = event
                && !matches!(kind, EventKind::Access(_))
            {
                let mut all = heard.paths.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MOST.saturating_sub(all.len());
                all.extend(paths.into_iter().take(room));
                heard.notify.notify_one();
            }
        });
        let watched = watcher.and_then(|mut watcher| {
            watcher.watch(&volume, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher =
            watched.inspect_err(|error| tracing::info!(%error, "the volume is not watched, only scanned")).ok();
        Self { volume, watcher, folders: Vec::new(), is_limited: false }
    }

    /// Watches `folders`; tells whether they are others than before.
    fn follow(&mut self, folders: &[String]) -> bool {
        let folders: Vec<_> = folders.iter().map(|folder| self.volume.join(folder)).collect();
        let Some(watcher) = self.watcher.as_mut().filter(|_| folders != self.folders && !self.is_limited) else {
            return false;
        };
        for before in self.folders.drain(..) {
            // They may be gone already.
            let _ = watcher.unwatch(&before);
        }
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::Recursive) {
                self.is_limited = matches!(error.kind, ErrorKind::MaxFilesWatch);
                tracing::warn!(%error, "not every folder is watched: what is changed by hand there is found by the scan");
            }
        }
        self.folders = folders;
        true
    }
}
