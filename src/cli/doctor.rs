//! `longshore doctor`: what keeps a volume from working, a line each.

use std::io::Write as _;

use super::{Failure, exit::Exit};
use crate::{doctor, settings::Doctor};

pub(super) fn run(settings: &Doctor) -> Result<(), Failure> {
    let findings = doctor::examine(&settings.volume);
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}").map_err(|error| Failure::other(error.into()))?;
    }
    match findings.iter().filter(|finding| finding.cure.is_some()).count() {
        0 => Ok(()),
        1 => Err(Failure::new(Exit::Failed, anyhow::anyhow!("one finding needs a cure"), None)),
        count => Err(Failure::new(Exit::Failed, anyhow::anyhow!("{count} findings need a cure"), None)),
    }
}
