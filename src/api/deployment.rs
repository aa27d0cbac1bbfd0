//! The body of a deploy: what it may say, how it may be packed, and how much memory it may take.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, BufReader, Read},
    marker::PhantomData,
};

use axum::http::{HeaderMap, header};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Problem, schemas};
use crate::{
    depot::{self, Exceeded},
    digest::Digest,
    manifest::File,
    path::SitePath,
};

/// Bytes of a request, unpacked: about 400,000 files.
pub(super) const LARGEST: u64 = 64 * 1024 * 1024;
/// The largest window that a zstd body may ask for, as a power of two: 8 MiB, which RFC 9659 lets HTTP have.
const WINDOW: u32 = 23;

thread_local! {
    /// Files that the body which this thread reads may still name: serde hands nothing of ours to what it calls.
    static LEFT: Cell<u64> = const { Cell::new(0) };
    /// Whether it named more.
    static IS_OVER: Cell<bool> = const { Cell::new(false) };
}

/// Paths that may be removed: as many as there is room for with their digests.
const MOST_REMOVED: usize = 400_000;

/// A whole release, or the changes to one.
#[derive(Deserialize, ToSchema)]
#[schema(as = Deploy)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[schema(value_type = Option<HashMap<String, Content>>)]
    pub(super) manifest: Option<Files>,
    #[schema(value_type = Option<schemas::Target>)]
    pub(super) base: Option<Scalar>,
    #[schema(value_type = Option<HashMap<String, Content>>)]
    pub(super) set: Option<Files>,
    #[schema(value_type = Option<Vec<String>>)]
    pub(super) remove: Option<Removed>,
    pub(super) parent: Option<Digest>,
    pub(super) message: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = DeployedFile)]
#[serde(deny_unknown_fields)]
struct Content {
    digest: Digest,
    size: u64,
    #[serde(default)]
    executable: bool,
    /// Read and not used: times are the server's. What `GET /v1/releases/{id}` gives may be sent back.
    #[serde(default, rename = "mtime")]
    _mtime: i64,
}

/// An object and nothing else: of an array serde would take the members in their order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Object<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object<T>, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Files by path, none twice.
pub(super) struct Files(pub(super) BTreeMap<SitePath, File>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Pairs)
    }
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Files;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object of paths, each with {\"digest\", \"size\", \"executable\"?}")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Files, M::Error> {
        let mut files = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let left = LEFT.get();
            if left == 0 {
                IS_OVER.set(true);
                return Err(M::Error::custom("too many files"));
            }
            LEFT.set(left - 1);
            let path: SitePath = name.parse().map_err(M::Error::custom)?;
            let Object(Content { digest, size, executable, .. }) = map.next_value()?;
            if files.insert(path, File { digest, size, executable }).is_some() {
                return Err(M::Error::custom(format!("{name:?} is there twice")));
            }
        }
        Ok(Files(files))
    }
}

/// Paths that are removed: a path that is named a million times takes no more memory than once.
pub(super) struct Removed(pub(super) BTreeSet<Box<str>>);

impl<'de> Deserialize<'de> for Removed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Paths)
    }
}

struct Paths;

impl<'de> Visitor<'de> for Paths {
    type Value = Removed;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of paths")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Removed, S::Error> {
        let mut paths = BTreeSet::new();
        while let Some(path) = seq.next_element()? {
            paths.insert(path);
            if paths.len() > MOST_REMOVED {
                return Err(S::Error::custom(format!("more than {MOST_REMOVED} paths are removed: send a manifest")));
            }
        }
        Ok(Removed(paths))
    }
}

/// A number or a text. Whatever else stands there is refused before it takes any memory.
pub(super) struct Scalar(pub(super) Value);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneValue)
    }
}

struct OneValue;

impl Visitor<'_> for OneValue {
    type Value = Scalar;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a release id or an entry's number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.into()))
    }
}

/// How a body is packed.
#[derive(Clone, Copy)]
pub(super) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    pub(super) fn is_plain(self) -> bool {
        matches!(self, Self::Plain)
    }

    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let values = headers.get_all(header::CONTENT_ENCODING).iter();
        let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let mut names = names.map(<[u8]>::to_ascii_lowercase).filter(|name| !matches!(&**name, b"" | b"identity"));
        match (names.next().as_deref(), names.next()) {
            (None, _) => Ok(Self::Plain),
            (Some(b"gzip" | b"x-gzip"), None) => Ok(Self::Gzip),
            (Some(b"zstd"), None) => Ok(Self::Zstd),
            _ => Err(Problem::content_coding("gzip, zstd")),
        }
    }
}

/// Reads a request to its end, or until it names more than so many files.
pub(super) fn read(coding: Coding, content: &mut dyn Read, most: u64) -> Result<Request, Problem> {
    LEFT.set(most);
    IS_OVER.set(false);
    let is_cut = Cell::new(false);
    let content = Watched { content, failed: &is_cut };
    let problem = |error: io::Error| match is_cut.get() {
        true => depot::Error::Content(error).into(),
        // All of it came, and is no gzip or zstd, or asks for more memory than it may.
        false => Problem::bad_request(format!("the body cannot be unpacked: {error}")),
    };
    let plain: Box<dyn Read + '_> = match coding {
        Coding::Plain => Box::new(content),
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(content)),
        Coding::Zstd => {
            let mut decoder = zstd::Decoder::new(content).map_err(problem)?;
            decoder.window_log_max(WINDOW).map_err(problem)?;
            Box::new(decoder)
        }
    };
    let mut plain = BufReader::new(plain).take(LARGEST + 1);
    let request = serde_json::from_reader(&mut plain).map(|Object(request)| request);
    if plain.limit() == 0 {
        return Err(Problem::too_large(LARGEST));
    }
    if IS_OVER.get() {
        // The rest need not be read to know.
        return Err(depot::Error::from(Exceeded::Files { limit: most, wanted: most.saturating_add(1) }).into());
    }
    request.map_err(|error| match error.io_error_kind() {
        None => Problem::bad_request(format!("the body is no deploy: {error}")),
        Some(_) => problem(error.into()),
    })
}

/// A body, and whether reading it failed: a decoder's errors look alike whosever they are.
struct Watched<'a> {
    content: &'a mut dyn Read,
    failed: &'a Cell<bool>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer).inspect_err(|error| {
            // That is no failure: it is read again.
            self.failed.set(error.kind() != io::ErrorKind::Interrupted);
        })
    }
}
