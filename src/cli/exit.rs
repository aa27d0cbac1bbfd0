//! How a run ends: a code for scripts, a sentence for people.

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path, process::ExitCode};

/// Where Kubernetes reads why a container ended; it makes the file, and shows its content in the Pod's status.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Bytes that Kubernetes keeps of it.
const TERMINATION_LOG_BYTES: usize = 4_096;

/// How a run ended. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed for a reason that has no number of its own.
    Failed = 1,
    /// The settings make no sense.
    Usage = 2,
    /// No source is there, or it is empty.
    Absent = 3,
    /// Bytes are not what their digest says.
    Integrity = 4,
    /// No space, no inodes, or over quota.
    NoSpace = 5,
    /// Not allowed: EACCES, EPERM, EROFS, or a wrong key.
    NotAllowed = 6,
    /// Another history or other content is in the way.
    Conflict = 7,
    /// May well work later: unreachable, or a lock held for long. `EX_TEMPFAIL` of sysexits.h.
    TryAgain = 75,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Prints `error: …` with every cause, and `hint: …` where there is one, on stderr; and the same to
/// `/dev/termination-log` where that exists.
pub fn report(error: &anyhow::Error, hint: Option<&str>) {
    let text = render(error, hint);
    // Neither place may fail us: the exit code still tells.
    let _ = std::io::stderr().write_all(text.as_bytes());
    write_existing(Path::new(TERMINATION_LOG), &text);
}

/// The error and its causes in one line, unless one of them has lines of its own.
fn render(error: &anyhow::Error, hint: Option<&str>) -> String {
    let mut text = String::from("error: ");
    let mut said = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Many an error repeats its source in its own words.
        if said.ends_with(&cause) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&cause);
    }
    push_plain(&mut text, &said);
    text.push('\n');
    if let Some(hint) = hint {
        text.push_str("hint: ");
        push_plain(&mut text, hint);
        text.push('\n');
    }
    text
}

/// A text whose control characters, as in a foreign name, do not reach a terminal.
pub(super) fn plain(said: &str) -> String {
    let mut text = String::new();
    push_plain(&mut text, said);
    text
}

fn push_plain(text: &mut String, said: &str) {
    for character in said.trim_end().chars() {
        if character.is_control() && character != '\n' {
            let _ = write!(text, "{}", character.escape_default());
        } else {
            text.push(character);
        }
    }
}

/// Writes to a file that somebody else made; makes none.
#[expect(clippy::disallowed_methods, reason = "the kubelet's file, not on the volume")]
fn write_existing(path: &Path, text: &str) {
    let mut end = text.len().min(TERMINATION_LOG_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(path) {
        let _ = file.write_all(&text.as_bytes()[..end]);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_causes_and_a_hint() {
        let error =
            anyhow!("Permission denied").context("open \"/v\": Permission denied").context("the volume is not ours");
        assert_eq!(
            render(&error, Some("set fsGroup")),
            "error: the volume is not ours: open \"/v\": Permission denied\nhint: set fsGroup\n"
        );
    }

    #[test]
    fn a_foreign_name_cannot_drive_the_terminal() {
        assert_eq!(render(&anyhow!("a\u{1b}[2Jb"), None), "error: a\\u{1b}[2Jb\n");
    }

    #[test]
    fn the_termination_log_is_written_but_never_made() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("termination-log");
        write_existing(&path, "error: x\n");
        assert!(!path.exists());
        std::fs::write(&path, "something longer than the error").expect("a file");
        write_existing(&path, "error: x\n");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "error: x\n");
        write_existing(&path, &"é".repeat(4_000));
        assert_eq!(std::fs::metadata(&path).expect("a file").len(), 4_096);
    }

    #[test]
    fn the_codes_are_a_promise() {
        let codes = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Absent, Exit::Integrity, Exit::NoSpace];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 3, 4, 5]);
        assert_eq!([Exit::NotAllowed, Exit::Conflict, Exit::TryAgain].map(Exit::code), [6, 7, 75]);
    }
}
