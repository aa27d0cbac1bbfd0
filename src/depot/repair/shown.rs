//! Mending what is shown, from the store.

use std::path::Path;

use super::Mending;
use crate::{
    depot::{Error, Finding},
    disk::{self, Directory, Holding, Kind, Wanted, place},
    manifest::File,
    path::SitePath,
    volume::Fault,
};

impl Mending<'_> {
    /// Mends those of `findings` that are about what is shown.
    pub(super) fn shown(&mut self, findings: &[Finding]) -> Result<(), Error> {
        if findings.iter().all(Finding::is_of_store) {
            return Ok(());
        }
        self.catch_up()?;
        for finding in findings.iter().filter(|finding| !finding.is_of_store()) {
            let _lock = self.depot.lock(self.state, self.depot.patience)?;
            let Some(moment) = self.depot.moment(self.state)? else { continue };
            let Some(release) = moment.shown.or(moment.head) else { continue };
            let Some(tree) = self.depot.volume.tree(&self.state.home, &moment.live)? else { continue };
            if !self.depot.is_wrong(self.state, &moment, release, finding)? {
                continue;
            }
            match finding {
                Finding::File { path, file, mtime, fault } => self.file(&tree, path, file, *mtime, fault)?,
                Finding::Folder { path, .. } => self.folder(&tree, path)?,
                Finding::Extra(path) => {
                    let (at, state) = (Path::new(path), self.state);
                    state.home.quarantine(&tree, at, self.seq, at)?;
                    self.done(format!("set aside {path}: the release does not have it"));
                }
                Finding::Link { name, fault } => self.link(name, fault)?,
                Finding::Entry { .. } | Finding::Diverged(_) | Finding::Node { .. } | Finding::Object { .. } => {}
            }
        }
        self.links()
    }

    /// Where somebody died before he showed the head, or the one link is gone, the head is shown.
    fn catch_up(&mut self) -> Result<(), Error> {
        let _lock = self.depot.lock(self.state, self.depot.patience)?;
        if self.depot.find_divergence()?.is_some() {
            return Ok(());
        }
        let Some(head) = self.state.store.journal().head()? else { return Ok(()) };
        if self.depot.volume.live()?.is_some() {
            return Ok(());
        }
        match self.depot.catch_up(self.state, self.staging, &head) {
            Ok(()) => self.done(format!("showed entry {}", head.entry.seq)),
            Err(error) => (self.say)(format!("entry {} cannot be shown: {error}", head.entry.seq)),
        }
        Ok(())
    }

    /// Puts a file with the object's bytes, of an inode that is not the damaged one, in place.
    fn file(&mut self, tree: &Directory, path: &str, file: &File, mtime: i64, fault: &Fault) -> Result<(), Error> {
        let File { digest, size, executable } = *file;
        if !matches!(self.state.store.read_object(&digest, Some(size))?, Holding::Whole(_)) {
            return Ok(());
        }
        let (objects, object) = self.state.store.object(&digest)?;
        let (name, wanted) = (self.staging.fresh_name(), Wanted { digest, size, mtime, executable });
        if place(&objects, object, self.staging.directory(), &name, &wanted, self.staging.abilities())? {
            self.staging.directory().sync_file(&name)?;
        }
        let site: SitePath = path.parse().map_err(crate::manifest::Error::from)?;
        let mut above: Vec<_> = std::iter::successors(site.parent(), SitePath::parent).collect();
        above.reverse();
        for folder in above {
            self.make_way(tree, folder.as_str())?;
        }
        match disk::if_path(tree.stat(path))?.map(|stat| stat.kind) {
            None => {}
            Some(Kind::File) if matches!(fault, Fault::Time(_) | Fault::Mode(_)) => {}
            Some(Kind::File) => self.keep_file(tree, path, Path::new(path))?,
            Some(_) => drop(self.state.home.quarantine(tree, Path::new(path), self.seq, Path::new(path))?),
        }
        self.staging.directory().rename(name, tree, path)?;
        match site.parent() {
            Some(parent) => tree.directory(parent)?.sync()?,
            None => tree.sync()?,
        }
        self.done(format!("restored file {path}"));
        Ok(())
    }

    /// Makes the folder `path`, in whose place something else may lie.
    fn make_way(&self, tree: &Directory, path: &str) -> Result<(), Error> {
        match disk::if_there(tree.stat(path))?.map(|stat| stat.kind) {
            Some(Kind::Directory) => return Ok(()),
            Some(_) => drop(self.state.home.quarantine(tree, Path::new(path), self.seq, Path::new(path))?),
            None => {}
        }
        tree.make_directory(path, self.state.home.open_mode)?.sync()?;
        Ok(())
    }

    fn folder(&mut self, tree: &Directory, path: &str) -> Result<(), Error> {
        if path.is_empty() {
            tree.set_own_mode(self.state.home.open_mode)?;
        } else {
            self.make_way(tree, path)?;
            tree.directory(path)?.set_own_mode(self.state.home.open_mode)?;
        }
        self.done(format!("mended folder {path}/"));
        Ok(())
    }

    /// Takes what is not our link out of its place.
    fn link(&mut self, name: &str, fault: &Fault) -> Result<(), Error> {
        if *fault == Fault::Other {
            let (root, at) = (self.depot.volume.root(), Path::new(name));
            self.state.home.quarantine(root, at, self.seq, at)?;
            self.done(format!("set aside {name}: it lay in the place of a link"));
        }
        Ok(())
    }

    fn links(&mut self) -> Result<(), Error> {
        let _lock = self.depot.lock(self.state, self.depot.patience)?;
        if self.depot.find_divergence()?.is_some() {
            return Ok(());
        }
        let Some(head) = self.state.store.journal().head()? else { return Ok(()) };
        if self.depot.settle_links(self.state, &head)? {
            self.done("mended the links at the root".into());
        }
        Ok(())
    }
}
