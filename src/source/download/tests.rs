use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use super::*;
use crate::source::{
    Kind,
    basket::{Basket, expected},
};

/// A server that gives the answers in turn, one a connection, and the last one for ever; it keeps the request lines.
fn server(answers: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/site.tar", listener.local_addr().expect("it is bound"));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    thread::spawn(move || {
        for number in 0.. {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
            kept.lock().expect("no panic").push(lines.next().expect("a line").expect("a line"));
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            // A client that hangs up early is part of the tests.
            let _ = stream.write_all(&answers[number.min(answers.len() - 1)]);
        }
    });
    (address, requests)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "index.html", &b"hi"[..]).expect("memory");
    tar.into_inner().expect("memory")
}

fn whole() -> Vec<u8> {
    answer("200 OK\r\nETag: \"1\"\r\nContent-Length: 2048", &archive())
}

fn read(address: &str) -> (Basket, Result<Summary, Error>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let patience = Patience { total: Duration::from_secs(2), stall: Duration::from_secs(1) };
    let source = crate::source::Source::open_with(&address.parse().expect("an address"), runtime.handle(), patience);
    let basket = Basket::default();
    let outcome = basket.fill(|reading| source.expect("a client").read(reading));
    (basket, outcome)
}

fn mark(address: &str) -> Result<Digest, Error> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    crate::source::Source::open(&address.parse().expect("an address"), runtime.handle())?.mark()
}

#[test]
fn reads_an_archive_with_its_query() {
    let (address, requests) = server(vec![whole()]);
    let (basket, outcome) = read(&format!("{address}?X-Signature=a%2Fb&x"));
    outcome.expect("it is plain");
    assert_eq!(basket.files(), expected([("index.html", "hi")]));
    assert_eq!(*requests.lock().expect("no panic"), ["GET /site.tar?X-Signature=a%2Fb&x HTTP/1.1"]);
}

#[test]
fn begins_again_after_a_break() {
    let cut = answer("200 OK\r\nContent-Length: 2048", &archive()[..600]);
    let (address, requests) = server(vec![cut, answer("503 Busy", b""), whole()]);
    let (basket, outcome) = read(&address);
    outcome.expect("the third try is whole");
    assert_eq!(basket.files(), expected([("index.html", "hi")]));
    assert_eq!(requests.lock().expect("no panic").len(), 3);
}

#[test]
fn gives_up_in_time() {
    let cut = answer("200 OK\r\nContent-Length: 2048", &archive()[..600]);
    for answers in [vec![cut], vec![answer("500 Oh", b"")]] {
        let (address, _) = server(answers);
        let start = std::time::Instant::now();
        assert_eq!(read(&address).1.expect_err("never whole").kind(), Kind::Unreachable);
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    }
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it was bound");
    assert_eq!(read(&format!("http://{nobody}/x.tar")).1.expect_err("nobody").kind(), Kind::Unreachable);
}

#[test]
fn tells_what_the_status_says() {
    for (status, kind) in [
        ("404 Not Found", Kind::Absent),
        ("410 Gone", Kind::Absent),
        ("403 Forbidden", Kind::Denied),
        ("401 Unauthorized", Kind::Denied),
        ("400 Bad", Kind::Failed),
    ] {
        let (address, requests) = server(vec![answer(status, b"")]);
        let error = read(&format!("{address}?secret=1")).1.expect_err(status);
        assert_eq!(error.kind(), kind);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        assert_eq!(mark(&address).expect_err(status).kind(), kind);
        assert_eq!(requests.lock().expect("no panic").len(), 2);
    }
}

#[test]
fn follows_redirects_but_not_for_ever() {
    let (target, _) = server(vec![whole()]);
    let (address, _) = server(vec![answer(&format!("302 Found\r\nLocation: {target}"), b"")]);
    read(&address).1.expect("it was followed");
    let (address, requests) = server(vec![answer("302 Found\r\nLocation: /again", b"")]);
    assert_eq!(read(&address).1.expect_err("a circle").kind(), Kind::Failed);
    assert_eq!(requests.lock().expect("no panic").len(), 6);
}

#[test]
fn marks_by_tag_or_by_content() {
    let tagged = |tag: &str| mark(&server(vec![answer(&format!("200 OK\r\nETag: {tag}"), b"x")]).0).expect("a mark");
    assert_eq!(tagged("\"1\""), tagged("\"1\""));
    assert_ne!(tagged("\"1\""), tagged("\"2\""));
    let untagged = |body: &[u8]| {
        let part = answer("206 Part\r\nContent-Range: bytes 0-0/3\r\nContent-Length: 1", &body[..1]);
        mark(&server(vec![part, answer("200 OK\r\nContent-Length: 3", body)]).0).expect("a mark")
    };
    assert_eq!(untagged(b"abc"), untagged(b"abc"));
    assert_ne!(untagged(b"abc"), untagged(b"abd"));
}
