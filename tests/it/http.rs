//! HTTP as the tests speak it: reqwest for what clients do, a bare socket for what no client would send.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The runtime under the blocking calls of every test.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime starts")
    });
    &RUNTIME
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// This answer, if it has the status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "unexpected answer: {self}");
        self
    }

    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or("(not text)"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }

    /// The slug of the problem type, after checking that this is a whole RFC 9457 problem.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert!(self.header("content-type").starts_with("application/problem+json"), "not a problem: {self}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self}");
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "a problem without {field}: {self}");
        }
        let kind = problem["type"].as_str().unwrap_or_default();
        kind.strip_prefix("/problems/").unwrap_or_else(|| panic!("not a type of problem: {kind:?}")).to_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = self.text();
        write!(out, "{} {:?} {}", self.status, self.headers, body.chars().take(2_000).collect::<String>())
    }
}

/// One request on a connection of its own.
pub(crate) fn try_call(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> reqwest::Result<Answer> {
    try_call_within(Duration::from_secs(90), method, url, headers, body)
}

/// As [`try_call`], for what takes its time on a busy machine.
pub(crate) fn try_call_within(
    time: Duration,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> reqwest::Result<Answer> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let runtime = runtime();
    let client = CLIENT.get_or_init(|| {
        // No pool: a test that kills servers must not meet yesterday's connections.
        let builder = Client::builder().no_proxy().pool_max_idle_per_host(0);
        builder.tls_certs_only([]).build().expect("a client is built")
    });
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = client.request(method, url).timeout(time).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    runtime.block_on(async {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
    })
}

/// As [`try_call`], for when an answer is due.
#[track_caller]
pub(crate) fn call(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    try_call(method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error:?}"))
}

/// A socket with time-outs, so that a silent server fails a test and does not hang it.
#[track_caller]
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the server accepts");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out is set");
    socket.set_write_timeout(Some(Duration::from_secs(30))).expect("a time-out is set");
    socket
}

/// Sends these very bytes, and reads an answer. Nothing when the server just closes.
pub(crate) fn raw(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut socket = connect(address);
    // A server may answer and close before it read everything.
    let _ = socket.write_all(request);
    read_answer(&mut socket)
}

/// Reads one answer: as many bytes as `Content-Length` says, or to the end of the stream.
pub(crate) fn read_answer(socket: &mut TcpStream) -> Option<Answer> {
    read_answer_from(socket)
}

/// The same, over whatever carries it.
pub(crate) fn read_answer_from(socket: &mut impl std::io::Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        if let Some((answer, whole)) = parse_answer(&bytes)
            && whole
        {
            return Some(answer);
        }
        match socket.read(&mut piece) {
            Ok(0) | Err(_) => return parse_answer(&bytes).map(|(answer, _)| answer),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

/// The answer so far, and whether its length says that nothing is missing.
fn parse_answer(bytes: &[u8]) -> Option<(Answer, bool)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    let body = bytes[end + 4..].to_vec();
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let whole = length.is_some_and(|length| body.len() >= length);
    Some((Answer { status, headers, body }, whole))
}
