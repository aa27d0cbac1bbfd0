//! A bucket: the keys below a prefix, or one object that is an archive.
//!
//! A prefix is whole components: `site` means `site/…` and never `site2/…`. Objects are read as they were listed (by their
//! entity tag), several at once, each straight into its taker; a connection that breaks is taken up where it broke. The
//! bucket is only ever read.

mod connect;
mod object;
mod trouble;
mod wire;

use std::{
    collections::HashSet,
    fmt::Display,
    future::Future,
    io,
    sync::{OnceLock, atomic::AtomicBool},
    time::Duration,
};

use futures_util::StreamExt as _;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};
use tokio::{runtime::Handle, time::timeout};

pub(super) use self::wire::Wire;
use self::{
    connect::{Ambient, Connection, connect},
    object::Object,
    trouble::Trouble,
};
use super::{
    BucketLocation, Error, Item, Patience, Reading, Summary, archive,
    delivery::Undelivered,
    tree::{self, Entry, Fetched, Listing, MOST_FILES, Tree},
};
use crate::{digest::Digest, path::SitePath};

/// Downloads at once.
const WIDTH: usize = 16;
/// Times that an archive which is replaced under the reader's hands is begun again.
const MOST_READINGS: usize = 3;
/// How long the metadata service may take to say that it has credentials, and how often it is asked.
const METADATA: (Duration, usize) = (Duration::from_secs(2), 3);

/// A bucket and a prefix.
pub(super) struct Bucket {
    connection: Connection,
    location: BucketLocation,
    prefix: Path,
    runtime: Handle,
    patience: Patience,
    has_credentials: OnceLock<()>,
}

impl Bucket {
    /// Reads the environment's settings; no traffic yet.
    pub(super) fn open(location: &BucketLocation, runtime: &Handle, patience: Patience) -> Result<Self, Error> {
        let failed = |error: object_store::Error| Error::Failed { place: location.to_string(), source: error.into() };
        Self::new(connect(location).map_err(failed)?, location, runtime, patience)
    }

    fn new(
        connection: Connection,
        location: &BucketLocation,
        runtime: &Handle,
        patience: Patience,
    ) -> Result<Self, Error> {
        let failed =
            |error: object_store::path::Error| Error::Failed { place: location.to_string(), source: error.into() };
        Ok(Self {
            connection,
            location: location.clone(),
            prefix: Path::parse(&location.prefix).map_err(failed)?,
            runtime: runtime.clone(),
            patience,
            has_credentials: OnceLock::new(),
        })
    }

    fn store(&self) -> &dyn ObjectStore {
        &*self.connection.store
    }

    fn fail(&self, trouble: Trouble) -> Error {
        trouble.into_error(self.location.to_string())
    }

    /// An error of one key.
    fn fail_at(&self, key: &Path, trouble: Trouble) -> Error {
        trouble.into_error(format!("{}://{}/{key}", self.location.cloud.scheme(), self.location.bucket))
    }

    /// Asks until there is an answer, or patience is at an end. `request` is told how long it may wait.
    fn ask<T, F>(&self, what: impl Display, request: impl Fn(Duration) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut tries = self.patience.begin();
        loop {
            match self.runtime.block_on(request(tries.stall())) {
                Err(Trouble::Again(cause)) => {
                    if !tries.pause(&what, &cause) {
                        return Err(Trouble::Again(cause));
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Makes sure that there are credentials. Without, every request would wait for the metadata service in vain.
    fn ready(&self) -> Result<(), Error> {
        let Some(Ambient { ask, hint }) = &self.connection.ambient else { return Ok(()) };
        if self.has_credentials.get().is_some() {
            return Ok(());
        }
        let (stall, tries) = METADATA;
        let mut outcome = Ok(());
        for _ in 0..tries {
            outcome = self.runtime.block_on(within(stall, ask()));
            if outcome.is_ok() {
                let _ = self.has_credentials.set(());
                return Ok(());
            }
        }
        let source = outcome.err().map(|trouble| trouble.to_string()).unwrap_or_default().into();
        Err(Error::Credentials { place: self.location.to_string(), hint, source })
    }

    /// The object that is named exactly like the prefix, if it is named like an archive.
    fn archive(&self) -> Result<Option<ObjectMeta>, Error> {
        self.ready()?;
        if !self.location.may_be_archive() {
            return Ok(None);
        }
        match self.ask(&self.location, |stall| within(stall, self.store().head(&self.prefix))) {
            Ok(meta) => Ok(Some(meta)),
            Err(Trouble::Absent) => Ok(None),
            Err(trouble) => Err(self.fail(trouble)),
        }
    }

    /// See [`super::Source::mark`].
    pub(super) fn mark(&self) -> Result<Digest, Error> {
        match self.archive()? {
            Some(meta) => Ok(Digest::of(format!("{} {}", meta.size, version(&meta)))),
            None => tree::mark(self),
        }
    }

    /// See [`super::Source::read`].
    pub(super) fn read(&self, reading: &Reading<'_>) -> Result<Summary, Error> {
        for _ in 0..MOST_READINGS {
            let Some(meta) = self.archive()? else { return tree::read(self, reading) };
            let mut scratch = (reading.scratch)().map_err(|error| Error::io("create", "a temporary file", error))?;
            let stop = AtomicBool::new(false);
            match Object::new(self, &meta, &stop).copy(&mut scratch, reading.progress)? {
                Some(()) => return archive::read_file(&self.location.to_string(), &scratch, reading),
                None => continue,
            }
        }
        Err(Error::Restless { place: self.location.to_string() })
    }

    /// All keys, in one list.
    async fn keys(&self, stall: Duration) -> Result<Vec<ObjectMeta>, Trouble> {
        let prefix = (!self.prefix.is_root()).then_some(&self.prefix);
        let mut stream = self.store().list(prefix);
        let mut keys = Vec::new();
        while let Some(meta) = soon(stall, stream.next()).await? {
            if keys.len() > MOST_FILES {
                return Err(Trouble::Never("it has more than a million keys".into()));
            }
            keys.push(meta.map_err(Trouble::from)?);
        }
        Ok(keys)
    }

    /// The key of a file.
    fn key(&self, path: &SitePath) -> Result<Path, Error> {
        let key = if self.prefix.is_root() { path.to_string() } else { format!("{}/{path}", self.prefix) };
        Path::parse(key).map_err(|error| self.fail(Trouble::Key(error.to_string())))
    }

    /// Whether a listed key that cannot be read is a folder's mark: listed with a `/` at its end, which the crate cuts off.
    fn is_folder(&self, key: &Path) -> Result<bool, Error> {
        self.ask(key, async |stall| {
            let first = soon(stall, self.store().list(Some(key)).next()).await?;
            Ok(first.transpose().map_err(Trouble::from)?.is_some_and(|meta| meta.location == *key))
        })
        .map_err(|trouble| self.fail_at(key, trouble))
    }

    /// The names of the keys.
    fn names(&self, keys: Vec<ObjectMeta>) -> Result<Listing, Error> {
        let mut listing = Listing::new();
        for meta in keys {
            let key = meta.location.as_ref();
            let name = match key.strip_prefix(self.prefix.as_ref()) {
                // The prefix's own mark.
                Some("") => continue,
                Some(rest) if self.prefix.is_root() => rest,
                Some(rest) => rest.strip_prefix('/').unwrap_or(rest),
                None => continue,
            };
            let path: SitePath =
                name.parse().map_err(|source| Error::Path { place: self.location.to_string(), source })?;
            listing.insert(
                path,
                Entry {
                    size: meta.size,
                    executable: false,
                    modified: meta.last_modified.timestamp(),
                    version: version(&meta),
                },
            );
        }
        Ok(listing)
    }

    /// Takes out empty objects that only mark a folder, and refuses names that are both file and folder.
    fn without_folders(&self, mut listing: Listing) -> Result<Listing, Error> {
        let mut folders = HashSet::new();
        for path in listing.keys() {
            let mut path = path.clone();
            while let Some(parent) = path.parent() {
                if !folders.insert(parent.clone()) {
                    break;
                }
                path = parent;
            }
        }
        for folder in &folders {
            match listing.get(folder) {
                Some(Entry { size: 0, .. }) => drop(listing.remove(folder)),
                Some(_) => return Err(Error::refused(&self.location, folder, "is both a file and a folder")),
                None => {}
            }
        }
        // A bucket of nothing but marks is an empty one. Otherwise they are found when they are read.
        if listing.len() <= WIDTH && listing.values().all(|entry| entry.size == 0) {
            let paths: Vec<_> = listing.keys().cloned().collect();
            for path in paths {
                if self.is_folder(&self.key(&path)?)? {
                    listing.remove(&path);
                }
            }
        }
        Ok(listing)
    }
}

/// In front of a version that is a time, since the store gives no entity tags.
const TIME: &str = "time:";

/// In front of an entity tag that promises too little to be a condition (RFC 9110, section 13.1.1).
const WEAK: &str = "W/";

/// What an object's content is known by. Azure's lists leave out the quotes that its answers have.
fn version(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(tag) if tag.starts_with(WEAK) => tag.clone(),
        Some(tag) => tag.trim_matches('"').to_owned(),
        None => format!("{TIME}{}", meta.last_modified.to_rfc3339()),
    }
}

/// What to send as `If-Match`, so that only the listed version is answered (quoted: RFC 9110, section 8.8.3).
fn condition(version: &str) -> Option<String> {
    let is_tag = !version.starts_with(TIME) && !version.starts_with(WEAK);
    is_tag.then(|| format!("\"{version}\""))
}

/// Waits so long.
async fn soon<T>(stall: Duration, future: impl Future<Output = T>) -> Result<T, Trouble> {
    let late = |_| Trouble::Again(format!("no answer within {} seconds", stall.as_secs()).into());
    timeout(stall, future).await.map_err(late)
}

/// Waits so long for a request.
async fn within<T>(stall: Duration, future: impl Future<Output = object_store::Result<T>>) -> Result<T, Trouble> {
    soon(stall, future).await?.map_err(Trouble::from)
}

impl Tree for Bucket {
    fn place(&self) -> String {
        self.location.to_string()
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn list(&self) -> Result<Listing, Error> {
        self.ready()?;
        let keys = self.ask(&self.location, |stall| self.keys(stall)).map_err(|trouble| self.fail(trouble))?;
        let listing = self.without_folders(self.names(keys)?)?;
        if listing.is_empty() { Err(Error::Empty { place: self.place() }) } else { Ok(listing) }
    }

    fn fetch(
        &self,
        path: &SitePath,
        entry: &Entry,
        reading: &Reading<'_>,
        stop: &AtomicBool,
    ) -> Result<Fetched, Error> {
        let key = self.key(path)?;
        let mut object = Object::listed(self, key.clone(), entry, stop);
        match object.open() {
            Ok(()) => {}
            Err(Trouble::Moved | Trouble::Stopped) => return Ok(Fetched::Moved),
            Err(Trouble::Absent) if entry.size == 0 && self.is_folder(&key)? => return Ok(Fetched::Nothing),
            Err(Trouble::Absent) => return Ok(Fetched::Moved),
            Err(trouble) => return Err(self.fail_at(&key, trouble)),
        }
        let item =
            Item { path: path.clone(), executable: false, size: Some(entry.size), modified: Some(entry.modified) };
        match reading.deliver(&item, &mut object) {
            Ok(bytes) => Ok(Fetched::Whole(bytes)),
            Err(Undelivered::Sink(source)) => Err(Error::Sink { path: item.path, source }),
            Err(Undelivered::Content(error)) => match object.trouble() {
                Some(Trouble::Moved | Trouble::Absent | Trouble::Stopped) => Ok(Fetched::Moved),
                Some(trouble) => Err(self.fail_at(&key, trouble)),
                None => Err(Error::io("read", key, io::Error::other(error))),
            },
        }
    }
}

#[cfg(test)]
mod tests;
