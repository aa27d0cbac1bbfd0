//! `POST /v1/releases`: a whole site by its manifest, or the changes to a release that is there.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufReader, Read},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri, Version, header},
    response::{IntoResponse as _, Response},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

use serde_json::Value;
use utoipa::ToSchema;

use super::{
    App, Problem,
    answer::Written,
    body::{check_length, check_others, with_body},
    caller::Caller,
    conditions::{announced, precondition},
    releases::named,
    schemas,
    wishes::Wishes,
};
use crate::{depot::Deploy, digest::Digest, manifest::File, path::SitePath};

/// Bytes of a request, unpacked: about 400,000 files.
const LARGEST: u64 = 64 * 1024 * 1024;
/// The largest window that a zstd body may ask for, as a power of two: 8 MiB, which RFC 9659 lets HTTP have.
const WINDOW: u32 = 23;

#[derive(Deserialize, ToSchema)]
#[schema(as = Deploy)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[schema(value_type = Option<HashMap<String, Content>>)]
    manifest: Option<Files>,
    #[schema(value_type = Option<schemas::Target>)]
    base: Option<Value>,
    #[schema(value_type = Option<HashMap<String, Content>>)]
    set: Option<Files>,
    #[serde(default)]
    remove: Vec<String>,
    parent: Option<Digest>,
    message: Option<String>,
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

/// Files by path, none twice.
struct Files(BTreeMap<SitePath, File>);

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
            let path: SitePath = name.parse().map_err(M::Error::custom)?;
            let Content { digest, size, executable, .. } = map.next_value()?;
            if files.insert(path, File { digest, size, executable }).is_some() {
                return Err(M::Error::custom(format!("{name:?} is there twice")));
            }
        }
        Ok(Files(files))
    }
}

pub(super) async fn deploy(
    Caller(by): Caller,
    State(app): State<Arc<App>>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Wishes { dry_run, guard } = Wishes::of(uri.query(), &headers)?;
    check_others(&headers)?;
    check_length(version, &headers)?;
    let (precondition, coding) = (precondition(&headers, None)?, Coding::of(&headers)?);
    let at_work = app.clone();
    let outcome = with_body(&app, body, announced(&headers)?, move |depot, content| {
        let request = read(coding, content)?;
        content.check()?;
        let Request { manifest, base, set, remove, parent, message } = request;
        let remove: Vec<SitePath> = remove
            .iter()
            .map(|path| path.parse().map_err(|error: crate::path::PathError| Problem::bad_path(&error.to_string())))
            .collect::<Result<_, _>>()?;
        let (base, set) = match (manifest, base, set) {
            (Some(Files(files)), None, None) if remove.is_empty() => (None, files),
            (None, Some(base), set) => (Some(named("base", &base)?), set.map(|Files(files)| files).unwrap_or_default()),
            _ => {
                let why =
                    "a deploy has {\"manifest\"}, or {\"base\", \"set\"?, \"remove\"?}; and \"parent\"?, \"message\"?";
                return Err(Problem::bad_request(why));
            }
        };
        let deploy = Deploy { base, set, remove, parent, precondition, guard, dry_run, message, by };
        Ok(depot.deploy(deploy).inspect(|outcome| at_work.committed(outcome))?)
    });
    Ok(Written::release(&outcome.await?).into_response())
}

/// How a body is packed.
#[derive(Clone, Copy)]
enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        match headers.get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap_or_default().trim()) {
            None | Some("identity") => Ok(Self::Plain),
            Some("gzip" | "x-gzip") => Ok(Self::Gzip),
            Some("zstd") => Ok(Self::Zstd),
            Some(_) => Err(Problem::content_coding("gzip, zstd")),
        }
    }
}

fn read(coding: Coding, content: &mut dyn Read) -> Result<Request, Problem> {
    let cut = |error: io::Error| crate::depot::Error::Content(error);
    let plain: Box<dyn Read + '_> = match coding {
        Coding::Plain => Box::new(content),
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(content)),
        Coding::Zstd => {
            let mut decoder = zstd::Decoder::new(content).map_err(cut)?;
            decoder.window_log_max(WINDOW).map_err(cut)?;
            Box::new(decoder)
        }
    };
    let mut plain = BufReader::new(plain).take(LARGEST + 1);
    let request = serde_json::from_reader(&mut plain);
    if plain.limit() == 0 {
        return Err(Problem::too_large(LARGEST));
    }
    request.map_err(|error| match error.io_error_kind() {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) | None => {
            Problem::bad_request(format!("the body is no deploy: {error}"))
        }
        Some(_) => cut(error.into()).into(),
    })
}
