//! The request to end, as one value that everybody may hold.
//!
//! The first SIGTERM or SIGINT begins the end: readiness goes, listeners stop accepting, running requests may finish
//! until the grace is over. A second signal ends the process at once: somebody is waiting at a terminal. As process 1
//! of a container the kernel delivers a signal only to a handler, so `fill` needs [`Shutdown::on_signals`] as much as
//! `serve` does; without it a Pod that is deleted hangs until SIGKILL.
//!
//! It does not promise that anything stopped, only that everybody can know.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

/// The request to end; clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// When it began, once it has.
    begun: Arc<watch::Sender<Option<Instant>>>,
    grace: Duration,
    /// The task that waits for signals; it ends with the last clone.
    _signals: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Shutdown {
    /// A request that only [`Self::begin`] makes.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self { begun: Arc::new(watch::channel(None).0), grace, _signals: None }
    }

    /// A request that SIGTERM and SIGINT make too, from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    ///
    /// # Panics
    /// Outside a tokio runtime with signals enabled.
    pub fn on_signals(grace: Duration) -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::new(grace);
        let waiting = tokio::spawn(wait(terminate, interrupt, Arc::clone(&shutdown.begun)));
        Ok(Self { _signals: Some(Arc::new(AbortOnDropHandle::new(waiting))), ..shutdown })
    }

    /// Begins the end; the first call counts.
    pub fn begin(&self) {
        begin(&self.begun);
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.begun.borrow().is_some()
    }

    /// Waits until the end begins.
    pub async fn recv(&self) {
        self.begun_at().await;
    }

    /// Waits until the end has begun and its grace is over.
    pub async fn deadline(&self) {
        tokio::time::sleep_until(self.begun_at().await + self.grace).await;
    }

    async fn begun_at(&self) -> Instant {
        let mut watching = self.begun.subscribe();
        // `self` keeps the sender, so the channel cannot close while we wait.
        let begun = watching.wait_for(Option::is_some).await.expect("the sender lives as long as self");
        begun.expect("it was waited for")
    }
}

fn begin(begun: &watch::Sender<Option<Instant>>) -> bool {
    begun.send_if_modified(|at| {
        let first = at.is_none();
        if first {
            *at = Some(Instant::now());
        }
        first
    })
}

async fn wait(mut terminate: Signal, mut interrupt: Signal, begun: Arc<watch::Sender<Option<Instant>>>) {
    loop {
        let (name, number) = tokio::select! {
            _ = terminate.recv() => ("SIGTERM", 15),
            _ = interrupt.recv() => ("SIGINT", 2),
        };
        if begin(&begun) {
            tracing::info!(signal = name, "ending");
        } else {
            tracing::warn!(signal = name, "ending at once");
            // As a shell would report the signal itself.
            std::process::exit(128 + number);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{self, Signal};

    use super::*;

    #[tokio::test]
    async fn everybody_learns_of_it_late_or_early() {
        let shutdown = Shutdown::new(Duration::ZERO);
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.recv().await }
        });
        tokio::task::yield_now().await;
        assert!(!shutdown.is_begun());
        shutdown.begin();
        early.await.expect("it learnt");
        shutdown.clone().recv().await;
        assert!(shutdown.is_begun());
    }

    #[tokio::test]
    async fn the_grace_counts_from_the_first_request() {
        let shutdown = Shutdown::new(Duration::from_millis(200));
        let start = Instant::now();
        shutdown.begin();
        tokio::time::sleep(Duration::from_millis(100)).await;
        shutdown.begin();
        shutdown.deadline().await;
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(290), "{took:?}");
    }

    #[tokio::test]
    async fn a_signal_begins_it() {
        let shutdown = Shutdown::on_signals(Duration::ZERO).expect("handlers");
        process::kill_process(process::getpid(), Signal::TERM).expect("a signal to ourselves");
        tokio::time::timeout(Duration::from_secs(5), shutdown.recv()).await.expect("it began");
    }
}
