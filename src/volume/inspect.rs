//! In which way what a volume shows differs from a release: to the byte, where [`Volume::shows`] only tells whether.
//!
//! Nothing is written. Group-write bits and setgid folders, which kubelet adds where the Pod has an `fsGroup`, are no
//! difference; nor is what lingers, nor a name that an NFS client gave to a removed file.

use std::{ffi::OsStr, fmt};

use super::{
    Error, Layout, Lingering, Volume,
    home::{DATA, HOME, through_data},
    survey::is_the_file_systems,
};
use crate::{
    disk::{self, Directory, Holding, Kind, Stat, held},
    manifest::{File, Folder},
};

/// How an entry differs from what is wanted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is there.
    Missing,
    /// Something is there that is no plain file (or, for a folder, no directory; for a link, not ours).
    Other,
    /// Its bytes are others, or cannot be read.
    Bytes(String),
    /// Its modification time, in seconds since 1970.
    Time(i64),
    /// Its mode.
    Mode(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => out.write_str("it is missing"),
            Self::Other => out.write_str("something else lies there"),
            Self::Bytes(why) => out.write_str(why),
            Self::Time(mtime) => write!(out, "it has the modification time {mtime}"),
            Self::Mode(mode) => write!(out, "it has the mode {mode:04o}"),
        }
    }
}

/// Tells, by its inode, whether a file is an object that was read already, and found whole or not.
pub type KnownInode<'a> = dyn Fn(&Stat) -> Option<bool> + Sync + 'a;

/// How the file at `path` in `tree` differs from `file` with `mtime`, told by reading it.
///
/// # Errors
/// When that cannot be told, since this process may not read it or is short of something.
pub fn inspect_file(
    tree: &Directory,
    path: &str,
    file: &File,
    mtime: i64,
    known: &KnownInode<'_>,
) -> Result<Option<Fault>, disk::Error> {
    let Some(stat) = stat(tree, path)? else { return Ok(Some(Fault::Missing)) };
    if stat.kind != Kind::File {
        return Ok(Some(Fault::Other));
    }
    if stat.size != file.size {
        return Ok(Some(Fault::Bytes(format!("it has {} bytes, not {}", stat.size, file.size))));
    }
    let is_whole = match known(&stat) {
        Some(is_whole) => is_whole,
        None => match held(tree.digest(path))? {
            Holding::Whole(digest) => digest == file.digest,
            Holding::Missing => return Ok(Some(Fault::Missing)),
            Holding::Damaged(why) => return Ok(Some(Fault::Bytes(why))),
        },
    };
    Ok(if !is_whole {
        Some(Fault::Bytes("its bytes have another digest".into()))
    } else if (stat.mtime, stat.mtime_nanos) != (mtime, 0) {
        Some(Fault::Time(stat.mtime))
    } else if !stat.has_mode(file.executable) {
        Some(Fault::Mode(stat.mode))
    } else {
        None
    })
}

/// How the folder at `path` in `tree` (none: the tree itself) differs from one that is published.
///
/// # Errors
/// When the disk refuses.
pub fn inspect_folder(tree: &Directory, path: Option<&str>) -> Result<Option<Fault>, disk::Error> {
    let stat = match path {
        Some(path) => stat(tree, path)?,
        None => Some(tree.own_stat()?),
    };
    Ok(match stat {
        None => Some(Fault::Missing),
        Some(stat) if stat.kind != Kind::Directory => Some(Fault::Other),
        Some(stat) if stat.mode & !0o2020 != 0o755 => Some(Fault::Mode(stat.mode)),
        Some(_) => None,
    })
}

/// What `lstat` tells of `path`; nothing also where the way there leads through a file or a link.
fn stat(tree: &Directory, path: &str) -> Result<Option<Stat>, disk::Error> {
    match disk::if_path(tree.stat(path)) {
        Err(error) if error.source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Ok(None),
        stat => stat,
    }
}

impl Volume {
    /// The paths in the live `tree` that lie in `folder` of the release and are none of its.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn extras(&self, tree: &Directory, folder: &Folder, lingering: &Lingering) -> Result<Vec<String>, Error> {
        // Beside plain files at the root, and in folders that we share, lies what is somebody else's.
        if self.layout() == &Layout::Files {
            return Ok(Vec::new());
        }
        let directory = match &folder.path {
            Some(path) => disk::if_directory(tree.directory(path))?,
            None => Some(tree.clone()),
        };
        let Some(directory) = directory else { return Ok(Vec::new()) };
        let wanted = folder.names();
        let is_wanted = |name: &OsStr| wanted.binary_search_by(|wanted| OsStr::new(wanted).cmp(name)).is_ok();
        let mut extras = Vec::new();
        for name in directory.list()? {
            let path = folder.below(&name.to_string_lossy());
            let is_removed = name.as_encoded_bytes().starts_with(b".nfs");
            if !is_wanted(&name) && !is_removed && !lingering.explains(&path) {
                extras.push(path);
            }
        }
        Ok(extras)
    }

    /// The links at the root that are not as they must be while the live `tree` shows a release with the names `top`:
    /// those that are missing or in whose place something else lies, and our own for other names that lead somewhere.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn inspect_links(&self, tree: &Directory, top: &[Box<str>]) -> Result<Vec<(String, Fault)>, Error> {
        let mut faults = Vec::new();
        if self.layout() != &Layout::Docroot {
            return Ok(faults);
        }
        for name in top {
            match disk::if_there(self.root().stat(&**name))? {
                None => faults.push((name.to_string(), Fault::Missing)),
                Some(_) if !self.is_our_link(name)? => faults.push((name.to_string(), Fault::Other)),
                Some(_) => {}
            }
        }
        for name in self.stray_links(top)? {
            if disk::if_there(tree.stat(&name))?.is_some() {
                let why = format!("it leads to {}, which the release does not have", through_data(&name));
                faults.push((name, Fault::Bytes(why)));
            }
        }
        Ok(faults)
    }

    /// Our links at the root for names that are not among `top`. Those that lead nowhere do no harm: a publish that is
    /// being prepared makes them first.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn stray_links(&self, top: &[Box<str>]) -> Result<Vec<String>, Error> {
        let mut links = self.our_links()?;
        links.retain(|name| top.binary_search_by(|wanted| (**wanted).cmp(&**name)).is_err());
        Ok(links)
    }

    /// Names at the root that are neither ours nor the file system's.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn strangers(&self, top: &[Box<str>]) -> Result<Vec<String>, Error> {
        let mut strangers = Vec::new();
        if self.layout() != &Layout::Docroot {
            return Ok(strangers);
        }
        for name in self.root().list()? {
            let text = name.to_string_lossy();
            let is_ours = text == HOME || text.starts_with(DATA) || top.iter().any(|top| **top == text);
            if !is_ours && !is_the_file_systems(&name) && !self.is_our_link(&text)? {
                strangers.push(text.into_owned());
            }
        }
        Ok(strangers)
    }
}
