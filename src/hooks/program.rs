//! A hook that is a program: called directly, by no shell, with an environment of its own.
//!
//! It leads a process group, which ends with it: nothing that it started goes on. What it says, on both streams, is kept up
//! to a limit; the rest is read and dropped, so that it does not wait for us.

use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe,
    sync::oneshot,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    call::{MOST_OUTPUT, text, unanswered},
    message::Message,
};
use crate::depot::Veto;

/// How long its words are waited for when it has ended: something that left its group may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the program at `path`; exit code 0 is a yes.
pub(super) async fn run(path: &Path, message: &Message<'_>, limit: Duration) -> Result<(), Veto> {
    let failed = |error: io::Error| unanswered(format!("it could not be run: {error}"));
    let (mut running, mut pipe) = Running::start(path, message).map_err(failed)?;
    let (mut said, (over, is_over)) = (Vec::new(), oneshot::channel::<()>());
    let leader = running.leader;
    let ending = async {
        let ended = timeout(limit, spawn_blocking(move || wait_for(leader))).await;
        running.end();
        drop(over);
        ended.is_ok()
    };
    let hearing = async {
        tokio::select! {
            () = hear(&mut pipe, &mut said) => {}
            () = async { drop(is_over.await); sleep(LAST_WORDS).await } => {}
        }
    };
    let (in_time, ()) = tokio::join!(ending, hearing);
    let output = text(&said);
    match running.status.take() {
        _ if !in_time => {
            let why = format!("it did not end within {limit:?}, and was killed");
            Err(Veto { why, status: None, output, is_answer: false, is_ending: false })
        }
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let why = format!("it ended with {status}");
            Err(Veto { why, status: status.code(), output, is_answer: status.code().is_some(), is_ending: false })
        }
        None => Err(Veto { output, ..unanswered("nobody knows how it ended".into()) }),
    }
}

/// A program that runs, and its process group. Killed when it is dropped.
struct Running {
    child: Child,
    leader: Pid,
    status: Option<ExitStatus>,
    has_ended: bool,
}

impl Running {
    fn start(path: &Path, message: &Message<'_>) -> io::Result<(Self, pipe::Receiver)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(path);
        command.env_clear().envs(message.variables()).current_dir("/").process_group(0);
        // A file, not a pipe: nobody has to wait until it is read.
        let mut input = File::from(memfd_create("longshore-hook", MemfdFlags::CLOEXEC)?);
        input.write_all(message.to_json().as_bytes())?;
        input.rewind()?;
        command.stdin(input).stdout(Stdio::from(writer.try_clone()?)).stderr(Stdio::from(writer));
        let pipe = pipe::Receiver::from_owned_fd(reader.into())?;
        let child = command.spawn()?;
        let leader = Pid::from_child(&child);
        Ok((Self { child, leader, status: None, has_ended: false }, pipe))
    }

    /// Ends the whole group. Its leader is not reaped before that, so that the group's number is still its own.
    fn end(&mut self) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let _ = kill_process_group(self.leader, Signal::KILL);
        self.status = self.child.wait().ok();
        // Where we are process 1, what it left behind is ours to reap.
        while let Ok(Some(_)) = waitid(WaitId::Pgid(Some(self.leader)), WaitIdOptions::EXITED) {}
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits until the program has ended, without reaping it.
fn wait_for(leader: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(leader), options));
}

/// Reads to the end, and keeps the first of it.
async fn hear(pipe: &mut pipe::Receiver, said: &mut Vec<u8>) {
    let mut chunk = vec![0; MOST_OUTPUT];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        said.extend_from_slice(&chunk[..count.min(MOST_OUTPUT - said.len())]);
    }
}
