//! What a file system can do, found out by trying, in a staging directory and only when somebody is about to write.
//!
//! Names of file systems tell little: a mount option, a file server or a sandbox takes away what the manual promises.

use std::{io::Write as _, mem::MaybeUninit, path::Path};

use rustix::{
    fs::{
        self, RenameFlags,
        inotify::{self, CreateFlags, WatchFlags},
    },
    io::Errno,
};

use super::{Directory, Error, Staging};

/// Where the trials lie, below a staging directory.
const TRIAL: &str = "trial";

/// What a file system can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Symbolic links.
    pub symlinks: bool,
    /// A second name for a file.
    pub hard_links: bool,
    /// Two names that swap what they name, at once.
    pub exchange: bool,
    /// Copies that share their blocks until one is written to.
    pub reflinks: bool,
    /// Events for what changes here, on this machine at least.
    pub inotify: bool,
}

/// What is taken for granted until it is tried: what every local file system has.
impl Default for Abilities {
    fn default() -> Self {
        Self { symlinks: true, hard_links: true, exchange: true, reflinks: false, inotify: true }
    }
}

impl Abilities {
    /// What is missing and what that means, a sentence each. Reflinks are not missed: links do their work.
    #[must_use]
    pub fn missing(self) -> Vec<&'static str> {
        let sentences = [
            (self.symlinks, "no symbolic links: only --layout files works"),
            (self.hard_links || self.reflinks, "no hard links: each release takes its full size and is written whole"),
            (self.exchange, "no exchange of two names: what is adopted at the root is gone for a moment"),
            (self.inotify, "no inotify: what changes by hand is seen by the slow scan only"),
        ];
        sentences.into_iter().filter(|(is_there, _)| !is_there).map(|(_, sentence)| sentence).collect()
    }
}

impl Staging {
    /// Tries what the file system can do: a fixed number of calls, and nothing is left, or, by a kill, only what goes
    /// with the staging directory.
    ///
    /// # Errors
    /// When the trial itself fails (a full disk, say), which tells nothing.
    pub fn try_abilities(&self) -> Result<Abilities, Error> {
        let trial = self.directory().make_directory(TRIAL, 0o700)?;
        let tried = try_in(&trial);
        self.directory().remove_all(TRIAL)?;
        tried
    }
}

fn try_in(trial: &Directory) -> Result<Abilities, Error> {
    let watch = watch(trial);
    let mut first = trial.create("first", 0o600)?;
    first.write_all(b"x").map_err(|source| Error { call: "write", path: trial.path().join("first"), source })?;
    let second = trial.create("second", 0o600)?;
    Ok(Abilities {
        symlinks: can(trial.symlink("first", "symlink"))?,
        hard_links: can(trial.link("first", trial, "link"))?,
        exchange: can(fs::renameat_with(trial.fd(), "first", trial.fd(), "second", RenameFlags::EXCHANGE)
            .map_err(trial.failed("renameat2", Path::new("first"))))?,
        reflinks: fs::ioctl_ficlone(&second, &first).is_ok(),
        inotify: watch.is_some_and(|watch| sees(&watch)),
    })
}

/// Whether the call was done; an error when it failed for a reason that says nothing of what it can do.
fn can(done: Result<(), Error>) -> Result<bool, Error> {
    let says_nothing = |error: &Error| {
        error.is_full() || error.is_shortage() || error.source.raw_os_error() == Some(Errno::IO.raw_os_error())
    };
    match done {
        Ok(()) => Ok(true),
        Err(error) if says_nothing(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// A watch on what is made in `directory`.
fn watch(directory: &Directory) -> Option<rustix::fd::OwnedFd> {
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    inotify::add_watch(&watch, directory.path(), WatchFlags::CREATE).ok()?;
    Some(watch)
}

/// Whether the watch saw something: events of this machine are there when the call that caused them returns.
fn sees(watch: &rustix::fd::OwnedFd) -> bool {
    let mut buffer = [MaybeUninit::uninit(); 512];
    inotify::Reader::new(watch, &mut buffer).next().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_leaves_nothing() {
        let scratch = tempfile::tempdir().expect("a directory");
        let parent = Directory::open(scratch.path()).expect("opened");
        let staging = Staging::create(&parent, 0o700).expect("made");
        let before = staging.directory().list().expect("listed");
        let abilities = staging.try_abilities().expect("tried");
        assert!(abilities.symlinks && abilities.hard_links, "{abilities:?}");
        assert_eq!(staging.directory().list().expect("listed"), before);
    }

    #[test]
    fn what_is_missing_is_said_with_what_it_means() {
        assert!(Abilities::default().missing().is_empty());
        let bare = Abilities { symlinks: false, hard_links: false, exchange: false, reflinks: false, inotify: false };
        assert_eq!(bare.missing().len(), 4);
        assert!(bare.missing()[0].contains("--layout files"));
        let clones = Abilities { hard_links: false, reflinks: true, ..Abilities::default() };
        assert!(clones.missing().is_empty(), "a reflink does what a hard link does");
    }
}
