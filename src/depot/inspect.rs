//! Looking for what somebody did to the volume by hand; and, where that is wanted, taking it over.
//!
//! Drift is told by names, sizes, times and modes. It is taken over when it has been still for a moment, so that a file
//! that is half copied is not; and never so that more than half of the site would go: that is undone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Depot, Error, State, adopt::Adoption};
use crate::{
    digest::Digest,
    disk::{self, Kind, Staging},
    entry::Committed,
    manifest::{File, Release, Time, Tree},
    path::SitePath,
    volume::{self, Drift, Drifted, Found, Layout, Place},
};

/// For how long a change has to be still before it is taken over.
const STILL: Duration = Duration::from_secs(1);
/// How long a look waits for whoever writes. Giving up at once would mean to look at everything later.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to undo what cannot be taken over.
const HEAL: Duration = Duration::from_secs(30);

/// What looks have seen so far.
#[derive(Debug, Default)]
pub struct Looks {
    since: BTreeMap<(Place, String), (Drifted, Instant)>,
    healed: Option<Instant>,
}

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The paths that differ from the head, sorted.
    pub drifted: Vec<String>,
    /// Whether something is to be taken over as soon as it is still.
    pub is_unsettled: bool,
}

impl Looks {
    fn see(&mut self, drift: &Drift) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.since);
        for (key, is) in &drift.0 {
            let since = before.remove(key).filter(|(was, _)| is.is_still(was)).map_or(now, |(_, since)| since);
            self.since.insert(key.clone(), (is.clone(), since));
        }
    }

    fn is_still(&self, place: Place, path: &str) -> bool {
        self.since.get(&(place, path.into())).is_some_and(|(_, since)| since.elapsed() >= STILL)
    }
}

impl Depot {
    /// This depot, taking over what is changed by hand if `adopts`.
    #[must_use]
    pub fn adopting(self, adopts: bool) -> Self {
        Self { adopts, ..self }
    }

    /// The folders, relative to the volume's root, in which changes by hand may show first; with all below them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn folders_to_watch(&self) -> Result<Vec<String>, Error> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        let (Some(head), Some(live)) = (state.store.journal().head()?, self.volume.live()?) else {
            return Ok(Vec::new());
        };
        if self.volume.layout() != &Layout::Files {
            return Ok(vec![volume::tree_of(&live)]);
        }
        // Not the root with all below it: that has the state, too.
        let root = Tree::<File>::new(state.store.nodes(), head.entry.release).folder(None)?.unwrap_or_default();
        Ok(root.into_keys().filter_map(|key| key.strip_suffix('/').map(String::from)).collect())
    }

    /// Compares the whole volume with the head. None while somebody else works on it, or it does not show the head.
    ///
    /// # Errors
    /// When the disk refuses, or something cannot be taken over.
    pub fn inspect(&self, looks: &mut Looks) -> Result<Option<Look>, Error> {
        let Some(state) = self.state()? else { return Ok(Some(Look::default())) };
        let _lock = match self.lock(&state, PATIENCE) {
            Err(Error::Adrift | Error::Volume(volume::Error::Locked { .. })) => return Ok(None),
            lock => lock?,
        };
        if self.divergence()?.is_some() {
            return Ok(None);
        }
        let Some(head) = self.shown_head(&state)? else { return Ok(None) };
        let mut drift = self.drift(&state, &head)?;
        looks.see(&drift);
        // What is pinned stays: what was changed by hand is only told, until it may become an entry.
        let adopts = self.adopts && state.store.pin()?.is_none();
        if adopts && !self.is_adrift() && self.adopt_drift(&state, &head, &drift, looks)? {
            let Some(head) = self.shown_head(&state)? else { return Ok(None) };
            drift = self.drift(&state, &head)?;
            looks.see(&drift);
        }
        let is_fit = |what: &Drifted| !matches!(what, Drifted::Unfit(_));
        let is_unsettled =
            adopts && drift.0.iter().any(|((place, path), what)| is_fit(what) && !looks.is_still(*place, path));
        let paths: BTreeSet<String> = drift.0.into_keys().map(|(_, path)| path).collect();
        Ok(Some(Look { drifted: paths.into_iter().collect(), is_unsettled }))
    }

    pub(super) fn shown_head(&self, state: &State) -> Result<Option<Arc<Committed>>, Error> {
        let head = state.store.journal().head()?;
        // Where something real lies in place of the one link, that is what somebody did by hand.
        let shown = match self.volume.in_the_way([].into_iter())?.is_empty() {
            true => self.volume.shown(&state.home)?,
            false => self.volume.remembered(&state.home)?,
        };
        Ok(head.filter(|head| shown.is_some_and(|shown| shown.is(head))))
    }

    fn drift(&self, state: &State, head: &Committed) -> Result<Drift, Error> {
        let lingering = state.home.lingering()?;
        Ok(self.volume.drift(&state.home, state.store.nodes(), head.entry.release(), &lingering)?)
    }

    /// Takes over what is still; tells whether the volume has changed by that.
    fn adopt_drift(
        &self,
        state: &State,
        head: &Arc<Committed>,
        drift: &Drift,
        looks: &mut Looks,
    ) -> Result<bool, Error> {
        let tree = Tree::<File>::new(state.store.nodes(), head.entry.release);
        let (mut adoption, changed) = self.still(&tree, drift, looks)?;
        let total = tree.total()?.files;
        let keeps_most = adoption.remove.len() as u64 * 2 <= total;
        if !keeps_most {
            let gone = adoption.remove.len();
            tracing::warn!(gone, files = total, "more than half of the site was removed by hand: it is put back");
            adoption.remove.clear();
        }
        let mut done = false;
        let is_something = !adoption.files.is_empty() || !adoption.remove.is_empty();
        let mut now = head.clone();
        if is_something {
            let exchanges = !adoption.exchange.is_empty();
            if let Some(new) = self.adopt(state, Some(head), adoption)? {
                (now, done) = (new, true);
                // In place, through the name that the object has here.
                for (path, file) in changed {
                    self.set_aside_damaged(state, &now, &path, &file)?;
                }
            }
            done |= exchanges;
        }
        let rest = self.drift(state, &now)?;
        let undo = |((place, path), what): (&(Place, String), &Drifted)| {
            !matches!(what, Drifted::Added(_) | Drifted::Unfit(_)) && looks.is_still(*place, path)
        };
        if rest.0.iter().any(undo) && looks.healed.is_none_or(|at| at.elapsed() > HEAL) {
            looks.healed = Some(Instant::now());
            let staging = Staging::create(&state.home.staging, state.home.mode)?;
            self.apply(state, &staging, &now)?;
            self.settle_links(state, &now)?;
            done = true;
        }
        Ok(done)
    }

    /// What has been still long enough to be taken over; and the files that were changed, as the head has them.
    fn still(
        &self,
        tree: &Tree<'_, File>,
        drift: &Drift,
        looks: &Looks,
    ) -> Result<(Adoption, Vec<(SitePath, File)>), Error> {
        let is_link = matches!(self.volume.layout(), Layout::Link(_));
        let entry = |path: &str| match (is_link, path.split('/').next()) {
            (false, Some(top)) => top.to_owned(),
            _ => String::new(),
        };
        let at_root = drift.0.iter().filter(|((place, _), _)| *place == Place::Root);
        let is_blocked = |(place, path): &(Place, String), what: &Drifted| {
            matches!(what, Drifted::Unfit(_)) || !looks.is_still(*place, path)
        };
        // An entry of the root is exchanged as a whole.
        let blocked: BTreeSet<String> =
            at_root.filter(|(key, what)| is_blocked(key, what)).map(|((_, path), _)| entry(path)).collect();
        let mut files: BTreeMap<SitePath, Found> = BTreeMap::new();
        let (mut remove, mut exchange, mut changed) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for ((place, path), what) in &drift.0 {
            if is_blocked(&(*place, path.clone()), what) || *place == Place::Root && blocked.contains(&entry(path)) {
                continue;
            }
            match what {
                Drifted::Added(found) | Drifted::Changed(found) => {
                    if matches!(what, Drifted::Changed(_))
                        && let Some(file) = tree.find(&found.path)?
                    {
                        changed.push((found.path.clone(), file));
                    }
                    if *place == Place::Root {
                        exchange.insert(entry(path));
                    }
                    // The root's comes after what it hides.
                    files.insert(found.path.clone(), found.clone());
                }
                Drifted::Removed => drop(remove.insert(path.parse().map_err(crate::manifest::Error::from)?)),
                Drifted::Unlinked => tree.each::<Error>(&mut |found, _, _| {
                    if found.top() == path {
                        remove.insert(found);
                    }
                    Ok(())
                })?,
                Drifted::Unfit(_) => {}
            }
        }
        remove.retain(|path| !files.contains_key(path));
        let exchange = match self.volume.layout() {
            Layout::Link(name) => exchange.iter().map(|_| (**name).into()).collect(),
            _ => exchange.into_iter().map(Into::into).collect(),
        };
        let files = files.into_values().collect();
        let adoption =
            Adoption { files, remove: remove.into_iter().collect(), exchange, why: "what was changed by hand" };
        Ok((adoption, changed))
    }

    /// Takes the object of `was` out of the store when its bytes are others now, and puts a good copy in its place where
    /// there is one.
    fn set_aside_damaged(&self, state: &State, head: &Committed, path: &SitePath, was: &File) -> Result<(), Error> {
        if !state.store.is_damaged(&was.digest, was.size, true)? {
            return Ok(());
        }
        let (objects, name) = state.store.object(&was.digest)?;
        let aside = format!("objects/{}", was.digest);
        let kept = state.home.quarantine(&objects, name.as_ref(), head.entry.seq, aside.as_ref())?;
        let is_restored = self.restore_object(state, head.entry.release(), &was.digest)?;
        let releases = if is_restored { Vec::new() } else { self.entries_with(state, path, &was.digest)? };
        tracing::warn!(
            %path, digest = %was.digest, kept = %kept.display(), is_restored, ?releases,
            "was written over in place, through every release that had it"
        );
        Ok(())
    }

    /// Puts the object `digest` back from a file of the site that has its bytes, and another inode.
    fn restore_object(&self, state: &State, release: Release, digest: &Digest) -> Result<bool, Error> {
        let mut copies = Vec::new();
        release.visit::<Error>(state.store.nodes(), &mut |folder| {
            let same = folder.files.iter().filter(|(_, file, _)| file.digest == *digest);
            copies.extend(same.map(|(name, _, mtime)| (folder.below(name), *mtime)));
            Ok(())
        })?;
        let Some(tree) = self.volume.live()?.map(|live| self.volume.tree(&state.home, &live)).transpose()?.flatten()
        else {
            return Ok(false);
        };
        let staging = Staging::create(&state.home.staging, state.home.mode)?;
        for (path, mtime) in copies {
            let Some(mut content) = disk::if_path(tree.file(&path))? else { continue };
            let staged = staging.file(&mut content, false)?;
            if staged.digest == *digest {
                state.store.replace(&staging, &staged, mtime)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest entries that have `digest` at `path`.
    fn entries_with(&self, state: &State, path: &SitePath, digest: &Digest) -> Result<Vec<u64>, Error> {
        const MOST: usize = 20;
        let mut found = Vec::new();
        for committed in state.store.journal().history()? {
            let entry = &committed?.entry;
            let tree = Tree::<File>::new(state.store.nodes(), entry.release);
            if tree.find(path)?.is_some_and(|file| file.digest == *digest) {
                found.push(entry.seq);
            }
            if found.len() == MOST {
                break;
            }
        }
        Ok(found)
    }

    /// Whether the volume has at each of `paths`, relative to its root, what the head has there. It costs a few calls a
    /// path: what we publish ourselves is told apart from what others do without looking at the whole site.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn is_expected<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<bool, Error> {
        let Some(state) = self.state()? else { return Ok(true) };
        let _lock = match self.lock(&state, PATIENCE) {
            Err(Error::Volume(volume::Error::Locked { .. })) => return Ok(false),
            lock => lock?,
        };
        let (Some(head), Some(live)) = (self.shown_head(&state)?, self.volume.live()?) else { return Ok(false) };
        let Some(tree) = self.volume.tree(&state.home, &live)? else { return Ok(false) };
        let files = Tree::<File>::new(state.store.nodes(), head.entry.release);
        let times = Tree::<Time>::new(state.store.nodes(), head.entry.times);
        let lingering = state.home.lingering()?;
        for path in paths {
            let Some(site) = self.volume.path_in_live(path)? else {
                let is_missing = |site: &SitePath| {
                    let is_there = disk::if_there(self.volume.root().stat(site))?.is_some();
                    Ok::<_, Error>(!is_there && (files.find(site)?.is_some() || files.is_folder(site)?))
                };
                let name: Option<SitePath> = path.parse().ok().filter(|name: &SitePath| name.parent().is_none());
                let is_linked = self.volume.layout() == &Layout::Docroot;
                let is_missing = name.as_ref().filter(|_| is_linked).map_or(Ok(false), is_missing)?;
                if !path.contains('/') && (is_missing || !self.volume.is_expected_at_root(path)?) {
                    return Ok(false);
                }
                continue;
            };
            let stat = disk::if_path(tree.stat(&site))?;
            let as_it_is = match (stat, files.find(&site)?) {
                _ if lingering.explains(site.as_str()) => true,
                (Some(stat), Some(file)) => {
                    let mtime = times.find(&site)?.and_then(|time| time.mtime);
                    mtime.is_some_and(|mtime| stat.is(file.size, mtime, file.executable))
                }
                (None, Some(_)) => false,
                (Some(stat), None) => stat.kind == Kind::Directory && files.is_folder(&site)?,
                (None, None) => !files.is_folder(&site)?,
            };
            if !as_it_is {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
