//! Dying, and failing, at every system call that changes a volume.
//!
//! A [`Scenario`] says how a volume comes to be and what is then done to it. The harness does that once to record it, and
//! then once for each of its calls on a volume in the state before: killed before that call, or with that call failing.
//! After each the oracle looks: what is shown is the old site or the new one, never a mix; what was acknowledged is there;
//! the next start finishes, leaves nothing lying about, and the one after it writes nothing.

mod errors;
mod format;
mod freeze;
mod kill;
mod links;
mod mistakes;
mod operations;
mod oracle;
mod scenario;
mod scenarios;
mod session;
mod uploads;

pub(crate) use mistakes::{shown_by_a_death, shown_by_a_failed_sync};
