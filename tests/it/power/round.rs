//! One cut: load, power off, power on, judge, recover, judge, and once more for nothing.

use std::{
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use super::{
    disk::{Disk, Fuse, Kind},
    judge::{LAYOUTS, Layout, Violation, judge_cut, judge_recovered},
    load::{Acknowledged, Claim, Notes, digests, files},
    random::Random,
};
use crate::{
    listing::listing,
    pod::{Pod, text},
    run::{Log, Runs as _},
    served::Served,
};

/// What a client may still be told after a cut.
const AFTERMATH: Duration = Duration::from_millis(300);
/// An acknowledgement that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pod on a disk whose power can be cut.
pub(super) struct World {
    // Unmounted before the pod's folder goes.
    disk: Disk,
    pod: Pod,
    notes: Notes,
    layout: &'static Layout,
    mistake: Option<&'static str>,
    cuts: usize,
}

/// What a cut did that did no harm.
pub(super) struct Harmless {
    /// Changes that were acknowledged before it, and are there.
    pub(super) acknowledged: usize,
    /// Whether it came amid a change, and left something to be finished or swept.
    pub(super) is_amid: bool,
}

/// When the power goes.
#[derive(Debug)]
enum Moment {
    After(Duration),
    /// At once after so many successes: what the kernel would write by itself some seconds later is not there.
    Acknowledged(usize),
}

impl Moment {
    fn random(random: &mut Random) -> Self {
        match random.below(100) {
            0..=54 => Self::Acknowledged(random.between(1, 5)),
            55..=96 => Self::After(random.time(Duration::from_millis(150))),
            // Long enough for replaced generations to be removed.
            _ => Self::After(random.time(Duration::from_secs(4))),
        }
    }

    fn wait(&self, acks: &Receiver<()>) {
        match self {
            Self::After(time) => std::thread::sleep(*time),
            Self::Acknowledged(count) => {
                let start = Instant::now();
                for _ in 0..*count {
                    if acks.recv_timeout(PATIENCE.saturating_sub(start.elapsed())).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl World {
    /// A blank volume in a random layout, most often the default; none where the machine does not allow it.
    pub(super) fn new(kind: Kind, mistake: Option<&'static str>, random: &mut Random) -> Option<Self> {
        let pod = Pod::new();
        let disk = Disk::mount(kind, pod.volume())?;
        pod.folder("seed", &[("index.html", "the seed"), ("assets/site.css", "body { }")]);
        let layout = random.pick(&[&LAYOUTS[0], &LAYOUTS[0], &LAYOUTS[0], &LAYOUTS[1], &LAYOUTS[2]]);
        Some(Self { disk, pod, notes: Notes::new(kind.fails_when_dead()), layout, mistake, cuts: 0 })
    }

    /// Whether a new disk would do better: this one is nearly full, or its journal takes long to read.
    pub(super) fn is_worn(&self) -> bool {
        self.cuts >= 12 || self.disk.free() < 20 << 20 || self.notes.acknowledged().len() > 120
    }

    /// What the clients did since the last cut.
    pub(super) fn log(&self) -> Vec<String> {
        self.notes.log()
    }

    /// Cuts the power once; the load, the moment and the way back are chosen at random.
    pub(super) fn cut(&mut self, random: &mut Random) -> Result<Harmless, Violation> {
        self.notes.begin();
        let told_before = self.notes.acknowledged().len();
        let fills = if self.cuts == 0 { random.percent(60) } else { random.percent(8) };
        self.cuts += 1;
        match fills {
            true => self.fill_and_cut(random)?,
            false => self.serve_and_cut(random),
        }
        self.disk.restart();
        if let Some(wrong) = self.notes.wrong().first() {
            return Err(Violation::Stuck(wrong.clone()));
        }
        let (volume, acknowledged) = (self.pod.volume(), self.notes.acknowledged());
        let is_amid = judge_cut(&volume, self.layout, &acknowledged)?;
        match random.percent(50) {
            true => self.fill()?,
            false => {
                self.serve().kill();
                // A site that has not begun stays so for `serve`; the fill below would begin it.
                if self.pod.journal().is_empty() {
                    self.fill()?;
                }
            }
        }
        judge_recovered(&volume, self.layout, &acknowledged)?;
        let before = listing(&volume);
        self.fill()?;
        let after = listing(&volume);
        match before.iter().find(|(path, line)| after.get(*path) != Some(line)) {
            None if before.len() == after.len() => {
                Ok(Harmless { acknowledged: acknowledged.len() - told_before, is_amid })
            }
            changed => Err(Violation::Stuck(format!("a start more changed {changed:?}"))),
        }
    }

    fn mistaken<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.mistake.map(|mistake| ("PLANTED_MISTAKE", mistake)))
    }

    fn fill_command(&self, flags: &[&str]) -> Command {
        self.pod.fill_command(&[flags, self.layout.flags].concat())
    }

    fn fill(&self) -> Result<(), Violation> {
        let seed = self.pod.path("seed");
        let run = self.mistaken(&mut self.fill_command(&["--from", text(&seed)])).run();
        match run.code {
            Some(0) => Ok(()),
            code => Err(Violation::Stuck(format!("a fill ended with {code:?}: {}", run.stderr))),
        }
    }

    fn serve(&self) -> Served {
        let token_file = self.pod.token_file();
        let mistake: Vec<_> = self.mistake.map(|mistake| ("PLANTED_MISTAKE", mistake)).into_iter().collect();
        let flags = ["--token-file", text(&token_file)];
        let mut served = self.pod.launch(&[&flags, self.layout.flags].concat(), &mistake);
        served.wait_until_ready();
        served
    }

    fn serve_and_cut(&self, random: &mut Random) {
        let served = self.serve();
        let (fuse, moment) = (self.disk.fuse(), Moment::random(random));
        let url = served.url("");
        let (acks, heard) = channel();
        self.notes.note(format!("{:?}, serve, cut {moment:?}", self.layout));
        std::thread::scope(|scope| {
            for _ in 0..*random.pick(&[1, 1, 2, 3]) {
                let (mut random, acks, url) = (random.fork(), acks.clone(), &url);
                scope.spawn(move || self.notes.client(url, &mut random, &acks));
            }
            drop(acks);
            moment.wait(&heard);
            self.blow(fuse);
            let start = Instant::now();
            while heard.recv_timeout(AFTERMATH.saturating_sub(start.elapsed())) == Ok(()) {}
            served.kill();
        });
    }

    fn blow(&self, fuse: Fuse) {
        self.notes.cut();
        fuse.blow();
        self.notes.note("the power is cut".into());
    }

    /// A fill of new content, cut on its way or just after its success.
    fn fill_and_cut(&self, random: &mut Random) -> Result<(), Violation> {
        let count = random.between(1, 60);
        let source = files(random, count);
        let folder = self.pod.folder("source", &[]);
        for (path, bytes) in &source {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().expect("it has one")).expect("a folder is made");
            std::fs::write(file, bytes).expect("a file is written");
        }
        let limit = if random.percent(50) { PATIENCE } else { random.time(Duration::from_millis(150)) };
        let count = source.len();
        self.notes.note(format!("{:?}, fill of {count} files, cut after {limit:?} at the latest", self.layout));
        let fuse = self.disk.fuse();
        let mut command = self.fill_command(&["--from", text(&folder), "--when", "always"]);
        let command = self.mistaken(&mut command).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("longshore starts");
        let log = Log::of(child.stderr.take().expect("it is piped"));
        let start = Instant::now();
        let mut ended = None;
        while ended.is_none() && start.elapsed() < limit {
            std::thread::sleep(Duration::from_micros(200));
            ended = child.try_wait().expect("a child can be waited for");
        }
        let acknowledge = || {
            let claim = Claim { has: digests(&source, ""), only_below: Some(String::new()), is: None };
            self.notes.acknowledge(Acknowledged { claim, seq: None, release: None });
        };
        match ended {
            Some(status) if status.success() => acknowledge(),
            Some(status) => {
                let _ = child.wait();
                return Err(Violation::Stuck(format!("a fill ended with {status} without a cut: {}", log.whole())));
            }
            None => {}
        }
        self.blow(fuse);
        let late = child.try_wait().expect("a child can be waited for");
        if ended.is_none() && late.is_some_and(|status| status.success()) {
            acknowledge();
        }
        let _ = child.kill();
        let _ = child.wait();
        Ok(())
    }
}
