//! A commit that is only thought through: what would be, and nothing done.

use std::sync::Arc;

use super::{
    Change, Changed, Depot, Error, Ingest, Outcome, Proposal,
    plan::{Overlay, plan},
    preview::NoNodes,
};
use crate::{
    disk::Staging,
    entry::{Committed, Entry},
    manifest::Nodes,
};

impl Depot {
    /// As [`Depot::ingest`], for a commit that is only rehearsed: files are hashed, and kept nowhere.
    ///
    /// # Errors
    /// As [`Depot::ingest`].
    pub fn ingest_nowhere(&self) -> Result<Ingest, Error> {
        self.check_writable()?;
        let parent = match self.state()? {
            Some(state) => state.home.staging.clone(),
            None => self.volume.root().clone(),
        };
        Ok(Ingest::of(Staging::nowhere(&parent)?, *self.limits()))
    }

    /// What a commit of `proposal` would become. It takes the volume's lock where there is one, and writes nothing: what
    /// the commit would adopt first is not in it.
    pub(super) fn rehearse(&self, proposal: &Proposal<'_>) -> Result<Outcome, Error> {
        self.check_writable()?;
        let state = self.state()?;
        let _lock = state.as_ref().map(|state| self.lock(state, self.patience)).transpose()?;
        self.check_divergence()?;
        if let Some(state) = &state {
            Self::check_unpinned(state)?;
        }
        let head = state.as_ref().map(|state| state.store.journal().head()).transpose()?.flatten();
        let nodes: &dyn Nodes = state.as_ref().map_or(&NoNodes, |state| state.store.nodes());
        let current = head.as_ref().map(|head| head.entry.release);
        if proposal.parent.is_some() && proposal.parent != current {
            return Err(Error::Stale { current });
        }
        proposal.precondition.check(nodes, head.as_deref())?;
        if let Some(state) = &state {
            Self::check_kept(state, &proposal.change, current)?;
        }
        let now = Entry::now();
        self.check_folders(proposal)?;
        let planned = match plan(nodes, head.as_deref(), &proposal.change, now.timestamp()) {
            // What only lingers would go.
            Err(Error::NotFound(path)) => match (&state, &head, &proposal.change) {
                (Some(state), Some(_), Change::Remove(gone) | Change::RemoveFolder(gone))
                    if Self::would_purge(state, gone)? =>
                {
                    None
                }
                _ => return Err(Error::NotFound(path)),
            },
            planned => planned?,
        };
        let Some(planned) = planned else {
            return Ok(Outcome { rehearsed: Some(Vec::new()), ..Outcome::nothing(head.ok_or(Error::Nothing)?) });
        };
        proposal.by.check_plan(&planned)?;
        if let Some(guard) = proposal.guard {
            let nodes = Overlay::new(nodes, &planned.nodes);
            guard.check(proposal, &nodes, head.as_deref(), &planned)?;
            self.check_size(proposal, &nodes, head.as_deref(), &planned)?;
        }
        if let Some(state) = &state {
            self.check_objects(state, &proposal.change, &planned)?;
        }
        let entry = proposal.entry(head.as_deref(), planned.release, now);
        // It never has a line, so nothing can be chained to it.
        let digest = entry.release;
        let outcome = Outcome::of(Arc::new(Committed { entry, digest }), &planned.changes);
        let changes = planned.changes.into_iter();
        let mut changes: Vec<Changed> = changes
            .map(|change| Changed { path: change.path, was: change.was, is: change.is.map(|(file, _)| file) })
            .collect();
        changes.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(Outcome { rehearsed: Some(changes), ..outcome })
    }
}
