//! Time as Longshore has watched it pass, and how old an entry is in it.
//!
//! A clock may be a day off, either way; what is deleted by such a clock is deleted too early. So age is not a difference
//! of dates: it is the time during which processes of ours have looked after the volume since. Within one process that is
//! measured without the clock; from one process to another the clock is believed for at most an hour. Where no process
//! runs, nothing ages.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What a difference between two clocks counts, at most.
const BELIEVED: Duration = Duration::from_hours(1);
/// A time to keep is told to this part of itself.
const FINE: u64 = 100;

/// The time watched so far, in milliseconds, as `watched.json` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Watch {
    watched: u64,
    /// The clock when it was written, in milliseconds since 1970.
    at: i64,
    marks: Vec<Mark>,
}

/// When `seq` was the newest entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    seq: u64,
    watched: u64,
}

/// What this process wrote last, and when.
#[derive(Debug)]
pub(super) struct Last {
    watch: Watch,
    at: Instant,
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) clock: i64,
    pub(super) steady: Instant,
}

impl Watch {
    /// The watch that follows on the one that was `read`, when this process wrote the `last` one, and the newest entry is
    /// `head` `now`. Entries are to be kept for `keep`.
    pub(super) fn next(read: Option<Self>, last: Option<&Last>, now: Moment, head: u64, keep: Duration) -> Self {
        let mut watch = read.clone().unwrap_or_default();
        let steady = last.map(|last| now.steady.saturating_duration_since(last.at));
        let passed = match (&read, last) {
            (None, _) => Duration::ZERO,
            // Nobody else was here.
            (Some(read), Some(last)) if *read == last.watch => steady.unwrap_or_default(),
            (Some(read), _) => {
                let clock = u64::try_from(now.clock.saturating_sub(read.at)).unwrap_or_default();
                Duration::from_millis(clock).min(BELIEVED).min(steady.unwrap_or(BELIEVED))
            }
        };
        watch.watched = watch.watched.saturating_add(millis(passed));
        watch.at = now.clock;
        // A journal that went back to before (a snapshot) has entries that were never seen.
        watch.marks.retain(|mark| mark.seq <= head);
        let newest = watch.marks.last().copied();
        if newest.is_none_or(|newest| newest.seq < head && watch.watched - newest.watched >= millis(keep) / FINE) {
            watch.marks.push(Mark { seq: head, watched: watch.watched });
        }
        let old = watch.marks.iter().rposition(|mark| watch.watched.saturating_sub(mark.watched) >= millis(keep));
        watch.marks.drain(..old.unwrap_or_default());
        watch
    }

    /// For [`Watch::next`], once it is written down.
    pub(super) fn written(self, at: Instant) -> Last {
        Last { watch: self, at }
    }

    /// How long the entry `seq` has been there, at least.
    pub(super) fn age(&self, seq: u64) -> Duration {
        let mark = self.marks.iter().rev().take_while(|mark| mark.seq >= seq).last();
        Duration::from_millis(mark.map_or(0, |mark| self.watched.saturating_sub(mark.watched)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);
    const MINUTE: Duration = Duration::from_mins(1);

    /// A process that looks every minute, for as long as told; its clock may jump.
    struct World {
        disk: Option<Watch>,
        last: Option<Last>,
        now: Moment,
        head: u64,
    }

    impl World {
        fn new() -> Self {
            let now = Moment { clock: 1_700_000_000_000, steady: Instant::now() };
            Self { disk: None, last: None, now, head: 1 }
        }

        fn look(&mut self) -> Watch {
            let next = Watch::next(self.disk.clone(), self.last.as_ref(), self.now, self.head, DAY);
            self.disk = Some(next.clone());
            self.last = Some(next.clone().written(self.now.steady));
            next
        }

        fn pass(&mut self, time: Duration) {
            self.now.steady += time;
            self.jump(i64::try_from(time.as_millis()).expect("short"));
        }

        fn jump(&mut self, millis: i64) {
            self.now.clock += millis;
        }

        fn run(&mut self, time: Duration) -> Watch {
            let mut watch = self.look();
            for _ in 0..time.as_secs() / 60 {
                self.pass(MINUTE);
                watch = self.look();
            }
            watch
        }

        fn restart(&mut self) {
            self.last = None;
        }
    }

    fn is_about(age: Duration, wanted: Duration) -> bool {
        age <= wanted && wanted - age <= DAY / 50
    }

    #[test]
    fn an_entry_ages_while_somebody_looks() {
        let mut world = World::new();
        assert_eq!(world.look().age(1), Duration::ZERO);
        assert!(is_about(world.run(DAY / 2).age(1), DAY / 2));
        world.head = 2;
        let watch = world.run(DAY / 4);
        assert!(is_about(watch.age(1), DAY * 3 / 4) && is_about(watch.age(2), DAY / 4), "{watch:?}");
        let watch = world.run(DAY * 3);
        assert!(watch.age(1) >= DAY && watch.age(2) >= DAY && watch.age(3).is_zero(), "{watch:?}");
        assert_eq!(watch.marks.len(), 1, "what is old is told by one mark");
    }

    #[test]
    fn a_busy_journal_needs_few_marks_and_no_entry_seems_older_than_it_is() {
        let mut world = World::new();
        let mut made = vec![Duration::ZERO; 2];
        let start = world.now.steady;
        for _ in 0..3 * 24 * 60 {
            let watch = world.run(MINUTE);
            world.head += 1;
            made.push(world.now.steady - start);
            assert!(watch.marks.len() <= 103, "{}", watch.marks.len());
        }
        let watch = world.look();
        for (seq, made) in made.iter().enumerate().skip(1) {
            let (age, real) = (watch.age(seq as u64), world.now.steady - start - *made);
            assert!(age <= real && (is_about(age, real) || age >= DAY), "{seq}: {age:?} of {real:?}");
        }
    }

    #[test]
    fn a_clock_that_jumps_ages_nothing() {
        for jump in [-1, 1, 30] {
            let mut world = World::new();
            world.look();
            world.jump(jump * 86_400_000);
            assert!(world.run(MINUTE * 60).age(1) <= MINUTE * 60, "within a process: not at all");
            world.restart();
            world.jump(jump * 86_400_000);
            world.pass(MINUTE);
            assert!(world.look().age(1) <= MINUTE * 60 + BELIEVED, "from one process to another: an hour");
        }
    }

    #[test]
    fn time_without_a_process_counts_an_hour_at_most() {
        let mut world = World::new();
        world.look();
        world.restart();
        world.pass(DAY * 7);
        assert_eq!(world.look().age(1), BELIEVED);
        world.restart();
        world.pass(MINUTE);
        assert_eq!(world.look().age(1), BELIEVED + MINUTE);
    }

    #[test]
    fn two_processes_do_not_count_the_same_time_twice() {
        let mut world = World::new();
        world.look();
        let mut other = None;
        for _ in 0..60 {
            world.pass(MINUTE);
            world.look();
            std::mem::swap(&mut world.last, &mut other);
        }
        assert_eq!(world.look().age(1), MINUTE * 60);
    }

    #[test]
    fn a_lost_watch_or_a_journal_that_went_back_begins_anew() {
        let mut world = World::new();
        world.head = 5;
        world.run(DAY * 2);
        world.head = 3;
        assert_eq!(world.look().age(3), Duration::ZERO);
        world.run(DAY * 2);
        world.disk = None;
        assert_eq!(world.look().age(3), Duration::ZERO);
    }
}
