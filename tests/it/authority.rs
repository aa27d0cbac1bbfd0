//! Certificates for tests: an authority, and what it signs.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Somebody who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::until(SystemTime::now() + 365 * DAY)
    }

    /// One that ends then.
    pub(crate) fn until(end: SystemTime) -> Self {
        let key = KeyPair::generate().expect("a key is made");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names are fine");
        // A name of its own: with the default one, the leaf would look self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = (SystemTime::now() - 2 * DAY).into();
        params.not_after = end.into();
        let pem = params.self_signed(&key).expect("it is signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes its certificate.
    pub(crate) fn write(&self, file: &Path) {
        fs::write(file, &self.pem).expect("it is written");
    }

    /// A certificate for a server on loopback, or a client, good from yesterday until then.
    pub(crate) fn sign(&self, end: SystemTime) -> Signed {
        let key = KeyPair::generate().expect("a key is made");
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names are fine");
        params.distinguished_name.push(DnType::CommonName, "one of the tests");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = end.into();
        let certificate = params.signed_by(&key, &self.issuer).expect("it is signed").pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    /// One that is good for a month.
    pub(crate) fn month(&self) -> Signed {
        self.sign(SystemTime::now() + 30 * DAY)
    }
}

impl Signed {
    /// As a mounted Secret has it: `tls.crt` and `tls.key` are links into a folder to which the link `..data` leads, which
    /// is turned in one step.
    pub(crate) fn mount(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder is made");
        let generation = (1..).map(|number| format!("..{number}")).find(|name| !folder.join(name).exists());
        let generation = generation.expect("a number is free");
        fs::create_dir(folder.join(&generation)).expect("a folder is made");
        fs::write(folder.join(&generation).join("tls.crt"), &self.certificate).expect("it is written");
        fs::write(folder.join(&generation).join("tls.key"), &self.key).expect("it is written");
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.join(name));
        link(&generation, "..data_tmp").expect("a link is made");
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("it is turned");
        for name in ["tls.crt", "tls.key"] {
            // They stay from the first time on.
            let _ = link(&format!("..data/{name}"), name);
        }
    }
}
