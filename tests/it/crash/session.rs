//! One run of a scenario: the process under the tracer, and what was promised to whoever asked it for something.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    http::{Answer, try_call},
    pod::{Pod, TOKEN, announced, text},
    tracer::{Call, Ended, Traced, Verdict},
};

/// Longer than anything here takes on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What somebody who asked for something was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is done: a status of 2xx, or exit code 0.
    Done,
    /// It is not: another status, or another code.
    Refused(i32),
    /// Nothing: the process died.
    Nothing,
}

/// Decides over each call. Shared, since a session may start several processes.
pub(crate) type Judge = Arc<dyn Fn(&Call) -> Verdict + Send + Sync>;

/// A run on a volume.
pub(crate) struct Session<'a> {
    pub(crate) pod: &'a Pod,
    /// Flags for each process: those of the layout.
    flags: &'a [&'a str],
    environment: &'a [(&'a str, &'a str)],
    /// None: nothing is traced, at full speed.
    judge: Option<Judge>,
    traced: Option<Traced>,
    server: Option<Server>,
    /// The calls that were judged.
    pub(crate) calls: Vec<Call>,
    /// What was told last.
    pub(crate) told: Told,
    /// What all processes said.
    pub(crate) log: String,
}

#[derive(Clone, Copy)]
struct Server {
    listen: std::net::SocketAddr,
    probes: std::net::SocketAddr,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        pod: &'a Pod,
        flags: &'a [&'a str],
        environment: &'a [(&'a str, &'a str)],
        judge: Option<Judge>,
    ) -> Self {
        let (calls, log) = (Vec::new(), String::new());
        Self { pod, flags, environment, judge, traced: None, server: None, calls, told: Told::Done, log }
    }

    /// Who judges the processes that are started from now on.
    pub(crate) fn judged_by(&mut self, judge: Option<Judge>) {
        self.judge = judge;
    }

    /// Starts a command that is judged from its first call.
    fn trace(&mut self, command: Command) -> &Traced {
        let volume = self.pod.volume();
        self.traced.insert(match self.judge.clone() {
            Some(judge) => Traced::start(&command, &volume, move |call| judge(call)),
            None => Traced::start_untraced(command, &volume),
        })
    }

    /// Runs `longshore fill` from a seed of these files, judged from its first call.
    pub(crate) fn fill(&mut self, seed: &[(&str, &str)], flags: &[&str]) {
        let seed = self.pod.folder("seed", seed);
        let mut command = self.pod.fill_command(&[&["--from", text(&seed)], self.flags, flags].concat());
        command.envs(self.environment.iter().copied());
        self.trace(command);
        self.told = self.ending();
        self.end();
    }

    fn serve_command(&self, flags: &[&str], addresses: &Path) -> Command {
        let token_file = self.pod.token_file();
        let flags = [&["--token-file", text(&token_file)], self.flags, flags].concat();
        let mut command = self.pod.serve_command(None, &flags, addresses);
        command.envs(self.environment.iter().copied());
        command
    }

    /// Starts `longshore serve`, if it is not there yet, and judges nothing until it is ready.
    pub(crate) fn serve(&mut self, flags: &[&str]) {
        if self.is_serving() {
            return;
        }
        let addresses = self.pod.addresses_file();
        let command = self.serve_command(flags, &addresses);
        self.traced = Some(Traced::start_untraced(command, &self.pod.volume()));
        self.wait_until_ready(&addresses);
        assert_eq!(self.told, Told::Done, "longshore serve starts when nobody hinders it:\n{}", self.log);
        if let (Some(traced), Some(judge)) = (&mut self.traced, self.judge.clone()) {
            traced.watch(move |call| judge(call));
        }
    }

    /// Starts `longshore serve`, judged from its first call, and waits until it is ready, or has ended.
    pub(crate) fn start(&mut self, flags: &[&str]) {
        if self.is_serving() {
            return;
        }
        let addresses = self.pod.addresses_file();
        let command = self.serve_command(flags, &addresses);
        self.trace(command);
        self.wait_until_ready(&addresses);
    }

    /// Starts `longshore serve` and, once it is ready, ends it as Kubernetes does.
    pub(crate) fn serve_again(&mut self) {
        self.start(&[]);
        if self.is_serving() {
            self.traced.as_ref().inspect(|traced| traced.signal(Signal::SIGTERM));
            self.told = self.ending();
        }
        self.end();
    }

    /// Waits for the process to end, and says how it did.
    fn ending(&self) -> Told {
        let traced = self.traced.as_ref().expect("it was started");
        match traced.wait(PATIENCE) {
            Some(Ended::Code(0)) => Told::Done,
            Some(Ended::Code(code)) => Told::Refused(code),
            Some(Ended::Signal(Signal::SIGKILL)) => Told::Nothing,
            ended => panic!("longshore: {ended:?}\n{}", traced.log()),
        }
    }

    fn wait_until_ready(&mut self, addresses: &Path) {
        let (start, mut server) = (Instant::now(), None);
        self.told = loop {
            let traced = self.traced.as_ref().expect("it was started");
            match traced.ended() {
                Some(Ended::Code(code)) => break Told::Refused(code),
                Some(Ended::Signal(_)) => break Told::Nothing,
                None => {}
            }
            server = server.or_else(|| announced(addresses).map(|(listen, probes)| Server { listen, probes }));
            let answer =
                server.and_then(|server| try_call("GET", &format!("http://{}/readyz", server.probes), &[], "").ok());
            if answer.is_some_and(|answer| answer.status == 200) {
                self.server = server;
                return self.told = Told::Done;
            }
            assert!(start.elapsed() < PATIENCE, "longshore serve becomes ready:\n{}", traced.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        self.end();
    }

    /// A request with the pod's token, once the server is there.
    pub(crate) fn request(&mut self, method: &str, path: &str, body: impl Into<Vec<u8>>) {
        let Some(server) = self.server else { return };
        let (url, token) = (format!("http://{}{path}", server.listen), format!("Bearer {TOKEN}"));
        let headers = [("authorization", token.as_str())];
        self.told = match try_call(method, &url, &headers, body.into()) {
            Ok(answer) if (200..300).contains(&answer.status) => Told::Done,
            Ok(answer) => {
                self.log += &format!("{method} {path}: {answer}\n");
                Told::Refused(answer.status.into())
            }
            // Without an answer it can only be dead, or about to be.
            Err(error) => {
                let ended = self.traced.as_ref().and_then(|traced| traced.wait(PATIENCE));
                assert!(ended.is_some(), "{method} {path}: {error:?}");
                Told::Nothing
            }
        };
        if self.told == Told::Nothing {
            self.end();
        }
    }

    /// The answer to a request with these headers; none when the server dies of it.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Answer> {
        let server = self.server?;
        let answer = try_call(method, &format!("http://{}{path}", server.listen), headers, body.to_owned());
        match answer {
            Ok(answer) => {
                self.log += &format!("{method} {path}: {answer}\n");
                Some(answer)
            }
            Err(error) => {
                let ended = self.traced.as_ref().and_then(|traced| traced.wait(PATIENCE));
                assert!(ended.is_some(), "{method} {path}: {error:?}");
                self.end();
                None
            }
        }
    }

    pub(crate) fn put(&mut self, path: &str, body: impl Into<Vec<u8>>) {
        self.request("PUT", path, body);
    }

    /// Nothing is judged from now on.
    pub(crate) fn let_be(&mut self) {
        if let Some(traced) = &self.traced {
            traced.let_be();
        }
        self.judge = None;
        self.log += "--- from here on nothing fails ---\n";
    }

    /// Kills what still runs, and keeps what is known of it.
    pub(crate) fn end(&mut self) {
        self.server = None;
        if let Some(traced) = self.traced.take() {
            traced.signal(Signal::SIGKILL);
            assert!(traced.wait(PATIENCE).is_some(), "a killed process ends");
            self.calls.extend(traced.calls());
            self.log += &traced.log();
        }
    }

    /// The calls that were judged, those of the running process too.
    pub(crate) fn calls_so_far(&self) -> Vec<Call> {
        self.calls.iter().cloned().chain(self.traced.iter().flat_map(Traced::calls)).collect()
    }

    /// How the server ended, if it has done so by itself within some seconds.
    pub(crate) fn ended(&self, within: Duration) -> Option<Ended> {
        self.traced.as_ref().and_then(|traced| traced.wait(within))
    }

    /// Whether it still runs and serves.
    pub(crate) fn is_serving(&self) -> bool {
        self.server.is_some() && self.traced.as_ref().is_some_and(|traced| traced.ended().is_none())
    }
}

/// Judges the `n`-th of the calls that `counts`, from 1; tells whether there was one.
pub(crate) fn nth(n: usize, verdict: Verdict, counts: fn(&Call) -> bool) -> (Judge, impl Fn() -> bool) {
    let seen = Arc::new(AtomicUsize::new(0));
    let so_far = seen.clone();
    let judge = move |call: &Call| match counts(call) && seen.fetch_add(1, Ordering::SeqCst) + 1 == n {
        true => verdict,
        false => Verdict::Run,
    };
    (Arc::new(judge), move || n > 0 && so_far.load(Ordering::SeqCst) >= n)
}
