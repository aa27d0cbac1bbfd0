//! Many who come to say nothing, or too little, and those beside them who have something to say.
//!
//! Loopback has a whole network of source addresses: each attacker is many clients, or one, as the test likes. Bounds of
//! time are the server's own, with as much again for a busy machine.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    http::{read_answer, runtime, try_call},
    limits::metric,
    part,
    pod::{Pod, TOKEN},
    run::eventually,
    served::Served,
};

/// As the server has it, and what a busy machine may add.
const HEADERS: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(30);
const SLACK: Duration = Duration::from_secs(20);

/// Lets this process have many sockets, or skips.
fn may_open(count: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < count) {
        part::skip(&format!("this process may not open {count} files (ulimit -Hn)"));
        return false;
    }
    if limit.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).expect("the soft limit is raised");
    }
    true
}

/// The `number`th of many clients.
fn client(number: usize) -> IpAddr {
    let number = u32::try_from(number).expect("a small number");
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number).into()
}

async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// From this client, with a text to begin with, then a byte each second; until the server closes, or the
/// time is over. How long that took.
async fn trickle(from: IpAddr, to: SocketAddr, head: String, byte: Option<u8>, within: Duration) -> Duration {
    let Ok(mut stream) = connect(from, to).await else { return Duration::ZERO };
    let start = Instant::now();
    if stream.write_all(head.as_bytes()).await.is_err() {
        return start.elapsed();
    }
    let mut answer = [0; 4_096];
    loop {
        if start.elapsed() >= within {
            return start.elapsed();
        }
        // A client of this kind reads on, whatever it is told.
        match timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return start.elapsed(),
            Err(_) => {
                if let Some(byte) = byte
                    && stream.write_all(&[byte]).await.is_err()
                {
                    return start.elapsed();
                }
            }
        }
    }
}

fn put(path: &str, length: usize, token: bool) -> String {
    let token = if token { format!("Authorization: Bearer {TOKEN}\r\n") } else { String::new() };
    format!("PUT {path} HTTP/1.1\r\nHost: x\r\n{token}Content-Length: {length}\r\n\r\n")
}

#[test]
fn a_crowd_is_sent_away_in_time_and_good_clients_get_in() {
    if !may_open(8_000) {
        return;
    }
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let to = served.listen;
    // (how many, what each begins with, what it goes on with, until when it is to be gone)
    let slow_headers = "GET /site/ HTTP/1.1\r\nX-Slow: ".to_owned();
    let kinds = [
        (5_000, String::new(), None, HEADERS),
        (1_000, slow_headers, Some(b'x'), HEADERS),
        (250, put("/site/nobody.bin", 1_000_000, false), Some(b'x'), WINDOW),
        (250, put("/site/slow.bin", 1_000_000, true), Some(b'x'), WINDOW),
    ];
    let is_over = Arc::new(AtomicBool::new(false));
    let asking = std::thread::spawn({
        let (is_over, url) = (Arc::clone(&is_over), format!("http://{}/readyz", served.probes));
        move || {
            let mut asked = 0;
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                let answer = try_call("GET", &url, &[], "").expect("a probe is answered");
                assert_eq!(answer.status, 200);
                assert!(start.elapsed() < SLACK, "a probe took {:?}", start.elapsed());
                asked += 1;
                std::thread::sleep(Duration::from_millis(200));
            }
            asked
        }
    });
    let start = Instant::now();
    let mut number = 0;
    let mut crowd = Vec::new();
    for (count, head, byte, bound) in kinds {
        for _ in 0..count {
            // The last of them are one client, who would take all that can be had.
            let from = if number < 6_250 { client(number) } else { client(6_250) };
            crowd.push((number, bound, runtime().spawn(trickle(from, to, head.clone(), byte, bound + SLACK))));
            number += 1;
        }
    }
    eventually("the crowd is there", SLACK, || (metric(&served, "longshore_connections") >= 1_000.0).then_some(()));
    let finished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for uploader in 0..10 {
            let (served, finished) = (&served, &finished);
            scope.spawn(move || {
                for number in 0..5 {
                    served.put(&format!("/site/good/{uploader}-{number}.txt"), vec![b'g'; 100_000]).expect(201);
                    finished.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let uploads = start.elapsed();
    assert_eq!(finished.into_inner(), 50);
    for (number, bound, one) in crowd {
        let took = runtime().block_on(one).expect("it ended");
        assert!(took < bound + SLACK, "number {number} was closed after {took:?}");
    }
    let all = start.elapsed();
    is_over.store(true, Ordering::Relaxed);
    let probes = asking.join().expect("every probe was answered");
    let closed = |reason| metric(&served, &format!("longshore_closed_connections_total{{reason={reason:?}}}"));
    let reasons =
        ["done", "headers", "crowded", "body_slow", "client", "broken"].map(|reason| (reason, closed(reason)));
    #[expect(clippy::print_stdout, reason = "figures, shown with --nocapture")]
    let () = println!(
        "uploads after {uploads:?}, all after {all:?}, {probes} probes, {} MiB, {reasons:?}",
        served.peak_memory() >> 20
    );
    assert!(closed("headers") > 0.0 && closed("crowded") > 0.0 && closed("body_slow") > 0.0, "{reasons:?}");
    assert_eq!(served.get("/site/slow.bin").status, 404);
    eventually("nobody is connected", SLACK, || (metric(&served, "longshore_connections") <= 1.0).then_some(()));
}

/// A connection from a client, with what it says first.
fn from(served: &Served, number: usize, text: &str) -> std::net::TcpStream {
    let stream = runtime().block_on(async {
        let mut stream = connect(client(number), served.listen).await.expect("a connection");
        // It may be closed already.
        let _ = stream.write_all(text.as_bytes()).await;
        stream
    });
    let stream = stream.into_std().expect("a socket");
    stream.set_nonblocking(false).expect("it blocks");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    stream
}

#[test]
fn long_headers_that_never_end_take_little_memory() {
    if !may_open(5_000) {
        return;
    }
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let before = served.peak_memory();
    let headers: String = (0..90).map(|number| format!("X-{number}: {}\r\n", "a".repeat(330))).collect();
    let head = format!("GET /site/ HTTP/1.1\r\nHost: x\r\n{headers}");
    let crowd = runtime().block_on(async {
        let mut crowd = Vec::new();
        for number in 0..3_500 {
            let Ok(mut stream) = connect(client(number), served.listen).await else { continue };
            let _ = timeout(Duration::from_secs(1), stream.write_all(head.as_bytes())).await;
            crowd.push(stream);
        }
        crowd
    });
    served.get("/site/").expect(200);
    let more = served.peak_memory() - before;
    assert!(more < 128 << 20, "{} MiB", more >> 20);
    drop(crowd);
}

/// An archive is written by a thread, which waits for its reader.
#[test]
fn readers_who_take_nothing_keep_nobody_from_writing() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    std::fs::write(seed.join("large.bin"), vec![0; 16 << 20]).expect("written");
    pod.fill(seed).expect(0);
    let served = pod.serve_with(&["--public-read"]);
    let readers: Vec<_> = (0..40)
        .map(|number| {
            let stream = runtime().block_on(async {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.set_recv_buffer_size(4_096).expect("a small one");
                socket.bind((client(number), 0).into()).expect("an address");
                let mut stream = socket.connect(served.listen).await.expect("a connection");
                stream.write_all(b"GET /site/?archive=tar HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
                stream
            });
            let stream = stream.into_std().expect("a socket");
            stream.set_nonblocking(false).expect("it blocks");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
            stream
        })
        .collect();
    let begins_with = |mut stream: &std::net::TcpStream| {
        let mut begin = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut begin).expect("an answer");
        String::from_utf8_lossy(&begin).into_owned()
    };
    let begins: Vec<_> = readers.iter().map(begins_with).collect();
    let count = |begin| begins.iter().filter(|one| *one == begin).count();
    assert_eq!((count("HTTP/1.1 200"), count("HTTP/1.1 503")), (16, 24), "{begins:?}");
    served.put("/site/a.txt", "a").expect(201);
    drop(readers);
    eventually("it is the next one's turn", SLACK, || (served.get("/site/?archive=tar").status == 200).then_some(()));
}

#[test]
fn one_client_cannot_take_what_belongs_to_all() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve_with(&["--max-client-uploads", "2", "--max-client-connections", "4"]);
    let begun = |number, name: &str| from(&served, number, &format!("{}a", put(&format!("/site/{name}"), 10, true)));
    let _under_way = [begun(1, "a"), begun(1, "b")];
    eventually("two are under way", SLACK, || (metric(&served, "longshore_uploads_in_flight") == 2.0).then_some(()));
    let answer = read_answer(&mut begun(1, "c")).expect("an answer").expect(429);
    assert_eq!((answer.problem(), answer.json()["limit"].as_u64()), ("too-many-uploads".to_owned(), Some(2)));
    assert!(answer.text().contains("--max-client-uploads"), "{answer}");
    // Another one is not asked to wait.
    let whole = format!("{}0123456789", put("/site/d", 10, true));
    read_answer(&mut from(&served, 2, &whole)).expect("an answer").expect(201);

    // Connections: two upload, more wait; each new one takes the place of the one that waits longest, once that had a moment.
    let get = format!("GET /site/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    let mut all_kept = Vec::new();
    for _ in 0..5 {
        let mut kept = from(&served, 1, &get);
        let Some(answer) = read_answer(&mut kept) else {
            std::thread::sleep(Duration::from_millis(1_500));
            continue;
        };
        answer.expect(200);
        all_kept.push(kept);
    }
    let closed = |reason| metric(&served, &format!("longshore_closed_connections_total{{reason={reason:?}}}"));
    assert!(closed("client") >= 1.0 && closed("crowded") >= 1.0, "{} {}", closed("client"), closed("crowded"));
    read_answer(&mut from(&served, 3, &get)).expect("an answer").expect(200);
    assert_eq!(metric(&served, "longshore_uploads_in_flight"), 2.0);
}

#[test]
fn a_trickle_is_told_which_rule_it_broke_at_every_door() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let length =
        [("authorization", &*format!("Bearer {TOKEN}")), ("tus-resumable", "1.0.0"), ("upload-length", "100000")];
    let begun = crate::http::call("POST", &served.url("/v1/uploads"), &length, "").expect(201);
    let tus = format!("/v1/uploads/{}", begun.header("location").rsplit('/').next().expect("a name"));
    let object = format!("/v1/objects/{}", "0".repeat(64));
    // What is read as it comes: an archive's and a form's first bytes, JSON that has begun.
    let form = "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.txt\"\r\n\r\n";
    let json = "{\"message\": \"";
    let mut tar = tar::Header::new_ustar();
    tar.set_path("a.txt").expect("a path");
    tar.set_size(90_000);
    tar.set_cksum();
    let tar = std::str::from_utf8(tar.as_bytes()).expect("text");
    let doors = [
        ("PUT", "/site/a.txt", "", "a"),
        ("PUT", "/site/a/", "", tar),
        ("PATCH", "/site/a/", "", tar),
        ("POST", "/site/a/", "Content-Type: multipart/form-data; boundary=x\r\n", form),
        ("POST", "/v1/releases", "Content-Type: application/json\r\n", "{\"manifest\": {\""),
        ("PUT", &object, "", "a"),
        ("POST", "/v1/objects", "", tar),
        (
            "PATCH",
            &tus,
            "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n",
            "a",
        ),
        ("PUT", "/v1/lock", "Content-Type: application/json\r\n", json),
        ("POST", "/v1/rollback", "Content-Type: application/json\r\n", "{\"to\": \""),
    ];
    std::thread::scope(|scope| {
        for (method, path, headers, body) in doors {
            let served = &served;
            scope.spawn(move || {
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{headers}Content-Length: 100000\r\n\r\n{body}"
                );
                let mut stream = from(served, 1, &head);
                let start = Instant::now();
                stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
                while stream.peek(&mut [0]).is_err() && start.elapsed() < WINDOW + SLACK {
                    use std::io::Write as _;
                    let _ = stream.write_all(b"a");
                }
                let answer = read_answer(&mut stream).unwrap_or_else(|| panic!("no answer: {method} {path}"));
                assert_eq!((answer.status, answer.problem()), (408, "body-slow".to_owned()), "{method} {path}: {answer}");
                assert!(answer.text().contains("500 bytes a second"), "{answer}");
            });
        }
    });
    assert_eq!(pod.causes(), ["seed"]);
}
