//! What a volume needs to show a release, staged out of sight.

use std::collections::BTreeSet;

use super::{
    Depot, Error, State,
    linger::Linger,
    plan::{Difference, Plan},
};
use crate::{
    digest::Digest,
    disk::{self, Staging, Wanted},
    manifest::{self, File, Release, Tree},
    path::SitePath,
    volume::{Layout, Prepared, Put},
};

impl Depot {
    /// Stages what the volume needs to show the plan; `current` is the release that it shows, when that is the plan's
    /// parent. One changed file in a folder that is there takes one rename.
    pub(super) fn prepare(
        &self,
        state: &State,
        staging: &Staging,
        current: Option<Digest>,
        plan: &Plan,
        linger: &Linger,
    ) -> Result<Prepared, Error> {
        match (self.volume.layout(), current) {
            (Layout::Files, Some(_)) => return self.prepare_changes(state, staging, plan, linger),
            (Layout::Docroot | Layout::Link(_), Some(current)) if !linger.changes() => {
                if let Some(prepared) = self.prepare_one(state, staging, current, plan)? {
                    return Ok(prepared);
                }
            }
            _ => {}
        }
        if self.volume.layout() == &Layout::Files {
            let adopted = plan.changes.iter().filter(|_| plan.adopts).map(|change| change.path.clone());
            return self.prepare_missing(state, staging, plan.release, linger, &adopted.collect());
        }
        self.prepare_all(state, staging, plan.release, linger)
    }

    /// Stages what it takes to show `release`, whatever is shown now.
    pub(super) fn prepare_all(
        &self,
        state: &State,
        staging: &Staging,
        release: Release,
        linger: &Linger,
    ) -> Result<Prepared, Error> {
        let object = |digest: &Digest| state.store.object(digest);
        match self.volume.layout() {
            Layout::Files => self.prepare_missing(state, staging, release, linger, &BTreeSet::new()),
            _ => {
                let (nodes, lingering) = (state.store.nodes(), &linger.after);
                Ok(self.volume.prepare_generation(&state.home, staging, nodes, release, lingering, &object)?)
            }
        }
    }

    /// The one rename in the live generation that shows the plan, when one does.
    fn prepare_one(
        &self,
        state: &State,
        staging: &Staging,
        current: Digest,
        plan: &Plan,
    ) -> Result<Option<Prepared>, Error> {
        let ([Difference { path, is, .. }], Some(generation)) = (&plan.changes[..], self.volume.live()?) else {
            return Ok(None);
        };
        // What somebody did by hand in the live generation may not make the rename fail when it is too late.
        if !self.volume.can_rename(&state.home, &generation, path)? {
            return Ok(None);
        }
        let folder = path.parent();
        let stays =
            |root| Ok::<_, Error>(Tree::<File>::new(state.store.nodes(), root).folder(folder.as_ref())?.is_some());
        match is {
            Some((file, mtime)) if stays(current)? => {
                let (objects, name) = state.store.object(&file.digest)?;
                let (object, wanted) = ((&objects, &*name), wanted(*file, *mtime));
                Ok(Some(self.volume.prepare_file(staging, generation, path.clone(), object, &wanted)?))
            }
            None if stays(plan.release.manifest)? => Ok(Some(Prepared::Remove { path: path.clone(), generation })),
            _ => Ok(None),
        }
    }

    /// For plain files: just what the plan changes.
    fn prepare_changes(
        &self,
        state: &State,
        staging: &Staging,
        plan: &Plan,
        linger: &Linger,
    ) -> Result<Prepared, Error> {
        let (mut put, mut remove) = (Vec::new(), Vec::new());
        for Difference { path, was, is } in &plan.changes {
            match is {
                Some((file, mtime)) => put.push(Put {
                    path: path.clone(),
                    wanted: wanted(*file, *mtime),
                    replaces: plan.adopts || was.is_some() || linger.before.explains(path.as_str()),
                }),
                None if !linger.after.explains(path.as_str()) => remove.push(path.clone()),
                None => {}
            }
        }
        let tree = Tree::<File>::new(state.store.nodes(), plan.release.manifest);
        self.finish_files(state, staging, put, remove, &tree, linger)
    }

    /// For plain files, when a process died on the way: what is not yet as it should be.
    fn prepare_missing(
        &self,
        state: &State,
        staging: &Staging,
        release: Release,
        linger: &Linger,
        adopted: &BTreeSet<SitePath>,
    ) -> Result<Prepared, Error> {
        let nodes = state.store.nodes();
        let tree = Tree::<File>::new(nodes, release.manifest);
        let (mut ours, mut remove) = (BTreeSet::new(), Vec::new());
        let before = self.volume.remembered(&state.home)?;
        if let Some(before) = &before {
            Tree::<File>::new(nodes, before.release).each::<Error>(&mut |path, _, _| {
                if tree.find(&path)?.is_none() && !linger.after.explains(path.as_str()) {
                    remove.push(path.clone());
                }
                ours.insert(path);
                Ok(())
            })?;
        }
        let mut put = Vec::new();
        release.visit::<Error>(nodes, &mut |folder| {
            for (name, file, mtime) in &folder.files {
                let path: SitePath = folder.below(name).parse().map_err(manifest::Error::from)?;
                let stat = disk::if_path(self.volume.root().stat(&path))?;
                if !stat
                    .is_some_and(|stat| stat.is(file.size, *mtime, file.executable) && stat.has_mode(file.executable))
                {
                    let replaces = before.is_none()
                        || ours.contains(&path)
                        || adopted.contains(&path)
                        || linger.before.explains(path.as_str());
                    put.push(Put { path, wanted: wanted(*file, *mtime), replaces });
                }
            }
            Ok(())
        })?;
        self.finish_files(state, staging, put, remove, &tree, linger)
    }

    fn finish_files(
        &self,
        state: &State,
        staging: &Staging,
        put: Vec<Put>,
        mut remove: Vec<SitePath>,
        tree: &Tree<'_, File>,
        linger: &Linger,
    ) -> Result<Prepared, Error> {
        for path in linger.before.without(&linger.after) {
            if tree.find(path)?.is_none() {
                remove.push(path.clone());
            }
        }
        let object = |digest: &Digest| state.store.object(digest);
        Ok(self.volume.prepare_files(staging, put, remove, &object)?)
    }
}

fn wanted(file: File, mtime: i64) -> Wanted {
    let File { digest, size, executable } = file;
    Wanted { digest, size, mtime, executable }
}
