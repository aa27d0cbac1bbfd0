//! A pod for one test: a volume, and the binary under test on it as init container and as sidecar.
//!
//! Every child has a clean environment and a bound on its time, and is ended by its process id when the test drops it.
//! Addresses come from `--addresses-file`, readiness from `/readyz`: no log is read but to show it when a test fails.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    run::{Log, Run, Runs as _, clean, eventually},
    served::Served,
    uploads::hex,
};

/// The bearer token of every pod.
pub(crate) const TOKEN: &str = "a-token-of-the-tests-0123456789";
/// The binary under test.
pub(crate) const LONGSHORE: &str = env!("CARGO_BIN_EXE_longshore");

/// Who runs a container: as `runAsUser`, `runAsGroup` and `fsGroup` would have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) supplementary: Option<u32>,
}

/// A pod's temporary world: `volume/`, seeds, the token file.
pub(crate) struct Pod {
    root: TempDir,
    binary: PathBuf,
    identity: Option<Identity>,
}

impl Pod {
    /// A pod with a blank volume.
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// As [`Pod::new`], in memory where that can be had: for what is done a thousand times and asks no disk to be slow.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if rustix::fs::access(memory, rustix::fs::Access::WRITE_OK).is_ok() { Self::below(memory) } else { Self::new() }
    }

    fn below(folder: &Path) -> Self {
        let root = TempDir::with_prefix_in("longshore-it-", folder).expect("a temporary folder is made");
        let pod = Self { root, binary: LONGSHORE.into(), identity: None };
        // nginx's workers are another user, and walk through here.
        open_to_all(pod.root.path());
        fs::create_dir(pod.volume()).expect("a volume is made");
        open_to_all(&pod.volume());
        fs::write(pod.token_file(), format!("{TOKEN}\n")).expect("a token is written");
        pod
    }

    /// This pod with its containers run by somebody else.
    pub(crate) fn run_as(mut self, identity: Identity) -> Self {
        // The build's folder may be closed to them.
        let copy = self.path("longshore");
        if !copy.exists() {
            // By a child: a file that this process has open for writing may be inherited by another test's child just
            // then, and is "busy" when it is to run.
            Command::new("cp").args([LONGSHORE, text(&copy)]).run().expect(0);
        }
        self.binary = copy;
        self.identity = Some(identity);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn volume(&self) -> PathBuf {
        self.path("volume")
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.path("token")
    }

    /// Makes a folder of files in the pod, replacing one of that name.
    pub(crate) fn folder(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.path(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder is made");
        for (path, text) in files {
            let file = folder.join(path);
            fs::create_dir_all(file.parent().expect("it has one")).expect("a folder is made");
            fs::write(&file, text).expect("a file is written");
        }
        folder
    }

    /// A shell script that can be run.
    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let (text_of, path) = (self.path(&format!("{name}.txt")), self.path(name));
        fs::write(&text_of, format!("#!/bin/sh\n{script}\n")).expect("a script is written");
        fs::set_permissions(&text_of, fs::Permissions::from_mode(0o755)).expect("its mode is set");
        // By a child, as in `run_as`: what this process has open for writing may be "busy".
        Command::new("cp").args(["-p", text(&text_of), text(&path)]).run().expect(0);
        path
    }

    /// The binary with `arguments` and an environment that holds nothing of the developer's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(self.identity, arguments)
    }

    /// As [`Pod::command`], run by somebody else than the pod's other containers.
    pub(crate) fn command_as(&self, identity: Identity, arguments: &[&str]) -> Command {
        self.command_of(Some(identity), arguments)
    }

    fn command_of(&self, identity: Option<Identity>, arguments: &[&str]) -> Command {
        let mut command = match identity {
            None => Command::new(&self.binary),
            Some(Identity { user, group, supplementary }) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", &user.to_string(), "--regid", &group.to_string()]);
                match supplementary {
                    Some(group) => command.args(["--groups", &group.to_string()]),
                    None => command.arg("--clear-groups"),
                };
                // An image's umask must not matter: the worst one is set.
                command.args(["sh", "-c", "umask 077; exec \"$0\" \"$@\""]).arg(&self.binary);
                command
            }
        };
        clean(&mut command).args(arguments).stdin(Stdio::null());
        command
    }

    /// `longshore fill` from a source.
    pub(crate) fn fill(&self, from: impl AsRef<Path>) -> Run {
        self.fill_with(&["--from", text(from.as_ref())])
    }

    /// `longshore fill` with these flags besides `--volume`.
    pub(crate) fn fill_with(&self, flags: &[&str]) -> Run {
        self.fill_command(flags).run()
    }

    /// The command of [`Pod::fill_with`], for more to be done with it.
    pub(crate) fn fill_command(&self, flags: &[&str]) -> Command {
        let volume = self.volume();
        self.command(&[&["fill", "--volume", text(&volume)], flags].concat())
    }

    /// `longshore serve` with the pod's token file, ready.
    #[track_caller]
    pub(crate) fn serve(&self) -> Served {
        self.serve_with(&[])
    }

    /// As [`Pod::serve`], with more flags.
    #[track_caller]
    pub(crate) fn serve_with(&self, flags: &[&str]) -> Served {
        let token_file = self.token_file();
        let mut served = self.launch(&[&["--token-file", text(&token_file)], flags].concat(), &[]);
        served.wait_until_ready();
        served
    }

    /// Starts `longshore serve` on ports of its choice; returns once they are known.
    #[track_caller]
    pub(crate) fn launch(&self, flags: &[&str], environment: &[(&str, &str)]) -> Served {
        self.launch_as(self.identity, flags, environment)
    }

    /// As [`Pod::launch`], run by somebody else than the pod's other containers.
    #[track_caller]
    pub(crate) fn launch_as(&self, identity: Option<Identity>, flags: &[&str], environment: &[(&str, &str)]) -> Served {
        let file = self.addresses_file();
        let mut command = self.serve_command(identity, flags, &file);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("longshore starts");
        let log = Log::of(child.stderr.take().expect("it is piped"));
        let mut served = Served::starting(child, log);
        eventually("both addresses are announced", Duration::from_secs(120), || {
            served.assert_running();
            (served.listen, served.probes) = announced(&file)?;
            Some(())
        });
        served
    }

    /// Where a server is to tell its addresses: whoever runs it can write there, on no volume.
    pub(crate) fn addresses_file(&self) -> PathBuf {
        let folder = TempDir::with_prefix_in("addresses-", self.root.path()).expect("a folder is made").keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("its mode is set");
        folder.join("addresses")
    }

    /// The command of [`Pod::launch_as`].
    pub(crate) fn serve_command(&self, identity: Option<Identity>, flags: &[&str], addresses: &Path) -> Command {
        let volume = self.volume();
        let fixed = ["serve", "--volume", text(&volume), "--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0"];
        self.command_of(identity, &[&fixed, flags, &["--addresses-file", text(addresses)]].concat())
    }

    /// The journal's entries, oldest first, each with its file's bytes.
    pub(crate) fn journal(&self) -> Vec<(Value, Vec<u8>)> {
        journal_of(&self.volume())
    }

    /// The causes of the journal's entries, oldest first.
    pub(crate) fn causes(&self) -> Vec<String> {
        self.journal().iter().map(|(entry, _)| entry["cause"].as_str().expect("a cause").to_owned()).collect()
    }

    /// The release id of the journal's head.
    pub(crate) fn release(&self) -> String {
        let journal = self.journal();
        let (head, _) = journal.last().expect("the journal has a head");
        head["release"].as_str().expect("a release").to_owned()
    }
}

/// Where a server listens, and where it is probed, once it has told.
pub(crate) fn announced(file: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let text = fs::read_to_string(file).ok()?;
    let address = |name| text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
    Some((address("listen=")?, address("probes=")?))
}

/// The journal's entries on a volume, oldest first, each with its bytes; those in segments too.
pub(crate) fn journal_of(volume: &Path) -> Vec<(Value, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(volume.join(".longshore/journal")) else { return Vec::new() };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let parse = |bytes: &[u8], path: &Path| {
        serde_json::from_slice::<Value>(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let range = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?;
        let (first, last) = name.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    };
    // One that lies in another, and entries that one stands for, are what a death left.
    let segments: Vec<_> = paths.iter().filter_map(|path| Some((path.clone(), range(path)?))).collect();
    let is_inner =
        |one: (u64, u64)| segments.iter().any(|(_, other)| *other != one && other.0 <= one.0 && one.1 <= other.1);
    let mut journal = Vec::new();
    let mut folded = 0;
    for (path, range) in segments.iter().filter(|(_, range)| !is_inner(*range)) {
        assert_eq!(range.0, folded + 1, "{}: no gap", path.display());
        folded = range.1;
        let bytes = fs::read(path).expect("a segment reads");
        let header = bytes.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
        assert_eq!(parse(&bytes[..header], path)["body"], hex(&bytes[header..]), "{}: its body", path.display());
        let lines = bytes[header..].split_inclusive(|byte| *byte == b'\n');
        journal.extend(lines.map(|line| (parse(line, path), line.to_vec())));
    }
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    for path in paths {
        let bytes = fs::read(&path).expect("an entry reads");
        let entry = parse(&bytes, &path);
        if entry["seq"].as_u64().is_some_and(|seq| seq > folded) {
            journal.push((entry, bytes));
        }
    }
    journal
}

/// Opens a folder to readers of any user.
pub(crate) fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a folder's mode is set");
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}
