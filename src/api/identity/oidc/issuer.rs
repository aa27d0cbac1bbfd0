//! An issuer's address, and the keys that it publishes there (OpenID Connect Discovery 1.0).

use std::{collections::HashMap, error::Error as _, net::IpAddr, str::FromStr, time::Duration};

use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use url::{Host, Url};

use super::{Key, key};
use crate::source;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const LARGEST: usize = 1 << 18;

/// Who issues tokens, by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// As it was written: tokens say it, byte for byte.
    text: String,
    is_local: bool,
}

/// What an issuer says of itself.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl FromStr for Issuer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("{text:?} is no address: {error}"))?;
        let is_plain = url.query().is_none() && url.fragment().is_none();
        if !is_plain || !url.username().is_empty() || url.password().is_some() {
            return Err("an issuer is an address without user, query and fragment".to_owned());
        }
        let is_local = is_local(&url);
        if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
            return Err(format!("{text:?} is not https://…: over http anybody on the way could let themselves in"));
        }
        Ok(Self { text: text.to_owned(), is_local })
    }
}

/// Whether an address is one of this machine.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}

impl Issuer {
    /// As tokens say it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A client to ask it with. It follows nobody elsewhere.
    pub(super) fn client(&self) -> Result<Client, reqwest::Error> {
        source::build_client(|| {
            Client::builder()
                .redirect(Policy::none())
                .connect_timeout(CONNECT)
                .timeout(ANSWER)
                .https_only(!self.is_local)
                .pool_max_idle_per_host(0)
        })
    }

    /// The keys that it publishes now.
    pub(super) async fn fetch(&self, client: &Client) -> Result<HashMap<String, Key>, String> {
        let address = format!("{}/.well-known/openid-configuration", self.text.trim_end_matches('/'));
        let document = get(client, &address).await?;
        let document: Document =
            serde_json::from_slice(&document).map_err(|error| format!("{address} cannot be read: {error}"))?;
        if document.issuer != self.text {
            return Err(format!("{address} is of another issuer, {:?}", document.issuer));
        }
        let address = Url::parse(&document.jwks_uri).map_err(|error| format!("the address of its keys: {error}"))?;
        if address.scheme() != "https" && !(self.is_local && is_local(&address)) {
            return Err("the address of its keys is not https://…".to_owned());
        }
        key::parse(&get(client, address.as_str()).await?)
    }
}

async fn get(client: &Client, address: &str) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        let mut text = format!("{address}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    };
    let mut answer = client.get(address).send().await.map_err(failed)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("{address} answers {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + piece.len() > LARGEST {
            return Err(format!("{address} answers with more than {LARGEST} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_asked_over_https() {
        for good in ["https://token.actions.githubusercontent.com", "https://gitlab.example/", "http://127.0.0.1:1/x"] {
            assert_eq!(good.parse::<Issuer>().expect(good).as_str(), good);
        }
        for wrong in [
            "gitlab.com",
            "http://gitlab.com",
            "http://127.0.0.1.evil.example",
            "ftp://localhost",
            "https://me@gitlab.com",
            "https://gitlab.com?x",
            "https://gitlab.com#x",
        ] {
            assert!(wrong.parse::<Issuer>().is_err(), "{wrong}");
        }
    }
}
