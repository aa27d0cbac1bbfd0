//! Under which names the door may be asked for. A page that a browser shows may lead a name of its own to our address (DNS
//! rebinding): with `--host` such a request is turned away before anything else is looked at.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{header, uri::Authority},
    middleware::Next,
    response::Response,
};

use super::{App, Problem};

/// Names, each with a port or for any port; none: every name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Authority>);

impl Hosts {
    /// Reads names as `--host` has them.
    ///
    /// # Errors
    /// When one is no host.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let parse = |name: &str| {
            let authority = name.parse::<Authority>().ok().filter(|authority| !authority.as_str().contains('@'));
            authority.ok_or_else(|| format!("{name:?} is no host, as in publish.example.com or 10.0.0.7:8080"))
        };
        names.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `asked`, the value of `Host` or the authority of a target, is one of them.
    fn have(&self, asked: &str) -> bool {
        let Ok(asked) = asked.parse::<Authority>() else { return false };
        let same = |one: &Authority| {
            one.host().eq_ignore_ascii_case(asked.host())
                && one.port_u16().is_none_or(|port| asked.port_u16() == Some(port))
        };
        self.0.iter().any(same)
    }

    fn allow(&self, request: &Request) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let is_known = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().is_ok_and(|host| self.have(host)),
            _ => false,
        };
        // An absolute target wins over Host (RFC 9112, section 3.2.2): both must be ours.
        is_known && request.uri().authority().is_none_or(|authority| self.have(authority.as_str()))
    }
}

/// Turns requests for other names away.
pub(super) async fn check(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, Problem> {
    if app.hosts.allow(&request) { Ok(next.run(request).await) } else { Err(Problem::misdirected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_with_its_port_or_with_any() {
        let hosts = Hosts::parse(["publish.example.com", "10.0.0.7:8080", "[::1]"]).expect("hosts");
        for known in ["publish.example.com", "PUBLISH.example.com:443", "10.0.0.7:8080", "[::1]:8080"] {
            assert!(hosts.have(known), "{known}");
        }
        for other in ["example.com", "10.0.0.7", "10.0.0.7:80", "publish.example.com.evil.example", "", "a b"] {
            assert!(!hosts.have(other), "{other}");
        }
        for wrong in ["", "http://a", "a b", "me@host", "a/b"] {
            assert!(Hosts::parse([wrong]).is_err(), "{wrong:?}");
        }
    }
}
