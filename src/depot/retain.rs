//! Which entries of the journal are kept.
//!
//! The newest deploys, seeds and adoptions, and everything that is young. A run of changes by hand after one of these
//! coalesces: its last state is kept, which is what the next deploy replaced; so eleven uploads of single files do not
//! destroy every way back.

use std::{collections::BTreeSet, time::Duration};

use super::Keep;
use crate::entry::Cause;

/// What matters of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) seq: u64,
    pub(super) cause: Cause,
}

/// The numbers of `entries` (oldest first) that are not kept any more. `age` tells how long one has been there, at least.
pub(super) fn dropped(entries: &[Kept], keep: &Keep, age: impl Fn(u64) -> Duration) -> BTreeSet<u64> {
    let mut dropped = BTreeSet::new();
    let mut landmarks = 0;
    // The head ends the last run.
    let mut ends_a_run = true;
    // What was live until a moment ago is as young as what replaced it.
    let mut next = None;
    for entry in entries.iter().rev() {
        let is_landmark = entry.cause.is_landmark();
        // What began with changes by hand has no landmark before them: they are a run all the same.
        let is_kept = match is_landmark {
            true => landmarks < keep.releases,
            false => ends_a_run && landmarks < keep.releases,
        };
        // A later version knows why it made the entry.
        let is_ours = entry.cause != Cause::Unknown;
        if is_ours && !is_kept && next.is_some_and(|next| age(next) >= keep.time) {
            dropped.insert(entry.seq);
        }
        next = Some(entry.seq);
        landmarks += usize::from(is_landmark);
        ends_a_run = is_landmark;
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `s`, `u`, `a`: landmarks; `p`, `r`: changes by hand and rollbacks; `?`: a later version's.
    fn kept(causes: &str, releases: usize, old: usize) -> String {
        let cause = |letter| match letter {
            's' => Cause::Seed,
            'u' => Cause::Upload,
            'a' => Cause::Adopt,
            'p' => Cause::Patch,
            'r' => Cause::Rollback,
            _ => Cause::Unknown,
        };
        let entries: Vec<_> = causes.chars().zip(1..).map(|(letter, seq)| Kept { seq, cause: cause(letter) }).collect();
        let keep = Keep { releases, time: Duration::from_secs(10), linger: Duration::ZERO };
        let age = |seq| Duration::from_secs(if seq <= old as u64 { 10 } else { 9 });
        let dropped = dropped(&entries, &keep, age);
        let show = |(letter, seq)| if dropped.contains(&seq) { '.' } else { letter };
        causes.chars().zip(1..).map(show).collect()
    }

    #[test]
    fn patches_coalesce_and_the_newest_landmarks_stay() {
        for (causes, releases, wanted) in [
            ("s", 1, "s"),
            ("sp", 1, "sp"),
            ("spppppppppppp", 1, "s...........p"),
            ("sppprpppupppp", 2, "s......pu...p"),
            ("sppprpppupppp", 1, "........u...p"),
            ("sssss", 2, "...ss"),
            ("uauspp", 3, ".aus.p"),
            ("pppp", 1, "...p"),
            ("ppppu", 1, "....u"),
            ("ppppu", 2, "...pu"),
            ("uppppu", 1, ".....u"),
            ("uppppu", 2, "u...pu"),
            ("ur", 1, "ur"),
            ("urr", 1, "u.r"),
            ("??up", 1, "??up"),
        ] {
            assert_eq!(kept(causes, releases, causes.len()), wanted, "{causes}");
        }
    }

    #[test]
    fn what_is_young_stays() {
        assert_eq!(kept("spppppuppppp", 1, 4), "...pppuppppp", "the fourth was live until the fifth came");
        assert_eq!(kept("sssss", 1, 2), ".ssss");
    }
}
