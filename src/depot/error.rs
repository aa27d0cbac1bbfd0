//! Why a depot refuses or fails.

use uuid::Uuid;

use super::{Divergence, Exceeded, Veto};
use crate::{
    digest::{Digest, NotADigest},
    disk::{self, StageError},
    manifest, source, store, volume,
};

/// Why a commit, an apply or a look-up did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The store refused, or is damaged.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The volume refused.
    #[error(transparent)]
    Volume(#[from] volume::Error),
    /// A release cannot be read, or a file would take a folder's place.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// The source is not there, or cannot be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The content stopped coming.
    #[error("the content could not be read to its end")]
    Content(#[source] std::io::Error),
    /// The volume holds what somebody else put there.
    #[error("the volume holds content that Longshore did not put there: {}", .0.join(", "))]
    Foreign(Vec<String>),
    /// The volume holds what cannot be taken over into a release.
    #[error(
        "the volume holds what no site can have: {}; move it away or remove it, then write again",
        listed(.0)
    )]
    Unfit(Vec<volume::Unfit>),
    /// Nothing lies at a path that is to be removed.
    #[error("nothing lies at {0:?}")]
    NotFound(String),
    /// Nothing was in what was to replace a folder.
    #[error("there is no file in it")]
    Nothing,
    /// The caller's parent is not the live release.
    #[error("the live release is not the given parent any more")]
    Stale {
        /// The live release.
        current: Option<Digest>,
    },
    /// An author would change what they do not reach.
    #[error("{path:?} lies outside of {within:?}, which is all that this token reaches")]
    OutOfReach {
        /// What would change.
        path: String,
        /// The folder that is reached.
        within: String,
    },
    /// What the caller believes to be live is not.
    #[error("what is live is not what the precondition says")]
    Precondition {
        /// The digest of what is live; none when nothing is.
        current: Option<Digest>,
    },
    /// A write would remove more files than it may.
    #[error(
        "{removed} of {files} files would be removed, which is more than this write may: say max-delete=N, N% or all in \
         the query if that is meant"
    )]
    TooManyDeletions {
        /// Files that would go.
        removed: u64,
        /// Files that are live.
        files: u64,
    },
    /// A write would leave a site without a file.
    #[error("no file would be left: say allow-empty=true in the query if that is meant")]
    EmptySite,
    /// Somebody pinned the live release.
    #[error(
        "{} locked this site at {}{}: `DELETE /v1/lock` unlocks it",
        .0.by,
        .0.at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        .0.message.as_ref().map(|message| format!(" ({message})")).unwrap_or_default()
    )]
    Pinned(Box<store::Pin>),
    /// Who is asked before a release is made did not let this one pass.
    #[error("the pre-publish hook does not let this release pass: {}", .0.why)]
    Vetoed(Box<Veto>),
    /// Each time that a release was let pass, another had become live.
    #[error("others publish faster than the pre-publish hook answers")]
    Overtaken,
    /// Too many writes wait for who is asked.
    #[error("too many writes wait for the pre-publish hook: send it again")]
    TooManyAsk,
    /// Objects that a deploy names and that nobody has sent.
    #[error("{} still to be sent", if .0.len() == 1 { "1 object is".into() } else { format!("{} objects are", .0.len()) })]
    Missing(Vec<Digest>),
    /// An object has another size than a deploy says.
    #[error("object {digest} has {real} bytes, not {said}")]
    Size {
        /// The object.
        digest: Digest,
        /// What the deploy says.
        said: u64,
        /// What it is.
        real: u64,
    },
    /// An object is not named by a digest.
    #[error("{name:?} does not name an object")]
    NoDigest {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: NotADigest,
    },
    /// An upload that can be resumed refuses.
    #[error(transparent)]
    Upload(#[from] super::UploadError),
    /// The bytes that came are not those that were announced.
    #[error("the content has the digest {found}, not the announced {announced}")]
    Digest {
        /// What the header says.
        announced: Digest,
        /// What came.
        found: Digest,
    },
    /// More than may come in.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// Less space is free than a write needs and is to leave.
    #[error(
        "{needed} bytes are needed and {floor} are to stay free (--min-free), but only {free} are free: the old release \
         is served on"
    )]
    NoRoom {
        /// What the write needs, as far as is known.
        needed: u64,
        /// What is free.
        free: u64,
        /// What is to stay free.
        floor: u64,
    },
    /// A release that the journal does not have.
    #[error("the journal has no release {0}, or does not keep it any more")]
    NoSuchRelease(String),
    /// A release that the journal had.
    #[error("entry {0} is not kept any more: the newest deploys, seeds and adoptions are, and what is young")]
    NotKept(u64),
    /// A prefix that several releases share.
    #[error("several releases begin with {0}")]
    Ambiguous(String),
    /// Nothing to go back to.
    #[error("there is no other deploy, seed or adoption to go back to")]
    NothingBefore,
    /// The entry is or may be in the journal, but the volume does not show it.
    #[error("the outcome of operation {op} is unknown until the next start")]
    OutcomeUnknown {
        /// The operation.
        op: Uuid,
        /// What failed.
        #[source]
        source: Box<Error>,
    },
    /// The journal lacks what the volume has shown.
    #[error("{0}")]
    Diverged(Box<Divergence>),
    /// The journal was to be kept, and has nothing.
    #[error("the journal is empty: there is nothing to keep of it")]
    EmptyJournal,
    /// What is shown was to be kept, and is nothing.
    #[error("the volume shows no file: there is nothing to keep of it")]
    NothingShown,
    /// An earlier outcome is unknown: this process writes no more.
    #[error("an earlier operation ended in an unknown state: nothing is written until the next start")]
    Adrift,
}

/// A few of them, so that a person can read it.
fn listed(unfit: &[volume::Unfit]) -> String {
    const FEW: usize = 5;
    let mut text: Vec<_> = unfit.iter().take(FEW).map(ToString::to_string).collect();
    if unfit.len() > FEW {
        text.push(format!("and {} more", unfit.len() - FEW));
    }
    text.join(", ")
}

impl From<StageError> for Error {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Read(error) => Self::of_content(error),
            StageError::Disk(error) => Self::Disk(error),
        }
    }
}

impl Error {
    /// Why content could not be read to its end: our own error, when it is a limit that ends it.
    pub(super) fn of_content(error: std::io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Content)
    }

    /// Whether what the store or the volume holds is not what was put there.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(at) = error {
            if let Some(store::Error::Damaged { .. }) = at.downcast_ref() {
                return true;
            }
            if matches!(at.downcast_ref(), Some(Self::Store(store::Error::Damaged { .. }))) {
                return true;
            }
            error = at.source();
        }
        // What lies below `.longshore` does not go missing by itself.
        let is_ours = |error: &disk::Error| error.path.components().any(|part| part.as_os_str() == ".longshore");
        matches!(self, Self::Volume(volume::Error::Damaged { .. }))
            || self.disk().is_some_and(|error| error.is_damaged() || error.is_absent() && is_ours(error))
    }

    /// The system call that failed underneath, if one did.
    #[must_use]
    pub fn disk(&self) -> Option<&disk::Error> {
        let mut error: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(at) = error {
            // An `io::Error` made of another error shows only that one's source.
            let inner = at.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref()?.downcast_ref());
            if let Some(disk) = at.downcast_ref::<disk::Error>().or(inner) {
                return Some(disk);
            }
            // `#[error(transparent)]` hides the error itself and shows only its source.
            if let Some(found) =
                match at.downcast_ref::<Self>().or_else(|| at.downcast_ref::<Box<Self>>().map(|error| &**error)) {
                    Some(Self::Disk(error) | Self::Store(store::Error::Disk(error))) => Some(error),
                    Some(Self::Volume(volume::Error::Disk(error))) => Some(error),
                    _ => None,
                }
            {
                return Some(found);
            }
            error = at.source();
        }
        None
    }
}
