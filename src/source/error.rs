//! What can go wrong with a source, and what a caller can do about it.
//!
//! Every error names the place (a directory, a bucket, an address without its query) and, where there is one, the entry.
//! None holds a credential: transport errors are stripped of their address, and a store's answer is reduced to its code.

use std::io;

use crate::path::{PathError, SitePath};

/// Any error, kept as the cause of another.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such directory, file, bucket or address.
    #[error("{place}: nothing is there")]
    Absent {
        /// The source.
        place: String,
    },
    /// It is there and holds no file.
    #[error("{place}: no file is in it")]
    Empty {
        /// The source.
        place: String,
    },
    /// It is there and refuses us.
    #[error("{place}: access is denied")]
    Denied {
        /// The source.
        place: String,
        /// What it answered.
        source: Cause,
    },
    /// Nothing to prove ourselves with, found out before a store was asked in vain.
    #[error("{place}: no credentials were found; {hint}")]
    Credentials {
        /// The source.
        place: String,
        /// What to set.
        hint: &'static str,
        /// What the last resort, the machine's metadata service, said.
        source: Cause,
    },
    /// Tried again and again in vain, or it broke off again and again.
    #[error("{place}: cannot be reached, or breaks off")]
    Unreachable {
        /// The source.
        place: String,
        /// The last failure.
        source: Cause,
    },
    /// It changed each time it was read.
    #[error("{place}: keeps changing while it is read")]
    Restless {
        /// The source.
        place: String,
    },
    /// One entry is of a kind that is not taken.
    #[error("{place}: {entry:?} {why}")]
    Refused {
        /// The source.
        place: String,
        /// The entry's name, as far as it can be shown.
        entry: String,
        /// Why, as the rest of a sentence.
        why: String,
    },
    /// An archive is damaged, cut short, or none at all.
    #[error("{place}: {why}")]
    Malformed {
        /// The source.
        place: String,
        /// What is wrong, and at which entry.
        why: String,
    },
    /// A name is no [`SitePath`].
    #[error("{place}: a name is not possible in a site")]
    Path {
        /// The source.
        place: String,
        /// The name and the rule.
        source: PathError,
    },
    /// Whoever takes the files did not take this one.
    #[error("{path}: could not be taken in")]
    Sink {
        /// The file.
        path: SitePath,
        /// What the taker returned.
        source: Cause,
    },
    /// The stream that carries an archive broke (not the archive itself).
    #[error("the archive's bytes stopped coming")]
    Body {
        /// What the reader returned.
        source: io::Error,
    },
    /// A system call failed.
    #[error("{call} {place}")]
    Io {
        /// The call.
        call: &'static str,
        /// Its object.
        place: String,
        /// Its error.
        source: io::Error,
    },
    /// Something that trying again will not mend.
    #[error("{place}: failed")]
    Failed {
        /// The source.
        place: String,
        /// The failure.
        source: Cause,
    },
}

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Go on to the next source.
    Absent,
    /// Go on to the next source, or refuse an upload that holds nothing.
    Empty,
    /// Ask for rights.
    Denied,
    /// Try again later.
    Unreachable,
    /// Mend the content: it is hostile, damaged or of a kind that a site cannot hold.
    Refused,
    /// See the cause, which is the taker's own.
    Sink,
    /// Ask the sender to send again.
    Cut,
    /// Read the message.
    Failed,
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Absent { .. } => Kind::Absent,
            Self::Empty { .. } => Kind::Empty,
            Self::Denied { .. } | Self::Credentials { .. } => Kind::Denied,
            Self::Unreachable { .. } | Self::Restless { .. } => Kind::Unreachable,
            Self::Refused { .. } | Self::Malformed { .. } | Self::Path { .. } => Kind::Refused,
            Self::Sink { .. } => Kind::Sink,
            Self::Body { .. } => Kind::Cut,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Kind::Denied,
            Self::Io { .. } | Self::Failed { .. } => Kind::Failed,
        }
    }

    /// A failed system call.
    pub(super) fn io(call: &'static str, place: impl ToString, source: impl Into<io::Error>) -> Self {
        Self::Io { call, place: place.to_string(), source: source.into() }
    }

    /// A refused entry.
    pub(super) fn refused(place: impl ToString, entry: impl ToString, why: impl ToString) -> Self {
        Self::Refused { place: place.to_string(), entry: entry.to_string(), why: why.to_string() }
    }

    /// A damaged archive.
    pub(super) fn malformed(place: impl ToString, why: impl ToString) -> Self {
        Self::Malformed { place: place.to_string(), why: why.to_string() }
    }
}
