//! `POST /v1/releases`: a whole site by its manifest, or the changes to a release that is there.

use std::{io::Read, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri, Version},
    response::{IntoResponse as _, Response},
};

use super::{
    App, Problem,
    answer::Written,
    body::{check_length, check_message, check_others, with_body},
    caller::Caller,
    conditions::{announced, precondition},
    deployment::{Coding, Files, LARGEST, Request, read},
    queue::in_turn,
    releases::named,
    wishes::Wishes,
};
use crate::{
    depot::{self, Author, Deploy, Depot, Guard, Outcome, Precondition},
    path::{PathError, SitePath},
};

/// Bytes of a deploy that takes little memory, unless it is packed.
const SMALL: u64 = 256 * 1024;

/// `POST /v1/releases`.
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
    let announced = announced(&headers)?;
    let at_work = app.clone();
    let outcome = with_body(&app, body, announced, move |depot, content| {
        let wish = Wish { by, precondition, guard, dry_run };
        let mut first = Vec::new();
        Read::take(&mut *content, SMALL).read_to_end(&mut first).map_err(depot::Error::Content)?;
        let is_all = (first.len() as u64) < SMALL;
        if is_all && coding.is_plain() {
            content.check()?;
            return commit(&at_work, read(coding, &mut &*first, most_files(depot))?, wish);
        }
        // Its bytes lie on the disk first: a client that sends slowly keeps nobody waiting.
        let rest = match is_all {
            true => None,
            false => Some(depot.ingest_nowhere()?.spool(&mut Read::take(&mut *content, LARGEST + 1 - SMALL))?),
        };
        content.check()?;
        let most = most_files(depot);
        in_turn(move || {
            let request = match rest {
                Some(rest) => read(coding, &mut first.chain(rest), most),
                None => read(coding, &mut &*first, most),
            };
            commit(&at_work, request?, wish)
        })
    });
    Ok(Written::release(&outcome.await?).into_response())
}

/// Files that a deploy may name. A site that has more than clients may bring can still be sent again.
fn most_files(depot: &Depot) -> u64 {
    depot.limits().files.max(depot.size().map_or(0, |size| size.files))
}

/// What the headers of a deploy say.
struct Wish {
    by: Author,
    precondition: Precondition,
    guard: Guard,
    dry_run: bool,
}

/// Makes the release that `request` describes.
fn commit(app: &App, request: Request, wish: Wish) -> Result<Outcome, Problem> {
    let Request { manifest, base, set, remove, parent, message } = request;
    check_message(message.as_deref())?;
    let remove: Vec<SitePath> = remove
        .iter()
        .flat_map(|remove| &remove.0)
        .map(|path| path.parse().map_err(|error: PathError| Problem::bad_path(&error.to_string())))
        .collect::<Result<_, _>>()?;
    let (base, set) = match (manifest, base, set) {
        (Some(Files(files)), None, None) if remove.is_empty() => (None, files),
        (None, Some(base), set) => (Some(named("base", &base.0)?), set.map(|Files(files)| files).unwrap_or_default()),
        _ => {
            let why =
                "a deploy has {\"manifest\"}, or {\"base\", \"set\"?, \"remove\"?}; and \"parent\"?, \"message\"?";
            return Err(Problem::bad_request(why));
        }
    };
    let Wish { by, precondition, guard, dry_run } = wish;
    let deploy = Deploy { base, set, remove, parent, precondition, guard, dry_run, message, by };
    Ok(app.depot.deploy(deploy).inspect(|outcome| app.committed(outcome))?)
}
