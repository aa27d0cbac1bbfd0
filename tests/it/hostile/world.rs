//! A filled pod with a canary beside its volume, and what must be true of both after hostile input.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    http::Answer,
    listing::{Listing, listing, listing_without_directory_times, unchanged},
    pod::Pod,
    served::{Served, to},
    uploads::hex,
};

/// The files of the first release.
pub(super) const SITE: [(&str, &str); 3] = [("index.html", "page"), ("assets/a.css", "a"), ("assets/deep/b.css", "b")];
/// Until what a refused request staged must be gone. A second is promised; the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(8);

/// A pod, its server, and the canary.
pub(crate) struct World {
    pub(crate) pod: Pod,
    pub(crate) served: Served,
    canary: Canary,
    before: Listing,
}

/// Files and a folder outside of the volume: each of their times to the nanosecond, inode, mode, owner and bytes.
struct Canary {
    folder: PathBuf,
    before: (Listing, BTreeMap<PathBuf, Vec<u8>>),
}

impl Canary {
    /// In the pod's folder, so that `../canary/song` from the volume, and its absolute path, lead there.
    fn new(pod: &Pod) -> Self {
        let folder = pod.folder("canary", &[("song", "the canary sings"), ("nest/egg", "the canary sleeps")]);
        let before = Self::look(&folder);
        Self { folder, before }
    }

    fn look(folder: &Path) -> (Listing, BTreeMap<PathBuf, Vec<u8>>) {
        let listing = listing(folder);
        let files = listing.keys().map(|path| folder.join(path)).filter(|path| path.is_file());
        let bytes = files.map(|path| (path.clone(), fs::read(&path).expect("a file reads"))).collect();
        (listing, bytes)
    }

    fn check(&self) -> Result<(), String> {
        let now = Self::look(&self.folder);
        unchanged(&self.before.0, &now.0)?;
        if now.1 == self.before.1 { Ok(()) } else { Err("\n  the canary's bytes changed".into()) }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::served_with(Pod::in_memory(), &[])
    }

    /// With more flags for the server.
    pub(super) fn served_with(pod: Pod, flags: &[&str]) -> Self {
        // Reading a file changes its time of access, which nobody looks at.
        let canary = Canary::new(&pod);
        fs::create_dir(pod.volume().join("lost+found")).expect("it is made");
        pod.fill(pod.folder("seed", &SITE)).expect(0);
        let served = pod.serve_with(flags);
        // The folder of objects that wait for a release is made once.
        served.put(&format!("/v1/objects/{}", hex(b"waits")), "waits").expect(201);
        let before = look(&pod);
        Self { pod, served, canary, before }
    }

    pub(super) fn canary(&self) -> &Path {
        &self.canary.folder
    }

    /// The default outcome of hostile input: nothing changed in the volume or beside it, nothing is left in staging, the
    /// server lives and serves what it served.
    pub(crate) fn check_unharmed(&mut self) -> Result<(), String> {
        self.served.assert_running();
        // A request may still be read when its connection is gone already; what it stages goes with it.
        let start = Instant::now();
        loop {
            let outcome = unchanged(&self.before, &look(&self.pod));
            match outcome {
                Ok(()) => break,
                Err(differences) if start.elapsed() > PATIENCE => return Err(differences),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        self.canary.check()?;
        let answer = self.served.get("/site/index.html");
        if (answer.status, &*answer.body) == (200, b"page") { Ok(()) } else { Err(format!("\n  it serves {answer}")) }
    }

    #[track_caller]
    pub(crate) fn assert_unharmed(&mut self, by: &str) {
        self.check_unharmed().unwrap_or_else(|why| panic!("{by} changed what it must not:{why}"));
    }

    /// Only the canary, for what may be published.
    pub(super) fn check_canary(&self) -> Result<(), String> {
        self.canary.check()
    }

    /// What is live has the modes that a web server reads, whatever came.
    pub(super) fn check_modes(volume: &Path) -> Result<(), String> {
        let live = fs::canonicalize(volume.join("..data")).expect("it resolves");
        for path in listing(&live).keys() {
            let about = fs::symlink_metadata(live.join(path)).expect("it is there");
            let is_right = match about.mode() {
                0o040_755 => about.is_dir(),
                0o100_644 | 0o100_755 => about.is_file(),
                _ => false,
            };
            if !is_right || about.uid() != rustix::process::geteuid().as_raw() {
                return Err(format!("\n  {} has mode {:o}, owner {}", path.display(), about.mode(), about.uid()));
            }
        }
        Ok(())
    }

    /// Goes back to the first release, and takes what there is then as what must not change.
    pub(super) fn restore(&mut self) -> Result<(), String> {
        let answer: Answer = self.served.rollback(&to(1));
        if answer.status != 200 {
            return Err(format!("\n  no way back: {answer}"));
        }
        self.look_again();
        Ok(())
    }

    /// Takes what there is now as what must not change.
    pub(crate) fn look_again(&mut self) {
        self.before = look(&self.pod);
    }
}

/// All of the pod but what a server writes down by itself, and generations that were replaced, which go after a while.
fn look(pod: &Pod) -> Listing {
    let live = fs::read_link(pod.volume().join("..data")).expect("it is a link");
    let (trees, live) = (Path::new("volume/.longshore/trees"), Path::new("volume").join(live));
    let mut listing = listing_without_directory_times(&pod.path(""));
    listing.retain(|path, _| {
        let is_its_own = path.ends_with(".longshore/watched.json") || path.starts_with("volume/.longshore/reserve");
        !is_its_own && (!path.starts_with(trees) || path.starts_with(&live))
    });
    // Those share their inodes with what stays: how many names one has, and since when, changes with them.
    for (_, line) in listing.iter_mut().filter(|(path, _)| path.starts_with("volume/.longshore")) {
        let (start, rest) = line.split_once(" links ").unwrap_or((line, ""));
        let size = rest.split_once(" size ").map_or("", |(_, rest)| rest.split(" ctime ").next().unwrap_or(rest));
        *line = format!("{start} size {size}");
    }
    listing
}
