//! Objects that were sent ahead of the release that will name them.
//!
//! They wait in `.longshore/uploads/objects`, whole and durable under their digests, and survive a restart. A deploy takes
//! those that it needs; what nobody takes goes by its age. What was sent by somebody who reaches one folder only waits in a
//! place of its own: nobody learns from another's objects, or names them.

use std::sync::atomic::Ordering;

use super::{Author, Depot, Error, Ingest, State};
use crate::{
    digest::{Digest, NotADigest},
    disk::{self, Directory, Kind, Staged, Staging, Stat},
    entry::Entry,
};

impl Depot {
    /// The size of an object that `author` need not send: one that is kept, or waits.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn object_size(&self, digest: &Digest, author: &Author) -> Result<Option<u64>, Error> {
        let Some(state) = self.state()? else { return Ok(None) };
        // Who reaches one folder only is looked for first where that is quick.
        if author.within.is_none()
            && let Some(size) = self.kept_size(&state, digest, author)?
        {
            return Ok(Some(size));
        }
        match pool(&state, author)?.map(|pool| waiting(&pool, digest)).transpose()?.flatten() {
            // Between the two looks a deploy may have taken it to the store.
            None => self.kept_size(&state, digest, author),
            waiting => Ok(waiting),
        }
    }

    /// Keeps what was taken in, each file named by its digest, until a release names it; tells how many.
    ///
    /// # Errors
    /// When a name is no digest, or not that of its bytes; when the disk refuses. Then nothing is kept.
    pub fn keep_objects(&self, ingest: Ingest, author: &Author) -> Result<usize, Error> {
        let state = self.state_for_writing()?;
        let (staging, files) = ingest.into_parts();
        for (name, staged) in &files {
            let announced: Digest = name
                .as_str()
                .parse()
                .map_err(|error: NotADigest| Error::NoDigest { name: name.as_str().into(), source: error })?;
            if announced != staged.digest {
                return Err(Error::Digest { announced, found: staged.digest });
            }
        }
        for staged in files.values() {
            // Readable for the next user of the volume's group; the folder is closed to all others.
            staging.dress(staged, Entry::now().timestamp())?;
        }
        staging.sync(files.values().map(|staged| &*staged.name))?;
        keep(&state, author, staging.directory(), files.values().map(|staged| (&*staged.name, staged.digest)))?;
        Ok(files.len())
    }

    /// Keeps the file `name` of `folder`, which has this digest, until a release names it. There it stays, too.
    pub(super) fn keep_file(
        &self,
        state: &State,
        author: &Author,
        folder: &Directory,
        name: &str,
        digest: Digest,
    ) -> Result<(), Error> {
        let staging = state.home.stage()?;
        let staged = take(&staging, folder, name, digest)?;
        staging.dress(&staged, Entry::now().timestamp())?;
        staging.sync([&*staged.name].into_iter())?;
        keep(state, author, staging.directory(), [(&*staged.name, digest)].into_iter())
    }

    /// Seconds for which what was sent waits.
    pub(super) fn upload_age(&self) -> i64 {
        i64::try_from(self.limits.upload_age.as_secs()).unwrap_or(i64::MAX)
    }

    /// Takes a waiting object of `size` bytes into `staging`; none when it does not wait.
    pub(super) fn take_object(
        &self,
        state: &State,
        author: &Author,
        staging: &Staging,
        digest: &Digest,
        size: u64,
    ) -> Result<Option<Staged>, Error> {
        let Some(pool) = pool(state, author)? else { return Ok(None) };
        match waiting(&pool, digest)? {
            None => return Ok(None),
            Some(real) if real != size => return Err(Error::Size { digest: *digest, said: size, real }),
            Some(_) => {}
        }
        // It stays until the release is there: a deploy that is refused need not send it again.
        match take(staging, &pool, &digest.to_string(), *digest) {
            Err(Error::Disk(error)) if error.is_absent() => Ok(None),
            taken => taken.map(Some),
        }
    }

    /// Removes objects that a release names now.
    pub(super) fn drop_waiting<'a>(&self, state: &State, author: &Author, digests: impl Iterator<Item = &'a Digest>) {
        for digest in digests {
            let gone = pool(state, author).and_then(|pool| match pool {
                Some(pool) => Ok(disk::if_there(pool.unlink(digest.to_string()))?),
                None => Ok(None),
            });
            if let Err(error) = gone {
                tracing::debug!(%error, "an object that waited goes by its age");
            }
        }
    }

    /// Removes what was sent and waits too long: it is only space, so whatever keeps it there is a warning.
    pub(super) fn expire_sent(&self) {
        let mut count = 0;
        match self.expire_objects() {
            Ok(objects) => count += objects,
            Err(error) => tracing::warn!(%error, "objects that nobody took stay"),
        }
        match self.expire_uploads() {
            Ok(uploads) => count += uploads,
            Err(error) => tracing::warn!(%error, "uploads that nobody finished stay"),
        }
        self.expired.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Objects and uploads that this process removed for their age since it was last asked.
    pub fn take_expired(&self) -> u64 {
        self.expired.swap(0, Ordering::Relaxed)
    }

    /// Removes objects that nobody took for long; tells how many.
    ///
    /// # Errors
    /// When the disk refuses.
    fn expire_objects(&self) -> Result<usize, Error> {
        let Some(state) = self.state()? else { return Ok(0) };
        let (uploads, now, mut gone) = (state.home.uploads()?, Entry::now().timestamp(), 0);
        for name in uploads.list()?.iter().filter(|name| name.as_encoded_bytes().starts_with(OBJECTS.as_bytes())) {
            let Some(pool) = disk::if_there(uploads.directory(name))? else { continue };
            for name in pool.list()? {
                let is_old = |stat: Stat| stat.ctime.saturating_add(self.upload_age()) < now;
                if disk::if_there(pool.stat(&name))?.is_some_and(is_old) {
                    pool.remove_all(&name)?;
                    gone += 1;
                }
            }
        }
        Ok(gone)
    }
}

const OBJECTS: &str = "objects";

/// Gives the file `name` of `folder` a second name in `staging`; where there are no links, or it is another user's, which
/// we could not dress, a copy.
pub(super) fn take(staging: &Staging, folder: &Directory, name: &str, digest: Digest) -> Result<Staged, Error> {
    let (stat, as_name) = (folder.stat(name)?, staging.fresh_name());
    let is_ours = stat.uid == rustix::process::geteuid().as_raw();
    match is_ours.then(|| folder.link(name, staging.directory(), &as_name)) {
        Some(Ok(())) => Ok(Staged { digest, size: stat.size, executable: false, modified: None, name: as_name }),
        Some(Err(error)) if error.is_absent() => Err(error.into()),
        _ => {
            let copy = staging.file(&mut folder.file(name)?, false)?;
            let found = copy.digest;
            if found == digest { Ok(copy) } else { Err(Error::Digest { announced: digest, found }) }
        }
    }
}

/// The folder where what `author` sends waits, below that of all uploads.
fn place(author: &Author) -> String {
    match &author.within {
        None => OBJECTS.into(),
        // Any folder of a site has a name of this kind, and of the same length.
        Some(within) => format!("{OBJECTS}-{}", &Digest::of(within.as_str()).to_string()[..32]),
    }
}

/// Moves durable files from `folder` to where objects wait.
fn keep<'a>(
    state: &State,
    author: &Author,
    folder: &Directory,
    files: impl Iterator<Item = (&'a str, Digest)>,
) -> Result<(), Error> {
    let uploads = state.home.uploads()?;
    let pool = uploads.make_directory(place(author), state.home.mode)?;
    for (name, digest) in files {
        folder.rename(name, &pool, digest.to_string())?;
    }
    pool.sync()?;
    Ok(uploads.sync()?)
}

fn pool(state: &State, author: &Author) -> Result<Option<Directory>, Error> {
    Ok(disk::if_there(state.home.uploads()?.directory(place(author)))?)
}

fn waiting(pool: &Directory, digest: &Digest) -> Result<Option<u64>, Error> {
    let stat = disk::if_there(pool.stat(digest.to_string()))?;
    // What somebody wrote to since it came, a hook perhaps, has other bytes than its name says: it is to be sent again.
    let is_whole = |stat: &Stat| stat.kind == Kind::File && !stat.was_written();
    Ok(stat.filter(is_whole).map(|stat| stat.size))
}
