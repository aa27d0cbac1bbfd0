//! An HTTPS server with a certificate of its own authority, for archives at presigned URLs.

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::http::runtime;

/// A server that knows some targets, queries included; any other is 403, as a bucket answers a broken signature.
pub(crate) struct TlsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl TlsServer {
    /// Starts it, and writes its authority's certificate into `authority`.
    pub(crate) fn start(targets: HashMap<String, Vec<u8>>, authority: &Path) -> Self {
        let root_key = KeyPair::generate().expect("a key is made");
        let mut root = CertificateParams::new(Vec::<String>::new()).expect("no names are fine");
        // A name of its own: with the default one, the leaf would look self-signed.
        root.distinguished_name.push(DnType::CommonName, "the tests' authority");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(authority, root.self_signed(&root_key).expect("it is signed").pem()).expect("it is written");
        let key = KeyPair::generate().expect("a key is made");
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name is fine");
        let leaf = leaf.signed_by(&key, &Issuer::new(root, root_key)).expect("it is signed");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

        let runtime = runtime();
        let configuration = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("the certificate fits its key");
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let targets = Arc::new(targets);
        let task = runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(acceptor.clone(), socket, Arc::clone(&targets)));
            }
        });
        Self { address, task }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("https://localhost:{}{target}", self.address.port())
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one request, and closes. A client that breaks off is its own affair.
async fn answer(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    targets: Arc<HashMap<String, Vec<u8>>>,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(socket).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match targets.get(target) {
        Some(bytes) => ("200 OK", bytes.as_slice()),
        None => ("403 Forbidden", b"the signature does not match".as_slice()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}
