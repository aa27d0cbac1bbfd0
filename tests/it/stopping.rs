//! SIGTERM: not ready any more, what runs is finished, exit 0.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    http::{connect, read_answer},
    listing::contents,
    pod::{Pod, TOKEN},
    run::eventually,
    served::Served,
};

/// An upload of which only the head and `first` were sent.
fn begin_upload(served: &Served, length: usize, first: &[u8]) -> TcpStream {
    let mut socket = connect(served.listen);
    let head = format!(
        "PUT /site/slow.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("the head is sent");
    socket.write_all(first).expect("a part is sent");
    // The server has it in hand when the rest comes late.
    std::thread::sleep(Duration::from_millis(500));
    socket
}

#[test]
fn sigterm_lets_a_running_upload_finish() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let half = vec![b'x'; 300_000];
    let mut socket = begin_upload(&served, 600_000, &half);
    served.signal(Signal::TERM);
    eventually("not ready after SIGTERM", Duration::from_secs(5), || {
        // Nobody listening there would be as good for a kubelet, but the upload holds the process.
        (served.probe("/readyz") == Some(503)).then_some(())
    });
    for piece in half.chunks(100_000) {
        std::thread::sleep(Duration::from_millis(300));
        socket.write_all(piece).expect("the upload goes on");
    }
    let answer = read_answer(&mut socket).expect("it is answered").expect(201).json();
    assert_eq!(answer["bytes"], 600_000);
    let run = served.ended(Duration::from_secs(10));
    run.expect(0);
    assert_eq!(contents(&pod.volume())["slow.txt"].len(), 600_000);
    assert_eq!(pod.causes(), ["seed", "patch"]);
}

#[test]
fn sigterm_ends_an_idle_server_at_once() {
    let pod = Pod::new();
    let served = pod.serve();
    // A client that keeps its connection open, and one that never spoke.
    let mut idle = connect(served.listen);
    let request = format!("GET /v1/releases HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    idle.write_all(request.as_bytes()).expect("a request is sent");
    read_answer(&mut idle).expect("it is answered").expect(200);
    let _silent = connect(served.listen);
    let start = Instant::now();
    served.terminate().expect(0);
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

#[test]
fn an_upload_that_never_ends_does_not_hold_the_server_beyond_its_grace() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve_with(&["--grace", "2s"]);
    let mut socket = begin_upload(&served, 600_000, b"only this");
    served.signal(Signal::TERM);
    let start = Instant::now();
    let run = served.ended(Duration::from_secs(15));
    assert!(start.elapsed() > Duration::from_millis(1_500), "the grace is given: {:?}", start.elapsed());
    assert!(matches!(run.code, Some(0 | 1)), "{run:?}");
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(pod.causes(), ["seed"]);

    // What it left behind is swept by the next one.
    let served = pod.serve();
    served.put("/site/next.html", "next").expect(201);
    assert_eq!(crate::listing::staging_leftovers(&pod.volume()), Vec::<std::path::PathBuf>::new());
}
