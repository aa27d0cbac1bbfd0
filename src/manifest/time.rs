//! The modification time of a path, and the highest one it ever had.
//!
//! Web servers make an ETag of mtime (whole seconds) and size, so a pair (path, mtime) must mean the same bytes for ever.
//! That is why a path remembers its highest mtime, even for a while after it was removed.

use std::fmt::Write as _;

use super::node::{Leaf, Total, number};

/// Seconds for which a removed path is remembered: a clock may be a day off, either way.
const REMEMBERED: i64 = 2 * DAY;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;
/// The day in 2001 before which a time is most likely made up.
const TELLING: i64 = 1_000_000_000;

/// The times of one path, in whole seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// The mtime of the file that lies there; none when it was removed.
    pub mtime: Option<i64>,
    /// The highest mtime that this path ever had.
    pub highest: i64,
}

impl Time {
    /// The time of new content, committed in the second `now`, at a path that was `before`.
    #[must_use]
    pub fn of_new_content(now: i64, before: Option<Self>) -> Self {
        let mtime = before.map_or(now, |before| now.max(before.highest + 1));
        Self { mtime: Some(mtime), highest: mtime }
    }

    /// The time of content that a site begins with, last `modified` where it came from: that time, so that replicas which
    /// are filled from one source agree.
    ///
    /// Only where nothing was before, and only a time that somebody may have modified something at: what many tools put
    /// in place of one (0, midnight of some day) stays the same when the content changes.
    #[must_use]
    pub fn of_first_content(now: i64, modified: i64) -> Self {
        let is_made_up = modified < TELLING || modified % DAY == 0;
        let mtime = if is_made_up || modified > now { now } else { modified };
        Self { mtime: Some(mtime), highest: mtime }
    }

    /// The time of content that comes back with the `mtime` it had.
    #[must_use]
    pub fn of_old_content(mtime: i64, before: Option<Self>) -> Self {
        Self { mtime: Some(mtime), highest: before.map_or(mtime, |before| before.highest.max(mtime)) }
    }

    /// The time of content that somebody else put there with `mtime`, found in the second `now`: the one it had, unless
    /// the path had one as high before. One that lies ahead would raise all that follow: it counts as `now`.
    #[must_use]
    pub fn of_adopted(mtime: i64, now: i64, before: Option<Self>) -> Self {
        Self::of_new_content(mtime.min(now), before)
    }

    /// Whether it is of a removed path that no later commit could repeat.
    #[must_use]
    pub fn is_stale(self, now: i64) -> bool {
        self.mtime.is_none() && self.highest + REMEMBERED < now
    }

    /// What is remembered of a path that is removed in the second `now`; nothing when no later commit could repeat it.
    #[must_use]
    pub fn of_removed(now: i64, before: Self) -> Option<Self> {
        let gone = Self { mtime: None, ..before };
        (!gone.is_stale(now)).then_some(gone)
    }
}

impl Total for () {
    fn add(self, (): Self) -> Self {}

    fn write(&self, _: &mut String) {}

    fn parse<'a>(_: &mut dyn FnMut() -> Option<&'a str>) -> Option<Self> {
        Some(())
    }
}

impl Leaf for Time {
    type Total = ();
    const KIND: &'static str = "longshore-times 1";
    /// A removed file stays known beside a folder of its name.
    const SHARES_NAMES: bool = true;

    fn total(&self) {}

    fn write(&self, line: &mut String) {
        let _ = match self.mtime {
            Some(mtime) => write!(line, "at {mtime} {}", self.highest),
            None => write!(line, "gone {}", self.highest),
        };
    }

    fn parse<'a>(kind: &str, words: &mut dyn FnMut() -> Option<&'a str>) -> Option<Self> {
        let mut number = || number(words()?);
        match kind {
            "at" => Some(Self { mtime: Some(number()?), highest: number()? }),
            "gone" => Some(Self { mtime: None, highest: number()? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_contents_within_a_second_differ_in_time() {
        let first = Time::of_new_content(100, None);
        let second = Time::of_new_content(100, Some(first));
        assert_eq!((first.mtime, second.mtime), (Some(100), Some(101)));
        let back = Time::of_old_content(100, Some(second));
        assert_eq!((back.mtime, back.highest), (Some(100), 101));
        assert_eq!(Time::of_new_content(101, Some(back)).mtime, Some(102));
    }

    #[test]
    fn what_is_adopted_keeps_its_time_where_that_is_possible() {
        assert_eq!(Time::of_adopted(50, 100, None).mtime, Some(50));
        assert_eq!(Time::of_adopted(900, 100, None).mtime, Some(100), "a time to come");
        let before = Time::of_new_content(70, None);
        assert_eq!(Time::of_adopted(71, 100, Some(before)).mtime, Some(71));
        assert_eq!(Time::of_adopted(50, 100, Some(before)).mtime, Some(71), "the path had 70");
    }

    #[test]
    fn a_site_begins_with_the_times_of_its_source() {
        let now = 1_800_000_001;
        let first = |modified| Time::of_first_content(now, modified).mtime;
        assert_eq!(first(1_700_000_001), Some(1_700_000_001));
        // To come, the beginning of all times, zip's, Bazel's, a midnight.
        for modified in [now + 1, 0, 1, -1, 315_532_800, 946_684_800, 1_262_304_000] {
            assert_eq!(first(modified), Some(now), "{modified}");
        }
    }

    #[test]
    fn a_removed_path_is_remembered_while_its_time_could_come_again() {
        let there = Time::of_new_content(100, None);
        let gone = Time::of_removed(100, there).expect("it is fresh");
        assert_eq!(Time::of_new_content(100, Some(gone)).mtime, Some(101));
        assert_eq!(Time::of_removed(100 + REMEMBERED + 1, there), None);
    }
}
