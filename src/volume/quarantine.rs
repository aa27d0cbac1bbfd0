//! What is taken out of the way and might be missed: it is kept aside, the newest of it.
//!
//! A file that somebody put or changed on the volume by hand goes when a release replaces its folder's generation. Our own
//! files have a second name in the store; so before an inode that has only one name goes away, the store is asked for its
//! bytes, and if it does not have them the file is kept as `quarantine/<entry>/<path>`.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{Error, Home};
use crate::{
    digest::Digest,
    disk::{self, Directory, Kind, Stat},
    random,
};

const QUARANTINE: &str = "quarantine";
/// Files that are kept, about.
const MOST: usize = 100;

/// For whom something goes away, and who knows what is kept.
pub struct Salvage<'a> {
    /// The entry that is shown meanwhile.
    pub seq: u64,
    /// Whether the store has these bytes.
    pub knows: &'a dyn Fn(&Digest, u64) -> bool,
}

impl Home {
    /// Moves `name` of `from`, whatever it is, aside as `path`; tells where it is now.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn quarantine(&self, from: &Directory, name: &Path, seq: u64, path: &Path) -> Result<PathBuf, Error> {
        let (folder, last) = self.room_aside(seq, path)?;
        let parent = name.parent().filter(|parent| !parent.as_os_str().is_empty());
        let from = parent.map_or_else(|| Ok(from.clone()), |parent| from.directory(parent))?;
        from.rename(name.file_name().unwrap_or_default(), &folder, &last)?;
        from.sync()?;
        folder.sync()?;
        Ok(folder.path().join(last))
    }

    /// Keeps the file `name` of `from` aside as `path`, too; tells where. Whoever reads it must not miss it until something
    /// else is in its place.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep_aside(&self, from: &Directory, name: &Path, seq: u64, path: &Path) -> Result<PathBuf, Error> {
        let (folder, last) = self.room_aside(seq, path)?;
        // Another user's file may not be linked, but read.
        if from.link(name, &folder, &last).is_err() {
            let mut copy = folder.create(&last, self.mode & 0o660)?;
            let copied = io::copy(&mut from.file(name)?, &mut copy);
            copied.map_err(|source| disk::Error { call: "write", path: folder.path().join(&last), source })?;
        }
        Ok(folder.path().join(last))
    }

    /// The folder for `path` in the quarantine, and a name in it that is free.
    fn room_aside(&self, seq: u64, path: &Path) -> Result<(Directory, OsString), Error> {
        let all = self.directory.make_directory(QUARANTINE, self.mode)?;
        let mut folder = all.make_directory(format!("{seq:020}"), self.mode)?;
        for above in path.parent().into_iter().flat_map(Path::components) {
            folder = match folder.make_directory(above.as_os_str(), self.mode) {
                // A file of an earlier time has the name.
                Err(_) => folder.make_directory(random::name(), self.mode)?,
                made => made?,
            };
        }
        let last = match path.file_name() {
            Some(last) if disk::if_there(folder.stat(last))?.is_none() => last.to_owned(),
            _ => random::name().into(),
        };
        Ok((folder, last))
    }

    /// Removes what was kept aside longest, but for about the newest hundred files.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn bound_quarantine(&self) -> Result<(), Error> {
        let Some(all) = disk::if_there(self.directory.directory(QUARANTINE))? else { return Ok(()) };
        let mut kept = 0;
        for turn in all.list()?.iter().rev() {
            if kept >= MOST {
                tracing::warn!(turn = %all.path().join(turn).display(), "kept aside long ago: removed to bound its space");
                all.remove_all(turn)?;
            } else {
                kept += count(&all.directory(turn)?)?;
            }
        }
        Ok(())
    }

    /// Before the file `name` of `from` goes away: keeps it, if it is the only copy of its bytes. What fails here is said,
    /// since nobody can wait for it.
    pub(super) fn salvage(&self, from: &Directory, name: &Path, path: &Path, salvage: &Salvage<'_>) {
        match self.try_salvage(from, name, path, salvage) {
            Ok(Some(kept)) => {
                tracing::warn!(
                    path = %path.display(), kept = %kept.display(),
                    "was put or changed by hand and is replaced: kept aside"
                );
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a file that is replaced could not be kept aside"),
        }
    }

    fn try_salvage(
        &self,
        from: &Directory,
        name: &Path,
        path: &Path,
        salvage: &Salvage<'_>,
    ) -> Result<Option<PathBuf>, Error> {
        let stat = disk::if_path(from.stat(name))?.filter(may_be_the_only_copy);
        let Some(Stat { size, .. }) = stat else { return Ok(None) };
        if (salvage.knows)(&from.digest(name)?, size) {
            return Ok(None);
        }
        Ok(Some(self.keep_aside(from, name, salvage.seq, path)?))
    }

    /// As [`Home::salvage`], for all that lies in `folder`, which is `path` of the site, unless `live` has the same there:
    /// where nothing can be linked each file has one name only, and need not be read for that.
    pub(super) fn salvage_all(
        &self,
        folder: &Directory,
        live: Option<&Directory>,
        path: &Path,
        salvage: &Salvage<'_>,
    ) -> Result<(), disk::Error> {
        for name in folder.list()? {
            let (name, path) = (Path::new(&name), path.join(&name));
            let Some(stat) = disk::if_there(folder.stat(name))? else { continue };
            match stat.kind {
                Kind::Directory => self.salvage_all(&folder.directory(name)?, live, &path, salvage)?,
                Kind::File if may_be_the_only_copy(&stat) => {
                    let alike = live.map(|live| disk::if_path(live.stat(&path))).transpose()?.flatten();
                    let is_ours =
                        |alike: Stat| stat.mtime_nanos == 0 && alike.is(stat.size, stat.mtime, stat.mode & 0o111 != 0);
                    if !alike.is_some_and(is_ours) {
                        self.salvage(folder, name, &path, salvage);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What we make has a second name in the store, and no fraction of a second. A file that was written over in place has
/// one, and shares its inode with an object that is none any more.
fn may_be_the_only_copy(stat: &Stat) -> bool {
    stat.kind == Kind::File && (stat.links == 1 || stat.mtime_nanos != 0)
}

fn count(folder: &Directory) -> Result<usize, Error> {
    let mut files = 0;
    for name in folder.list()? {
        files += match folder.stat(&name)?.kind {
            Kind::Directory => count(&folder.directory(&name)?)?,
            _ => 1,
        };
    }
    Ok(files)
}
