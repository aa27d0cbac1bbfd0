//! A process under the tracer, and the thread that traces it.

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::PTRACE_EVENT_EXEC,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    call::{Call, Kind, Process},
    registers::Registers,
};
use crate::run::{Log, clean};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It runs.
    Run,
    /// The process is killed before it runs.
    Kill,
    /// It fails, and does not run; but for a close, which closes whatever it says.
    Fail(Errno),
    /// The whole process stands still before it runs, until [`Traced::go_on`].
    Freeze,
}

/// Decides over each call, in their order over all threads.
type Judge = Box<dyn FnMut(&Call) -> Verdict + Send>;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with a code.
    Code(i32),
    /// By a signal.
    Signal(Signal),
}

/// A process whose calls on a volume are seen. It is killed when dropped.
pub(crate) struct Traced {
    id: Pid,
    shared: Arc<Shared>,
    attach: Option<Sender<Sender<()>>>,
    thread: Option<JoinHandle<()>>,
    log: Log,
}

#[derive(Default)]
struct Shared {
    watch: Mutex<Watch>,
    ended: Mutex<Option<Ended>>,
    ends: Condvar,
    is_frozen: AtomicBool,
    goes_on: AtomicBool,
}

#[derive(Default)]
struct Watch {
    judge: Option<Judge>,
    calls: Vec<Call>,
}

impl fmt::Debug for Traced {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "process {}", self.id)
    }
}

/// When tracing begins.
enum Begin {
    AtOnce,
    WhenTold(Receiver<Sender<()>>),
}

impl Traced {
    /// Starts a command that is traced from its first instruction. Its environment is what was set, and no more.
    pub(crate) fn start(
        command: &Command,
        volume: &Path,
        judge: impl FnMut(&Call) -> Verdict + Send + 'static,
    ) -> Self {
        // It waits for its tracer: nothing runs between fork and exec here, since that would be unsafe code.
        let mut stopped = Command::new("sh");
        clean(&mut stopped).args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""]).arg(command.get_program());
        stopped.args(command.get_args());
        stopped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::spawn(stopped, volume, Some(Box::new(judge)), Begin::AtOnce, None)
    }

    /// Starts a command that runs at its full speed until [`Traced::watch`].
    pub(crate) fn start_untraced(command: Command, volume: &Path) -> Self {
        let (attach, told) = channel();
        Self::spawn(command, volume, None, Begin::WhenTold(told), Some(attach))
    }

    fn spawn(
        mut command: Command,
        volume: &Path,
        judge: Option<Judge>,
        begin: Begin,
        attach: Option<Sender<Sender<()>>>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        lock(&shared.watch).judge = judge;
        let volume = volume.canonicalize().expect("the volume is there");
        let (started, start) = channel();
        let theirs = shared.clone();
        #[expect(clippy::zombie_processes, reason = "the tracer waits for it, as for each of its threads")]
        let thread = std::thread::spawn(move || {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("a command starts");
            let id = Pid::from_raw(child.id().cast_signed());
            let log = Log::of(child.stderr.take().expect("it is piped"));
            started.send((id, log)).expect("somebody waits");
            let _end = AtEnd(theirs.clone());
            Tracer::new(id, volume, theirs).run(&begin);
        });
        let (id, log) = start.recv().expect("the tracer tells");
        Self { id, shared, attach, thread: Some(thread), log }
    }

    /// From now on `judge` decides over every call on the volume. Returns when no call can slip through any more.
    pub(crate) fn watch(&mut self, judge: impl FnMut(&Call) -> Verdict + Send + 'static) {
        lock(&self.shared.watch).judge = Some(Box::new(judge));
        if let Some(attach) = self.attach.take() {
            let (done, attached) = channel();
            if attach.send(done).is_ok() {
                let _ = attached.recv();
            }
        }
    }

    /// Every call lets be from now on.
    pub(crate) fn let_be(&self) {
        lock(&self.shared.watch).judge = None;
    }

    /// The calls that were judged so far, in their order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.shared.watch).calls.clone()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<Ended> {
        *lock(&self.shared.ended)
    }

    /// Waits for its end.
    pub(crate) fn wait(&self, within: Duration) -> Option<Ended> {
        let ended = lock(&self.shared.ended);
        *self
            .shared
            .ends
            .wait_timeout_while(ended, within, |ended| ended.is_none())
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Whether it stands still.
    pub(crate) fn is_frozen(&self) -> bool {
        self.shared.is_frozen.load(Ordering::SeqCst)
    }

    /// Lets a process go on that stands still.
    pub(crate) fn go_on(&self) {
        self.shared.goes_on.store(true, Ordering::SeqCst);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Under the lock: once it has ended, its number may be somebody else's.
        if lock(&self.shared.ended).is_none() {
            let _ = kill(self.id, signal);
        }
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        self.log.so_far()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.attach = None;
        // What went wrong in there must not pass for a process that ended.
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Whoever waits for the process learns of its end even when the tracer panics: the kernel kills it then.
struct AtEnd(Arc<Shared>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        lock(&self.0.ended).get_or_insert(Ended::Signal(Signal::SIGKILL));
        self.0.ends.notify_all();
    }
}

/// The thread that traces.
struct Tracer {
    id: Pid,
    process: Process,
    shared: Arc<Shared>,
    threads: HashMap<Pid, Thread>,
    /// Threads that stand still, each with the signal that it gets when it goes on.
    held: Vec<(Pid, Option<Signal>)>,
}

#[derive(Default)]
struct Thread {
    /// Between the entry of a call and its return.
    is_inside: bool,
    fails: Option<Errno>,
    /// Its place among the calls.
    call: Option<usize>,
}

impl Tracer {
    fn new(id: Pid, volume: PathBuf, shared: Arc<Shared>) -> Self {
        let process = Process::new(id.as_raw(), volume);
        Self { id, process, shared, threads: HashMap::new(), held: Vec::new() }
    }

    fn run(mut self, begin: &Begin) {
        let attached = match begin {
            Begin::AtOnce => {
                let _ = waitpid(self.id, Some(WaitPidFlag::WUNTRACED));
                ptrace::seize(self.id, options()).expect("a child may be traced");
                let _ = kill(self.id, Signal::SIGCONT);
                None
            }
            Begin::WhenTold(told) => match self.wait_until(told) {
                Some(done) => {
                    self.attach();
                    Some(done)
                }
                None => None,
            },
        };
        if let Some(done) = attached {
            let _ = done.send(());
        }
        while self.step() {}
    }

    /// Waits to be told to trace; none when the process ends first, or nobody wants that any more.
    fn wait_until(&self, told: &Receiver<Sender<()>>) -> Option<Sender<()>> {
        loop {
            match told.recv_timeout(Duration::from_millis(2)) {
                Ok(done) => return Some(done),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    if let Ok(status) = waitpid(self.id, Some(WaitPidFlag::WNOHANG)) {
                        self.note_end(status);
                    }
                    if lock(&self.shared.ended).is_some() {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes every thread of a running process, and returns when each was stopped once: from then on its calls are seen.
    fn attach(&mut self) {
        loop {
            let mut fresh = 0;
            for entry in fs::read_dir(format!("/proc/{}/task", self.id)).into_iter().flatten().flatten() {
                let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw)
                else {
                    continue;
                };
                // A thread that one of ours has made is traced already.
                if !self.threads.contains_key(&thread) && ptrace::seize(thread, options()).is_ok() {
                    fresh += 1;
                    self.threads.insert(thread, Thread::default());
                    let _ = ptrace::interrupt(thread);
                    // That stop may not be its first: a thread just born stops by itself.
                    let stopped = waitpid(thread, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD));
                    if let Ok(status) = stopped {
                        self.handle(status);
                    }
                }
            }
            if fresh == 0 {
                return;
            }
        }
    }

    /// Waits for something to happen and deals with it; false when nobody is left.
    fn step(&mut self) -> bool {
        let mut flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let frozen = self.shared.is_frozen.load(Ordering::SeqCst);
        if frozen {
            flags |= WaitPidFlag::WNOHANG;
        }
        match waitpid(None, Some(flags)) {
            Ok(WaitStatus::StillAlive) => {
                if self.shared.goes_on.swap(false, Ordering::SeqCst) {
                    self.shared.is_frozen.store(false, Ordering::SeqCst);
                    for (thread, signal) in std::mem::take(&mut self.held) {
                        let _ = ptrace::syscall(thread, signal);
                    }
                } else {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(status) => self.handle(status),
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        true
    }

    fn handle(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::PtraceSyscall(thread) => {
                // A thread that was killed meanwhile cannot be asked: its end comes next.
                let _ = self.syscall(thread);
                self.resume(thread, None);
            }
            WaitStatus::PtraceEvent(thread, _, event) => {
                if event == PTRACE_EVENT_EXEC {
                    self.process.forget_memory();
                }
                self.threads.entry(thread).or_default();
                self.resume(thread, None);
            }
            WaitStatus::Stopped(thread, signal) => self.resume(thread, Some(signal)),
            ended => self.note_end(ended),
        }
    }

    fn note_end(&self, status: WaitStatus) {
        let (thread, ended) = match status {
            WaitStatus::Exited(thread, code) => (thread, Ended::Code(code)),
            WaitStatus::Signaled(thread, signal, _) => (thread, Ended::Signal(signal)),
            _ => return,
        };
        if thread == self.id {
            *lock(&self.shared.ended) = Some(ended);
            self.shared.ends.notify_all();
        }
    }

    fn resume(&mut self, thread: Pid, signal: Option<Signal>) {
        if self.shared.is_frozen.load(Ordering::SeqCst) {
            self.held.push((thread, signal));
        } else {
            let _ = ptrace::syscall(thread, signal);
        }
    }

    fn syscall(&mut self, id: Pid) -> nix::Result<()> {
        let thread = self.threads.entry(id).or_default();
        thread.is_inside = !thread.is_inside;
        if !thread.is_inside {
            let (fails, call) = (thread.fails.take(), thread.call.take());
            if let Some(errno) = fails {
                Registers::of(id)?.fail(errno)?;
            }
            if let Some(call) = call {
                let result = Registers::of(id)?.result();
                lock(&self.shared.watch).calls[call].result = Some(result);
            }
            return Ok(());
        }
        let mut watch = lock(&self.shared.watch);
        let Watch { judge: Some(judge), calls } = &mut *watch else { return Ok(()) };
        let registers = Registers::of(id)?;
        let Some(mut call) = self.process.call(registers.number(), registers.arguments()) else { return Ok(()) };
        call.thread = id.as_raw();
        let verdict = judge(&call);
        let kind = call.kind;
        thread.call = Some(calls.len());
        calls.push(call);
        match verdict {
            Verdict::Run => {}
            Verdict::Kill => {
                watch.judge = None;
                registers.skip()?;
                kill(self.id, Signal::SIGKILL)?;
            }
            Verdict::Fail(errno) => {
                thread.fails = Some(errno);
                if kind != Kind::Close {
                    registers.skip()?;
                }
            }
            Verdict::Freeze => self.shared.is_frozen.store(true, Ordering::SeqCst),
        }
        Ok(())
    }
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
