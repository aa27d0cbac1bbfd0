//! A running `longshore serve`, spoken to as its users do.

use std::{net::SocketAddr, process::Child, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    http::{Answer, call},
    pod::TOKEN,
    run::{Log, Run, eventually, peak_memory, wait},
};

/// A running `longshore serve`.
pub(crate) struct Served {
    child: Child,
    pub(crate) listen: SocketAddr,
    pub(crate) probes: SocketAddr,
    log: Log,
}

impl Served {
    /// A server that was just started; its addresses are to come.
    pub(crate) fn starting(child: Child, log: Log) -> Self {
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, listen: unbound, probes: unbound, log }
    }

    #[track_caller]
    pub(crate) fn wait_until_ready(&mut self) {
        eventually("/readyz answers 200", Duration::from_secs(120), || {
            self.assert_running();
            (self.probe("/readyz") == Some(200)).then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
            std::thread::sleep(Duration::from_millis(100));
            panic!("longshore serve ended with {status}; stderr:\n{}", self.log.so_far());
        }
    }

    /// The status of a probe; nothing when nobody listens.
    pub(crate) fn probe(&self, path: &str) -> Option<u16> {
        let url = format!("http://{}{path}", self.probes);
        crate::http::try_call("GET", &url, &[], "").ok().map(|answer| answer.status)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// A request with the pod's token.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        call(method, &self.url(path), &[("authorization", &format!("Bearer {TOKEN}"))], body)
    }

    /// The same, as a dry run.
    #[track_caller]
    pub(crate) fn rehearse(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let token = format!("Bearer {TOKEN}");
        call(method, &self.url(path), &[("authorization", &token), ("dry-run", "?1")], body)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "")
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.call("PUT", path, body)
    }

    #[track_caller]
    pub(crate) fn patch(&self, path: &str, archive: Vec<u8>) -> Answer {
        self.call("PATCH", path, archive)
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, "")
    }

    /// `POST /v1/rollback` with this body.
    #[track_caller]
    pub(crate) fn rollback(&self, body: &Value) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        call("POST", &self.url("/v1/rollback"), &headers, body.to_string())
    }

    /// The history, newest first.
    #[track_caller]
    pub(crate) fn releases(&self) -> Vec<Value> {
        let answer = self.get("/v1/releases").expect(200).json();
        answer["releases"].as_array().expect("a list of releases").clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it had so far, in bytes.
    #[track_caller]
    pub(crate) fn peak_memory(&self) -> u64 {
        peak_memory(self.id()).expect("it is running")
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        self.log.so_far()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child takes signals");
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(mut self, within: Duration) -> Run {
        let (status, peak_memory) = wait(&mut self.child, within);
        let stderr = self.log.so_far();
        let status = status.unwrap_or_else(|| panic!("longshore serve did not end within {within:?}:\n{stderr}"));
        Run { code: status.code(), stderr, stdout: String::new(), peak_memory }
    }

    /// SIGTERM, and the end that follows.
    #[track_caller]
    pub(crate) fn terminate(self) -> Run {
        self.signal(Signal::TERM);
        self.ended(Duration::from_secs(40))
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Served {
    #[expect(clippy::print_stderr, reason = "the test harness shows it with the failed test")]
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- stderr of longshore serve ---\n{}", self.log.so_far());
        }
    }
}

/// The body of a rollback to somewhere.
pub(crate) fn to(target: impl Into<Value>) -> Value {
    json!({ "to": target.into() })
}
