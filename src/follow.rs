//! Following a source: what appears there is published here.
//!
//! A timer is the truth; a local directory is watched besides, since an event is quick but only a hint (none comes on
//! network file systems, and a ConfigMap's swap shows only on the directory around the link). Each look first asks for
//! a mark that is cheap to get; content is read only when that changed.

mod ask;

pub use ask::{Answer, Asker, Asks, Looked, asking};

use std::{path::Path, sync::Arc, time::Duration};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{runtime::Handle, sync::Notify, time::timeout};

use crate::{
    depot::{Depot, Error, Filled, Occasion, When},
    digest::Digest,
    shutdown::Shutdown,
    source::{Kind, Location, Progress, Source},
    telemetry::{Metrics, Outcome},
};

/// After an event, how long to wait for those that come with it: an editor writes in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// A follower of some sources, in order of preference.
#[derive(Debug)]
pub struct Follow {
    /// Where the content is shown.
    pub depot: Arc<Depot>,
    /// Where it comes from: the first that is there.
    pub from: Vec<Location>,
    /// Time between two looks.
    pub every: Duration,
    /// What may be replaced.
    pub when: When,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What was seen at the last look that came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Of the source.
    mark: Digest,
    /// Of the site.
    release: Option<Digest>,
}

/// What is known from one look to the next.
#[derive(Clone, Debug, Default)]
struct Memory {
    seen: Option<Seen>,
    /// Whether it was said that the site is locked.
    was_locked: bool,
    /// What the pre-publish hook refused last. What was seen before stays: the source has changed since.
    refused: Option<Seen>,
    /// What was said last of a veto.
    veto: Option<String>,
}

impl Follow {
    /// Follows until `shutdown` begins. Failures are logged and tried again.
    pub async fn run(self, mut asks: Asks, shutdown: Shutdown) {
        let stirred = Arc::new(Notify::new());
        let _watchers: Vec<_> = self.from.iter().filter_map(|from| watch(from, &stirred)).collect();
        let this = Arc::new(self);
        this.metrics.follows();
        let mut memory = Memory::default();
        let mut waiting = Vec::new();
        while !shutdown.is_begun() {
            asks.take(&mut waiting);
            let look = Arc::clone(&this);
            let runtime = Handle::current();
            let is_asked = !waiting.is_empty();
            let mut remembered = memory.clone();
            let looking = tokio::task::spawn_blocking(move || {
                let memory = &mut remembered;
                if is_asked {
                    memory.refused = None;
                }
                let answer = look.look(memory, &runtime);
                (remembered, answer)
            });
            tokio::select! {
                // A source that does not answer may take a minute: nobody waits for it, and what is staged is swept.
                () = shutdown.recv() => break,
                looked = looking => match looked {
                    Ok((now, answer)) => {
                        memory = now;
                        for ask in waiting.drain(..) {
                            // Who asked may have gone.
                            let _ = ask.send(answer.clone());
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "a look at the source failed");
                        waiting.clear();
                    }
                }
            }
            tokio::select! {
                () = shutdown.recv() => break,
                ask = asks.next() => waiting.push(ask),
                stirred = timeout(this.every, stirred.notified()) => if stirred.is_ok() {
                    tokio::time::sleep(SETTLE).await;
                }
            }
        }
    }

    fn look(&self, memory: &mut Memory, runtime: &Handle) -> Answer {
        match self.try_look(memory, runtime) {
            Ok(outcome) => {
                self.metrics.looked(outcome);
                memory.was_locked = false;
                Ok(Looked { outcome, head: self.depot.head().map_err(Arc::new)? })
            }
            Err(error @ Error::Pinned(_)) => {
                // Said once. What was seen is not remembered: it follows once the release is unlocked.
                if !std::mem::replace(&mut memory.was_locked, true) {
                    tracing::info!(%error, "the source is not followed while the site is locked");
                }
                self.metrics.looked(Outcome::Unchanged);
                Err(error.into())
            }
            Err(error @ Error::Vetoed(_)) => {
                memory.was_locked = false;
                // A hook that is away would else be complained of at each look.
                let said = error.to_string();
                if memory.veto.as_ref() != Some(&said) {
                    tracing::warn!(%error, "what the source has is not published");
                    memory.veto = Some(said);
                }
                self.metrics.looked(Outcome::Unchanged);
                Err(error.into())
            }
            Err(error) => {
                memory.was_locked = false;
                let outcome = match &error {
                    Error::Source(error) => match error.kind() {
                        Kind::Absent | Kind::Empty => Outcome::Absent,
                        Kind::Unreachable => Outcome::Unreachable,
                        _ => Outcome::Failed,
                    },
                    _ => Outcome::Failed,
                };
                tracing::warn!(error = &error as &dyn std::error::Error, "the source cannot be followed now");
                self.metrics.looked(outcome);
                match outcome {
                    Outcome::Absent => Ok(Looked { outcome, head: self.depot.head().map_err(Arc::new)? }),
                    _ => Err(error.into()),
                }
            }
        }
    }

    fn try_look(&self, memory: &mut Memory, runtime: &Handle) -> Result<Outcome, Error> {
        let mark = self.mark(runtime)?;
        let release = self.depot.head()?.map(|head| head.entry.release);
        let mut now = Seen { mark, release };
        let occasion = match memory.seen {
            _ if memory.refused == Some(now) => return Ok(Outcome::Unchanged),
            Some(seen) if seen == now => return Ok(Outcome::Unchanged),
            Some(seen) if seen.mark == mark => Occasion::SiteChanged,
            Some(_) => Occasion::Changed,
            None => Occasion::FirstLook,
        };
        let filled = self.depot.fill(&self.from, self.when, occasion, runtime, &Progress::default());
        if let Err(Error::Vetoed(veto)) = &filled {
            memory.refused = veto.is_answer.then_some(now);
        }
        let outcome = match filled? {
            Filled::Seeded(outcome) => {
                let entry = &outcome.head.entry;
                self.metrics.committed(entry.cause.as_str());
                self.metrics.published(entry.seq);
                now.release = Some(entry.release);
                let (seq, release) = (entry.seq, entry.release);
                tracing::info!(seq, %release, cause = "seed", by = "follow", "published");
                Outcome::Committed
            }
            Filled::Kept(_) => Outcome::Unchanged,
            Filled::Foreign(names) => {
                tracing::warn!(?names, "the volume holds somebody else's content, which is left alone");
                Outcome::Unchanged
            }
        };
        *memory = Memory { seen: Some(now), ..Memory::default() };
        Ok(outcome)
    }

    /// The mark of the first source that is there.
    fn mark(&self, runtime: &Handle) -> Result<Digest, Error> {
        let mut absent = None;
        for (place, from) in self.from.iter().enumerate() {
            match Source::open(from, runtime)?.mark() {
                // Which source it is counts too: another one may have the same listing.
                Ok(mark) => return Ok(Digest::of(format!("{place} {mark}"))),
                Err(error) if matches!(error.kind(), Kind::Absent | Kind::Empty) => absent = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(absent.map_or(Error::Nothing, Error::Source))
    }
}

/// Watches a local source; none for others, or where that is not possible.
fn watch(from: &Location, stirred: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let Location::Local(path) = from else { return None };
    let stirred = Arc::clone(stirred);
    let heard = move |event: notify::Result<Event>| {
        // Our own reading opens files, which is an event as well.
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            stirred.notify_one();
        }
    };
    let watched = notify::recommended_watcher(heard).and_then(|mut watcher| {
        watcher.watch(Path::new(path), RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    watched.inspect_err(|error| tracing::info!(source = %from, %error, "not watched: the timer alone looks")).ok()
}
