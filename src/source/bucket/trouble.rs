//! What a failed request to an object store means.

use std::{error::Error as StdError, fmt};

use super::{
    super::{Cause, Error, client::is_untrusted},
    wire::Answer,
};

/// A failed request, by what to do next.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no such bucket or key.
    Absent,
    /// The object is no longer the one that was listed.
    Moved,
    /// Our key is wrong, or may not do this.
    Denied(Cause),
    /// A key that this program cannot name.
    Key(String),
    /// Try again.
    Again(Cause),
    /// Trying again would not help.
    Never(Cause),
    /// Another file failed meanwhile; this one was left.
    Stopped,
}

impl Trouble {
    /// Sorts an error of the crate.
    pub(super) fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;
        if let Some(answer) = find::<Answer>(&error) {
            return Self::answer(answer.clone());
        }
        match error {
            E::NotFound { .. } => Self::Absent,
            E::Precondition { .. } | E::NotModified { .. } => Self::Moved,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Self::Denied(Box::new(error)),
            E::InvalidPath { source } => Self::Key(source.to_string()),
            E::NotSupported { .. } | E::NotImplemented { .. } | E::UnknownConfigurationKey { .. } => {
                Self::Never(Box::new(error))
            }
            _ if is_setting(&error) || is_untrusted(&error) => Self::Never(Root::of(&error)),
            _ => match find::<object_store::path::Error>(&error) {
                Some(key) => Self::Key(key.to_string()),
                None => Self::Again(Root::of(&error)),
            },
        }
    }

    fn answer(answer: Answer) -> Self {
        match answer.status {
            404 => Self::Absent,
            412 | 416 => Self::Moved,
            401 | 403 => Self::Denied(Box::new(answer)),
            // S3 says so when a session's token is over or its region is another: no retry mends that.
            408 | 429 | 500.. => Self::Again(Box::new(answer)),
            _ => Self::Never(Box::new(answer)),
        }
    }

    /// The error for a caller, once there will be no other try.
    pub(super) fn into_error(self, place: String) -> Error {
        match self {
            Self::Absent => Error::Absent { place },
            Self::Moved | Self::Stopped => Error::Restless { place },
            Self::Denied(source) => Error::Denied { place, source },
            Self::Key(why) => Error::Failed { place, source: format!("a key is not possible in a site: {why}").into() },
            Self::Again(source) => Error::Unreachable { place, source },
            Self::Never(source) => Error::Failed { place, source },
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => out.write_str("nothing is there"),
            Self::Moved => out.write_str("it changed"),
            Self::Stopped => out.write_str("another file failed"),
            Self::Key(why) => out.write_str(why),
            Self::Denied(cause) | Self::Again(cause) | Self::Never(cause) => cause.fmt(out),
        }
    }
}

/// The first cause of type `T`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether a client could not even be built, or an address not be made.
fn is_setting(error: &object_store::Error) -> bool {
    find::<reqwest::Error>(error).is_some_and(reqwest::Error::is_builder)
}

/// The causes of an error without those that only repeat others, and without addresses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Root(String);

impl Root {
    fn of(error: &object_store::Error) -> Cause {
        let mut last = error as &(dyn StdError + 'static);
        let mut text = String::new();
        while let Some(cause) = last.source() {
            last = cause;
            if last.is::<reqwest::Error>() {
                text = last.to_string();
            }
        }
        let root = last.to_string();
        if text.is_empty() || root == text { Box::new(Self(root)) } else { Box::new(Self(format!("{text}: {root}"))) }
    }
}
