//! Mending what [`Depot::verify`] found, from copies whose digests prove them.
//!
//! First the store: another copy on the volume, then the sources. Then what is shown, from the store. What is taken out is
//! moved to `.longshore/quarantine`, never deleted; damaged bytes that have no good copy, too, since a size and a time
//! would let the next release take them for good ones. The volume's lock is held for one thing at a time, and under it
//! each is looked at once more, so that nothing is touched that is good by then. Killed anywhere, it may be run again.

mod copies;
mod shown;

use std::path::Path;

use tokio::runtime::Handle;

use super::{Depot, Error, Finding, Lost, State, Verified, grouped};
use crate::{
    digest::Digest,
    disk::{Directory, Holding, Staged, Staging},
    entry::Entry,
    source::Location,
    store::Room,
};
use copies::Wanted;

/// Where in the quarantine what is not of a site lies; no site can have such a path.
const OBJECTS: &str = "..objects";

/// One repair.
pub struct Repair<'a> {
    /// Where lost bytes may be found.
    pub from: &'a [Location],
    /// For traffic to them.
    pub runtime: &'a Handle,
    /// Hears what is done, a line each.
    pub say: &'a mut dyn FnMut(String),
}

impl Depot {
    /// Mends what `found` names, as far as there are copies; tells how many things. Another [`Depot::verify`] tells whether
    /// all is right then: below a node that was mended more may be lost.
    ///
    /// # Errors
    /// When the volume cannot be written to. What cannot be mended is no error.
    pub fn repair(&self, found: &Verified, repair: &mut Repair<'_>) -> Result<u64, Error> {
        let Some(state) = self.state()? else { return Ok(0) };
        let staging = state.home.stage()?;
        let seq = self.volume.remembered(&state.home)?.map_or(0, |shown| shown.seq);
        let (depot, state, staging) = (self, &*state, &staging);
        let mut mending = Mending { depot, state, staging, seq, done: 0, say: &mut *repair.say };
        let mut wanted = Wanted::of(&found.findings);
        wanted.search_volume(&mut mending)?;
        wanted.search_live_tree(&mut mending)?;
        for location in repair.from {
            if !wanted.is_empty() {
                wanted.search_source(location, repair.runtime, &mut mending)?;
            }
        }
        // What is left has no copy.
        for (room, digest) in wanted.left() {
            mending.set_aside(room, &digest)?;
        }
        mending.shown(&found.findings)?;
        Ok(mending.done)
    }
}

/// Hands that mend.
struct Mending<'a> {
    depot: &'a Depot,
    state: &'a State,
    staging: &'a Staging,
    /// What the quarantine is named by.
    seq: u64,
    /// Things mended.
    done: u64,
    say: &'a mut dyn FnMut(String),
}

impl Mending<'_> {
    fn done(&mut self, what: String) {
        self.done += 1;
        (self.say)(what);
    }

    /// Puts a staged file in the place of its object, unless that is good by now.
    fn object(&mut self, staged: &Staged, mtime: Option<i64>, source: &str) -> Result<(), Error> {
        let _lock = self.depot.lock(self.state, self.depot.patience)?;
        match self.state.store.read_object(&staged.digest, Some(staged.size))? {
            Holding::Whole(_) => return Ok(()),
            Holding::Missing => {}
            Holding::Damaged(_) => self.keep(Room::Objects, &staged.digest)?,
        }
        let mtime = mtime.unwrap_or_else(|| Entry::now().timestamp());
        self.state.store.replace(self.staging, staged, mtime)?;
        let (digest, size) = (staged.digest, grouped(staged.size));
        self.done(format!("restored object {digest} ({size} bytes) from {source}"));
        Ok(())
    }

    fn node(&mut self, digest: &Digest, bytes: &[u8], source: &str) -> Result<(), Error> {
        let _lock = self.depot.lock(self.state, self.depot.patience)?;
        match self.state.store.read_node(digest)? {
            Holding::Whole(_) => return Ok(()),
            Holding::Missing => {}
            Holding::Damaged(_) => self.keep(Room::Manifests, digest)?,
        }
        self.state.store.replace_node(self.staging, digest, bytes)?;
        self.done(format!("restored node {digest} from {source}"));
        Ok(())
    }

    /// Moves what is still damaged out of the store.
    fn set_aside(&mut self, room: Room, digest: &Digest) -> Result<(), Error> {
        let _lock = self.depot.lock(self.state, self.depot.patience)?;
        let is_damaged = match room {
            Room::Objects => matches!(self.state.store.read_object(digest, None)?, Holding::Damaged(_)),
            Room::Manifests => matches!(self.state.store.read_node(digest)?, Holding::Damaged(_)),
        };
        let Some((folder, name)) = self.state.store.place_of(room, digest)?.filter(|_| is_damaged) else {
            return Ok(());
        };
        let path = Path::new(OBJECTS).join(digest.to_string());
        self.state.home.quarantine(&folder, Path::new(&name), self.seq, &path)?;
        (self.say)(format!("set aside {digest}: its bytes are others, and there is no copy of the right ones"));
        Ok(())
    }

    /// Keeps what lies under `digest` in the quarantine, too.
    fn keep(&self, room: Room, digest: &Digest) -> Result<(), Error> {
        match self.state.store.place_of(room, digest)? {
            Some((folder, name)) => self.keep_file(&folder, &name, &Path::new(OBJECTS).join(digest.to_string())),
            None => Ok(()),
        }
    }

    /// Keeps what lies at `name` in the quarantine, too, until something else takes its place. What can be neither linked
    /// nor read goes there at once.
    fn keep_file(&self, from: &Directory, name: &str, path: &Path) -> Result<(), Error> {
        let (home, name) = (&self.state.home, Path::new(name));
        home.keep_aside(from, name, self.seq, path).or_else(|_| home.quarantine(from, name, self.seq, path))?;
        Ok(())
    }
}

/// Whether it is worth looking for a copy: something needs it.
fn is_needed(finding: &Finding) -> Option<(Room, Digest)> {
    match finding {
        Finding::Object { digest, needs, .. } if needs.count > 0 => Some((Room::Objects, *digest)),
        Finding::Node { digest, needs, .. } if needs.count > 0 => Some((Room::Manifests, *digest)),
        _ => None,
    }
}

/// Whether it is damaged, and nothing needs it.
fn is_ballast(finding: &Finding) -> Option<(Room, Digest)> {
    match finding {
        Finding::Object { digest, fault: Lost::Damaged(_), .. } => Some((Room::Objects, *digest)),
        Finding::Node { digest, fault: Lost::Damaged(_), .. } => Some((Room::Manifests, *digest)),
        _ => None,
    }
}
