//! How what went wrong becomes an exit code, and a hint where the user can act.

use super::exit::Exit;
use crate::{depot, disk, source, store, volume};

/// A run that did not do what it should.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: anyhow::Error, hint: Option<&str>) -> Self {
        Self { exit, error, hint: hint.map(String::from) }
    }

    pub(super) fn other(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, error, None)
    }

    /// A failure of the depot, on the volume that the user named.
    pub(super) fn of(error: depot::Error) -> Self {
        let (exit, hint) = verdict(&error);
        let cure = error.disk().filter(|_| exit == Exit::NotAllowed).and_then(disk::Error::cure);
        Self { exit, hint: cure.or(hint.map(String::from)), error: error.into() }
    }
}

impl From<depot::Error> for Failure {
    fn from(error: depot::Error) -> Self {
        Self::of(error)
    }
}

fn verdict(error: &depot::Error) -> (Exit, Option<&'static str>) {
    use depot::Error as E;
    match error {
        full if full.disk().is_some_and(disk::Error::is_full) => {
            full.disk().map_or((Exit::NoSpace, None), disk_verdict)
        }
        E::Source(error) => source_verdict(error.kind()),
        damaged if damaged.is_damaged() => (
            Exit::Integrity,
            Some(
                "what is below .longshore was changed from outside: try `longshore verify --repair`; for a damaged journal entry, \
                 `longshore reconcile --keep volume`; or restore a snapshot",
            ),
        ),
        E::Volume(volume::Error::Layout { .. }) => (
            Exit::Conflict,
            Some("leave --layout and --link out, or give Longshore another volume: a layout is for good"),
        ),
        E::Volume(volume::Error::NoSymlinks { .. }) => {
            (Exit::NotAllowed, Some("use --layout files, or another kind of volume"))
        }
        E::Store(store::Error::Newer { .. }) | E::Volume(volume::Error::Format(_)) => {
            (Exit::Conflict, Some("use the version of Longshore that wrote it, or a newer one"))
        }
        E::Diverged(_) => (
            Exit::Conflict,
            Some(
                "`longshore reconcile --keep store` shows what the journal has; `--keep volume` makes what is shown its \
                 newest entry",
            ),
        ),
        E::EmptyJournal => (
            Exit::Conflict,
            Some(
                "`--keep volume` begins a new journal with what is shown; or restore the journal from a snapshot, and try \
                 again",
            ),
        ),
        E::NothingShown => (
            Exit::Conflict,
            Some("`--keep store` shows what the journal has; or restore the volume from a snapshot, and try again"),
        ),
        E::Volume(volume::Error::Locked { .. }) => {
            (Exit::TryAgain, Some("another longshore works on this volume, or was stopped while it did"))
        }
        E::Foreign(_) | E::Unfit(_) | E::Volume(volume::Error::InTheWay { .. }) => {
            (Exit::Conflict, Some("move it away, or give Longshore an empty volume"))
        }
        E::OutcomeUnknown { .. } => (Exit::Failed, Some("run it again: it finishes what was begun")),
        other => other.disk().map_or((Exit::Failed, None), disk_verdict),
    }
}

fn source_verdict(kind: source::Kind) -> (Exit, Option<&'static str>) {
    match kind {
        source::Kind::Absent | source::Kind::Empty => {
            (Exit::Absent, Some("check the source's name, or add a second --from that is always there"))
        }
        source::Kind::Denied => (
            Exit::NotAllowed,
            Some("check the rights to read the source: file modes, or credentials (AWS_…, GOOGLE_…, AZURE_…)"),
        ),
        source::Kind::Unreachable => (Exit::TryAgain, Some("nothing was published; run it again")),
        _ => (Exit::Failed, None),
    }
}

fn disk_verdict(error: &disk::Error) -> (Exit, Option<&'static str>) {
    if error.is_full() {
        (Exit::NoSpace, Some("make the volume larger; what was half written has been removed"))
    } else if error.is_denied() {
        (Exit::NotAllowed, Some("`longshore doctor --volume DIR` tells what keeps the volume from being written to"))
    } else if error.is_absent() {
        (Exit::Failed, Some("is the volume mounted where --volume says?"))
    } else if error.is_shortage() {
        (Exit::TryAgain, None)
    } else {
        (Exit::Failed, None)
    }
}
