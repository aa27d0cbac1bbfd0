//! Who sends a request.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::{
    App, Problem,
    identity::Denied,
    operation::Access,
    rights::{Grant, Scope},
};
use crate::{depot::Author, path::SitePath};

/// Who makes a request, as the author of what it changes; only made when the request may be made.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Author);

/// How far whoever reads reaches.
#[derive(Clone, Debug)]
pub(super) struct Reach(Option<Author>);

impl Reach {
    /// The folder that is all they see.
    pub(super) fn within(&self) -> Option<&SitePath> {
        self.0.as_ref().and_then(|author| author.within.as_ref())
    }

    /// Refuses a file or folder that they do not reach; none is the whole site.
    pub(super) fn check(&self, path: Option<&SitePath>) -> Result<(), Problem> {
        match (&self.0, path) {
            (Some(author), Some(path)) => Ok(author.check(path)?),
            (Some(Author { within: Some(within), .. }), None) => Err(Problem::out_of_reach(within)),
            _ => Ok(()),
        }
    }
}

impl Caller {
    /// Who sends these headers, if they may do what takes `scope`.
    async fn of(app: &App, scope: Scope, headers: &HeaderMap) -> Result<Self, Problem> {
        let grant = Self::grant(app, scope, headers).await?;
        if grant.scopes.has(scope) { Ok(Self(grant.author())) } else { Err(Problem::no_scope(scope, &grant)) }
    }

    async fn grant(app: &App, scope: Scope, headers: &HeaderMap) -> Result<Grant, Problem> {
        let Some(identity) = &app.identity else {
            return if is_of_this_machine(headers) && app.origins.allow(headers) {
                Ok(Grant::whole("anybody"))
            } else {
                Err(Problem::foreign_origin())
            };
        };
        identity.of(headers, scope).await.map_err(|denied| match denied {
            Denied::Missing => Problem::unauthorized("send `Authorization: Bearer TOKEN`"),
            Denied::Nobody => Problem::unauthorized("this token is not, or no longer, valid"),
            Denied::Away(after) => Problem::caller_unknown(after),
        })
    }
}

/// Whether a request without a token asks for this machine by a name of its own: those of a page that a browser on it happens
/// to show may lead to a loopback address.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(|value| value.to_str().unwrap_or("?"));
    host.is_none_or(|host| {
        let name = host.parse::<Authority>().map(|authority| authority.host().to_owned()).unwrap_or_default();
        let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    })
}

/// The gate before every operation: the table of routes says who may pass.
pub(super) async fn gate(
    State((app, access)): State<(Arc<App>, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match access {
        Access::Anybody => {}
        Access::Reader if app.public_read => {}
        Access::Reader => {
            let caller = Caller::of(&app, Scope::Read, request.headers()).await?;
            request.extensions_mut().insert(caller);
        }
        Access::Caller(scope) => {
            let caller = Caller::of(&app, scope, request.headers()).await?;
            request.extensions_mut().insert(caller);
        }
    }
    Ok(next.run(request).await)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Nobody comes here but through the gate; whoever did is not let in.
        parts.extensions.get().cloned().ok_or_else(|| Problem::unauthorized("send `Authorization: Bearer TOKEN`"))
    }
}

impl<S: Sync> FromRequestParts<S> for Reach {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Where reading is public, nobody is asked who they are.
        Ok(Self(parts.extensions.get::<Caller>().map(|caller| caller.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::api::origin::Origins;

    fn of(headers: &[(&'static str, &'static str)]) -> bool {
        let pairs =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let headers = pairs.collect();
        is_of_this_machine(&headers) && Origins::default().allow(&headers)
    }

    #[test]
    fn programs_of_this_machine_need_no_token_and_pages_of_others_get_in_never() {
        assert!(
            of(&[])
                && of(&[("host", "localhost:8080")])
                && of(&[("host", "127.0.0.1:1")])
                && of(&[("host", "[::1]:1")])
        );
        assert!(of(&[("host", "localhost:1"), ("origin", "http://localhost:1"), ("sec-fetch-site", "same-origin")]));
        assert!(!of(&[("host", "evil.example:8080")]), "a rebound name");
        assert!(!of(&[("host", "localhost:1"), ("origin", "https://evil.example")]), "a simple request of a page");
        assert!(!of(&[("host", "localhost:1"), ("origin", "null")]));
        assert!(!of(&[("host", "localhost:1"), ("sec-fetch-site", "cross-site")]));
    }
}
