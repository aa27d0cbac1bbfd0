//! The planted mistake `acknowledge-early`: the entry comes into the journal a moment after its caller was answered.

use std::{
    io::Write as _,
    sync::{Arc, PoisonError},
    thread,
    time::Duration,
};

use super::{Appended, Journal, file_name};
use crate::{
    digest::Digest,
    disk::{Directory, Error},
    entry::{Committed, Entry},
    planted::Mistake,
};

/// Long enough for the answer to be on its way.
const LATER: Duration = Duration::from_millis(20);

impl Journal {
    /// Pretends that `entry` is in, when that is the mistake to be made.
    pub(super) fn acknowledge_early(&self, entry: &Entry) -> Option<Appended> {
        if !Mistake::AcknowledgeEarly.is_made() {
            return None;
        }
        let (directory, seq, line) = (self.directory.clone(), entry.seq, entry.to_line());
        let committed = Arc::new(Committed { entry: entry.clone(), digest: Digest::of(&line) });
        thread::spawn(move || {
            thread::sleep(LATER);
            if let Err(error) = write(&directory, seq, &line) {
                tracing::error!(%error, seq, "the entry that was acknowledged early is lost");
            }
        });
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(committed.clone());
        Some(Appended::Won(committed))
    }
}

fn write(directory: &Directory, seq: u64, line: &[u8]) -> Result<(), Error> {
    let name = format!("{seq}.late");
    let mut file = directory.create(&name, 0o600)?;
    let failed = |source| Error { call: "write", path: directory.path().join(&name), source };
    file.write_all(line).map_err(failed)?;
    directory.sync_file(&name)?;
    directory.rename(&name, directory, file_name(seq))?;
    directory.sync()
}
