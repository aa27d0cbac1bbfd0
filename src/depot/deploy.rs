//! A deploy by manifest: the client says what the release is to be, and has sent only what was missing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Author, Change, Depot, Error, Guard, Outcome, Precondition, Proposal, Target};
use crate::{digest::Digest, disk::Staged, entry::Cause, manifest::File, path::SitePath};

/// What a release is to be.
#[derive(Debug)]
pub struct Deploy {
    /// The release that it begins from; none: from nothing.
    pub base: Option<Target>,
    /// Files that are set.
    pub set: BTreeMap<SitePath, File>,
    /// Files of the base that are removed.
    pub remove: Vec<SitePath>,
    /// The live release that it is made for; another one refuses it.
    pub parent: Option<Digest>,
    /// What else must hold.
    pub precondition: Precondition,
    /// What it may do to the site.
    pub guard: Guard,
    /// Whether it is only thought through.
    pub dry_run: bool,
    /// What is said about it.
    pub message: Option<String>,
    /// Who.
    pub by: Author,
}

impl Depot {
    /// Makes the release live that `deploy` describes.
    ///
    /// # Errors
    /// [`Error::Missing`] with the objects that are still to be sent; as [`Depot::commit`].
    pub fn deploy(&self, deploy: Deploy) -> Result<Outcome, Error> {
        let Deploy { base, set, remove, parent, precondition, guard, dry_run, message, by } = deploy;
        if base.is_none() && set.is_empty() && !guard.allow_empty {
            return Err(Error::EmptySite);
        }
        let base = base.map(|base| self.entry(&base)).transpose()?.map(|base| base.entry.release);
        set.keys().chain(&remove).try_for_each(|path| by.check(path))?;
        self.check_in_time(parent, &precondition)?;
        self.check_deploy(base, &set, &remove)?;
        if dry_run {
            return self.rehearse_deploy(&by, base, set, remove, |change| Proposal {
                parent,
                precondition,
                guard: Some(guard),
                message,
                ..Proposal::new(change, Cause::Upload, &by)
            });
        }
        let state = self.state_for_writing()?;
        let staging = state.home.stage()?;
        let (mut objects, mut missing) = (HashMap::new(), BTreeSet::new());
        let mut looked = HashSet::new();
        for File { digest, size, .. } in set.values() {
            if !looked.insert((digest, size)) || self.kept_size(&state, digest, &by)? == Some(*size) {
                continue;
            }
            // What is kept already was let in.
            self.limits.file(*size)?;
            match self.take_object(&state, &by, &staging, digest, *size)? {
                Some(staged) => drop(objects.insert(*digest, staged)),
                // Between the two looks another deploy may have taken it to the store.
                None if self.kept_size(&state, digest, &by)? == Some(*size) => {}
                None => drop(missing.insert(*digest)),
            }
        }
        if !missing.is_empty() {
            return Err(Error::Missing(missing.into_iter().collect()));
        }
        let sent: Vec<Digest> = objects.keys().copied().collect();
        let change = Change::Deploy { base, set, remove, objects };
        let outcome = self.commit(
            &staging,
            &Proposal {
                parent,
                precondition,
                guard: Some(guard),
                message,
                ..Proposal::new(change, Cause::Upload, &by)
            },
        )?;
        self.drop_waiting(&state, &by, sent.iter());
        Ok(outcome)
    }

    /// Refuses before anything has to be sent what could not be committed anyway. The commit checks again, under the lock.
    fn check_in_time(&self, parent: Option<Digest>, precondition: &Precondition) -> Result<(), Error> {
        self.check_divergence()?;
        let Some(state) = self.state()? else { return Ok(()) };
        // Where there is no head yet, one may come by an adoption.
        let Some(head) = state.store.journal().head()? else { return Ok(()) };
        if parent.is_some_and(|parent| parent != head.entry.release) {
            return Err(Error::Stale { current: Some(head.entry.release) });
        }
        precondition.check(state.store.nodes(), Some(&head))
    }

    /// The objects stay where they wait.
    fn rehearse_deploy<'a>(
        &self,
        by: &Author,
        base: Option<Digest>,
        set: BTreeMap<SitePath, File>,
        remove: Vec<SitePath>,
        propose: impl FnOnce(Change) -> Proposal<'a>,
    ) -> Result<Outcome, Error> {
        let (mut objects, mut missing) = (HashMap::new(), BTreeSet::new());
        for File { digest, size, .. } in set.values() {
            match self.object_size(digest, by)? {
                None => {
                    self.limits.file(*size)?;
                    missing.insert(*digest);
                }
                Some(real) if real != *size => {
                    return Err(Error::Size { digest: *digest, said: *size, real });
                }
                Some(_) => {
                    let (digest, size) = (*digest, *size);
                    let staged = Staged { digest, size, executable: false, modified: None, name: String::new() };
                    objects.insert(digest, staged);
                }
            }
        }
        if !missing.is_empty() {
            return Err(Error::Missing(missing.into_iter().collect()));
        }
        self.rehearse(&propose(Change::Deploy { base, set, remove, objects }))
    }
}
