//! What a write asks for beside its body: to be only rehearsed, and how far it may go.

use axum::http::HeaderMap;
use url::form_urlencoded;

use super::Problem;
use crate::depot::{Guard, MaxDelete};

/// How a write is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Whether nothing is to change.
    pub(super) dry_run: bool,
    /// What it may do to the site.
    pub(super) guard: Guard,
}

impl Wishes {
    /// Reads them; a parameter that is not known is refused, since a misspelt guard is none.
    pub(super) fn of(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Problem> {
        let (mut max_delete, mut allow_empty) = (None, None);
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let is_twice = match &*name {
                "max-delete" => max_delete.replace(most(&value)?).is_some(),
                "allow-empty" => allow_empty.replace(flag(&value)?).is_some(),
                _ => {
                    let why =
                        format!("a write has no parameter {name:?}: max-delete=N, N% or all, and allow-empty=true");
                    return Err(Problem::bad_request(why));
                }
            };
            if is_twice {
                return Err(Problem::bad_request(format!("`{name}` is there twice")));
            }
        }
        let guard = Guard { max_delete, allow_empty: allow_empty.unwrap_or_default() };
        Ok(Self { dry_run: dry_run(headers)?, guard })
    }
}

/// Refuses parameters, and a rehearsal of what changes no site.
pub(super) fn none(query: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(Problem::bad_request("this request has no parameters"));
    }
    if dry_run(headers)? {
        let why = "an object changes no site, so there is nothing to rehearse: leave Dry-Run out, or ask with HEAD";
        return Err(Problem::bad_request(why));
    }
    Ok(())
}

/// `Dry-Run`, a boolean of RFC 9651.
pub(super) fn dry_run(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut values = headers.get_all("dry-run").iter();
    let value = values.next().map(|value| value.as_bytes().trim_ascii());
    match (value, values.next()) {
        (None | Some(b"?0"), None) => Ok(false),
        (Some(b"?1"), None) => Ok(true),
        _ => Err(Problem::bad_request("Dry-Run is ?1 or ?0 (RFC 9651)")),
    }
}

/// `N`, `N%` or `all`. A percent sign that nobody encoded reads as itself.
fn most(value: &str) -> Result<MaxDelete, Problem> {
    let wrong = || Problem::bad_request("max-delete is a number of files, a part of them as N%, or all");
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().map_err(|_| wrong()),
        false => Err(wrong()),
    };
    match value.strip_suffix('%') {
        _ if value == "all" => Ok(MaxDelete::All),
        Some(percent) => {
            number(percent).and_then(|most| if most <= 100 { Ok(MaxDelete::Percent(most)) } else { Err(wrong()) })
        }
        None => number(value).map(MaxDelete::Files),
    }
}

fn flag(value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::bad_request("allow-empty is true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_says_what_it_says_or_is_refused() {
        let of = |query: &str| Wishes::of(Some(query), &HeaderMap::new()).ok().map(|wishes| wishes.guard);
        let most = |query: &str| of(query).and_then(|guard| guard.max_delete);
        assert_eq!(most("max-delete=3"), Some(MaxDelete::Files(3)));
        assert_eq!(
            (most("max-delete=10%"), most("max-delete=10%25")),
            (Some(MaxDelete::Percent(10)), Some(MaxDelete::Percent(10)))
        );
        assert_eq!(most("max-delete=all&allow-empty=true"), Some(MaxDelete::All));
        assert_eq!(of(""), Some(Guard::default()));
        for wrong in [
            "max-delete",
            "max-delete=",
            "max-delete=-1",
            "max-delete=+1",
            "max-delete=%",
            "max-delete=101%",
            "max_delete=1",
            "max-delete=1&max-delete=2",
            "allow-empty",
            "allow-empty=yes",
            "x",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_dry_run_is_a_boolean_of_rfc_9651() {
        let of = |value: &str| {
            dry_run(&[("dry-run".parse().expect("a name"), value.parse().expect("a value"))].into_iter().collect()).ok()
        };
        assert_eq!((of("?1"), of("?0"), of("true"), of("1"), of("")), (Some(true), Some(false), None, None, None));
    }
}
