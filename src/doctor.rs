//! What keeps a volume from working, found by looking, each in a sentence with its cure.
//!
//! It changes nothing and answers what it can: on a broken volume some questions have no answer, and that is said too.

mod ground;
mod readers;
mod site;
mod writers;

use std::{fmt, path::Path};

use crate::disk::{self, Directory};

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What a user would look for: `403`, `read-only`, `foreign`.
    pub topic: &'static str,
    /// What is so.
    pub what: String,
    /// What mends it; none where nothing needs to be mended.
    pub cure: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, what, cure } = self;
        let line =
            cure.as_ref().map_or_else(|| format!("{topic}: {what}"), |cure| format!("{topic}: {what}; cure: {cure}"));
        // A foreign name must not break the line, nor drive a terminal.
        line.chars().try_for_each(|character| match character.is_control() {
            true => write!(out, "{}", character.escape_default()),
            false => write!(out, "{character}"),
        })
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Something that needs a cure.
    fn trouble(&mut self, topic: &'static str, what: impl Into<String>, cure: impl Into<String>) {
        self.0.push(Finding { topic, what: what.into(), cure: Some(cure.into()) });
    }

    /// Something to know.
    fn note(&mut self, topic: &'static str, what: impl Into<String>) {
        self.0.push(Finding { topic, what: what.into(), cure: None });
    }

    /// The answer, when there is one; otherwise that there is none.
    fn answer<T, E: std::error::Error>(&mut self, topic: &'static str, answer: Result<T, E>) -> Option<T> {
        answer.inspect_err(|error| self.note("unknown", format!("{topic}: {}", chain(error)))).ok()
    }
}

/// Looks at the volume mounted at `path`.
#[must_use]
pub fn examine(path: &Path) -> Vec<Finding> {
    let mut findings = Findings::default();
    readers::parents(path, &mut findings);
    match Directory::open(path) {
        Err(error) => unopened(&error, &mut findings),
        Ok(root) => {
            ground::examine(&root, &mut findings);
            writers::examine(&root, &mut findings);
            readers::examine(&root, &mut findings);
            site::examine(path, &root, &mut findings);
        }
    }
    findings.0
}

fn unopened(error: &disk::Error, findings: &mut Findings) {
    let cure = match error.cure() {
        Some(cure) => cure,
        None if error.is_absent() => "mount the volume there, or name the directory where it is".into(),
        None => "name a directory".into(),
    };
    findings.trouble("volume", error.to_string(), cure);
}

/// An error and its causes, in one line, none twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_a_name_holds() {
        let finding = Finding { topic: "foreign", what: "a\nb\u{1b}[2J".into(), cure: Some("none".into()) };
        assert_eq!(finding.to_string(), "foreign: a\\nb\\u{1b}[2J; cure: none");
    }

    #[test]
    fn an_absent_volume_is_a_finding() {
        let scratch = tempfile::tempdir().expect("a directory");
        let found = examine(&scratch.path().join("absent"));
        assert!(found.iter().any(|finding| finding.topic == "volume" && finding.cure.is_some()), "{found:?}");
    }
}
