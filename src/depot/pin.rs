//! Pinning a release: until somebody unlocks it, no other follows.

use super::{Depot, Error, State};
use crate::{
    digest::Digest,
    entry::Entry,
    store::{self, Pin},
};

/// What came of a wish to pin.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The pin that is there now.
    pub pin: Pin,
    /// Whether there was none before.
    pub is_new: bool,
}

impl Depot {
    /// The pin, when there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pin(&self) -> Result<Option<Pin>, Error> {
        match self.state()? {
            Some(state) => Ok(state.store.pin()?),
            None => Ok(None),
        }
    }

    /// Pins what is live. Whoever pinned it already may say something else about it.
    ///
    /// # Errors
    /// [`Error::Stale`] when `parent` is not what is live; [`Error::Pinned`] when somebody else pinned it.
    pub fn set_pin(&self, by: &str, message: Option<String>, parent: Option<Digest>) -> Result<Pinned, Error> {
        let state = self.state_for_writing()?;
        let staging = state.home.stage()?;
        let _lock = self.lock(&state, self.patience)?;
        self.check_divergence()?;
        let current = state.store.journal().head()?.map(|head| head.entry.release);
        if parent.is_some() && parent != current {
            return Err(Error::Stale { current });
        }
        let before = match state.store.pin()? {
            Some(pin) if pin.by != by => return Err(Error::Pinned(Box::new(pin))),
            before => before,
        };
        let is_new = before.is_none();
        let pin = match before {
            Some(pin) => Pin { message: message.or_else(|| pin.message.clone()), ..pin },
            None => Pin { by: by.into(), at: Entry::now(), message, release: current },
        };
        state.store.set_pin(&staging, &pin)?;
        Ok(Pinned { pin, is_new })
    }

    /// Unpins what is live, whoever pinned it, also when nobody can tell any more; tells whether it was.
    ///
    /// # Errors
    /// When the disk refuses, or another process keeps the volume.
    pub fn remove_pin(&self) -> Result<bool, Error> {
        let Some(state) = self.state()? else { return Ok(false) };
        let _lock = self.lock(&state, self.patience)?;
        match state.store.pin() {
            Ok(None) => return Ok(false),
            Ok(Some(_)) | Err(store::Error::Damaged { .. }) => state.store.remove_pin()?,
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Refuses while the release is pinned. Binding only under the volume's lock.
    pub(super) fn check_unpinned(state: &State) -> Result<(), Error> {
        match state.store.pin()? {
            Some(pin) => Err(Error::Pinned(Box::new(pin))),
            None => Ok(()),
        }
    }
}
