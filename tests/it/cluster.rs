//! A FAKE API server, as far as reviews of tokens and of access go: no cluster can be had in a test. It keeps what it was
//! asked, word for word.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use crate::{issuer::now, pod::Pod};

/// The fake, listening, and where a client learns of it.
pub(crate) struct Cluster {
    address: SocketAddr,
    pub(crate) kubeconfig: PathBuf,
    /// The token of our own account.
    pub(crate) own_token: PathBuf,
    pub(crate) state: Arc<Mutex<State>>,
}

/// What it knows, and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    /// The status of a review, by token.
    pub(crate) tokens: HashMap<String, Value>,
    /// Who may do what: user and verb.
    pub(crate) roles: HashSet<(String, String)>,
    /// Each request: its path, its `Authorization`, its body.
    pub(crate) asked: Vec<(String, String, Value)>,
    /// What it does instead of answering.
    pub(crate) trouble: Trouble,
    is_over: bool,
}

/// What it does.
#[derive(Default, Clone, Copy)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// Closes connections.
    Down,
    /// Accepts, and says nothing.
    Silent,
    /// Answers with this status.
    Status(u16),
    /// Answers with the question, in a shape that is none.
    Garbled,
}

impl Cluster {
    pub(crate) fn start(pod: &Pod) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let folder = pod.folder("cluster", &[("token", "our-own-token-1")]);
        let (kubeconfig, own_token) = (folder.join("kubeconfig"), folder.join("token"));
        let configuration = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "it", "user": {"tokenFile": own_token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "shop"}}],
        });
        fs::write(&kubeconfig, configuration.to_string()).expect("it is written");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if shared.lock().expect("no panic").is_over {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(socket, &shared));
            }
        });
        Self { address, kubeconfig, own_token, state }
    }

    /// A token that it knows as this user's, for us.
    pub(crate) fn token_of(&self, user: &str, verbs: &[&str]) -> String {
        let token = token("longshore", user);
        let mut state = self.state.lock().expect("no panic");
        state.tokens.insert(token.clone(), known(user));
        state.roles.extend(verbs.iter().map(|verb| (user.to_owned(), (*verb).to_owned())));
        token
    }

    pub(crate) fn is_in(&self, trouble: Trouble) {
        self.state.lock().expect("no panic").trouble = trouble;
    }

    /// How often it was asked for anything.
    pub(crate) fn asked(&self) -> usize {
        self.state.lock().expect("no panic").asked.len()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.state.lock().expect("no panic").is_over = true;
        let _ = TcpStream::connect(self.address);
    }
}

/// A review's status that lets this user in.
pub(crate) fn known(user: &str) -> Value {
    json!({
        "authenticated": true, "audiences": ["longshore"],
        "user": {
            "username": user, "uid": "7", "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/pod-name": ["ci-1"]},
        },
    })
}

/// Something that looks like a token of a service account; the fake does not look at signatures.
pub(crate) fn token(audience: &str, user: &str) -> String {
    bound(audience, user, now() + 600)
}

/// The same, with its end.
pub(crate) fn bound(audience: &str, user: &str, end: u64) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "https://kubernetes.default.svc", "aud": [audience], "sub": user, "exp": end});
    format!("{}.{}.c2lnbmF0dXJl", part(json!({"alg": "RS256", "kid": "it"})), part(claims))
}

fn answer(mut socket: TcpStream, state: &Mutex<State>) {
    let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
    let Some((path, authorization, body)) = request(&mut socket) else { return };
    let (trouble, status) = {
        let mut state = state.lock().expect("no panic");
        state.asked.push((path.clone(), authorization, body.clone()));
        (state.trouble, state.status(&path, &body["spec"]))
    };
    let (code, body) = match trouble {
        Trouble::None => (
            201,
            json!({"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {},
                                      "spec": body["spec"], "status": status}),
        ),
        Trouble::Down => return,
        Trouble::Silent => {
            std::thread::sleep(Duration::from_secs(20));
            return;
        }
        Trouble::Status(code) => (
            code,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "code": code,
                                               "status": "Failure", "message": body.to_string()}),
        ),
        Trouble::Garbled => (201, json!({"spec": [body["spec"]], "status": 7})),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all((head + &body).as_bytes());
}

impl State {
    fn status(&self, path: &str, spec: &Value) -> Value {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if path == "/apis/authentication.k8s.io/v1/tokenreviews" {
            let known = self.tokens.get(&text(&spec["token"])).cloned();
            return known.unwrap_or_else(|| json!({"authenticated": false, "error": "not found"}));
        }
        let role = (text(&spec["user"]), text(&spec["resourceAttributes"]["verb"]));
        json!({"allowed": self.roles.contains(&role), "reason": "the fake says so"})
    }
}

/// One request: its path, its `Authorization`, and its JSON.
fn request(socket: &mut TcpStream) -> Option<(String, String, Value)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 8_192];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let header = |name: &str| {
                let mut lines = head.lines().filter_map(|line| line.split_once(':'));
                lines.find(|(one, _)| one.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim()).to_owned()
            };
            let length: usize = header("content-length").parse().unwrap_or_default();
            if let Some(body) = bytes.get(end + 4..end + 4 + length) {
                let path = head.split(' ').nth(1)?.to_owned();
                return Some((path, header("authorization"), serde_json::from_slice(body).ok()?));
            }
        }
        match socket.read(&mut piece) {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
