//! SIGKILL before every call that changes the volume.

use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    scenario::{in_parallel, kill_everywhere, summary},
    scenarios,
};
use crate::part::need;

/// Points that must be there at the least: fewer, and the tracer has lost sight of something.
const POINTS: usize = 300;
#[test]
fn nothing_is_torn_or_lost_by_a_death_at_any_call() {
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    let points = AtomicUsize::new(0);
    let violations = in_parallel(|_, scenario| {
        let (count, found) = kill_everywhere(*scenario, &[]);
        points.fetch_add(count, Ordering::SeqCst);
        found
    });
    let points = points.into_inner();
    let count = |kind: &str| violations.iter().filter(|wrong| wrong.contains(kind)).count();
    let (torn, lost) = (count("TORN"), count("LOST"));
    // Straight to the stream: what the print macros write in a passing test is never shown.
    let _ = writeln!(std::io::stderr(), "crash points killed: {points}, torn: {torn}, lost: {lost}");
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n\n"));
    assert!(points >= POINTS || std::env::var_os("TORTURE_ONLY").is_some(), "only {points} calls were found");
}

#[test]
fn the_tracer_sees_what_a_fill_does() {
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    let known = scenarios::ALL[0].record(&[]);
    let seen = summary(&known.calls);
    for name in
        ["openat2", "write", "fsync", "mkdirat", "linkat", "symlinkat", "renameat", "utimensat", "fchmod", "unlinkat"]
    {
        assert!(seen.contains(name), "a fill calls {name}: {seen}");
    }
}
