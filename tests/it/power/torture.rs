//! Many cuts, on several disks at once, and what they came to.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use super::{disk::Kind, judge::Violation, random::Random, round::World, say};

/// Disks under load at the same time.
const WORKERS: usize = 2;

/// A number of cuts.
pub(crate) struct Torture {
    kind: Kind,
    cuts: usize,
    seed: u64,
    mistake: Option<&'static str>,
}

/// What cuts came to.
#[derive(Debug)]
pub(crate) struct Report {
    kind: Kind,
    seed: u64,
    /// Cuts that were begun.
    pub(crate) cuts: usize,
    /// Cuts that came amid a change.
    amid: usize,
    /// Changes that were acknowledged before a cut.
    acknowledged: usize,
    violations: Vec<Violation>,
}

impl Torture {
    pub(crate) fn new(kind: Kind, cuts: usize) -> Self {
        Self { kind, cuts, seed: Random::seed(), mistake: None }
    }

    /// With a mistake planted: ends as soon as it is caught.
    pub(crate) fn planted(self, mistake: &'static str) -> Self {
        Self { mistake: Some(mistake), ..self }
    }

    /// Cuts the power; none where the machine does not allow it.
    pub(crate) fn run(&self) -> Option<Report> {
        let Self { kind, seed, mistake, .. } = *self;
        let mut random = Random::new(seed);
        let mut first = Some(World::new(kind, mistake, &mut random)?);
        if mistake.is_none() {
            say(&format!("power cuts on {kind}: TORTURE_SEED={seed} repeats the random choices"));
        }
        let report = Mutex::new(Report { kind, seed, cuts: 0, amid: 0, acknowledged: 0, violations: Vec::new() });
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                let (random, first, report) = (random.fork(), first.take(), &report);
                scope.spawn(move || self.work(first, random, report));
            }
        });
        Some(report.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn work(&self, mut world: Option<World>, mut random: Random, report: &Mutex<Report>) {
        let report = || report.lock().unwrap_or_else(PoisonError::into_inner);
        while self.takes_one_more(&mut report()) {
            let fresh = || World::new(self.kind, self.mistake, &mut random).expect("it went a moment ago");
            let mut at = world.take().filter(|world| !world.is_worn()).unwrap_or_else(fresh);
            match at.cut(&mut random) {
                Ok(harmless) => {
                    let mut report = report();
                    report.amid += usize::from(harmless.is_amid);
                    report.acknowledged += harmless.acknowledged;
                    world = Some(at);
                }
                Err(violation) => {
                    if self.mistake.is_none() {
                        say(&format!("{violation}\n  after: {}", at.log().join("\n         ")));
                    }
                    report().violations.push(violation);
                }
            }
        }
    }

    fn takes_one_more(&self, report: &mut Report) -> bool {
        let is_caught = self.mistake.is_some() && !report.violations.is_empty();
        if is_caught || report.cuts == self.cuts {
            return false;
        }
        report.cuts += 1;
        true
    }
}

impl Report {
    /// What was found first, if anything was.
    pub(crate) fn caught(&self) -> Option<&Violation> {
        self.violations.first()
    }

    /// Fails the test when a cut did harm, or when they hit nothing.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert!(self.violations.is_empty(), "{self}; TORTURE_SEED={}: {:#?}", self.seed, self.violations);
        assert!(
            self.acknowledged * 2 > self.cuts && self.amid * 10 > self.cuts,
            "cuts that hit nothing prove nothing: {self}"
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |is: fn(&Violation) -> bool| self.violations.iter().filter(|&violation| is(violation)).count();
        let torn = count(|violation| matches!(violation, Violation::Torn(_)));
        let lost = count(|violation| matches!(violation, Violation::Lost(_)));
        let stuck = count(|violation| matches!(violation, Violation::Stuck(_)));
        let Self { kind, cuts, amid, acknowledged, .. } = self;
        write!(out, "power cuts: {cuts} on {kind}, torn: {torn}, lost: {lost}, not recovered: {stuck}")?;
        write!(out, " ({amid} amid a change; {acknowledged} changes had been acknowledged)")
    }
}
