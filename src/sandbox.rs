//! Confines this process, and the programs that it starts, to the volume.
//!
//! What it does all day is read what strangers send. Should a mistake of ours, or of a library, ever let one of them write
//! where they please, the kernel (landlock) still says no: outside of the volume nothing can be written, and only what the
//! settings name and the system needs can be read. Nothing on the volume can be run, and no program that is started gains
//! rights that we lack. A thread hands this on to the threads it starts, not to those that are there: so it is done before
//! there is a second one.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// The newest version that this was written for; older kernels do what they can.
const VERSION: ABI = ABI::V6;

/// What resolving names, trusting certificates, and looking at mounts and at one's own limits may read.
const SYSTEM: [&str; 8] =
    ["/etc", "/usr", "/lib", "/lib64", "/proc", "/sys/fs/cgroup", "/run/secrets", "/run/systemd/resolve"];

/// Where links are the system's own, as `/var/run` is, and nobody turns them.
const SYSTEM_LINKS: [&str; 2] = ["/", "/var"];

/// What may be written to besides: why a container ended, and nothing.
const WRITABLE: [&str; 2] = ["/dev/termination-log", "/dev/null"];

/// How far the process reaches.
#[derive(Debug)]
pub struct Sandbox {
    volume: PathBuf,
    reads: Vec<PathBuf>,
    runs_programs: bool,
}

/// Why a process is not confined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel cannot.
    #[error(transparent)]
    Kernel(#[from] RulesetError),
    /// The volume cannot be opened.
    #[error(transparent)]
    Volume(#[from] PathFdError),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confined {
    /// The kernel does all that was asked for.
    Wholly,
    /// The kernel is older than what was asked for: paths are confined, some of the rest is not.
    Mostly,
}

impl Sandbox {
    /// Only this volume.
    #[must_use]
    pub fn of(volume: &Path) -> Self {
        Self { volume: volume.to_owned(), reads: Vec::new(), runs_programs: false }
    }

    /// Also reading `path`, and whatever takes its place later: a Secret's link is turned, an archive is renamed in.
    #[must_use]
    pub fn reading(mut self, path: &Path) -> Self {
        self.reads.extend(surroundings(path));
        self
    }

    /// Also running programs, which need their libraries, and perhaps a place for scratch: reading stays free then, and only
    /// writing is confined.
    #[must_use]
    pub fn running_programs(mut self, does: bool) -> Self {
        self.runs_programs |= does;
        self
    }

    /// Whether reading is left free.
    #[must_use]
    pub fn is_open_to_read(&self) -> bool {
        self.runs_programs
    }

    /// Confines this thread and all that it starts.
    ///
    /// # Errors
    /// When the kernel lacks landlock, or the version of it that lets files be moved between directories (5.19); when the
    /// volume cannot be opened, without which nothing could be done any more.
    pub fn close(self) -> Result<Confined, Error> {
        let volume = PathFd::new(&self.volume)?;
        let all = match self.runs_programs {
            // Terminals, too, are theirs.
            true => AccessFs::from_write(VERSION) & !BitFlags::from(AccessFs::IoctlDev),
            false => AccessFs::from_all(VERSION),
        };
        let never = AccessFs::Execute
            | AccessFs::MakeChar
            | AccessFs::MakeBlock
            | AccessFs::MakeFifo
            | AccessFs::MakeSock
            | AccessFs::IoctlDev;
        let read = (AccessFs::ReadFile | AccessFs::ReadDir) & all;
        let scopes = match self.runs_programs {
            // One that tells the web server beside us of a release may do so by a signal.
            true => BitFlags::from(Scope::AbstractUnixSocket),
            false => Scope::AbstractUnixSocket | Scope::Signal,
        };
        let mut ruleset = Ruleset::default()
            // The first version of landlock refuses every rename from one directory to another.
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .scope(scopes)?
            .create()?
            .add_rule(PathBeneath::new(volume, all & !never))?
            .add_rules(path_beneath_rules(
                WRITABLE,
                (AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate) & all,
            ))?;
        if self.runs_programs {
            ruleset = ruleset.add_rules(path_beneath_rules([std::env::temp_dir()], all))?;
        } else {
            ruleset = ruleset.add_rules(path_beneath_rules(SYSTEM, read))?;
            ruleset = ruleset.add_rules(path_beneath_rules(&self.reads, read))?;
        }
        Ok(match ruleset.restrict_self()?.ruleset {
            RulesetStatus::FullyEnforced => Confined::Wholly,
            RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => Confined::Mostly,
        })
    }
}

/// The directory in which `path` is a name, and the one where it leads: what stands there is often replaced. So is a link on
/// the way, as git-sync turns its own: the same for each of these. The root of all is not opened for that, nor what the
/// system links there: there, `path` itself.
#[expect(clippy::disallowed_methods, reason = "the operator's paths, not on the volume")]
fn surroundings(path: &Path) -> Vec<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let around = |path: PathBuf| {
        // What is not there yet appears in a directory that is.
        let parent = path.ancestors().skip(1).find(|parent| parent.is_dir()).filter(|parent| *parent != Path::new("/"));
        parent.map(Path::to_owned).unwrap_or(path)
    };
    let is_turned = |path: &&Path| {
        let is_of_system =
            path.parent().is_none_or(|parent| SYSTEM_LINKS.iter().any(|links| parent == Path::new(links)));
        path.is_symlink() && !is_of_system
    };
    let links = path.ancestors().skip(1).filter(is_turned);
    let places =
        [&*path].into_iter().chain(links).flat_map(|place| [Some(place.to_owned()), std::fs::canonicalize(place).ok()]);
    places.flatten().map(around).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What happens to a thread that is confined, and to nobody else here.
    fn confined<T: Send>(sandbox: Sandbox, then: impl FnOnce() -> T + Send) -> Option<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| sandbox.close().ok().map(|_| then()));
            thread.join().expect("it does not panic")
        })
    }

    fn kind<T>(done: std::io::Result<T>) -> Option<std::io::ErrorKind> {
        done.err().map(|error| error.kind())
    }

    #[test]
    fn the_volume_and_what_is_named_can_be_used_and_nothing_else() {
        let pod = tempfile::tempdir().expect("a directory");
        let at = |name: &str| pod.path().join(name);
        for folder in ["volume/a", "volume/b", "secret", "elsewhere"] {
            fs::create_dir_all(at(folder)).expect("made");
        }
        for file in ["secret/token", "elsewhere/file", "volume/a/file"] {
            fs::write(at(file), "text").expect("written");
        }
        let denied = Some(std::io::ErrorKind::PermissionDenied);
        // A kernel without landlock skips this; the tests from outside say so.
        let _ = confined(Sandbox::of(&at("volume")).reading(&at("secret/token")), || {
            assert_eq!(kind(fs::rename(at("volume/a/file"), at("volume/b/file"))), None, "between directories");
            assert_eq!(kind(fs::hard_link(at("volume/b/file"), at("volume/a/twin"))), None);
            assert_eq!(kind(std::os::unix::fs::symlink("b", at("volume/link"))), None);
            assert_eq!(kind(fs::read(at("secret/token"))), None);
            assert_eq!(kind(fs::write(at("secret/token"), "x")), denied);
            assert_eq!(kind(fs::read(at("elsewhere/file"))), denied);
            assert_eq!(kind(fs::write(at("elsewhere/new"), "x")), denied);
            assert_eq!(kind(fs::remove_file(at("elsewhere/file"))), denied);
            assert_eq!(kind(std::process::Command::new("/bin/true").status()), denied);
        });
    }

    #[test]
    fn a_program_reads_what_it_likes_and_writes_to_the_volume() {
        let pod = tempfile::tempdir_in("/dev/shm").expect("a directory that is none of scratch");
        let at = |name: &str| pod.path().join(name);
        fs::create_dir(at("volume")).expect("made");
        let _ = confined(Sandbox::of(&at("volume")).running_programs(true), || {
            let run = |script: String| std::process::Command::new("/bin/sh").args(["-c", &script]).status();
            let writes =
                |name: &str| run(format!("echo text >{} 2>/dev/null", at(name).display())).is_ok_and(|it| it.success());
            assert!(writes("volume/file"));
            assert!(!writes("file"));
        });
    }

    #[test]
    fn a_program_may_send_signals_to_what_is_beside_us() {
        let volume = tempfile::tempdir().expect("a directory");
        let script = format!("kill -0 {}", std::process::id());
        let run = move || std::process::Command::new("/bin/sh").args(["-c", &script]).status();
        // A kernel without landlock skips this.
        if let Some(ended) = confined(Sandbox::of(volume.path()).running_programs(true), run) {
            assert!(ended.is_ok_and(|ended| ended.success()));
        }
    }

    #[test]
    fn a_link_on_the_way_may_be_turned() {
        let pod = tempfile::tempdir().expect("a directory");
        let at = |name: &str| pod.path().join(name);
        for folder in ["volume", "git/.worktrees/a/public", "git/.worktrees/b/public"] {
            fs::create_dir_all(at(folder)).expect("made");
        }
        fs::write(at("git/.worktrees/b/public/page"), "").expect("written");
        std::os::unix::fs::symlink(".worktrees/a", at("git/current")).expect("made");
        let sandbox = Sandbox::of(&at("volume")).reading(&at("git/current/public"));
        std::os::unix::fs::symlink(".worktrees/b", at("git/new")).expect("made");
        fs::rename(at("git/new"), at("git/current")).expect("turned");
        let _ = confined(sandbox, || assert_eq!(kind(fs::read(at("git/current/public/page"))), None));
    }

    #[test]
    fn what_is_named_may_be_replaced() {
        let pod = tempfile::tempdir().expect("a directory");
        let real = pod.path().join("real");
        fs::create_dir(&real).expect("made");
        fs::write(real.join("token"), "").expect("written");
        fs::create_dir(pod.path().join("mount")).expect("made");
        let link = pod.path().join("mount/token");
        std::os::unix::fs::symlink(real.join("token"), &link).expect("made");
        assert_eq!(surroundings(&link), [pod.path().join("mount"), real.clone()]);
        let turned = pod.path().join("mount/current");
        std::os::unix::fs::symlink(&real, &turned).expect("made");
        let expected = [turned.clone(), real.clone(), pod.path().join("mount"), pod.path().to_owned()];
        assert_eq!(surroundings(&turned.join("token")), expected);
        assert_eq!(surroundings(&real.join("not/yet/there")), [real]);
        assert_eq!(surroundings(Path::new("/seed-that-is-not-there")), [Path::new("/seed-that-is-not-there")]);
    }
}
