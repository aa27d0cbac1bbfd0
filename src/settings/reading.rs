//! Reads one setting after the other from flag or variable, and remembers what was wrong.

use std::ffi::{OsStr, OsString};

use super::environment::{Environment, PREFIX, is_blank};

/// The environment, and the mistakes so far.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    environment: &'a Environment,
    mistakes: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        Self { environment, mistakes: Vec::new() }
    }

    /// Remembers a mistake.
    pub(super) fn mistake(&mut self, mistake: impl Into<String>) {
        self.mistakes.push(mistake.into());
    }

    pub(super) fn into_mistakes(self) -> Vec<String> {
        self.mistakes
    }

    /// The value of `--name`: `Ok(None)` when it was not given, `Err` when it was given wrongly, which is then known.
    pub(super) fn value<T>(
        &mut self,
        name: &str,
        flag: Option<OsString>,
        parse: impl FnOnce(&OsStr) -> Result<T, String>,
    ) -> Result<Option<T>, Known> {
        let (origin, value) = match &flag {
            Some(value) => (format!("--{name}"), value.as_os_str()),
            None => match self.environment.get(&variable(name)) {
                None => return Ok(None),
                // The environment's own check names it.
                Some(value) if is_blank(value) => return Err(Known),
                Some(value) => (variable(name), value),
            },
        };
        let parsed = if is_blank(value) { Err("it is empty".to_owned()) } else { parse(value) };
        parsed.map(Some).map_err(|why| {
            self.mistake(format!("{origin}: {why}"));
            Known
        })
    }

    /// As [`Self::value`], for a setting without which nothing works.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        flag: Option<OsString>,
        example: &str,
        parse: impl FnOnce(&OsStr) -> Result<T, String>,
    ) -> Result<T, Known> {
        self.value(name, flag, parse)?.ok_or_else(|| {
            self.mistake(format!("--{name} is missing: add `--{name} {example}` or set {}", variable(name)));
            Known
        })
    }

    /// The values of a flag that may be repeated; in the variable, one a line.
    pub(super) fn list(
        &mut self,
        name: &str,
        flags: &[OsString],
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<Vec<String>, Known> {
        let environment = self.environment;
        let (origin, values): (_, Vec<&OsStr>) = match environment.get(&variable(name)) {
            _ if !flags.is_empty() => (format!("--{name}"), flags.iter().map(OsString::as_os_str).collect()),
            None => return Ok(Vec::new()),
            Some(value) if is_blank(value) => return Err(Known),
            Some(value) => {
                let lines = value.to_str().map(|text| text.lines().map(str::trim).filter(|line| !line.is_empty()));
                (variable(name), lines.map_or_else(|| vec![value], |lines| lines.map(OsStr::new).collect()))
            }
        };
        let before = self.mistakes.len();
        let mut good = Vec::new();
        for value in values {
            let checked = match value.to_str() {
                Some(text) if !text.trim().is_empty() => check(text).map(|()| text.to_owned()),
                Some(_) => Err("it is empty".to_owned()),
                None => Err("it is not UTF-8".to_owned()),
            };
            match checked {
                Ok(text) => good.push(text),
                Err(why) => self.mistake(format!("{origin}: {why}")),
            }
        }
        if self.mistakes.len() == before { Ok(good) } else { Err(Known) }
    }

    /// Whether a flag without a value is set.
    pub(super) fn switch(&mut self, name: &str, flag: bool) -> Result<bool, Known> {
        if flag {
            return Ok(true);
        }
        Ok(self.value(name, None, super::values::yes_or_no)?.unwrap_or(false))
    }
}

/// A mistake that is on the list already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known;

/// The variable of `--name`.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace('-', "_"))
}
