//! Children with a clean environment, a bound on their time, and an eye on their memory.

use std::{
    fs,
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Leaves a child nothing of the developer's environment but what finds programs.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    command.env_clear();
    for kept in ["PATH", "LLVM_PROFILE_FILE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

/// Asks until there is something, or fails the test.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(something) = ask() {
            return something;
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) stdout: String,
    /// The most memory it had, in bytes, as far as it was seen running.
    pub(crate) peak_memory: u64,
}

impl Run {
    /// This run, if it ended with the code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "unexpected exit; stderr:\n{}", self.stderr);
        self
    }
}

/// Running a command with a bound on its time.
pub(crate) trait Runs {
    /// Runs it to its end.
    fn run(&mut self) -> Run;
}

impl Runs for Command {
    #[track_caller]
    fn run(&mut self) -> Run {
        let mut child = self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a command starts");
        let stdout = Log::of(child.stdout.take().expect("it is piped"));
        let stderr = Log::of(child.stderr.take().expect("it is piped"));
        let (status, peak_memory) = wait(&mut child, PATIENCE);
        let (stdout, stderr) = (stdout.whole(), stderr.whole());
        let status = status.unwrap_or_else(|| panic!("{self:?} did not end within {PATIENCE:?}; stderr:\n{stderr}"));
        Run { code: status.code(), stderr, stdout, peak_memory }
    }
}

/// Waits for a child, and watches its memory. One that is late is killed, and has no status.
pub(crate) fn wait(child: &mut Child, within: Duration) -> (Option<ExitStatus>, u64) {
    let (start, mut peak) = (Instant::now(), 0);
    while start.elapsed() < within {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return (Some(status), peak);
        }
        peak = peak_memory(child.id()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    (None, peak)
}

/// The most memory that a running process had, in bytes: `VmHWM`, which only grows.
pub(crate) fn peak_memory(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// What a child says, collected while it runs.
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    pub(crate) fn of(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 8_192];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                shared.lock().expect("no reader panics").extend_from_slice(&piece[..count]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("no reader panics")).into_owned()
    }

    pub(crate) fn whole(mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.so_far()
    }
}
