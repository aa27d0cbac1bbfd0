//! From files to what rustls needs, or to a sentence that says what is wrong with which file.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Error, Files};
use crate::digest::{Digest, Hasher};

/// The largest file that is read, in bytes: Kubernetes' own limit for a Secret.
const LARGEST: u64 = 1 << 20;

/// What the files hold.
pub(super) struct Bytes {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_authority: Option<Vec<u8>>,
}

impl Bytes {
    pub(super) fn read(files: &Files) -> Result<Self, Error> {
        let read = |file: &Path| read(file).map_err(|error| Error::Read(file.to_owned(), error));
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_authority: files.client_authority.as_deref().map(read).transpose()?,
        })
    }

    /// Enough to know them again.
    pub(super) fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        for bytes in [&self.certificate, &self.key].into_iter().chain(&self.client_authority) {
            hasher.update(&bytes.len().to_le_bytes());
            hasher.update(bytes);
        }
        hasher.finish()
    }
}

#[expect(clippy::disallowed_methods, reason = "the operator's own file, not on the volume")]
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

/// What is made of them.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) config: Arc<ServerConfig>,
    /// From when on the server's certificates are good.
    pub(super) since: SystemTime,
    /// When the first of them ends.
    pub(super) until: SystemTime,
    /// When the first authority of clients ends that is in use: then this is to be made anew, without it.
    pub(super) clients_until: Option<SystemTime>,
}

impl Material {
    pub(super) fn of(files: &Files, bytes: &Bytes, now: SystemTime) -> Result<Self, Error> {
        let wrong = |file: &Path, why: String| Error::Content { file: file.to_owned(), why };
        let chain = certificates(&bytes.certificate).map_err(|why| wrong(&files.certificate, why))?;
        let times = chain.iter().map(validity).collect::<Result<Vec<_>, _>>();
        let times = times.map_err(|why| wrong(&files.certificate, why))?;
        let until = times.iter().map(|(_, until)| *until).min().unwrap_or(now);
        let since = times.iter().map(|(since, _)| *since).max().unwrap_or(now);

        let key = PrivateKeyDer::from_pem_slice(&bytes.key);
        let key = key.map_err(|error| wrong(&files.key, format!("it has no private key that can be used: {error}")))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| wrong(&files.certificate, error.to_string()))?;
        let mut clients_until = None;
        let builder = match files.client_authority.as_ref().zip(bytes.client_authority.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((file, bytes)) => {
                let (verifier, until) = clients(bytes, now, provider).map_err(|why| wrong(file, why))?;
                clients_until = Some(until);
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| wrong(&files.key, format!("it does not fit {}: {error}", files.certificate.display())))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), since, until, clients_until })
    }
}

/// Who looks at clients' certificates, and until when that is right.
///
/// The library asks no root for its age, so those that are not valid are left out here.
fn clients(
    bytes: &[u8],
    now: SystemTime,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<(Arc<dyn ClientCertVerifier>, SystemTime), String> {
    let mut roots = RootCertStore::empty();
    let mut first = None;
    for certificate in certificates(bytes)? {
        let (since, until) = validity(&certificate)?;
        if since <= now && now < until {
            first = Some(first.map_or(until, |first: SystemTime| first.min(until)));
            roots.add(certificate).map_err(|error| format!("an authority cannot be used: {error}"))?;
        }
    }
    let first = first.ok_or("no authority in it is valid now")?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok((verifier.map_err(|error| error.to_string())?, first))
}

/// All certificates of a file; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let list = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let list = list.map_err(|error| format!("it is no PEM: {error}"))?;
    if list.is_empty() { Err("it has no certificate (PEM)".to_owned()) } else { Ok(list) }
}

/// From when and until when a certificate is good.
fn validity(certificate: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), String> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| format!("a certificate makes no sense: {error}"))?;
    let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default());
    let validity = parsed.validity();
    Ok((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}
