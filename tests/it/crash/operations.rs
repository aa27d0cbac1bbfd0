//! What a publish of one file costs: as many calls on a site of 20,000 files as on one of 200.

use std::{fs, io::Write as _, path::PathBuf};

use super::{
    scenario::is_torture,
    session::{Judge, Session, Told},
};
use crate::{
    part::need,
    pod::{Pod, text},
    tracer::{Call, Verdict},
};

/// One after the other, without a pause.
const PUBLISHES: usize = 50;
/// Calls that a publish may differ by without growing with the site: a folder of more than 256 entries is split, so that its
/// manifest and its times have a node more, as deep as the logarithm of its size.
const SLACK: usize = 60;

/// Where the n-th file lies.
type Place = fn(usize) -> String;

fn in_folders(n: usize) -> String {
    format!("{}/{}/{}/file-{n}.html", n % 5, n / 5 % 8, n / 40 % 5)
}

fn in_one_folder(n: usize) -> String {
    format!("flat/file-{n}.html")
}

fn at_the_root(n: usize) -> String {
    format!("file-{n}.html")
}

/// What publishing came to.
struct Cost {
    /// The calls of each publish, on the threads that publish.
    each: Vec<usize>,
    /// All that the process did meanwhile, by the number of publishes: looking for changes by hand, too.
    with_upkeep: usize,
}

/// What it costs to publish one file after the other, most of them replaced and some new, while `count` files are live.
fn calls_of_each(count: usize, place: Place) -> Cost {
    let pod = Pod::in_memory();
    let seed = pod.folder("seed", &[]);
    for n in 0..count {
        let file: PathBuf = seed.join(place(n));
        fs::create_dir_all(file.parent().expect("it has one")).expect("a folder is made");
        fs::write(file, n.to_string()).expect("a file is written");
    }
    pod.fill_with(&["--from", text(&seed)]).expect(0);
    let judge: Judge = std::sync::Arc::new(|_: &Call| Verdict::Run);
    let mut session = Session::new(&pod, &[], &[], Some(judge));
    session.serve(&[]);
    // What a server reads once, and keeps in memory from then on.
    let path = |n: usize| format!("/site/{}", place(if n.is_multiple_of(5) { count + n } else { n * 7 % count }));
    session.put(&path(1), "first");
    let before = session.calls_so_far().len();
    for n in 0..PUBLISHES {
        // Traced, and on a busy machine, whoever looks after the volume may hold it for long: then once more.
        for _ in 0..5 {
            session.put(&path(n), format!("new {n}"));
            if session.told == Told::Done {
                break;
            }
        }
        assert_eq!(session.told, Told::Done, "{}", session.log);
    }
    let calls = session.calls_so_far();
    session.end();
    let is_entry = |call: &Call| call.to.as_ref().is_some_and(|to| to.starts_with(".longshore/journal"));
    let calls = &calls[before..];
    let entries: Vec<_> = (0..calls.len()).filter(|&at| is_entry(&calls[at])).collect();
    // From entry to entry, by the threads that made the two.
    let each = entries.windows(2).map(|pair| {
        let threads = [calls[pair[0]].thread, calls[pair[1]].thread];
        calls[pair[0]..pair[1]].iter().filter(|call| threads.contains(&call.thread)).count()
    });
    Cost { each: each.collect(), with_upkeep: calls.len() / PUBLISHES }
}

fn median(mut counts: Vec<usize>) -> usize {
    counts.sort_unstable();
    counts[counts.len() / 2]
}

#[test]
fn publishing_one_file_costs_the_same_on_any_site() {
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    // The other two take longer to fill: at the root each name has a link of its own.
    let places = [("in folders", in_folders as Place), ("in one folder", in_one_folder), ("at the root", at_the_root)];
    for (name, place) in &places[..if is_torture() { 3 } else { 1 }] {
        let (small, large) = (calls_of_each(200, *place), calls_of_each(20_000, *place));
        let all = (small.with_upkeep, large.with_upkeep);
        let (small, large) = (median(small.each), median(large.each));
        // Straight to the stream: what the print macros write in a passing test is never shown.
        let _ = writeln!(
            std::io::stderr(),
            "calls on the volume for one publish, {name}: {small} with 200 files live, {large} with 20,000 \
             (with what the process did besides: {} and {})",
            all.0,
            all.1,
        );
        assert!(large <= small + SLACK, "{name}: {small} calls with 200 files, {large} with 20,000");
    }
}
