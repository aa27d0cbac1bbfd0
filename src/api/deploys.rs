//! `POST /v1/releases`: a whole site by its manifest, or the changes to a release that is there.

use std::sync::Arc;

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
    deployment::{Coding, Files, Request, read},
    releases::named,
    wishes::Wishes,
};
use crate::{
    depot::Deploy,
    path::{PathError, SitePath},
};

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
        check_message(message.as_deref())?;
        let remove: Vec<SitePath> = remove
            .iter()
            .flat_map(|remove| &remove.0)
            .map(|path| path.parse().map_err(|error: PathError| Problem::bad_path(&error.to_string())))
            .collect::<Result<_, _>>()?;
        let (base, set) = match (manifest, base, set) {
            (Some(Files(files)), None, None) if remove.is_empty() => (None, files),
            (None, Some(base), set) => {
                (Some(named("base", &base.0)?), set.map(|Files(files)| files).unwrap_or_default())
            }
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
