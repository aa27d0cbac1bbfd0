//! Each call on the volume fails once: a full disk, a broken one, one that is somebody else's, and no more descriptors.

use std::{
    io::Write as _,
    path::Path,
    sync::atomic::AtomicUsize,
    time::{Duration, Instant},
};

use nix::errno::Errno;

use super::{
    format, oracle,
    oracle::Violations,
    scenario::{Environment, Known, Scenario, in_parallel, is_torture},
    session::{Session, Told, nth},
};
use crate::{
    listing::listing,
    part::need,
    tracer::{Call, Ended, Kind, Verdict},
};

const STAGING: &str = ".longshore/staging";
/// Errors of calls that change something, and of closing what was written.
const OF_CHANGES: [Errno; 3] = [Errno::EIO, Errno::ENOSPC, Errno::EACCES];
/// Time for a server that may not write any more to end.
const SOON: Duration = Duration::from_secs(10);
/// One point in so many is tried, each of the errors in turn; syncs always, where that does not take too long. All of them,
/// with all errors: TORTURE=1.
const SAMPLE: usize = 8;

fn changes(call: &Call) -> bool {
    matches!(call.kind, Kind::Change | Kind::Close)
}

fn opens(call: &Call) -> bool {
    call.name.starts_with("open")
}

#[test]
fn every_call_may_fail() {
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    let faults = AtomicUsize::new(0);
    let violations = in_parallel(|index, scenario| fail_everywhere(index, *scenario, &[], &faults));
    // Straight to the stream: what the print macros write in a passing test is never shown.
    let _ = writeln!(std::io::stderr(), "calls failed: {}, violations: {}", faults.into_inner(), violations.len());
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n\n"));
}

/// Which calls are failed.
type Counts = fn(&Call) -> bool;

/// Lets calls of a scenario fail, one in each run, until none is left. Gives all that was wrong.
pub(crate) fn fail_everywhere(
    index: usize,
    scenario: Scenario,
    environment: Environment<'_>,
    faults: &AtomicUsize,
) -> Violations {
    let known = scenario.record(environment);
    let mut violations = Violations::new();
    let kinds: [(Counts, &[Errno]); 3] =
        [(Call::is_sync, &[Errno::EIO]), (changes, &OF_CHANGES), (opens, &[Errno::EMFILE])];
    for (kind, (counts, errnos)) in kinds.into_iter().enumerate() {
        let is_sampled = (kind > 0 || scenario.is_slow) && !is_torture();
        let (first, step) = if is_sampled { (1 + index % SAMPLE, SAMPLE) } else { (1, 1) };
        for n in (first..).step_by(step) {
            let these = match is_sampled {
                false => errnos,
                true => std::slice::from_ref(&errnos[n / SAMPLE % errnos.len()]),
            };
            let mut is_over = false;
            for errno in these {
                match known.fail(n, *errno, counts, environment) {
                    Some(found) => violations.extend(found),
                    None => is_over = true,
                }
                faults.fetch_add(usize::from(!is_over), std::sync::atomic::Ordering::SeqCst);
            }
            if is_over {
                break;
            }
        }
    }
    violations
}

impl Known {
    /// Lets the `n`-th call that `counts` fail, and tells what is wrong then; nothing when there are fewer.
    pub(super) fn fail(
        &self,
        n: usize,
        errno: Errno,
        counts: fn(&Call) -> bool,
        environment: Environment<'_>,
    ) -> Option<Violations> {
        let (judge, hit) = nth(n, Verdict::Fail(errno), counts);
        let mut violations = Violations::new();
        let ran = self.run_and(judge, environment, |session| {
            if hit() {
                session.let_be();
                violations = self.after_failure(errno, session);
            }
        });
        if !hit() {
            return None;
        }
        let failed = failed(&ran.calls);
        // On a full disk a rollback begins anew with what was held back, and throws away what it staged.
        let is_lie = |call: &Call| call.is_sync() && !(errno == Errno::ENOSPC && call.path.starts_with(STAGING));
        // What says which release is shown is only a help: without it the next one to look compares file by file.
        let is_note = ran.log.contains("cannot note what the volume shows");
        if failed.is_some_and(is_lie) && ran.is_promised() && !is_note {
            violations.push("LOST: acknowledged, though a sync failed".into());
        }
        violations.extend(synced_again(&ran.calls));
        violations.extend(oracle::after_death(self, &ran));
        violations.extend(oracle::again(self, &ran, environment, n));
        let failed = failed.map(ToString::to_string).unwrap_or_default();
        Some(ran.explain(violations, &format!("{errno:?} in call {n}, {failed}")))
    }

    /// What is true as soon as it was told, and what the process can still do.
    fn after_failure(&self, errno: Errno, session: &mut Session<'_>) -> Violations {
        let mut violations = Violations::new();
        let volume = session.pod.volume();
        let is_made = || format::head(&volume).is_ok_and(|head| head.is_some_and(|head| self.is_new(&head)));
        match session.told.clone() {
            Told::Nothing => violations.push("it died of an error".into()),
            Told::Done => {}
            Told::Refused(code) if is_made() && self.old != self.new => {
                // After the entry there is no way back: the process writes no more, and ends.
                if session.is_serving() && !matches!(session.ended(SOON), Some(Ended::Code(1..))) {
                    violations.push(format!("told {code} after the entry, and it goes on"));
                }
            }
            // Neither made nor not made, as far as it can see.
            Told::Refused(500) if errno == Errno::EIO && failed(&session.calls_so_far()).is_some_and(makes_entry) => {
                if session.is_serving() && !matches!(session.ended(SOON), Some(Ended::Code(1..))) {
                    violations.push("told that the outcome is unknown, and it goes on".into());
                }
            }
            Told::Refused(code) => {
                if !suits(errno, code) {
                    violations.push(format!("{errno:?} becomes {code}"));
                }
                if oracle::shown(&volume.join(self.scenario.root)) != self.old {
                    violations.push("TORN: refused, and what is shown has changed".into());
                }
                // The very same thing works when nothing fails.
                (self.scenario.act)(session);
                if session.told != Told::Done {
                    violations.push(format!("then it works no more: {:?}", session.told));
                }
            }
        }
        // What a dead process left stays when a start is hindered; what a request leaves goes at once.
        if self.scenario.acknowledges && session.is_serving() && !leaves_staging(&session.calls_so_far()) {
            let staging = volume.join(STAGING);
            let start = Instant::now();
            while !is_empty(&staging) && start.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(10));
            }
            if !is_empty(&staging) {
                violations.push(format!("left lying: {:?}", listing(&staging).keys()));
            }
        }
        violations
    }
}

/// Whether a status, or an exit code, says what was wrong.
fn suits(errno: Errno, code: i32) -> bool {
    match errno {
        Errno::ENOSPC => matches!(code, 5 | 507),
        Errno::EMFILE => matches!(code, 1 | 75 | 503),
        Errno::EACCES => matches!(code, 6 | 500),
        _ => matches!(code, 1 | 500),
    }
}

/// The call that was made to fail: no error that a running longshore meets anyhow is among these.
fn failed(calls: &[Call]) -> Option<&Call> {
    let errnos = OF_CHANGES.iter().chain(&[Errno::EMFILE]);
    let results: Vec<_> = errnos.map(|errno| Some(-i64::from(*errno as i32))).collect();
    calls.iter().find(|call| results.contains(&call.result))
}

fn makes_entry(call: &Call) -> bool {
    call.to.as_ref().is_some_and(|to| to.starts_with(".longshore/journal"))
}

/// Whether what failed is the removal of a staging directory itself: that stays until the next start.
fn leaves_staging(calls: &[Call]) -> bool {
    failed(calls).is_some_and(|call| call.path.starts_with(STAGING))
}

/// A sync that failed is final: a second one on the same file would succeed and lie.
fn synced_again(calls: &[Call]) -> Option<String> {
    let first = calls.iter().position(|call| call.is_sync() && call.result.is_some_and(|result| result < 0))?;
    let failed = &calls[first];
    let again = calls[first + 1..].iter().find(|call| call.is_sync() && call.path == failed.path)?;
    Some(format!("LOST: {failed} failed, and was tried again: {again}"))
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}
