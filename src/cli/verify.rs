//! `longshore verify`: everything on a volume is read again.

use std::{fmt::Display, io::Write as _};

use anyhow::anyhow;

use super::{
    Failure,
    exit::{Exit, plain},
};
use crate::{
    depot::{Depot, Options, Scope, Verified, grouped},
    settings::Verify,
};

pub(super) fn run(settings: &Verify) -> Result<(), Failure> {
    let depot = Depot::open(&settings.volume, Options::default())?;
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
    verdict(&verified)
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

fn verdict(verified: &Verified) -> Result<(), Failure> {
    if verified.findings.is_empty() {
        return Ok(());
    }
    let hint = "`longshore verify --repair --from SOURCE` mends what has another copy";
    Err(Failure::new(Exit::Integrity, anyhow!("the volume does not hold what it should"), Some(hint)))
}

/// A line for whoever reads it, or a script.
pub(super) fn say(line: impl Display) {
    // Whoever stops reading still gets the exit code.
    drop(writeln!(std::io::stdout(), "{}", plain(&line.to_string().replace('\n', "\\n"))));
}
