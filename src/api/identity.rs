//! Who sends a request: the ways to know them, one beside the other.
//!
//! A token is shown to each way in turn, and the first that knows it lets its sender in: the token file, then an OIDC
//! issuer, then Kubernetes. Whatever was wrong with a token that none of them knows, the answer is the same; the log has
//! the reason at the level `debug`, never the token. A way that cannot tell just now lets nobody in.
//!
//! It is asked before a body is read, and holds nothing while it waits but the connection that asks.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, header::AUTHORIZATION};

use super::{
    rights::{Grant, Scope},
    tokens::Tokens,
};
use crate::telemetry::{Met, Metrics, Way};

pub mod jwt;
pub mod kubernetes;
mod name;
pub mod oidc;

pub use kubernetes::Kubernetes;
pub use oidc::Oidc;

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 16_384;

/// Who sends requests, as far as one of these knows them.
#[derive(Debug)]
pub struct Identity {
    /// By the tokens of a file.
    pub tokens: Option<Tokens>,
    /// By the tokens of an issuer.
    pub oidc: Option<Oidc>,
    /// By the tokens of a cluster's service accounts.
    pub kubernetes: Option<Kubernetes>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What one way says of a token.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is somebody's.
    Known(Grant),
    /// It is nobody's, for this reason; or none of this way's at all.
    Nobody(Option<String>),
    /// That cannot be told now; perhaps after this time.
    Away(Duration),
}

/// Why nobody is let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token came.
    Missing,
    /// It is nobody's.
    Nobody,
    /// It cannot be told whose it is, perhaps after this time.
    Away(Duration),
}

impl Identity {
    /// Who sends these headers. What they may do is in the grant; `scope` is what they want to, for ways that are asked
    /// about each by itself.
    pub(super) async fn of(&self, headers: &HeaderMap, scope: Scope) -> Result<Grant, Denied> {
        // A token in the query would stand in every proxy's log: only the header counts.
        if !headers.contains_key(AUTHORIZATION) {
            return Err(Denied::Missing);
        }
        let Some(token) = bearer(headers) else {
            self.metrics.met(Way::None, Met::Refused);
            return Err(Denied::Nobody);
        };
        if let Some(grant) = self.tokens.as_ref().and_then(|tokens| tokens.find(token)) {
            self.metrics.met(Way::File, Met::Known);
            return Ok(grant);
        }
        self.of_others(token, scope).await
    }

    async fn of_others(&self, token: &[u8], scope: Scope) -> Result<Grant, Denied> {
        let (mut away, mut refused) = (None, Way::None);
        let text = std::str::from_utf8(token).ok().filter(|token| token.len() <= LONGEST);
        for way in [Way::Oidc, Way::Kubernetes] {
            let Some(token) = text else { break };
            match self.ask(way, token, scope).await {
                Verdict::Known(grant) => {
                    self.metrics.met(way, Met::Known);
                    return Ok(grant);
                }
                Verdict::Nobody(None) => {}
                Verdict::Nobody(Some(why)) => {
                    tracing::debug!(way = way.as_str(), why, "a token is refused");
                    refused = way;
                }
                Verdict::Away(after) => {
                    self.metrics.met(way, Met::Unavailable);
                    away = Some(away.map_or(after, |other: Duration| other.max(after)));
                }
            }
        }
        if let Some(after) = away {
            return Err(Denied::Away(after));
        }
        self.metrics.met(refused, Met::Refused);
        Err(Denied::Nobody)
    }

    async fn ask(&self, way: Way, token: &str, scope: Scope) -> Verdict {
        match (way, &self.oidc, &self.kubernetes) {
            (Way::Oidc, Some(oidc), _) => oidc.check(token).await,
            (Way::Kubernetes, _, Some(kubernetes)) => kubernetes.check(token, scope).await,
            _ => Verdict::Nobody(None),
        }
    }
}

/// The token of the one `Authorization` of these headers.
///
/// Two such headers are none: what stands between us and the client may have looked at the other.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => token(value.as_bytes()),
        _ => None,
    }
}

/// The token in a value of `Authorization`: `Bearer`, in any case, then blanks and a token (RFC 6750, 2.1).
pub(super) fn token(authorization: &[u8]) -> Option<&[u8]> {
    let blank = authorization.iter().position(|byte| *byte == b' ')?;
    let (scheme, token) = authorization.split_at(blank);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}
