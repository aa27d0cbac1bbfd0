//! Pages in a browser: which of them may ask for what.
//!
//! A page of any site may make its visitor's browser send requests here. It cannot add a token, but a browser extension, a
//! proxy with a login of its own or `--no-auth` may; so what changes something is refused when the browser says that another
//! site's page is behind it. Pages of the origins that `--origin` lists may ask, and read what is answered (CORS); nobody
//! else's, and never with cookies, of which there are none.

use std::{collections::BTreeSet, sync::Arc, sync::LazyLock};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use url::Url;
use utoipa::openapi::path::ParameterIn;

use super::{App, Problem, routes};

/// For how long a browser may remember what it was told, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, PATCH, POST, DELETE");
/// What a page may read of an answer, besides what every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Accept-Ranges, Content-Location, Content-Range, ETag, Link, Location, Longshore-Release, Longshore-Seq, Repr-Digest, \
     Retry-After, Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Defer-Length, \
     Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, WWW-Authenticate",
);
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a page may send: every header that an operation knows.
static SENT: LazyLock<HeaderValue> = LazyLock::new(|| {
    let table = routes::table();
    let parameters = table.iter().flat_map(|operation| &operation.parameters);
    let headers = parameters.filter(|parameter| parameter.parameter_in == ParameterIn::Header);
    let mut names: BTreeSet<_> = headers.map(|parameter| parameter.name.as_str()).collect();
    names.extend(["Authorization", "Content-Encoding", "Content-Type"]);
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&names).expect("names of headers are plain")
});

/// Origins whose pages may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Reads origins as `--origin` has them.
    ///
    /// # Errors
    /// When one is no origin.
    pub fn parse<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let parse = |text: &str| {
            let whole = |url: &Url| {
                matches!(url.scheme(), "http" | "https")
                    && url.path() == "/"
                    && url[url::Position::AfterPath..].is_empty()
                    && url.username().is_empty()
                    && url.password().is_none()
            };
            let url = Url::parse(text.trim()).ok().filter(whole);
            let wrong = || format!("{text:?} is no origin, as in https://admin.example.com or http://localhost:5173");
            url.map(|url| url.origin().ascii_serialization()).ok_or_else(wrong)
        };
        origins.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The origin of a request, when it is listed.
    fn listed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = only(headers, &header::ORIGIN)?;
        self.0.iter().any(|one| one.as_bytes() == origin.as_bytes()).then_some(origin)
    }

    /// Whether the page behind a request, if there is one, is our own or a listed one.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        if self.listed(headers).is_some() {
            return true;
        }
        let is_own = !headers.contains_key(header::ORIGIN)
            || only(headers, &header::ORIGIN)
                .zip(only(headers, &header::HOST))
                .is_some_and(|(origin, host)| is_same(origin, host));
        let is_here = !headers.contains_key(SITE)
            || only(headers, &SITE).is_some_and(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
        is_own && is_here
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether an origin has this host and port. Not the scheme: a proxy may speak TLS for us.
fn is_same(origin: &HeaderValue, host: &HeaderValue) -> bool {
    let parsed = || {
        let (scheme, origin) = origin.to_str().ok()?.split_once("://")?;
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let origin = origin.parse::<Authority>().ok().filter(|origin| !origin.as_str().contains('@'))?;
        let host = host.to_str().ok()?.parse::<Authority>().ok()?;
        let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
        Some(origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(&host))
    };
    parsed().unwrap_or(false)
}

/// Refuses what a page of another origin wants to change, and tells browsers what pages of listed ones may.
pub(super) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let listed = app.origins.listed(request.headers()).cloned();
    let may = request.method().is_safe() || app.origins.allow(request.headers());
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &listed {
        Some(_) if is_preflight => preflight(),
        _ if !may => Problem::cross_origin().into_response(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    if !app.origins.0.is_empty() {
        // A cache must not give one origin what was said to another.
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = listed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

/// What a page of a listed origin may send.
fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT.clone()),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_ours_by_its_host_and_port() {
        let same = |origin, host| is_same(&HeaderValue::from_static(origin), &HeaderValue::from_static(host));
        for (origin, host) in [
            ("http://a.example", "a.example"),
            ("https://a.example", "A.example"),
            ("https://a.example", "a.example:443"),
            ("http://a.example:80", "a.example"),
            ("http://localhost:8080", "localhost:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(same(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "a.example"),
            ("http://a.example.evil", "a.example"),
            ("http://a.example:8080", "a.example"),
            ("https://a.example", "a.example:80"),
            ("ftp://a.example", "a.example"),
            ("http://me@a.example", "a.example"),
            ("a.example", "a.example"),
            ("", ""),
        ] {
            assert!(!same(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let origins = Origins::parse(["https://Admin.Example.com/", "http://localhost:5173", "https://a.example:443"]);
        let expected = ["https://admin.example.com", "http://localhost:5173", "https://a.example"].map(String::from);
        assert_eq!(origins, Ok(Origins(expected.to_vec())));
        for wrong in [
            "*",
            "null",
            "a.example",
            "https://a.example/path",
            "https://a.example?x",
            "https://me@a.example",
            "ftp://a",
        ] {
            assert!(Origins::parse([wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_page_may_send_is_what_operations_know() {
        let sent = SENT.to_str().expect("text");
        for name in ["Authorization", "Content-Type", "Tus-Resumable", "Upload-Offset", "If-Match", "Dry-Run"] {
            assert!(sent.split(", ").any(|one| one == name), "{name} in {sent}");
        }
    }
}
