//! `longshore reconcile`: a volume and a journal that do not know each other.

use std::time::Duration;

use super::{Failure, verify::say};
use crate::{
    depot::{Decision, Depot, Options, Reconciled, grouped},
    settings::{Reconcile, Side},
};

/// How long to wait for a server on the same volume.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn run(settings: &Reconcile) -> Result<(), Failure> {
    let depot = Depot::open(&settings.volume, Options { patience: PATIENCE, ..Options::default() })?;
    let reconciled = match settings.keep {
        Side::Store => depot.keep_store()?,
        Side::Volume => depot.keep_volume()?,
    };
    match reconciled {
        Reconciled::Nothing => say("nothing to reconcile: the journal has what the volume shows"),
        Reconciled::Store(decision) => tell("the volume shows the journal's newest", &decision),
        Reconciled::Volume(decision) => tell("what the volume shows is the journal's newest", &decision),
    }
    Ok(())
}

fn tell(what: &str, decision: &Decision) {
    let Decision { head, gave_up, damaged, aside, left } = decision;
    let mut line = format!("{what}: {}, release {}", head.mark(), head.entry.release);
    if let Some(gave_up) = gave_up {
        line += &format!("; given up: {gave_up}");
    }
    if !damaged.is_empty() {
        let damaged: Vec<_> = damaged.iter().map(u64::to_string).collect();
        line += &format!("; damaged entries in .longshore/quarantine: {}", damaged.join(", "));
    }
    if *aside > 0 {
        line += &format!("; files in .longshore/quarantine, since nothing else has them: {}", grouped(*aside));
    }
    if !left.is_empty() {
        line += &format!("; no files, and left out: {}", left.join(", "));
    }
    say(line);
}
