//! `--pre-publish`: asking before a release is made.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    Hook,
    call::{Caller, count, unanswered},
    message::Message,
};
use crate::{
    depot::{Gate, Notice, Veto},
    shutdown::Shutdown,
    telemetry::Metrics,
};

const EVENT: &str = "pre-publish";

/// Asks a hook whether a release may be made.
#[derive(Debug)]
pub struct Pre {
    caller: Caller,
    metrics: Arc<Metrics>,
    /// From when on nobody waits for an answer.
    end: Shutdown,
    runtime: Handle,
}

impl Pre {
    /// Asks `hook`, which may take as long as `timeout`, until `end` begins.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(hook: Hook, timeout: Duration, metrics: Arc<Metrics>, end: Shutdown) -> Result<Self, reqwest::Error> {
        Ok(Self { caller: Caller::new(hook, timeout)?, metrics, end, runtime: Handle::current() })
    }
}

impl Gate for Pre {
    fn ask(&self, proposed: &Notice) -> Result<(), Veto> {
        let message = Message::new(EVENT, proposed);
        let answer = self.runtime.block_on(async {
            tokio::select! {
                () = self.end.recv() => Err(Veto { is_ending: true, ..unanswered("this process ends".into()) }),
                answer = self.caller.call(&message) => answer,
            }
        });
        count(&self.metrics, EVENT, &answer);
        answer
    }
}
