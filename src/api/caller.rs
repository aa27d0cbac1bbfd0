//! Who sends a request.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{Method, header, request::Parts},
};

use super::{App, Problem};

/// The name under which a request goes into the journal; only made when the request may be made.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) String);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let Some(tokens) = &app.tokens else { return Ok(Self("anybody".into())) };
        if app.public_read && (parts.method == Method::GET || parts.method == Method::HEAD) {
            return Ok(Self("public".into()));
        }
        // A token in the query would stand in every proxy's log: only the header counts.
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Err(Problem::unauthorized("send `Authorization: Bearer TOKEN`"));
        }
        match tokens.caller(&parts.headers) {
            Some(caller) => Ok(Self(caller.name().into())),
            None => Err(Problem::unauthorized("this token is not, or no longer, valid")),
        }
    }
}
