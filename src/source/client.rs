//! HTTP clients, with certificates to trust.
//!
//! The system's certificates are taken where there are any (`SSL_CERT_FILE` and `SSL_CERT_DIR` included). An image made
//! from scratch may have none; a client would then not even be built, not even for plain http, so Mozilla's roots, which
//! are compiled in, step in. They never stand beside the system's: who trusts only a CA of their own keeps doing so.

use std::{env, io, time::Duration};

use object_store::{
    Certificate, ClientOptions,
    client::{HttpClient, HttpConnector, ReqwestConnector},
};
use tracing::{debug, warn};

use super::bucket::Wire;

/// Installs the cryptography that every client needs, unless the program did: without, building a client panics.
pub(crate) fn provide() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been quicker; then theirs is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

/// Mozilla's roots step in.
fn fall_back(why: &dyn std::fmt::Display) {
    let is_asked_for = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| env::var_os(name).is_some());
    if is_asked_for {
        warn!(%why, "no certificates in SSL_CERT_FILE or SSL_CERT_DIR: Mozilla's roots are trusted instead");
    } else {
        debug!(%why, "no certificates on this system: Mozilla's roots are trusted");
    }
}

/// Whether a server's certificate was refused, which trying again does not mend.
pub(super) fn is_untrusted(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // An `io::Error` leaves what it wraps out of the chain of sources, and they are wrapped in one another.
    let wrapped = error.downcast_ref().and_then(io::Error::get_ref);
    wrapped.is_some_and(|inner| is_untrusted(inner)) || error.source().is_some_and(is_untrusted)
}

/// Builds a client for addresses.
pub(crate) fn build(builder: impl Fn() -> reqwest::ClientBuilder) -> Result<reqwest::Client, reqwest::Error> {
    provide();
    builder().build().or_else(|error| {
        fall_back(&error);
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let roots = roots.iter().map(|root| reqwest::Certificate::from_der(root)).collect::<Result<Vec<_>, _>>()?;
        builder().tls_certs_only(roots).build()
    })
}

/// Builds clients for object stores.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        provide();
        // By default a whole answer must come within 30 seconds, which large objects do not.
        let options = options.clone().with_timeout_disabled().with_read_timeout(Duration::from_secs(30));
        let reqwest = ReqwestConnector::default();
        let client = reqwest.connect(&options).or_else(|error| {
            fall_back(&error);
            let mut options = options.with_no_system_certificates(true);
            for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
                options = options.with_root_certificate(Certificate::from_der(root)?);
            }
            reqwest.connect(&options)
        })?;
        Ok(HttpClient::new(Wire::new(client)))
    }
}
