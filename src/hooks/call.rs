//! One call of a hook, whatever kind it is of.

use std::{error::Error as StdError, time::Duration};

use reqwest::{Client, Response, header, redirect};

use super::{Hook, message::Message, program};
use crate::{
    depot::Veto,
    source,
    telemetry::{Metrics, Told},
};

/// Bytes that are kept of what a hook says.
pub(super) const MOST_OUTPUT: usize = 16 * 1024;

/// What calls a hook.
#[derive(Debug)]
pub(super) struct Caller {
    hook: Hook,
    timeout: Duration,
    /// None where none is needed.
    client: Option<Client>,
}

impl Caller {
    pub(super) fn new(hook: Hook, timeout: Duration) -> Result<Self, reqwest::Error> {
        // A connection a call: one that was kept may be closed just when it is used, which would be no answer.
        let builder =
            || Client::builder().redirect(redirect::Policy::none()).timeout(timeout).pool_max_idle_per_host(0);
        let client = matches!(hook, Hook::Address(_)).then(|| source::build_client(builder)).transpose()?;
        Ok(Self { hook, timeout, client })
    }

    /// Calls it once. An error says what it answered, or why it did not.
    pub(super) async fn call(&self, message: &Message<'_>) -> Result<(), Veto> {
        match (&self.hook, &self.client) {
            (Hook::Address(url), Some(client)) => {
                let request = client.post(url.clone()).header(header::CONTENT_TYPE, "application/json");
                match request.body(message.to_json()).send().await {
                    Ok(answer) if answer.status().is_success() => Ok(()),
                    Ok(answer) => {
                        let veto = refused(answer).await;
                        let (output, why) = (self.hook.conceal(veto.output), self.hook.conceal(veto.why));
                        Err(Veto { output, why, ..veto })
                    }
                    Err(error) if error.is_timeout() => Err(unanswered(self.too_late())),
                    Err(error) => Err(unanswered(causes(&error.without_url()))),
                }
            }
            (Hook::Program(path), _) => program::run(path, message, self.timeout).await,
            (Hook::Address(_), None) => unreachable!("an address has a client"),
        }
    }

    fn too_late(&self) -> String {
        format!("it did not answer within {:?}", self.timeout)
    }
}

/// What becomes of a call, for the metrics.
pub(super) fn count(metrics: &Metrics, hook: &'static str, answer: &Result<(), Veto>) {
    let told = match answer {
        Ok(()) => Told::Accepted,
        Err(veto) if veto.is_answer => Told::Refused,
        Err(_) => Told::Failed,
    };
    metrics.told(hook, told);
}

/// A hook that could not be asked.
pub(super) fn unanswered(why: String) -> Veto {
    Veto { why, status: None, output: String::new(), is_answer: false, is_ending: false }
}

/// What a hook said, as text.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_OUTPUT)]).into_owned()
}

async fn refused(mut answer: Response) -> Veto {
    let (status, mut output) = (answer.status(), Vec::new());
    // What was read until it was cut, or until the time was over, is what it said.
    while output.len() < MOST_OUTPUT
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        output.extend_from_slice(&chunk);
    }
    let why = format!("it answered {status}");
    Veto { why, status: Some(status.as_u16().into()), output: text(&output), is_answer: true, is_ending: false }
}

/// An error and its causes, in one line, none twice.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
