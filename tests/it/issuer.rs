//! A FAKE issuer of tokens, as far as discovery and keys go; real ones are out of a test's reach. It counts what it is
//! asked. Its tokens are signed by PyJWT, another implementation than ours.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::{
    pod::{Pod, text},
    run::clean,
};

/// Whom the tokens are for.
pub(crate) const AUDIENCE: &str = "https://publish.example.com";

/// The fake, listening.
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    python: PathBuf,
    keys: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    published: Mutex<Value>,
    /// What it says its name is; its own unless set.
    name: Mutex<Option<String>>,
    is_down: AtomicBool,
    is_over: AtomicBool,
    asked: AtomicUsize,
}

impl Issuer {
    /// Starts it with these keys: `rsa-…`, `ec-…`, `ed-…`.
    pub(crate) fn start(pod: &Pod, python: &Path, keys: &[&str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let issuer =
            Self { address, python: python.into(), keys: pod.folder("keys", &[]), shared: Arc::clone(&shared) };
        issuer.publish(keys);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(socket, address, &shared));
            }
        });
        issuer
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The flags of `serve` that let its callers in whose repository is 74.
    pub(crate) fn flags(&self) -> Vec<String> {
        let url = self.url();
        let flags = ["--auth", "oidc", "--oidc-issuer", &url, "--oidc-audience", AUDIENCE, "--oidc-claim"];
        flags.into_iter().chain(["repository_id=74"]).map(str::to_owned).collect()
    }

    /// From now on these are its keys.
    pub(crate) fn publish(&self, keys: &[&str]) {
        let made = self.python(&json!({ "keys": keys }));
        *self.shared.published.lock().expect("no panic") = json!({ "keys": made["keys"] });
    }

    /// From now on it says that this is its name.
    pub(crate) fn call_itself(&self, name: &str) {
        *self.shared.name.lock().expect("no panic") = Some(name.to_owned());
    }

    /// From now on it answers nobody, or everybody.
    pub(crate) fn is_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, SeqCst);
    }

    /// How often it was asked for anything.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(SeqCst)
    }

    /// The claims of a good token.
    pub(crate) fn claims(&self) -> Value {
        let now = now();
        json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "repo:shop/site:ref:refs/heads/main",
            "iat": now, "nbf": now - 5, "exp": now + 600, "repository_id": "74", "ref_protected": true,
        })
    }

    /// A good token, signed with this key.
    pub(crate) fn token(&self, key: &str) -> String {
        self.sign(&[json!({"key": key, "claims": self.claims()})]).remove(0)
    }

    /// Tokens as they are wished for: see sign.py.
    pub(crate) fn sign(&self, wishes: &[Value]) -> Vec<String> {
        let made = self.python(&json!({ "tokens": wishes }));
        serde_json::from_value(made["tokens"].clone()).expect("a list of tokens")
    }

    fn python(&self, wish: &Value) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/issuer/sign.py");
        let mut command = Command::new(&self.python);
        clean(&mut command).args([script, text(&self.keys)]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("python starts");
        child.stdin.take().expect("it is piped").write_all(wish.to_string().as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "sign.py failed");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn answer(mut socket: TcpStream, address: SocketAddr, shared: &Shared) {
    shared.asked.fetch_add(1, SeqCst);
    if shared.is_down.load(SeqCst) {
        return;
    }
    let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
    let mut request = Vec::new();
    let mut piece = [0; 1_024];
    while !request.ends_with(b"\r\n\r\n") {
        match socket.read(&mut piece) {
            Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
            _ => return,
        }
    }
    let own = format!("http://{address}");
    let body = match String::from_utf8_lossy(&request).split(' ').nth(1) {
        Some("/.well-known/openid-configuration") => {
            let name = shared.name.lock().expect("no panic").clone().unwrap_or_else(|| own.clone());
            json!({"issuer": name, "jwks_uri": format!("{own}/keys")})
        }
        Some("/keys") => shared.published.lock().expect("no panic").clone(),
        _ => return,
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = socket.write_all((head + &body).as_bytes());
}
