//! `longshore verify`: everything on a volume is read again.

use std::{fmt::Display, io::Write as _, time::Duration};

use anyhow::anyhow;
use tokio::runtime;

use super::{
    Failure,
    exit::{Exit, plain},
    locations,
};
use crate::{
    depot::{Depot, Options, Repair, Scope, Verified, grouped},
    settings::Verify,
};

/// How long a repair waits for a server on the same volume.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn run(settings: &Verify) -> Result<(), Failure> {
    let depot = Depot::open(&settings.volume, Options { patience: PATIENCE, ..Options::default() })?;
    let verified = match depot.verify()? {
        Scope::All(verified) => verified,
        Scope::Nothing => {
            say("nothing to verify: the volume has no release");
            return Ok(());
        }
        Scope::Foreign(names) => {
            say(format!("nothing to verify: what lies here is not Longshore's ({})", names.join(", ")));
            return Ok(());
        }
    };
    tell(&verified);
    if !settings.repair || verified.findings.is_empty() {
        return verdict(&verified, settings.repair);
    }
    // A node that was mended shows what is lost below it.
    let mut verified = verified;
    loop {
        let done = repair(settings, &depot, &verified)?;
        match depot.verify()? {
            Scope::All(again) => verified = again,
            Scope::Nothing | Scope::Foreign(_) => return Ok(()),
        }
        if done == 0 || verified.findings.is_empty() {
            break;
        }
    }
    tell(&verified);
    verdict(&verified, true)
}

fn repair(settings: &Verify, depot: &Depot, verified: &Verified) -> Result<u64, Failure> {
    let from = locations(&settings.from)?;
    // For the network only: hashing and writing run on its blocking threads.
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(error.into()))?;
    let mut repair = Repair { from: &from, runtime: runtime.handle(), say: &mut |line| say(line) };
    Ok(depot.repair(verified, &mut repair)?)
}

fn tell(verified: &Verified) {
    verified.findings.iter().for_each(say);
    verified.notes.iter().for_each(|note| say(format!("note: {note}")));
    let Verified { entries, nodes, objects, bytes, files, findings, .. } = verified;
    let found = match findings.len() {
        0 => "all is right".into(),
        1 => "1 thing is wrong".into(),
        count => format!("{} things are wrong", grouped(count as u64)),
    };
    let [entries, nodes, objects] = [entries, nodes, objects].map(|count| grouped(*count as u64));
    let (bytes, files) = (grouped(*bytes), grouped(*files));
    say(format!(
        "read {entries} entries, {nodes} nodes, {objects} objects ({bytes} bytes) and {files} files shown: {found}"
    ));
}

fn verdict(verified: &Verified, repaired: bool) -> Result<(), Failure> {
    if verified.findings.is_empty() {
        return Ok(());
    }
    let hint = match repaired {
        false => "`longshore verify --repair --from SOURCE` mends what has another copy",
        true => "try it with a --from that has the lost bytes, upload the files again, or restore a snapshot",
    };
    Err(Failure::new(Exit::Integrity, anyhow!("the volume does not hold what it should"), Some(hint)))
}

/// A line for whoever reads it, or a script.
pub(super) fn say(line: impl Display) {
    // Whoever stops reading still gets the exit code.
    drop(writeln!(std::io::stdout(), "{}", plain(&line.to_string().replace('\n', "\\n"))));
}
