//! The part of the environment that speaks to us.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::kubernetes;

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "LONGSHORE_";

/// The variables with our prefix, in alphabetical order, so that mistakes have one order too.
#[derive(Debug)]
pub(super) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Keeps the pairs that have our prefix.
    pub(super) fn of(pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = pairs.into_iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        Self(named.filter(|(name, _)| name.starts_with(PREFIX)).collect())
    }

    /// The value of `name`, if it is set at all.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    /// Tells `mistake` of each variable that is empty, or that is neither one of `known` nor Kubernetes'.
    ///
    /// A misspelt name would otherwise be a setting that is silently not applied; an empty value is mostly a template
    /// that lost what it should have put there.
    pub(super) fn check(&self, known: &[String], mut mistake: impl FnMut(String)) {
        for (name, value) in &self.0 {
            if known.contains(name) {
                if is_blank(value) {
                    mistake(format!("{name} is empty: give it a value or leave it out"));
                }
            } else if name == "LONGSHORE_PORT" && !kubernetes::is_injected(name, &value.to_string_lossy()) {
                mistake(format!("{name} is not a setting: LONGSHORE_LISTEN=0.0.0.0:8080 sets address and port"));
            } else if !kubernetes::is_injected(name, &value.to_string_lossy()) {
                mistake(match nearest(name, known) {
                    Some(other) => format!("{name} is not a setting: did you mean {other}?"),
                    None => format!("{name} is not a setting"),
                });
            }
        }
    }
}

/// Whether there is nothing but blanks in `value`.
pub(super) fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

/// The known name that takes the fewest edits from `name`.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    known.iter().min_by_key(|other| strsim::damerau_levenshtein(name, other))
}
