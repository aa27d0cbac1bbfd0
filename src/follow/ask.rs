//! Asking a follower to look now.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::{depot::Error, entry::Committed, telemetry::Outcome};

/// What a look came to: the outcome, and the head after it.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Whether something was committed, or why not.
    pub outcome: Outcome,
    /// The newest entry.
    pub head: Option<Arc<Committed>>,
}

/// The answer to an ask; several may wait for the same look.
pub type Answer = Result<Looked, Arc<Error>>;

/// Asks that one look answers.
const MOST: usize = 64;

/// Where a follower is asked to look.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<oneshot::Sender<Answer>>);

/// What the follower hears.
#[derive(Debug)]
pub struct Asks(mpsc::Receiver<oneshot::Sender<Answer>>);

/// An asker, and what it is heard by.
#[must_use]
pub fn asking() -> (Asker, Asks) {
    let (send, receive) = mpsc::channel(MOST);
    (Asker(send), Asks(receive))
}

impl Asker {
    /// What a look finds that begins after this call; none when the follower has ended.
    pub async fn ask(&self) -> Option<Answer> {
        let (send, receive) = oneshot::channel();
        self.0.send(send).await.ok()?;
        receive.await.ok()
    }
}

impl Asks {
    /// Waits for an ask; it is for the caller to answer. Never ends when nobody can ask.
    pub(super) async fn next(&mut self) -> oneshot::Sender<Answer> {
        match self.0.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }

    /// All that wait now, after `waiting`: a look that begins now answers them.
    pub(super) fn take(&mut self, waiting: &mut Vec<oneshot::Sender<Answer>>) {
        while let Ok(ask) = self.0.try_recv() {
            waiting.push(ask);
        }
        // Who has gone meanwhile needs no look.
        waiting.retain(|ask| !ask.is_closed());
    }
}
