//! Deciding between a journal and a volume that shows what the journal does not have.
//!
//! Either way what is given up is noted first, so that processes that remember it go on; killed anywhere, the two still
//! disagree or agree, and doing it again finishes. Nothing is taken over by its size and time here: between two histories
//! these prove nothing, so files are hashed or built anew.

use std::{path::Path, sync::Arc};

use super::{Depot, Divergence, Error, State, preview::NoNodes};
use crate::{
    digest::Digest,
    disk::{self, Directory, Holding, Staged, Staging, Wanted},
    entry::{Cause, Committed, Entry, Mark, SiteId},
    manifest::{self, Edits, File, Release, Time, Tree},
    path::SitePath,
    store::{self, Admitted, Appended, Store},
    volume::{Layout, Lingering, Prepared, Put, inspect_file},
};

/// What was decided.
#[derive(Debug)]
pub enum Reconciled {
    /// Nothing: the journal has what the volume shows.
    Nothing,
    /// The volume shows the journal's head.
    Store(Decision),
    /// What the volume shows is the journal's head.
    Volume(Decision),
}

/// What a decision came to.
#[derive(Debug)]
pub struct Decision {
    /// The journal's head now.
    pub head: Arc<Committed>,
    /// The last entry of the history that is given up, where that is known.
    pub gave_up: Option<Mark>,
    /// Damaged entries that were set aside.
    pub damaged: Vec<u64>,
    /// Files that were kept in `.longshore/quarantine`, since nothing else has their bytes.
    pub aside: u64,
    /// What lay among the files and is none.
    pub left: Vec<String>,
}

impl Depot {
    /// Makes the volume show the journal's head.
    ///
    /// # Errors
    /// [`Error::EmptyJournal`]; when the head cannot be shown.
    pub fn keep_store(&self) -> Result<Reconciled, Error> {
        let Some(state) = self.state()? else {
            return self.find_divergence()?.map_or(Ok(Reconciled::Nothing), |_| Err(Error::EmptyJournal));
        };
        let _lock = self.lock(&state, self.patience)?;
        let staging = state.home.stage()?;
        let damaged = self.set_damage_aside(&state)?;
        let Some(divergence) = self.find_divergence()? else { return Ok(Reconciled::Nothing) };
        let head = state.store.journal().anew().head()?.ok_or(Error::EmptyJournal)?;
        let aside = self.keep_the_only_copies(&state, &staging, &divergence)?;
        let prepared = self.prepare_anew(&state, &staging, head.entry.release())?;
        self.give_up(&state, &staging, &divergence)?;
        state.home.keep_lingering(&staging, &Lingering::default())?;
        self.publish(&state, &staging, &prepared, &head)?;
        self.find_divergence()?;
        Ok(Reconciled::Store(Decision { head, gave_up: divergence.shown, damaged, aside, left: Vec::new() }))
    }

    /// Makes what the volume shows the journal's newest entry.
    ///
    /// # Errors
    /// [`Error::NothingShown`]; when the files cannot be read or the disk refuses.
    pub fn keep_volume(&self) -> Result<Reconciled, Error> {
        if self.state()?.is_none() && self.find_divergence()?.is_none() {
            return Ok(Reconciled::Nothing);
        }
        let state = match self.state()? {
            Some(state) => state,
            None => self.adopt_state(self.volume.make_home(&Store::FOLDERS)?)?.ok_or(Error::NothingShown)?,
        };
        let _lock = self.lock(&state, self.patience)?;
        let staging = state.home.stage()?;
        let damaged = self.set_damage_aside(&state)?;
        let Some(divergence) = self.find_divergence()? else { return Ok(Reconciled::Nothing) };
        let live = self.volume.live()?.ok_or(Error::NothingShown)?;
        let tree = self.volume.tree(&state.home, &live)?.ok_or(Error::NothingShown)?;
        let before = state.store.journal().anew().head()?;
        let taken = match self.take(&state, &staging, &tree, before.as_deref()) {
            // The journal was put here without what it names: nothing is known of what its head has.
            Err(Error::Manifest(manifest::Error::Node { .. })) => self.take(&state, &staging, &tree, None)?,
            taken => taken?,
        };
        let mut admitted = Admitted::default();
        state.store.admit(&staging, &taken.files, &taken.nodes, &mut admitted)?;
        let prepared = self.prepare_anew(&state, &staging, taken.release)?;
        self.give_up(&state, &staging, &divergence)?;
        state.home.keep_lingering(&staging, &Lingering::default())?;
        let entry = Entry {
            version: 1,
            seq: before.as_ref().map_or(1, |before| before.entry.seq + 1),
            op: crate::random::uuid(),
            site: before.as_ref().map_or_else(SiteId::random, |before| before.entry.site.clone()),
            previous: before.as_ref().map(|before| before.digest),
            release: taken.release.manifest,
            times: taken.release.times,
            parent: before.as_ref().map(|before| before.entry.release),
            cause: Cause::Adopt,
            by: "reconcile".into(),
            message: Some(match &divergence.shown {
                Some(shown) => format!("what the volume showed: {shown}, or what became of it"),
                None => "what the volume showed".into(),
            }),
            at: Entry::now(),
        };
        let head = match before.filter(|before| before.entry.release() == taken.release) {
            Some(same) => same,
            None => match state.store.journal().append(&staging, entry)? {
                Appended::Won(head) => head,
                Appended::Lost => {
                    let why = "another process wrote to it without the volume's lock: run this again".into();
                    return Err(store::Error::Damaged { what: "the journal".into(), why }.into());
                }
            },
        };
        self.publish(&state, &staging, &prepared, &head)?;
        self.find_divergence()?;
        let gave_up = divergence.shown;
        Ok(Reconciled::Volume(Decision { head, gave_up, damaged, aside: 0, left: taken.left }))
    }

    /// Moves entries at the journal's end that cannot be read aside: they decide nothing any more.
    fn set_damage_aside(&self, state: &State) -> Result<Vec<u64>, Error> {
        let mut aside = Vec::new();
        loop {
            let journal = state.store.journal().anew();
            match (journal.head(), journal.newest_file()?) {
                (Err(store::Error::Damaged { .. }), Some((newest, folder, name))) if is_damaged(&journal, newest)? => {
                    let path = Path::new("journal").join(&name);
                    state.home.quarantine(folder, Path::new(&name), newest, &path)?;
                    aside.push(newest);
                }
                (head, _) => {
                    head?;
                    return Ok(aside);
                }
            }
        }
    }

    fn give_up(&self, state: &State, staging: &Staging, divergence: &Divergence) -> Result<(), Error> {
        match &divergence.shown {
            Some(shown) => Ok(state.home.give_up(staging, shown)?),
            None => Ok(()),
        }
    }

    /// Keeps the files that are shown and whose bytes the store does not have.
    fn keep_the_only_copies(&self, state: &State, staging: &Staging, divergence: &Divergence) -> Result<u64, Error> {
        let Some(live) = self.volume.live()? else { return Ok(0) };
        let Some(tree) = self.volume.tree(&state.home, &live)? else { return Ok(0) };
        let seq = divergence.shown.as_ref().map_or(0, |shown| shown.seq);
        let mut aside = 0;
        for path in self.volume.remains(&tree, &Lingering::default())?.files {
            let digest = tree.digest(path.as_str())?;
            if !matches!(state.store.read_object(&digest, None)?, Holding::Whole(_)) {
                let name = staging.fresh_name();
                let stat = tree.stat(path.as_str())?;
                let wanted = Wanted { digest, size: stat.size, mtime: stat.mtime, executable: stat.mode & 0o111 != 0 };
                disk::place(&tree, path.as_str(), staging.directory(), &name, &wanted, staging.abilities())?;
                state.home.quarantine(staging.directory(), Path::new(&name), seq, Path::new(path.as_str()))?;
                aside += 1;
            }
        }
        Ok(aside)
    }

    /// What shows `release`, without a file of the live tree that was not read.
    fn prepare_anew(&self, state: &State, staging: &Staging, release: Release) -> Result<Prepared, Error> {
        let object = |digest: &Digest| state.store.object(digest);
        let nodes = state.store.nodes();
        if self.volume.layout() != &Layout::Files {
            return Ok(self.volume.prepare_anew(&state.home, staging, nodes, release, &object)?);
        }
        let (root, mut put, mut remove) = (self.volume.root(), Vec::new(), Vec::new());
        release.visit::<Error>(nodes, &mut |folder| {
            for (name, file, mtime) in &folder.files {
                let path: SitePath = folder.below(name).parse().map_err(manifest::Error::from)?;
                if inspect_file(root, path.as_str(), file, *mtime, &|_| None)?.is_some() {
                    let File { digest, size, executable } = *file;
                    let wanted = Wanted { digest, size, mtime: *mtime, executable };
                    put.push(Put { path, wanted, replaces: true });
                }
            }
            Ok(())
        })?;
        // What was shown and goes; where that cannot be read any more, nobody knows what is ours.
        let tree = Tree::<File>::new(nodes, release.manifest);
        if let Some(shown) = self.volume.remembered(&state.home)? {
            let mut gone = Vec::new();
            let read = Tree::<File>::new(nodes, shown.release).each::<Error>(&mut |path, _, _| {
                if tree.find(&path)?.is_none() {
                    gone.push(path);
                }
                Ok(())
            });
            match read {
                Ok(()) => remove = gone,
                Err(error) => tracing::warn!(%error, "files of the release that was shown stay where they are"),
            }
        }
        Ok(self.volume.prepare_files(staging, put, remove, &object)?)
    }

    /// Reads what is shown, as it is, into a release that may follow on `before`.
    fn take(
        &self,
        state: &State,
        staging: &Staging,
        tree: &Directory,
        before: Option<&Committed>,
    ) -> Result<Taken, Error> {
        let nodes = state.store.nodes();
        let remains = self.volume.remains(tree, &state.home.lingering()?)?;
        if remains.files.is_empty() {
            return Err(Error::NothingShown);
        }
        let old = before.map(|before| {
            let release = before.entry.release();
            (Tree::<File>::new(nodes, release.manifest), Tree::<Time>::new(nodes, release.times))
        });
        let (mut edits, mut times, mut files) = (Edits::default(), Edits::default(), Vec::new());
        for path in remains.files {
            let stat = tree.stat(path.as_str())?;
            let executable = stat.mode & 0o111 != 0;
            let digest = tree.digest(path.as_str())?;
            let file = File { digest, size: stat.size, executable };
            let (was, time) = match &old {
                Some((files, times)) => (files.find(&path)?, times.find(&path)?),
                None => (None, None),
            };
            // A pair of path and time means the same bytes, also where two histories meet.
            let clashes = time.is_some_and(|time| stat.mtime <= time.highest) && was != Some(file);
            let time = match clashes {
                true => Time::of_new_content(stat.mtime, time),
                false => Time::of_old_content(stat.mtime, time),
            };
            if !matches!(state.store.read_object(&digest, Some(file.size))?, Holding::Whole(_)) {
                files.push((stage(tree, &path, staging, &file)?, time.mtime.unwrap_or(stat.mtime)));
            }
            edits.set(&path, file);
            times.set(&path, time);
        }
        let manifest = edits.apply(&NoNodes, None)?;
        let times = times.apply(nodes, before.map(|before| &before.entry.times))?;
        let release = Release { manifest: manifest.root, times: times.root };
        Ok(Taken { release, files, nodes: [manifest.nodes, times.nodes].concat(), left: remains.others })
    }
}

/// A release made of what is shown.
struct Taken {
    release: Release,
    files: Vec<(Staged, i64)>,
    nodes: Vec<(Digest, Vec<u8>)>,
    left: Vec<String>,
}

fn stage(tree: &Directory, path: &SitePath, staging: &Staging, file: &File) -> Result<Staged, Error> {
    let staged = staging.file(&mut tree.file(path.as_str())?, file.executable)?;
    if (staged.digest, staged.size) == (file.digest, file.size) {
        return Ok(staged);
    }
    let changed = std::io::Error::other("it is being written to: run this again");
    Err(disk::Error { call: "read", path: tree.path().join(path.as_str()), source: changed }.into())
}

fn is_damaged(journal: &store::Journal, seq: u64) -> Result<bool, Error> {
    match journal.read(seq) {
        Ok(_) => Ok(false),
        Err(store::Error::Damaged { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
