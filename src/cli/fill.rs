//! `longshore fill`: an empty volume is filled, once.

use std::{sync::Arc, time::Duration};

use tokio::runtime;

use super::{Failure, locations, progress::Display};
use crate::{
    depot::{Depot, Error, Filled, Occasion, Options, Waiting},
    settings::Fill,
    shutdown::Shutdown,
    source::Progress,
};

/// How long to wait for another process that fills the same volume: it may have much to write.
const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks at what is left to be removed.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(settings: &Fill) -> Result<(), Failure> {
    let from = locations(&settings.from)?;
    // For the network only: hashing and writing run on its blocking threads.
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(error.into()))?;
    runtime.spawn(end_on_signal());
    let options =
        Options { patience: PATIENCE, layout: settings.layout.clone(), keep: settings.keep, ..Options::default() };
    let depot = Depot::open(&settings.volume, options)?;
    let recovered = depot.recover()?;
    if !recovered.is_nothing() {
        tracing::info!(?recovered, "finished what an earlier run left");
    }
    let progress = Arc::new(Progress::default());
    let display = Display::of(&progress);
    let filled = depot.fill(&from, settings.when, Occasion::Fill, runtime.handle(), &progress);
    drop(display);
    if let Err(Error::Pinned(pin)) = &filled {
        // Whoever locked it wants what is there: the pod may start with it.
        tracing::warn!(by = pin.by, at = %pin.at, message = pin.message, "the site is locked: it stays as it is");
        return Ok(());
    }
    match filled? {
        Filled::Seeded(outcome) => {
            let entry = &outcome.head.entry;
            let (seq, release, files, bytes) = (entry.seq, entry.release, outcome.changed, outcome.bytes);
            tracing::info!(seq, %release, cause = "seed", files, bytes, "filled");
            // What was replaced goes now, since nobody may come after us.
            while depot.tend().inspect_err(|error| tracing::warn!(%error, "what was replaced stays")).ok()
                == Some(Waiting::Briefly)
            {
                std::thread::sleep(PAUSE);
            }
            match depot.clean() {
                Ok(cleaned) => cleaned.log(),
                Err(error) => tracing::warn!(%error, "what nothing names stays"),
            }
        }
        Filled::Kept(head) => {
            let (seq, release, cause) = (head.entry.seq, head.entry.release, head.entry.cause.as_str());
            tracing::info!(seq, %release, cause, "the volume has its release: nothing to do");
        }
        Filled::Foreign(names) => {
            tracing::warn!(?names, "the volume holds content that Longshore did not put there: left alone");
        }
    }
    Ok(())
}

/// As process 1 of a container we get no signal that we do not ask for. What is staged is swept by the next start.
async fn end_on_signal() {
    match Shutdown::on_signals(Duration::ZERO) {
        Ok(shutdown) => {
            shutdown.recv().await;
            tracing::warn!("ended by a signal: run it again, it finishes or begins anew");
            // As a shell would report SIGTERM.
            std::process::exit(143);
        }
        Err(error) => tracing::warn!(%error, "signals will not end this"),
    }
}
