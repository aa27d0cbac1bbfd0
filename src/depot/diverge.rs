//! A journal that lacks what the volume has shown.
//!
//! A snapshot of the journal is restored, another site's is put in its place, somebody empties it: then what the volume
//! shows is all that is left of its history, and to go on from the journal's head would drop it unasked. So what the
//! volume remembers (`shown.json`) is compared with the journal at each start, before each commit and every two seconds;
//! and so is what this process has seen, since a snapshot of the whole volume agrees with itself. While they disagree the
//! volume goes on showing what it shows, and nothing is written until somebody decides, with `longshore reconcile`.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use super::{Depot, Error, State};
use crate::{
    entry::Mark,
    manifest::Release,
    store::{Journal, Store},
};

/// A journal, and an entry that it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// What was shown; none when all that is left of it is a generation.
    pub shown: Option<Mark>,
    /// The journal's head; none when it is empty.
    pub head: Option<Mark>,
    /// Whether only this process knows: the volume as a whole went back under it.
    pub is_of_process: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shown {
            Some(shown) => write!(out, "the volume has shown {shown}, which the journal does not have")?,
            None => out.write_str("the volume shows a release, and the journal has none")?,
        }
        match &self.head {
            Some(head) => write!(out, " (its newest is {head})")?,
            None => out.write_str(" (it is empty)")?,
        }
        out.write_str(match self.is_of_process {
            true => ": was a snapshot restored? Start longshore again once the files are as they should be",
            false => ": `longshore reconcile --keep store` or `--keep volume` decides which is right",
        })
    }
}

impl Depot {
    /// Whether the journal lacked what the volume has shown, when that was last looked at.
    #[must_use]
    pub fn is_diverged(&self) -> bool {
        self.diverged.load(Ordering::SeqCst)
    }

    /// Looks whether the journal has what the volume has shown.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn divergence(&self) -> Result<Option<Divergence>, Error> {
        let found = self.compare()?;
        // Said once, not every two seconds.
        let was = self.diverged.swap(found.is_some(), Ordering::SeqCst);
        match &found {
            Some(divergence) if !was => tracing::error!("diverged: {divergence}; until then nothing is written"),
            None if was => tracing::info!("the journal has what the volume shows again"),
            _ => {}
        }
        Ok(found)
    }

    /// As [`Depot::divergence`], for whoever says it himself.
    pub(super) fn find_divergence(&self) -> Result<Option<Divergence>, Error> {
        let found = self.compare()?;
        self.diverged.store(found.is_some(), Ordering::SeqCst);
        Ok(found)
    }

    fn compare(&self) -> Result<Option<Divergence>, Error> {
        match self.state()? {
            Some(state) => self.divergence_in(&state),
            None => self.divergence_of_remains(),
        }
    }

    /// Fails while the journal lacks what the volume has shown.
    pub(super) fn check_divergence(&self) -> Result<(), Error> {
        self.divergence()?.map_or(Ok(()), |divergence| Err(Error::Diverged(Box::new(divergence))))
    }

    fn divergence_in(&self, state: &State) -> Result<Option<Divergence>, Error> {
        let journal = state.store.journal();
        let remembered = self.volume.remembered(&state.home)?.map(|shown| shown.mark());
        let told = |shown: Option<Mark>, is_of_process| {
            // A head that cannot be read does not hide that it is another one.
            let head = journal.anew().head().ok().flatten().map(|head| head.mark());
            Ok(Some(Divergence { shown, head, is_of_process }))
        };
        if let Some(remembered) = &remembered
            && !has(journal, remembered)?
        {
            return told(Some(remembered.clone()), false);
        }
        if let Some(seen) = journal.seen().map(|seen| seen.mark()).filter(|seen| Some(seen) != remembered.as_ref())
            && !has(journal, &seen)?
        {
            // Somebody decided that it is gone.
            if state.home.given_up()?.is_some_and(|gone| gone.site == seen.site && gone.seq >= seen.seq) {
                journal.forget();
            } else {
                return told(Some(seen), true);
            }
        }
        if remembered.is_none() && self.volume.live()?.is_some() && journal.head()?.is_none() {
            return told(None, false);
        }
        Ok(None)
    }

    /// The release that requests read: the head's; while the journal is damaged or lacks it, the one that is shown, with
    /// the number of its entry.
    ///
    /// # Errors
    /// When neither can be read.
    pub fn served(&self) -> Result<Option<(u64, Release)>, Error> {
        Ok(self.serve()?.map(|(_, seq, release)| (seq, release)))
    }

    pub(super) fn serve(&self) -> Result<Option<(Arc<State>, u64, Release)>, Error> {
        let Some(state) = self.state()? else { return Ok(None) };
        let failed = match state.store.journal().head() {
            _ if self.is_diverged() => None,
            Ok(head) => return Ok(head.map(|head| (state, head.entry.seq, head.entry.release()))),
            Err(error) => Some(Error::from(error)),
        };
        // Whoever put a snapshot in place may have replaced the folders that we hold open.
        let shown = match self.volume.home()? {
            Some(home) => match (self.volume.remembered(&home)?, Store::open(&home.directory, home.mode)?) {
                (Some(shown), Some(store)) => Some((Arc::new(State { home, store }), shown.seq, shown.release())),
                _ => None,
            },
            None => None,
        };
        match (shown, failed) {
            (None, Some(error)) => Err(error),
            (shown, _) => Ok(shown),
        }
    }

    /// There is no journal at all; perhaps there was one.
    fn divergence_of_remains(&self) -> Result<Option<Divergence>, Error> {
        let shown = match self.volume.home()? {
            Some(home) => self.volume.remembered(&home)?.map(|shown| shown.mark()),
            None => None,
        };
        let is_one = shown.is_some() || self.volume.live()?.is_some();
        Ok(is_one.then_some(Divergence { shown, head: None, is_of_process: false }))
    }
}

fn has(journal: &Journal, mark: &Mark) -> Result<bool, Error> {
    Ok(journal.has(&mark.site, mark.seq, &mark.entry)?)
}
