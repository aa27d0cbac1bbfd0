//! Entries, segments and what is left of them.

use std::collections::BTreeSet;

use super::*;
use crate::entry::{Cause, SiteId};

struct Site {
    _scratch: tempfile::TempDir,
    journal: Journal,
    staging: Staging,
}

fn site() -> Site {
    let scratch = tempfile::tempdir().expect("a directory");
    let root = Directory::open(scratch.path()).expect("opened");
    let journal = Journal::new(root.make_directory("journal", 0o700).expect("made"));
    let staging = Staging::create(&root.make_directory("staging", 0o700).expect("made"), 0o700).expect("made");
    Site { _scratch: scratch, journal, staging }
}

fn entry(seq: u64, previous: Option<Digest>) -> Entry {
    Entry {
        version: 1,
        seq,
        op: crate::random::uuid(),
        site: SiteId::random(),
        previous,
        release: Digest::of("r"),
        times: Digest::of("t"),
        parent: None,
        cause: Cause::Seed,
        by: "test".into(),
        message: None,
        at: Entry::now(),
    }
}

#[test]
fn only_one_entry_gets_a_number() {
    let site = site();
    let Appended::Won(first) = site.journal.append(&site.staging, entry(1, None)).expect("appended") else {
        panic!("nobody else was there")
    };
    assert!(matches!(site.journal.append(&site.staging, entry(1, None)), Ok(Appended::Lost)));
    assert_eq!(site.journal.head().expect("read"), Some(first));
}

#[test]
fn an_entry_of_another_history_is_noticed() {
    let site = site();
    assert!(matches!(site.journal.append(&site.staging, entry(1, None)), Ok(Appended::Won(_))));
    let foreign = entry(2, Some(Digest::of("another first entry"))).to_line();
    let name = site.staging.bytes(&foreign).expect("staged");
    site.staging.directory().rename(name, &site.journal.directory, file_name(2)).expect("moved");
    assert!(matches!(site.journal.head(), Err(Error::Damaged { .. })));
}

#[test]
fn what_a_later_version_adds_is_no_error() {
    let mut line: serde_json::Value = serde_json::from_slice(&entry(1, None).to_line()).expect("JSON");
    line["cause"] = "condemn".into();
    line["digests"] = serde_json::json!([]);
    let entry: Entry = serde_json::from_value(line).expect("it is read");
    assert_eq!(entry.cause, Cause::Unknown);
}

impl Site {
    /// Appends entries up to `last`.
    fn grow(&self, last: u64) {
        let head = self.journal.head().expect("read");
        let (mut seq, mut previous) = (head.as_ref().map_or(0, |head| head.entry.seq), head.map(|head| head.digest));
        while seq < last {
            seq += 1;
            let line = entry(seq, previous).to_line();
            previous = Some(Digest::of(&line));
            // Not synced: a test has many.
            self.put(&file_name(seq), &line);
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let staged = self.staging.bytes(bytes).expect("staged");
        self.staging.directory().rename(staged, &self.journal.directory, name).expect("moved");
    }

    fn fold(&self, dropped: impl IntoIterator<Item = u64>) -> usize {
        let known = self.numbers(&self.journal).into_iter().collect();
        self.journal.fold(&self.staging, &known, &dropped.into_iter().collect()).expect("folded")
    }

    /// What a history has, newest first.
    fn numbers(&self, journal: &Journal) -> Vec<u64> {
        let history = journal.history().expect("read");
        history.map(|committed| committed.expect("whole").entry.seq).collect()
    }

    /// Another process on the same journal, which knows nothing yet.
    fn other(&self) -> Journal {
        Journal::new(self.journal.directory.clone())
    }

    fn names(&self) -> Vec<String> {
        let names = self.journal.directory.list().expect("listed");
        names.into_iter().map(|name| name.into_string().expect("text")).collect()
    }
}

fn range(first: u64, last: u64) -> String {
    listing::Range { first, last }.file_name()
}

#[test]
fn entries_are_folded_when_they_are_many_or_some_are_dropped() {
    let site = site();
    site.grow(257);
    let seen = site.other();
    assert_eq!(seen.head().expect("read").expect("there").entry.seq, 257);
    let digests: Vec<_> = (1..=257).map(|seq| site.journal.read(seq).expect("read").expect("there").digest).collect();
    site.grow(258);
    assert_eq!((site.fold([]), site.names()), (0, vec![range(1, 257), file_name(258)]));
    site.grow(300);
    assert_eq!((site.fold([]), site.names().len()), (0, 1 + 43), "few files stay");
    assert_eq!((site.fold([3, 280]), site.names()), (2, vec![range(1, 299), file_name(300)]));
    assert_eq!((site.fold([3, 280]), site.fold([4])), (0, 1));
    let kept: Vec<u64> = (1..=300).rev().filter(|seq| ![3, 4, 280].contains(seq)).collect();
    for journal in [&site.journal, &site.other(), &seen] {
        assert_eq!(site.numbers(journal), kept);
        assert_eq!(journal.head().expect("read").expect("there").entry.seq, 300);
        assert_eq!(journal.read(4).expect("read"), None);
        assert_eq!(journal.read(299).expect("read").expect("there").entry.seq, 299);
        assert_eq!(journal.read(257).expect("read").expect("there").digest, digests[256], "byte for byte");
        assert_eq!(journal.read(301).expect("read"), None);
    }
    site.grow(301);
    assert_eq!(seen.head().expect("read").expect("there").entry.seq, 301, "and on");
}

#[test]
fn segments_do_not_grow_without_end_and_small_ones_merge() {
    let site = site();
    for last in [1_000, 2_000, 2_001] {
        site.grow(last);
        site.fold([]);
    }
    assert_eq!(site.names(), [range(1, 999), range(1_000, 1_999), file_name(2_000), file_name(2_001)]);
    assert_eq!(site.fold(1..1_100), 1_099);
    assert_eq!(site.names(), [range(1, 1_999), file_name(2_000), file_name(2_001)]);
    assert_eq!(site.numbers(&site.other()), (1_100..=2_001).rev().collect::<Vec<_>>());
    assert_eq!(site.fold(1_100..=2_000), 901);
    assert_eq!((site.numbers(&site.other()), site.names().len()), (vec![2_001], 2), "all but the head");
}

#[test]
fn what_a_death_while_folding_left_is_passed_over_and_removed() {
    let site = site();
    site.grow(20);
    let left: Vec<_> = site.names().into_iter().map(|name| site.journal.directory.read(&name).expect("read")).collect();
    site.fold([5]);
    let inner = site.journal.directory.read(range(1, 19)).expect("read");
    site.grow(40);
    site.fold([6, 25]);
    site.put(&range(1, 19), &inner);
    left.iter().zip(1..).for_each(|(bytes, seq)| site.put(&file_name(seq), bytes));
    let kept: Vec<u64> = (1..=40).rev().filter(|seq| ![5, 6, 25].contains(seq)).collect();
    for _ in 0..2 {
        assert_eq!(site.numbers(&site.other()), kept);
        assert_eq!((site.other().read(5).expect("read"), site.journal.read(6).expect("read")), (None, None));
        site.fold([]);
        assert_eq!(site.names(), [range(1, 39), file_name(40)]);
    }
}

#[test]
fn damage_to_a_segment_is_told() {
    let (site, other) = (site(), site());
    site.grow(300);
    site.fold([7]);
    let name = range(1, 299);
    let good = site.journal.directory.read(&name).expect("read");
    let put = |bytes: &[u8]| {
        site.put(&name, bytes);
        let failed = site.other().history().map_or_else(Some, |mut history| history.find_map(Result::err));
        matches!(failed, Some(Error::Damaged { .. }))
    };
    assert!(!put(&good));
    let step = good.len() / 97;
    for at in (0..good.len()).step_by(step) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(put(&bad), "byte {at}");
        assert!(put(&good[..at]), "cut at {at}");
    }
    other.grow(300);
    other.fold([7]);
    assert!(put(&other.journal.directory.read(&name).expect("read")), "of another journal");
    site.journal.directory.unlink(&name).expect("removed");
    assert!(site.other().history().expect("a head").any(|entry| entry.is_err()), "gone");
}

#[test]
fn a_head_that_went_away_unfolded_is_told() {
    let site = site();
    site.grow(5);
    assert!(site.journal.head().is_ok());
    site.journal.directory.unlink(file_name(5)).expect("removed");
    assert!(matches!(site.journal.head(), Err(Error::Damaged { .. })));
    assert_eq!(site.other().head().expect("read").expect("there").entry.seq, 4, "whoever never knew cannot tell");
}

#[test]
fn who_lost_the_lock_cannot_append_a_number_that_was_folded() {
    let site = site();
    site.grow(3);
    let late = entry(3, site.journal.read(2).expect("read").map(|second| second.digest));
    let first = entry(1, None);
    site.grow(10);
    site.fold([2]);
    for entry in [late, first] {
        assert!(matches!(site.other().append(&site.staging, entry), Ok(Appended::Lost)));
    }
    assert_eq!(site.names(), [range(1, 9), file_name(10)]);
}

#[test]
fn readers_never_miss_an_entry_while_another_process_folds() {
    let site = site();
    site.grow(2);
    std::thread::scope(|scope| {
        let reader = site.other();
        let reading = scope.spawn(move || {
            let mut newest = 0;
            while newest < 100 {
                let numbers: Vec<u64> =
                    reader.history().expect("read").map(|entry| entry.expect("whole").entry.seq).collect();
                newest = numbers[0];
                let odd: BTreeSet<u64> = (1..newest).filter(|seq| seq % 2 == 1).collect();
                assert!(odd.is_subset(&numbers.iter().copied().collect()), "an odd one is missing: {numbers:?}");
                let some = newest / 2 * 2 - 1;
                assert!(reader.read(some).expect("read").is_some());
            }
        });
        for last in 3..=100 {
            site.grow(last);
            site.fold((1..last).filter(|seq| seq % 2 == 0));
        }
        reading.join().expect("it read on");
    });
}
