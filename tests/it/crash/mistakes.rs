//! What the harness says of a program that makes a mistake on purpose: it must say something.

use nix::errno::Errno;

use super::{oracle::Violations, scenario::Known, scenarios};
use crate::tracer::Call;

/// The deploy of a whole site: there every step of a publish is made.
const DEPLOY: &str = "an archive in place of the site";

fn deploy_with(mistake: &str) -> Known {
    let scenario = scenarios::ALL.iter().find(|scenario| scenario.name == DEPLOY).expect("it is one of them");
    scenario.record(&[("PLANTED_MISTAKE", mistake)])
}

/// The first of what goes wrong, in one line.
fn first(mut runs: impl Iterator<Item = (usize, Violations)>) -> Option<String> {
    let (_, found) = runs.find(|(_, found)| !found.is_empty())?;
    found[0].lines().next().map(str::to_owned)
}

/// What is wrong after the first death that shows the mistake.
pub(crate) fn shown_by_a_death(mistake: &str) -> Option<String> {
    let known = deploy_with(mistake);
    first((1..).map_while(|n| Some((n, known.kill(n, &[("PLANTED_MISTAKE", mistake)])?))))
}

/// What is wrong after the first failed sync that shows the mistake.
pub(crate) fn shown_by_a_failed_sync(mistake: &str) -> Option<String> {
    let (known, environment) = (deploy_with(mistake), [("PLANTED_MISTAKE", mistake)]);
    first((1..).map_while(|n| Some((n, known.fail(n, Errno::EIO, Call::is_sync, &environment)?))))
}
