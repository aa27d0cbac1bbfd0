//! Finding copies of what the store has lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use tokio::runtime::Handle;

use super::{Mending, is_ballast, is_needed};
use crate::{
    depot::{Error, Finding, Place, ingest::unwrap_own, preview::NoNodes},
    digest::Digest,
    disk::{self, Directory, Staged},
    manifest::{Edits, File, Time},
    source::{self, Kind, Location, Progress, Reading, Source},
    store::Room,
};

/// What a copy is wanted of.
pub(super) struct Wanted {
    objects: BTreeMap<Digest, Object>,
    nodes: BTreeSet<Digest>,
    /// Damaged, and needed by nothing.
    ballast: Vec<(Room, Digest)>,
}

struct Object {
    size: u64,
    /// Where it may lie in a generation.
    places: Vec<Place>,
    /// The time and mode of the file that shows it, which then can share its inode.
    look: Option<(i64, bool)>,
}

impl Wanted {
    pub(super) fn of(findings: &[Finding]) -> Self {
        let (mut objects, mut nodes, mut ballast) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for finding in findings {
            match (is_needed(finding), finding) {
                (Some((_, digest)), Finding::Object { size, needs, .. }) => {
                    let (size, places) = (size.unwrap_or_default(), needs.places.clone());
                    objects.insert(digest, Object { size, places, look: None });
                }
                (Some((_, digest)), _) => drop(nodes.insert(digest)),
                (None, finding) => ballast.extend(is_ballast(finding)),
            }
        }
        for finding in findings {
            if let Finding::File { file, mtime, .. } = finding
                && let Some(object) = objects.get_mut(&file.digest)
            {
                object.look = Some((*mtime, file.executable));
            }
        }
        Self { objects, nodes, ballast }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.nodes.is_empty()
    }

    /// What no copy was found of.
    pub(super) fn left(self) -> Vec<(Room, Digest)> {
        let objects = self.objects.into_keys().map(|digest| (Room::Objects, digest));
        let nodes = self.nodes.into_iter().map(|digest| (Room::Manifests, digest));
        objects.chain(nodes).chain(self.ballast).collect()
    }

    /// Looks for other copies on the volume: in the generations, and in the object itself, where only its mode is wrong.
    pub(super) fn search_volume(&mut self, mending: &mut Mending<'_>) -> Result<(), Error> {
        let (volume, state) = (&mending.depot.volume, mending.state);
        let mut trees = Vec::new();
        if let Some(live) = volume.live()? {
            trees.extend(volume.tree(&state.home, &live)?);
        }
        for name in state.home.trees.list()? {
            trees.extend(disk::if_directory(state.home.trees.directory(name))?);
        }
        let mut restored = Vec::new();
        for (digest, object) in &self.objects {
            let own = state.store.place_of(Room::Objects, digest)?;
            let own = own.map(|(folder, name)| (folder, name, "its own bytes"));
            let others = object
                .places
                .iter()
                .flat_map(|place| trees.iter().map(|tree| (tree.clone(), place.path.clone(), "a copy on the volume")));
            for (tree, name, source) in own.into_iter().chain(others) {
                if let Some(staged) = stage(mending, &tree, &name, digest, object)? {
                    mending.object(&staged, object.look.map(|(mtime, _)| mtime), source)?;
                    restored.push(*digest);
                    break;
                }
            }
        }
        restored.iter().for_each(|digest| drop(self.objects.remove(digest)));
        Ok(())
    }

    /// Makes nodes of the live files: those of a release whose files are as they were are the same.
    pub(super) fn search_live_tree(&mut self, mending: &mut Mending<'_>) -> Result<(), Error> {
        let volume = &mending.depot.volume;
        if self.nodes.is_empty() {
            return Ok(());
        }
        let Some(live) = volume.live()? else { return Ok(()) };
        let Some(tree) = volume.tree(&mending.state.home, &live)? else { return Ok(()) };
        let (mut files, mut times) = (Edits::default(), Edits::default());
        for path in volume.remains(&tree, &mending.state.home.lingering()?)?.files {
            let stat = tree.stat(path.as_str())?;
            let Ok(digest) = tree.digest(path.as_str()) else { continue };
            files.set(&path, File { digest, size: stat.size, executable: stat.mode & 0o111 != 0 });
            times.set(&path, Time { mtime: Some(stat.mtime), highest: stat.mtime });
        }
        let (files, times) = (files.apply(&NoNodes, None)?, times.apply(&NoNodes, None)?);
        self.take_nodes(mending, files.nodes.into_iter().chain(times.nodes), "the files that are shown")
    }

    fn take_nodes(
        &mut self,
        mending: &mut Mending<'_>,
        nodes: impl Iterator<Item = (Digest, Vec<u8>)>,
        source: &str,
    ) -> Result<(), Error> {
        for (digest, bytes) in nodes {
            if self.nodes.remove(&digest) {
                mending.node(&digest, &bytes, source)?;
            }
        }
        Ok(())
    }

    /// Reads a source, and keeps what is wanted of it.
    pub(super) fn search_source(
        &mut self,
        location: &Location,
        runtime: &Handle,
        mending: &mut Mending<'_>,
    ) -> Result<(), Error> {
        let (files, found) = (Mutex::new(Edits::default()), Mutex::new(BTreeMap::<Digest, Staged>::new()));
        let staging = mending.staging;
        let reading = Reading {
            sink: &|item, content| {
                let staged = staging.file(content, item.executable).map_err(Error::from)?;
                let Staged { digest, size, executable, .. } = staged;
                files.lock().unwrap_or_else(PoisonError::into_inner).set(&item.path, File { digest, size, executable });
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                if self.objects.contains_key(&digest) && !found.contains_key(&digest) {
                    found.insert(digest, staged);
                } else {
                    staging.directory().unlink(&staged.name)?;
                }
                Ok(())
            },
            forget: &|path| files.lock().unwrap_or_else(PoisonError::into_inner).remove(path),
            scratch: &|| staging.scratch().map_err(|error| std::io::Error::new(error.source.kind(), error)),
            progress: &Progress::default(),
            is_one_of_many: false,
        };
        let read = Source::open(location, runtime).and_then(|source| source.read(&reading));
        match read {
            Err(error) if matches!(error.kind(), Kind::Absent | Kind::Empty) => {
                tracing::info!(source = %location, "nothing there: {error}");
            }
            // What came before it failed is good all the same: its digest proves it.
            Err(error @ source::Error::Sink { .. }) => return Err(unwrap_own(error)),
            Err(error) => {
                tracing::warn!(source = %location, error = &error as &dyn std::error::Error, "cannot be read")
            }
            Ok(_) => {}
        }
        let source = location.to_string();
        for (digest, mut staged) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some(object) = self.objects.remove(&digest) {
                staged.executable = object.look.is_some_and(|(_, executable)| executable);
                mending.object(&staged, object.look.map(|(mtime, _)| mtime), &source)?;
            }
        }
        if self.nodes.is_empty() {
            return Ok(());
        }
        let files = files.into_inner().unwrap_or_else(PoisonError::into_inner).apply(&NoNodes, None)?;
        self.take_nodes(mending, files.nodes.into_iter(), &source)
    }
}

/// Copies the file, when its bytes are the right ones.
fn stage(
    mending: &Mending<'_>,
    tree: &Directory,
    name: &str,
    digest: &Digest,
    object: &Object,
) -> Result<Option<Staged>, Error> {
    let is_alike = tree.stat(name).is_ok_and(|stat| stat.kind == disk::Kind::File && stat.size == object.size);
    if !is_alike || tree.digest(name).ok().as_ref() != Some(digest) {
        return Ok(None);
    }
    let executable = object.look.is_some_and(|(_, executable)| executable);
    let staged = mending.staging.file(&mut tree.file(name)?, executable)?;
    Ok((staged.digest == *digest).then_some(staged))
}
