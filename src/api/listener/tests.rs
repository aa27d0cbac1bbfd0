//! Over real sockets, with limits short enough to wait for.

use axum::routing::{get, post};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::*;

const SHORT: Duration = Duration::from_millis(150);
/// More than the kernel's buffers take.
const LARGE: usize = 32 << 20;
const GET: &str = "GET /peer HTTP/1.1\r\nhost: x\r\n\r\n";

struct Served {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<usize>,
}

async fn served(limits: Limits, grace: Duration) -> Served {
    let router = Router::new()
        .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(SHORT * 2).await;
                "slow"
            }),
        )
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route("/never", get(std::future::pending::<()>))
        .route(
            "/take",
            post(|body: Result<bytes::Bytes, axum::extract::rejection::BytesRejection>| async move {
                body.map_or_else(|_| "cut", |_| "whole")
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let shutdown = Shutdown::new(grace);
    let task = tokio::spawn(serve(listener, router, limits, None, Connections::default(), shutdown.clone()));
    Served { address, shutdown, task }
}

fn short() -> Limits {
    Limits { headers_within: SHORT, body_idle: SHORT, answer_idle: SHORT, header_bytes: 8_192, ..Limits::default() }
}

impl Served {
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    async fn ended(self) -> usize {
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("in time").expect("no panic")
    }
}

/// Everything until the server closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await.expect("in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer's first bytes.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 1_024];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.expect("in time");
    String::from_utf8_lossy(&bytes[..read.expect("bytes")]).into_owned()
}

#[tokio::test]
async fn a_handler_knows_the_peer() {
    let served = served(short(), SHORT).await;
    let mut stream = served.send(GET).await;
    assert!(answer(&mut stream).await.ends_with("\r\n\r\n127.0.0.1"));
}

#[tokio::test]
async fn slow_headers_are_not_waited_for() {
    let served = served(short(), SHORT).await;
    for text in ["", "GET /peer HTTP/1.1\r\nhost:", GET] {
        let start = Instant::now();
        let stream = served.send(text).await;
        rest(stream).await;
        let took = start.elapsed();
        assert!(took >= SHORT && took < SHORT * 4, "{text:?} {took:?}");
    }
}

#[tokio::test]
async fn a_byte_now_and_then_wins_no_time() {
    let served = served(short(), SHORT).await;
    let mut stream = served.send("GET /peer HTTP/1.1\r\n").await;
    let start = Instant::now();
    while stream.write_all(b"a").await.is_ok() && start.elapsed() < Duration::from_secs(5) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() < SHORT * 4, "{:?}", start.elapsed());
}

#[tokio::test]
async fn too_much_header_is_refused() {
    let served = served(short(), SHORT).await;
    let large = format!("GET /peer HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(9_000));
    let many = format!("GET /peer HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    for text in [large, many] {
        assert!(rest(served.send(&text).await).await.starts_with("HTTP/1.1 431 "));
    }
}

#[tokio::test]
async fn a_body_that_pauses_is_cut() {
    let served = served(short(), SHORT).await;
    let mut stream = served.send("POST /take HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345").await;
    assert!(answer(&mut stream).await.ends_with("cut"));
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_dropped() {
    let served = served(Limits { connections: 1, ..short() }, SHORT).await;
    let deaf = served.send("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut next = served.send(GET).await;
    assert!(answer(&mut next).await.starts_with("HTTP/1.1 200 "), "the place is free again");
    drop((deaf, next));

    let mut slow = served.send("GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let mut piece = vec![0; 4 << 20];
    let mut taken = 0;
    loop {
        tokio::time::sleep(SHORT / 10).await;
        match slow.read(&mut piece).await.expect("a slow reader is served") {
            0 => break,
            read => taken += read,
        }
    }
    assert!(taken > LARGE);
}

#[tokio::test]
async fn one_more_than_the_limit_waits() {
    let served = served(Limits { connections: 1, ..short() }, SHORT).await;
    let first = served.send("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(SHORT / 3).await;
    let mut second = served.send(GET).await;
    let waited = tokio::time::timeout(SHORT / 3, second.readable()).await;
    assert!(waited.is_err(), "the place is taken");
    drop(first);
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_running_request_finishes_and_an_idle_connection_does_not_delay() {
    let served = served(Limits::default(), Duration::from_secs(60)).await;
    let mut idle = served.send(GET).await;
    answer(&mut idle).await;
    let quiet = served.send("").await;
    let running = served.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(SHORT).await;
    let start = Instant::now();
    served.shutdown.begin();
    assert!(rest(running).await.ends_with("slow"));
    rest(idle).await;
    rest(quiet).await;
    let address = served.address;
    assert_eq!(served.ended().await, 0);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn the_grace_ends_what_never_ends() {
    let served = served(Limits::default(), SHORT).await;
    let running = served.send("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    tokio::time::sleep(SHORT).await;
    let start = Instant::now();
    served.shutdown.begin();
    assert_eq!(served.ended().await, 1);
    let took = start.elapsed();
    assert!(took >= SHORT && took < Duration::from_secs(3), "{took:?}");
    assert_eq!(rest(running).await, "");
}

#[test]
fn a_lack_of_descriptors_is_waited_out() {
    let lack = io::Error::from_raw_os_error(24);
    let mut pause = Duration::ZERO;
    for milliseconds in [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000] {
        pause = pause_after(&lack, pause);
        assert_eq!(pause, Duration::from_millis(milliseconds));
    }
    assert_eq!(pause_after(&io::ErrorKind::ConnectionAborted.into(), Duration::ZERO), Duration::ZERO);
}
