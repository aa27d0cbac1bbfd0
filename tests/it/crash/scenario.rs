//! A change to a volume, done many times over from the same state before it.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    oracle::{self, Site, Violations},
    scenarios,
    session::{Judge, Session, Told, nth},
};
use crate::{
    pod::Pod,
    run::clean,
    tracer::{Call, Kind, Verdict},
};

/// What the environment of each process is besides.
pub(crate) type Environment<'a> = &'a [(&'a str, &'a str)];

/// What is done to a volume. Another one is ten lines in `scenarios.rs`.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Flags of every process: the volume's layout, and what it keeps.
    pub(crate) flags: &'static [&'static str],
    /// The document root, in the volume.
    pub(crate) root: &'static str,
    /// How many files one publish replaces at once: one with plain files, all of them elsewhere.
    pub(crate) is_atomic: bool,
    /// Whether who acts is told that it is done. A start tells only that something is shown.
    pub(crate) acknowledges: bool,
    /// Whether it waits for something that longshore does now and then only.
    pub(crate) is_slow: bool,
    /// Brings a blank volume into the state before.
    pub(crate) prepare: fn(&mut Session<'_>),
    /// What dies, or fails, on the way.
    pub(crate) act: fn(&mut Session<'_>),
    /// What comes after that. It must not change what is live.
    pub(crate) again: fn(&mut Session<'_>),
    /// What is shown when nobody dies. Nothing: what was shown before.
    pub(crate) after: Option<fn() -> Site>,
}

impl Scenario {
    /// A volume in the default layout, on which a server is started again.
    pub(crate) const fn new(name: &'static str, prepare: fn(&mut Session<'_>), act: fn(&mut Session<'_>)) -> Self {
        Self {
            name,
            flags: &[],
            root: "",
            is_atomic: true,
            acknowledges: true,
            is_slow: false,
            prepare,
            act,
            again: |session| session.serve_again(),
            after: None,
        }
    }

    /// Prepares the state before, and does all of it once without a fault.
    pub(crate) fn record(self, environment: Environment<'_>) -> Known {
        let before = Pod::in_memory();
        let mut session = Session::new(&before, self.flags, &[], None);
        (self.prepare)(&mut session);
        session.end();
        let old = oracle::shown(&before.volume().join(self.root));
        let mut known = Known { scenario: self, before, old, new: Site::new(), calls: Vec::new() };
        let (judge, _) = nth(0, Verdict::Run, |_| false);
        let ran = known.run(judge, environment);
        assert_eq!(ran.told, Told::Done, "{} works when nothing fails:\n{}", self.name, ran.log);
        known.new = ran.shown();
        let expected = self.after.map_or_else(|| known.old.clone(), |after| after());
        assert_eq!(known.new, expected, "{} does what it says", self.name);
        known.calls = ran.calls;
        known
    }
}

/// A scenario with its state before, and what it shows before and after.
pub(crate) struct Known {
    pub(crate) scenario: Scenario,
    before: Pod,
    pub(crate) old: Site,
    pub(crate) new: Site,
    /// The calls of a run without a fault.
    pub(crate) calls: Vec<Call>,
}

/// What a run left.
pub(crate) struct Ran {
    pub(crate) scenario: Scenario,
    pub(crate) pod: Pod,
    pub(crate) told: Told,
    pub(crate) calls: Vec<Call>,
    pub(crate) log: String,
}

impl Known {
    /// A pod of its own in the state before.
    pub(crate) fn pod(&self) -> Pod {
        let pod = Pod::in_memory();
        copy(&self.before.volume(), &pod.volume());
        pod
    }

    /// Acts on a volume in the state before; whoever still runs after that is killed.
    pub(crate) fn run(&self, judge: Judge, environment: Environment<'_>) -> Ran {
        self.run_and(judge, environment, |_| {})
    }

    /// As [`Known::run`], with something to be done before whoever still runs is killed. What was told, and the calls, are
    /// those of the act.
    pub(crate) fn run_and(
        &self,
        judge: Judge,
        environment: Environment<'_>,
        then: impl FnOnce(&mut Session<'_>),
    ) -> Ran {
        let (scenario, pod) = (self.scenario, self.pod());
        let mut session = Session::new(&pod, scenario.flags, environment, Some(judge));
        (scenario.act)(&mut session);
        let told = session.told.clone();
        then(&mut session);
        session.end();
        let (log, calls) = (session.log, session.calls);
        Ran { scenario, pod, told, calls, log }
    }

    /// Kills before the `n`-th change, from 1, and tells what is wrong after that; nothing when there are fewer.
    pub(crate) fn kill(&self, n: usize, environment: Environment<'_>) -> Option<Violations> {
        let (judge, hit) = nth(n, Verdict::Kill, |call| call.kind == Kind::Change);
        let ran = self.run(judge, environment);
        hit().then(|| {
            let mut violations = oracle::after_death(self, &ran);
            violations.extend(oracle::again(self, &ran, environment, n));
            let last = ran.calls.last().map(ToString::to_string).unwrap_or_default();
            ran.explain(violations, &format!("killed before call {n}, {last}"))
        })
    }
}

impl Ran {
    pub(crate) fn shown(&self) -> Site {
        oracle::shown(&self.pod.volume().join(self.scenario.root))
    }

    /// Whether what is shown now was promised.
    pub(crate) fn is_promised(&self) -> bool {
        self.scenario.acknowledges && self.told == Told::Done
    }

    /// The violations, with where they come from.
    pub(crate) fn explain(&self, violations: Violations, what: &str) -> Violations {
        let Self { scenario: Scenario { name, .. }, told, log, .. } = self;
        violations.into_iter().map(|wrong| format!("{name}, {what}, told {told:?}: {wrong}\n{log}")).collect()
    }
}

/// Copies a volume with its modes, times and links, but with inodes of its own.
fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let status = clean(&mut command).arg("-a").arg(from.join(".")).arg(to).status().expect("cp starts");
    assert!(status.success(), "a volume is copied");
}

/// Kills at every point of a scenario. Gives how many there were and all that was wrong; panics only when the scenario does
/// not work without a fault.
pub(crate) fn kill_everywhere(scenario: Scenario, environment: Environment<'_>) -> (usize, Violations) {
    let known = scenario.record(environment);
    let mut violations = Violations::new();
    for n in 1.. {
        match known.kill(n, environment) {
            Some(found) => violations.extend(found),
            None => return (n - 1, violations),
        }
    }
    unreachable!("a run has an end")
}

/// The names of calls, counted: what a scenario is made of.
pub(crate) fn summary(calls: &[Call]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.kind == Kind::Change) {
        *counts.entry(call.name).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// Scenarios that run at once: most of their time they wait for a process.
const AT_ONCE: usize = 4;

/// Whether everything is to be tried, however long it takes.
pub(crate) fn is_torture() -> bool {
    std::env::var_os("TORTURE").is_some()
}

/// Runs `test` with each scenario (with those that `TORTURE_ONLY` names a part of), and gives all that was wrong.
pub(crate) fn in_parallel(test: impl Fn(usize, &Scenario) -> Violations + Sync) -> Violations {
    let (next, violations) = (AtomicUsize::new(0), Mutex::new(Violations::new()));
    let only = std::env::var("TORTURE_ONLY").unwrap_or_default();
    let scenarios: Vec<_> = scenarios::ALL.iter().filter(|scenario| scenario.name.contains(&only)).collect();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(scenario) = scenarios.get(index) else { return };
                    let found = test(index, scenario);
                    violations.lock().expect("no scenario panics").extend(found);
                }
            });
        }
    });
    violations.into_inner().expect("no scenario panics")
}
