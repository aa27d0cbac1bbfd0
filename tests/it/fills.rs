//! Many processes that fill one volume at once, as when a deployment is scaled up; some are killed, some are stopped for a
//! while, and in some rounds two servers take uploads beside them.

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    http::try_call,
    journal::assert_well_formed,
    listing::{assert_unchanged, contents, listing, staging_leftovers},
    pod::{Pod, TOKEN, text},
    power::{Random, is_torture, say},
    run::{Log, wait},
    served::Served,
    stored::{difference, entries, shown},
};

/// A fill that takes longer hangs; a stopped one is continued long before.
const PATIENCE: Duration = Duration::from_secs(90);
/// Whatever befalls a process does so within this.
const MISCHIEF: Duration = Duration::from_millis(250);

/// What befalls one of the processes.
#[derive(Debug, Clone, Copy)]
enum Fate {
    LeftAlone,
    Killed(Duration),
    /// Stopped at a moment and for a while.
    Stopped(Duration, Duration),
}

impl Fate {
    fn random(random: &mut Random) -> Self {
        // More often early: a fill is quick where the machine has nothing else to do.
        let early = random.time(MISCHIEF);
        let moment = random.time(early);
        match random.below(10) {
            0..=4 => Self::LeftAlone,
            5..=7 => Self::Killed(moment),
            _ => Self::Stopped(moment, random.time(MISCHIEF)),
        }
    }
}

struct Fill {
    child: Child,
    log: Log,
    fate: Fate,
}

impl Fill {
    fn start(pod: &Pod, seed: &str, fate: Fate) -> Self {
        let mut command = pod.fill_command(&["--from", seed]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("longshore starts");
        let log = Log::of(child.stderr.take().expect("it is piped"));
        Self { child, log, fate }
    }

    /// Lets its fate befall it; one that has ended before takes no notice.
    fn befall(&self, start: Instant) {
        let signal = |after: Duration, signal| {
            std::thread::sleep(after.saturating_sub(start.elapsed()));
            let _ = kill_process(Pid::from_child(&self.child), signal);
        };
        match self.fate {
            Fate::LeftAlone => {}
            Fate::Killed(after) => signal(after, Signal::KILL),
            Fate::Stopped(after, time) => {
                signal(after, Signal::STOP);
                signal(after + time, Signal::CONT);
            }
        }
    }

    /// Waits for its end, and tells whether it was killed on its way; anybody else must have done well.
    fn end(mut self) -> bool {
        let (status, _) = wait(&mut self.child, PATIENCE);
        let log = self.log.so_far();
        let status = status.unwrap_or_else(|| panic!("a fill ({:?}) hangs:\n{log}", self.fate));
        match self.fate {
            Fate::Killed(_) => assert!(matches!(status.code(), None | Some(0)), "{:?}: {status}:\n{log}", self.fate),
            _ => assert_eq!(status.code(), Some(0), "{:?}: {status}:\n{log}", self.fate),
        }
        status.code().is_none()
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        // Also one that a failed test left stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder to fill from: few files or many, some alike, some in folders.
fn seed(pod: &Pod, random: &mut Random) -> BTreeMap<String, Vec<u8>> {
    let count = random.between(1, 40);
    let mut files = crate::power::files(random, count);
    files.insert("twin-1.txt".into(), b"twin".to_vec());
    files.insert("twin-2.txt".into(), b"twin".to_vec());
    let folder = pod.folder("seed", &[]);
    for (path, bytes) in &files {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder is made");
        std::fs::write(file, bytes).expect("a file is written");
    }
    files
}

/// Uploads files to a server for as long as the mischief lasts; gives those that were acknowledged.
fn upload(served: &Served, name: &str, start: Instant, pause: Duration) -> BTreeMap<String, Vec<u8>> {
    let mut acknowledged = BTreeMap::new();
    std::thread::sleep(pause);
    let token = format!("Bearer {TOKEN}");
    for number in 0.. {
        if start.elapsed() > MISCHIEF * 2 {
            break;
        }
        let (path, body) = (format!("{name}/{number}.txt"), format!("{name} {number}"));
        let answer = try_call("PUT", &served.url(&format!("/site/{path}")), &[("authorization", &token)], body.clone());
        let answer = answer.expect("a server that is left alone answers");
        match answer.status {
            200 | 201 => drop(acknowledged.insert(path, body.into_bytes())),
            // Somebody who was stopped has the lock.
            503 => {}
            _ => panic!("an upload beside fills failed: {answer}"),
        }
    }
    acknowledged
}

/// What a round saw.
#[derive(Debug, Default)]
struct Saw {
    processes: usize,
    killed: usize,
    seeded: usize,
    uploads: usize,
}

impl std::ops::AddAssign for Saw {
    fn add_assign(&mut self, other: Self) {
        self.processes += other.processes;
        self.killed += other.killed;
        self.seeded += other.seeded;
        self.uploads += other.uploads;
    }
}

fn round(random: &mut Random, with_uploads: bool) -> Saw {
    let pod = Pod::new();
    let seed_files = seed(&pod, random);
    let folder = pod.path("seed");
    let mut fates: Vec<_> = (0..random.between(2, 16)).map(|_| Fate::random(random)).collect();
    fates[0] = Fate::LeftAlone;
    let servers: Vec<_> = if with_uploads { vec![pod.serve(), pod.serve()] } else { Vec::new() };

    let start = Instant::now();
    let fills: Vec<_> = fates.iter().map(|fate| Fill::start(&pod, text(&folder), *fate)).collect();
    let mut saw = Saw { processes: fills.len(), ..Saw::default() };
    let uploaded: BTreeMap<_, _> = std::thread::scope(|scope| {
        let uploads: Vec<_> = (servers.iter().zip(["one", "two"]))
            .map(|(served, name)| {
                let pause = random.time(MISCHIEF);
                scope.spawn(move || upload(served, name, start, pause))
            })
            .collect();
        let befallen: Vec<_> = (fills.into_iter())
            .map(|fill| {
                scope.spawn(move || {
                    fill.befall(start);
                    fill.end()
                })
            })
            .collect();
        for one in befallen {
            saw.killed += usize::from(one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        uploads
            .into_iter()
            .flat_map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    for served in servers {
        served.terminate().expect(0);
    }

    pod.fill(&folder).expect(0);
    assert_well_formed(&pod);
    let journal = entries(&pod.volume()).expect("all that the journal names is whole");
    let shown = shown(&pod.volume()).expect("the site reads");
    let head = journal.last().expect("somebody filled it");
    assert_eq!(shown, head.site, "{}", difference(&shown, &head.site));
    let site = contents(&pod.volume());
    let seeds = pod.causes().iter().filter(|cause| *cause == "seed").count();
    if with_uploads {
        assert!(seeds <= 1, "one winner, or an upload came first: {:?}", pod.causes());
        for (path, bytes) in &uploaded {
            assert_eq!(site.get(path), Some(bytes), "{path} was acknowledged");
        }
        if seeds == 1 {
            assert!(seed_files.iter().all(|(path, bytes)| site.get(path) == Some(bytes)), "the seed is there whole");
        }
        assert_eq!(journal.len(), uploaded.len() + seeds, "an entry for each success: {:?}", pod.causes());
    } else {
        assert_eq!(pod.causes(), ["seed"], "one winner");
        assert_eq!(site, seed_files, "the same bytes");
    }
    let left = staging_leftovers(&pod.volume());
    assert!(left.is_empty(), "after one more fill nothing is left over: {left:?}");
    let before = listing(&pod.volume());
    pod.fill(&folder).expect(0);
    assert_unchanged(&before, &listing(&pod.volume()), "another fill");
    Saw { seeded: seeds, uploads: uploaded.len(), ..saw }
}

fn rounds(count: usize, with_uploads: bool) {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    say(&format!("fills at once{}: TORTURE_SEED={seed}", if with_uploads { ", with uploads" } else { "" }));
    let mut saw = Saw::default();
    for _ in 0..count {
        saw += round(&mut random, with_uploads);
    }
    let Saw { processes, killed, seeded, uploads } = saw;
    say(&format!(
        "fills at once: {count} rounds, {processes} processes, {killed} killed on their way; {seeded} rounds were seeded, \
         {uploads} uploads acknowledged; lost: 0"
    ));
    assert!(killed > 0 || with_uploads, "mischief that comes too late proves nothing: {saw:?}");
}

#[test]
fn of_many_fills_at_once_one_wins_and_nobody_fails_whoever_is_killed_or_stopped() {
    rounds(if is_torture() { 250 } else { 25 }, false);
}

#[test]
fn many_fills_beside_two_servers_with_uploads_lose_nothing() {
    rounds(if is_torture() { 100 } else { 10 }, true);
}
