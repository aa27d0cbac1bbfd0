//! Hostile requests, byte by byte over a bare socket, so that no client makes them harmless on their way.

mod agreement;
mod bucket;
mod door;
mod folder;
mod inputs;
mod pack;
mod race;
mod requests;
mod table;
mod tape;
mod tars;
mod world;
mod zipper;
mod zips;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    path::PathBuf,
    time::Duration,
};

use crate::{
    http::{Answer, connect, raw, read_answer},
    pod::TOKEN,
};

pub(crate) use self::world::World as Target;

/// A request whose target goes out as it is.
fn request(method: &str, target: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} ").into_bytes();
    bytes.extend_from_slice(target);
    let length = body.len();
    bytes.extend_from_slice(
        format!(
            " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
        .as_bytes(),
    );
    bytes.extend_from_slice(body);
    bytes
}

/// Every spelling of a way out that was thought of; all of it is refused in every verb.
fn escapes() -> Vec<String> {
    let mut targets: Vec<String> = [
        "/site/../x",
        "/site/../../../../etc/x",
        "/site/..",
        "/site/../",
        "/site/.",
        "/site/./x",
        "/site/a/../../x",
        "/site/assets/..",
        "/site/assets/../x",
        "/site/%2e%2e/x",
        "/site/%2E%2E/x",
        "/site/.%2e/x",
        "/site/%2e./x",
        "/site/%2e/x",
        "/site/%252e%252e/x",
        "/site/%252e%252e%252fx",
        "/site/..%252fx",
        "/site/%25252e%25252e/x",
        "/site/..%2fx",
        "/site/..%2Fx",
        "/site/%2e%2e%2fx",
        "/site/a%2f..%2f..%2fx",
        "/site/%2fetc%2fx",
        "/site//etc/x",
        "/site//x",
        "/site/a//x",
        "/site/..%5cx",
        "/site/a%5c..%5c..%5cx",
        "/site/C:%5cx",
        "/site/..\\x",
        "/site/%00",
        "/site/x%00.html",
        "/site/%0a",
        "/site/a%0d%0ab",
        "/site/a%1b%5b2J",
        "/site/a%7fb",
        "/site/a%e2%80%aeb",
        "/site/%ff",
        "/site/%c0%ae%c0%ae/x",
        "/site/%c0%afx",
        "/site/%e0%80%ae%e0%80%ae/x",
        "/site/%ed%a0%80",
        "/site/.longshore/journal/x",
        "/site/.longshore",
        "/site/.longshore/lock",
        "/site/.longshore/trees/x",
        "/site/%2elongshore/x",
        "/site/.LONGSHORE/x",
        "/site/..data",
        "/site/..data/x",
        "/site/..data/index.html",
        "/site/..x",
        "/site/a/..x",
        "/site/.nfs0001",
        "/site/lost+found/x",
        "/site/lost%2bfound/x",
        "/site/lost+found",
        "http://elsewhere.example/site/../x",
        "http://elsewhere.example/site/%2e%2e/x",
        "http://elsewhere.example/../x",
        "//site/../x",
        "/site/assets/%2e%2e/%2e%2e/x",
        "/../site/x",
        "/v1/../site/../x",
        "/../../etc/x",
    ]
    .map(String::from)
    .into();
    targets.push(format!("/site/{}", "x".repeat(256)));
    targets.push(format!("/site/{}", "%C3%BC".repeat(128)));
    targets.push(format!("/site/{}x", "seven77/".repeat(512)));
    targets.push(format!("/site/{}x", "a/".repeat(1_000)));
    targets
}

fn assert_refused(answer: Option<Answer>, what: &str) -> Answer {
    let answer = answer.unwrap_or_else(|| panic!("no answer to {what}"));
    assert!((400..500).contains(&answer.status), "{what}: {answer}");
    answer
}

#[test]
fn no_spelling_of_a_path_leaves_the_site() {
    let mut target = Target::new();
    for path in escapes() {
        let short: String = path.chars().take(60).collect();
        for method in ["PUT", "DELETE", "GET", "HEAD", "PATCH"] {
            let what = format!("{method} {short}");
            let answer = assert_refused(raw(target.served.listen, &request(method, path.as_bytes(), b"evil")), &what);
            assert!(!answer.text().contains("canary"), "{what}: {answer}");
            if method != "HEAD" {
                answer.problem();
            }
        }
        let tar = crate::archive::tar(&[("x", b"evil")]);
        for method in ["PUT", "PATCH", "DELETE"] {
            let folder = format!("{path}/");
            let what = format!("{method} {short}/");
            assert_refused(raw(target.served.listen, &request(method, folder.as_bytes(), &tar)), &what).problem();
        }
        target.assert_unharmed(&short);
    }
}

#[test]
fn a_percent_sign_of_a_name_is_no_escape() {
    let target = Target::new();
    for (path, name) in [("/site/100%25.html", "100%.html"), ("/site/a%20%2B%25z.html", "a +%z.html")] {
        raw(target.served.listen, &request("PUT", path.as_bytes(), b"fine")).expect("an answer").expect(201);
        assert_eq!(fs::read(target.pod.volume().join(name)).expect("under its own name"), b"fine");
        assert_eq!(target.served.get(path).expect(200).text(), "fine");
    }
}

#[test]
fn the_longest_name_that_a_disk_takes_is_taken() {
    let target = Target::new();
    let name = "x".repeat(255);
    target.served.put(&format!("/site/{name}"), "long").expect(201);
    target.served.put(&format!("/site/assets/{name}"), "long").expect(201);
    assert_eq!(fs::read(target.pod.volume().join(name)).expect("it is there"), b"long");
}

#[test]
fn bytes_that_are_no_http_are_refused_or_cut_off() {
    let mut target = Target::new();
    let heads: [&[u8]; 9] = [
        b"PUT /site/a\0b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT /site/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT /site/a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT site/a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PUT /site/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT /site/a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"PUT /site/a HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\nx",
    ];
    for head in heads {
        let what = String::from_utf8_lossy(head).into_owned();
        let mut socket = connect(target.served.listen);
        let _ = socket.write_all(head);
        let _ = socket.shutdown(Shutdown::Write);
        if let Some(answer) = read_answer(&mut socket) {
            assert_refused(Some(answer), &what);
        }
        target.assert_unharmed(&what);
    }
}

#[test]
fn a_body_that_ends_before_its_length_changes_nothing() {
    let mut target = Target::new();
    let tar = crate::archive::tar(&[("index.html", b"evil")]);
    let bodies: [(&str, &[u8]); 4] =
        [("/site/index.html", b"evil"), ("/site/new.html", b""), ("/site/", &tar), ("/site/assets/", &tar)];
    for (path, body) in bodies {
        for reset in [false, true] {
            let what = format!("a short body to {path}");
            let mut socket = connect(target.served.listen);
            let length = body.len() + 1_000;
            let head = format!(
                "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n"
            );
            socket.write_all(head.as_bytes()).expect("the head is sent");
            socket.write_all(body).expect("a part is sent");
            std::thread::sleep(Duration::from_millis(100));
            if !reset {
                socket.shutdown(Shutdown::Write).expect("the body ends");
                if let Some(answer) = read_answer(&mut socket) {
                    assert_refused(Some(answer), &what);
                }
            }
            drop(socket);
            target.assert_unharmed(&what);
        }
    }
}

#[test]
fn a_chunked_body_that_breaks_off_changes_nothing() {
    let mut target = Target::new();
    let endings = [
        "",
        "4\r\nev",
        "zz\r\nevil\r\n0\r\n\r\n",
        "-4\r\nevil\r\n",
        "ffffffffffffffffff\r\nevil",
        "4\r\nevilevil\r\n0\r\n\r\n",
    ];
    for ending in endings {
        let mut socket = connect(target.served.listen);
        let request = format!(
            "PUT /site/index.html HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n{ending}"
        );
        socket.write_all(request.as_bytes()).expect("it is sent");
        let _ = socket.shutdown(Shutdown::Write);
        if let Some(answer) = read_answer(&mut socket) {
            assert_refused(Some(answer), ending);
        }
        target.assert_unharmed(&format!("a chunked body that ends in {ending:?}"));
    }
}

#[test]
fn two_lengths_or_an_unknown_coding_are_refused() {
    let mut target = Target::new();
    for framing in [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        let request =
            format!("PUT /site/index.html HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{framing}\r\nevil\n");
        if let Some(answer) = raw(target.served.listen, request.as_bytes()) {
            assert_refused(Some(answer), framing);
        }
        target.assert_unharmed(framing);
    }
}

#[test]
fn what_follows_a_body_is_no_part_of_it() {
    let target = Target::new();
    let mut bytes = request("PUT", b"/site/exact.txt", b"exactly this");
    bytes.extend_from_slice(b", and more");
    raw(target.served.listen, &bytes).expect("an answer").expect(201);
    assert_eq!(fs::read(target.pod.volume().join("exact.txt")).expect("it is there"), b"exactly this");
}

#[test]
fn huge_heads_are_refused() {
    let mut target = Target::new();
    let long = format!("GET /site/ HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /site/ HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: x\r\n".repeat(2_000));
    for (what, head) in [("a header of 1 MiB", long), ("2,000 headers", many)] {
        if let Some(answer) = raw(target.served.listen, head.as_bytes()) {
            assert_refused(Some(answer), what);
        }
        target.assert_unharmed(what);
    }
}

#[test]
fn silent_and_slow_connections_do_not_keep_others_out() {
    let mut target = Target::new();
    let _silent: Vec<_> = (0..150).map(|_| connect(target.served.listen)).collect();
    let mut slow: Vec<_> = (0..50).map(|_| connect(target.served.listen)).collect();
    for socket in &mut slow {
        socket.write_all(b"PUT /site/slow.txt HTTP/1.1\r\nHost:").expect("a part is sent");
    }
    target.assert_unharmed("200 connections that say little");
    target.served.put("/site/quick.txt", "quick").expect(201);
    // In the end they are closed: nobody holds a place for ever by saying half a head.
    let mut socket = slow.pop().expect("there are some");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out is set");
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).expect("the server closes within a minute");
}

#[test]
fn links_that_somebody_left_in_the_site_are_not_followed() {
    let mut target = Target::new();
    // Somebody with a shell in the pod: in the live generation, where our trees have plain files only.
    let generation = fs::canonicalize(target.pod.volume().join("..data")).expect("it resolves");
    let outside: PathBuf = target.pod.path("outside");
    fs::create_dir(&outside).expect("a folder is made");
    std::os::unix::fs::symlink(target.pod.path("canary/song"), generation.join("leaf.html")).expect("a link is made");
    std::os::unix::fs::symlink(&outside, generation.join("assets/way")).expect("a link is made");
    target.look_again();
    for path in ["/site/leaf.html", "/site/assets/way/x", "/site/assets/way/../x"] {
        let answer = raw(target.served.listen, &request("GET", path.as_bytes(), b"")).expect("an answer");
        assert!(!answer.text().contains("canary"), "{path}: {answer}");
        // Publishing there may work, since the journal knows nothing of the link; it must not reach through it.
        let _ = raw(target.served.listen, &request("PUT", path.as_bytes(), b"evil"));
    }
    assert_eq!(fs::read_to_string(target.pod.path("canary/song")).expect("it reads"), "the canary sings");
    assert_eq!(fs::read_dir(&outside).expect("it lists").count(), 0, "nothing was written through the link");
    target.served.assert_running();
}
