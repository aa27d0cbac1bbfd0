//! Power cuts: a real ext4 or xfs on a loop device is shut down under load, without what is not on the disk yet.
//!
//! `TORTURE_SEED` repeats the random choices of a run (not its timing); `TORTURE=1` takes ten times as many cuts.

mod disk;
mod judge;
mod load;
pub(crate) mod random;
mod round;
mod torture;

use std::io::Write as _;

pub(crate) use disk::Kind;
pub(crate) use load::files;
pub(crate) use random::Random;
pub(crate) use torture::Torture;

/// Says something that is seen also when the test passes.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether the long forms are asked for.
pub(crate) fn is_torture() -> bool {
    std::env::var_os("TORTURE").is_some()
}

fn cut_the_power(kind: Kind, cuts: usize) {
    let Some(report) = Torture::new(kind, cuts).run() else { return };
    say(&report.to_string());
    report.assert_clean();
}

#[test]
fn a_power_cut_on_ext4_tears_nothing_and_loses_nothing_acknowledged() {
    cut_the_power(Kind::Ext4, if is_torture() { 2_000 } else { 200 });
}

#[test]
fn a_power_cut_on_xfs_tears_nothing_and_loses_nothing_acknowledged() {
    cut_the_power(Kind::Xfs, if is_torture() { 2_000 } else { 20 });
}
