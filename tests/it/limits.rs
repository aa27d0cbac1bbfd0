//! How much may come in: refused before the first byte where a length is told, else as soon as it is too much, and nothing
//! of it stays.

use std::{
    io::{Read as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    archive::{gzip, tar},
    faults::noise,
    http::{Answer, connect, read_answer},
    listing::staging_leftovers,
    mount::Tmpfs,
    pod::{Pod, TOKEN},
    power::{is_torture, say},
    run::eventually,
    served::Served,
    uploads::hex,
};

const KIB: usize = 1 << 10;

/// A pod with a site of one file of 4 KiB, and small limits: 64 KiB a file, 128 KiB and 8 files a site.
fn small() -> (Pod, Served) {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", &"x".repeat(4 * KIB))])).expect(0);
    let served = pod.serve_with(&["--max-file", "64KiB", "--max-site", "131072", "--max-files", "8"]);
    (pod, served)
}

/// The head of a request with these more headers.
fn head(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n")
}

/// What is answered to a body of `length` bytes that waits to be asked for: it is not.
#[track_caller]
fn announced(served: &Served, method: &str, path: &str, more: &str, length: u64) -> Answer {
    let mut socket = connect(served.listen);
    let more = format!("{more}Content-Length: {length}\r\nExpect: 100-continue\r\n");
    socket.write_all(head(method, path, &more).as_bytes()).expect("it is sent");
    let answer = read_answer(&mut socket).expect("an answer");
    assert_ne!(answer.status, 100, "nothing of {length} bytes for {path} should be asked for");
    answer
}

/// What is answered to a chunked body without an end, and how many bytes of it were sent until then.
#[track_caller]
fn endless(served: &Served, method: &str, path: &str, start: &[u8]) -> (Answer, usize) {
    let mut socket = connect(served.listen);
    socket.write_all(head(method, path, "Transfer-Encoding: chunked\r\n").as_bytes()).expect("it is sent");
    let mut piece = start.to_vec();
    let mut sent = 0;
    socket.set_nonblocking(true).expect("it is set");
    loop {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        let mut left = &chunk[..];
        while !left.is_empty() {
            match socket.write(left) {
                Ok(count) => left = &left[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{sent} bytes were taken, then: {error}"),
            }
            if socket.peek(&mut [0; 16]).is_ok_and(|count| count > 0) {
                socket.set_nonblocking(false).expect("it is set");
                return (read_answer(&mut socket).expect("an answer"), sent);
            }
        }
        sent += piece.len();
        assert!(sent < 256 << 20, "it would go on for ever");
        piece = vec![b'x'; 16 * KIB];
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, kind: &str, limit: u64, wanted: u64) {
    assert_eq!((answer.status, &*answer.problem()), (status, kind), "{answer}");
    let problem = answer.json();
    assert_eq!(problem["limit"], limit, "{answer}");
    assert!(problem["wanted"].as_u64().is_some_and(|found| found >= wanted), "{wanted} or more: {answer}");
}

#[track_caller]
fn assert_clean(pod: &Pod) {
    assert_eq!(staging_leftovers(&pod.volume()), Vec::<PathBuf>::new());
    assert_eq!(pod.causes(), ["seed"]);
}

/// A deploy of these files, by name and size, whose objects nobody has.
fn manifest(files: &[(String, u64)]) -> Value {
    let files: serde_json::Map<String, Value> = files
        .iter()
        .map(|(name, size)| (name.clone(), json!({ "digest": hex(name.as_bytes()), "size": size })))
        .collect();
    json!({ "manifest": files })
}

#[test]
fn what_is_announced_too_large_is_refused_before_it_is_sent() {
    let (pod, served) = small();
    let object = format!("/v1/objects/{}", hex(b"x"));
    for path in ["/site/a.bin", "/site/index.html", &object] {
        assert_problem(&announced(&served, "PUT", path, "", 65_537), 413, "file-too-large", 65_536, 65_537);
    }
    let huge = 10_u64 << 40;
    let form = "Content-Type: multipart/form-data; boundary=b\r\n";
    for (method, path, more) in
        [("PUT", "/site/", ""), ("PATCH", "/site/a/", ""), ("POST", "/site/", form), ("POST", "/v1/objects", "")]
    {
        assert_problem(&announced(&served, method, path, more, huge), 413, "site-too-large", 131_072, huge);
    }
    assert_clean(&pod);
    // The limit itself is no more than the limit.
    served.put("/site/a.bin", vec![1; 64 * KIB]).expect(201);
    let answer = announced(&served, "PUT", "/site/b.bin", "", 64 * 1_024);
    assert_problem(&answer, 413, "site-too-large", 131_072, (4 + 64 + 64) << 10);
    // In place of another it is none too many.
    served.put("/site/a.bin", vec![2; 64 * KIB]).expect(200);
    served.put("/site/b.bin", vec![2; 60 * KIB]).expect(201);
    served.put("/site/empty", "").expect(201);
    let answer = announced(&served, "PUT", "/site/c.bin", "", 1);
    assert_problem(&answer, 413, "site-too-large", 131_072, 131_073);
}

#[test]
fn a_file_too_many_is_refused_before_it_is_sent() {
    let (_pod, served) = small();
    for number in 1..8 {
        served.put(&format!("/site/{number}.txt"), "x").expect(201);
    }
    assert_problem(&announced(&served, "PUT", "/site/8.txt", "", 1), 413, "too-many-files", 8, 9);
    assert_problem(&served.put("/site/8.txt", "").expect(413), 413, "too-many-files", 8, 9);
    served.put("/site/7.txt", "another").expect(200);
    served.delete("/site/7.txt").expect(200);
    served.put("/site/8.txt", "x").expect(201);
}

#[test]
fn a_body_without_a_length_is_cut_where_it_is_too_large() {
    let (pod, served) = small();
    let object = format!("/v1/objects/{}", hex(b"x"));
    let mut header = tar(&[("big.bin", &[1; 4 * KIB])])[..512].to_vec();
    // A tar that says so of itself is not read at all.
    let mut lies = tar::Header::new_gnu();
    lies.set_path("big.bin").expect("a name");
    lies.set_size(1 << 40);
    lies.set_mode(0o644);
    lies.set_entry_type(tar::EntryType::Regular);
    lies.set_cksum();
    header.copy_from_slice(lies.as_bytes());
    let part = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"big.bin\"\r\n\r\n";
    for (method, path, start) in [
        ("PUT", "/site/a.bin", &b"x"[..]),
        ("PUT", &object, b"x"),
        ("PUT", "/site/", &header),
        ("PATCH", "/site/a/", &header),
    ] {
        let (answer, sent) = endless(&served, method, path, start);
        assert_problem(&answer, 413, "file-too-large", 65_536, 65_537);
        assert!(sent < 16 << 20, "{sent} bytes were taken for {method} {path}");
        assert_clean(&pod);
    }
    let mut socket = connect(served.listen);
    let more = "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 200000\r\n";
    socket.write_all(head("POST", "/site/", more).as_bytes()).expect("it is sent");
    socket.write_all(part.as_bytes()).expect("it is sent");
    socket.write_all(&[b'x'; 80 * KIB]).expect("it is sent");
    assert_problem(&read_answer(&mut socket).expect("an answer"), 413, "file-too-large", 65_536, 65_537);
    assert_clean(&pod);
}

#[test]
fn the_files_of_an_archive_count_together_however_they_are_packed() {
    let (pod, served) = small();
    let large = vec![7; 60 * KIB];
    let three = [("a.bin", &large[..]), ("b.bin", &large), ("c.bin", &large)];
    let names: Vec<String> = (0..9).map(|number| format!("{number}.txt")).collect();
    let nine: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b"x"[..])).collect();
    // In a few bytes, four times what a site may have.
    let bomb = gzip(&tar(&[("zeros.bin", &vec![0; 512 * KIB])]));
    assert!(bomb.len() < 16 * KIB);
    for method in ["PUT", "PATCH"] {
        let send = |body: Vec<u8>| served.call(method, "/site/", body).expect(413);
        assert_problem(&send(tar(&three)), 413, "site-too-large", 131_072, 180 << 10);
        assert_problem(&send(gzip(&tar(&three))), 413, "site-too-large", 131_072, 180 << 10);
        assert_problem(&send(tar(&nine)), 413, "too-many-files", 8, 9);
        assert_problem(&send(bomb.clone()), 413, "file-too-large", 65_536, 512 << 10);
        assert_clean(&pod);
    }
    assert_problem(&served.call("POST", "/v1/objects", tar(&nine)).expect(413), 413, "too-many-files", 8, 9);
    assert_problem(&served.call("POST", "/v1/objects", bomb).expect(413), 413, "file-too-large", 65_536, 512 << 10);
    assert_clean(&pod);
    // What is merged counts with what is there, what is replaced does not.
    let two = tar(&[("index.html", &large), ("b.bin", &large)]);
    served.patch("/site/", two.clone()).expect(200);
    let answer = served.patch("/site/", tar(&[("c.bin", &large[..9 * KIB])])).expect(413);
    assert_problem(&answer, 413, "site-too-large", 131_072, 129 << 10);
    served.patch("/site/", two.clone()).expect(200);
    served.patch("/site/", tar(&[("b.bin", &large[..1]), ("c.bin", &large)])).expect(200);
    served.put("/site/", two).expect(200);
    served.put("/site/", tar(&nine[..8])).expect(200);
    assert_problem(&served.patch("/site/", tar(&nine[8..])).expect(413), 413, "too-many-files", 8, 9);
    assert_problem(&served.rehearse("PATCH", "/site/", tar(&nine[8..])).expect(413), 413, "too-many-files", 8, 9);
}

#[test]
fn the_files_of_a_form_count_together() {
    let (pod, served) = small();
    let post = |sizes: &[usize]| {
        let mut body = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let part = format!("--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"{number}.bin\"\r\n\r\n");
            body.extend_from_slice(part.as_bytes());
            body.extend(std::iter::repeat_n(b'x', *size));
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b--\r\n");
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", &*token), ("content-type", "multipart/form-data; boundary=b")];
        crate::http::call("POST", &served.url("/site/"), &headers, body)
    };
    assert_problem(&post(&[1, 65 * KIB]), 413, "file-too-large", 65_536, 65_537);
    assert_problem(&post(&[60 * KIB, 60 * KIB, 5 * KIB]), 413, "site-too-large", 131_072, 131_073);
    assert_problem(&post(&[1; 8]), 413, "too-many-files", 8, 9);
    assert_clean(&pod);
    post(&[60 * KIB, 60 * KIB]).expect(200);
    post(&[60 * KIB, 64 * KIB]).expect(200);
}

#[test]
fn a_manifest_beyond_a_limit_is_refused_before_an_object_is_asked_for() {
    let (pod, served) = small();
    let deploy = |body: &Value| served.call("POST", "/v1/releases", body.to_string());
    let named = |sizes: &[u64]| -> Vec<(String, u64)> {
        sizes.iter().enumerate().map(|(number, size)| (format!("{number}.bin"), *size)).collect()
    };
    assert_problem(&deploy(&manifest(&named(&[65_537]))), 413, "file-too-large", 65_536, 65_537);
    assert_problem(&deploy(&manifest(&named(&[60_000; 3]))), 413, "site-too-large", 131_072, 180_000);
    assert_problem(&deploy(&manifest(&named(&[1; 9]))), 413, "too-many-files", 8, 9);
    assert_eq!(deploy(&manifest(&named(&[1; 8]))).expect(409).problem(), "missing-objects");
    // Changes count with what they are changes to.
    let base = pod.release();
    let mut set = manifest(&named(&[60_000; 2]))["manifest"].clone();
    set["2.bin"] = json!({ "digest": hex(b"2"), "size": 10_000 });
    let answer = deploy(&json!({ "base": base, "set": set }));
    assert_problem(&answer, 413, "site-too-large", 131_072, 130_000 + 4_096);
    let answer = deploy(&json!({ "base": base, "set": set, "remove": ["index.html"] }));
    assert_eq!(answer.expect(409).problem(), "missing-objects");
    assert_clean(&pod);
}

#[test]
fn an_upload_in_pieces_is_no_way_around_a_limit() {
    let (pod, served) = small();
    let tus = |method: &str, path: &str, more: &[(&str, &str)], body: Vec<u8>| {
        let token = format!("Bearer {TOKEN}");
        let own = [("authorization", &*token), ("tus-resumable", "1.0.0")];
        crate::http::call(method, &served.url(path), &[&own, more].concat(), body)
    };
    let options = tus("OPTIONS", "/v1/uploads", &[], vec![]).expect(204);
    assert_eq!(options.header("tus-max-size"), "65536");
    let answer = tus("POST", "/v1/uploads", &[("upload-length", "65537")], vec![]);
    assert_problem(&answer, 413, "file-too-large", 65_536, 65_537);
    // "a.bin", beside files of 124 KiB.
    served.put("/site/", tar(&[("b.bin", &[1; 62 * KIB]), ("c.bin", &[1; 62 * KIB])])).expect(200);
    let to_path = [("upload-length", "65536"), ("upload-metadata", "path YS5iaW4=")];
    assert_problem(&tus("POST", "/v1/uploads", &to_path, vec![]), 413, "site-too-large", 131_072, 188 << 10);
    assert_eq!(staging_leftovers(&pod.volume()), Vec::<PathBuf>::new());

    let begun = tus("POST", "/v1/uploads", &[("upload-defer-length", "1")], vec![]).expect(201);
    let piece = [("content-type", "application/offset+octet-stream"), ("upload-offset", "0")];
    let answer = tus("PATCH", begun.header("location"), &piece, vec![1; 70 * KIB]);
    assert_problem(&answer, 413, "file-too-large", 65_536, 65_537);
    let told =
        [("content-type", "application/offset+octet-stream"), ("upload-offset", "0"), ("upload-length", "70000")];
    let another = tus("POST", "/v1/uploads", &[("upload-defer-length", "1")], vec![]).expect(201);
    assert_problem(&tus("PATCH", another.header("location"), &told, vec![]), 413, "file-too-large", 65_536, 70_000);
    tus("DELETE", another.header("location"), &[], vec![]).expect(204);
}

#[test]
fn of_two_that_fit_alone_and_not_together_one_is_refused() {
    let (pod, served) = small();
    let half = |path: &str| {
        let mut socket = connect(served.listen);
        socket.write_all(head("PUT", path, "Content-Length: 65536\r\n").as_bytes()).expect("it is sent");
        socket.write_all(&[1; 32 * KIB]).expect("it is sent");
        socket
    };
    let mut both = ["/site/a.bin", "/site/b.bin"].map(half);
    eventually("both are under way", Duration::from_secs(10), || {
        (metric(&served, "longshore_uploads_in_flight") == 2.0).then_some(())
    });
    let answers = both.each_mut().map(|socket| {
        socket.write_all(&[1; 32 * KIB]).expect("it is sent");
        read_answer(socket).expect("an answer")
    });
    answers[0].clone().expect(201);
    assert_problem(&answers[1], 413, "site-too-large", 131_072, 132 << 10);
    assert_eq!(staging_leftovers(&pod.volume()), Vec::<PathBuf>::new());
    assert_eq!(metric(&served, "longshore_site_bytes"), 69_632.0);
}

#[test]
fn a_seed_beyond_the_limits_is_served_and_may_only_shrink() {
    let pod = Pod::new();
    let names: Vec<String> = (0..12).map(|number| format!("{number}.txt")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "some text")).collect();
    pod.fill(pod.folder("seed", &files)).expect(0);
    let served = pod.serve_with(&["--max-file", "8", "--max-site", "20", "--max-files", "3"]);
    assert_problem(&served.put("/site/new.txt", "x").expect(413), 413, "too-many-files", 3, 13);
    served.put("/site/0.txt", "shorter").expect(200);
    served.delete("/site/1.txt").expect(200);
    // No larger than what is live, though larger than is allowed.
    served.put("/site/1.txt", "x").expect(413);
    served.rollback(&json!({})).expect(200);
    assert_eq!(served.get("/site/1.txt").expect(200).text(), "some text");
    served.call("PUT", "/site/?max-delete=all", tar(&[("index.html", b"page")])).expect(200);
    served.rollback(&json!({})).expect(200);
    assert_eq!(pod.causes().len(), 6);
}

#[test]
fn an_answer_that_refuses_is_read_by_a_client_that_sends_all_the_same() {
    let (pod, served) = small();
    // reqwest sends without asking; the answer is to reach it all the same.
    assert_problem(&served.put("/site/a.bin", vec![0; 4 << 20]), 413, "file-too-large", 65_536, 4 << 20);
    let mut rest = Vec::new();
    let mut socket = connect(served.listen);
    socket.write_all(head("PUT", "/site/a.bin", "Content-Length: 3000000\r\n").as_bytes()).expect("it is sent");
    socket.write_all(&vec![0; 3_000_000]).expect("it is taken, and thrown away");
    socket.shutdown(std::net::Shutdown::Write).expect("it is ended");
    socket.read_to_end(&mut rest).expect("no reset");
    assert!(rest.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&rest));
    assert_clean(&pod);
}

/// The value of a metric.
#[track_caller]
pub(crate) fn metric(served: &Served, name: &str) -> f64 {
    let text = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// A body that has begun to come and goes on later.
fn begun(served: &Served, path: &str) -> std::net::TcpStream {
    let mut socket = connect(served.listen);
    socket.write_all(head("PUT", path, "Content-Length: 4\r\n").as_bytes()).expect("it is sent");
    socket.write_all(b"ab").expect("it is sent");
    socket
}

#[test]
fn one_upload_too_many_is_asked_to_come_again_and_nobody_else_is() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve_with(&["--max-uploads", "3"]);
    let mut under_way: Vec<_> = (0..3).map(|number| begun(&served, &format!("/site/{number}.txt"))).collect();
    eventually("three are under way", Duration::from_secs(10), || {
        (metric(&served, "longshore_uploads_in_flight") == 3.0).then_some(())
    });
    let object = format!("/v1/objects/{}", hex(b"x"));
    for (method, path) in [
        ("PUT", "/site/x.txt"),
        ("PUT", "/site/"),
        ("PATCH", "/site/a/"),
        ("POST", "/site/"),
        ("PUT", &object),
        ("POST", "/v1/objects"),
        ("POST", "/v1/releases"),
        ("POST", "/v1/uploads"),
    ] {
        let answer = announced(&served, method, path, "", 1_000);
        assert_eq!((answer.status, &*answer.problem()), (429, "too-many-uploads"), "{method} {path}: {answer}");
        assert!(
            answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| (1..60).contains(&seconds)),
            "{answer}"
        );
        assert_eq!(answer.json()["limit"], 3);
    }
    // Who has no token does not learn how busy we are.
    crate::http::call("PUT", &served.url("/site/x.txt"), &[], "x").expect(401);
    served.get("/site/index.html").expect(200);
    served.get("/v1/releases").expect(200);
    served.call("PUT", "/v1/lock", r#"{"message": "a moment"}"#).expect(201);
    served.call("DELETE", "/v1/lock", "").expect(204);
    served.delete("/site/index.html?allow-empty=true").expect(200);
    served.rollback(&json!({})).expect(200);
    assert_eq!(served.probe("/readyz"), Some(200));
    assert_eq!(metric(&served, r#"longshore_refused_total{limit="uploads"}"#), 8.0);
    assert_eq!(metric(&served, "longshore_limit_uploads"), 3.0);

    // One that ends, and one that breaks off, make room.
    let mut ended = under_way.remove(0);
    ended.write_all(b"cd").expect("it is sent");
    read_answer(&mut ended).expect("an answer").expect(201);
    served.put("/site/x.txt", "x").expect(201);
    drop(under_way.remove(0));
    eventually("one is under way", Duration::from_secs(10), || {
        (metric(&served, "longshore_uploads_in_flight") == 1.0).then_some(())
    });
}

#[test]
fn an_upload_that_waits_for_the_volume_keeps_its_place() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve_with(&["--max-uploads", "1"]);
    let lock = std::fs::File::open(pod.volume().join(".longshore/lock")).expect("it is there");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("it is taken");
    // All of it is here, and its client goes away.
    let mut socket = connect(served.listen);
    socket.write_all(head("PUT", "/site/a.txt", "Content-Length: 1\r\n").as_bytes()).expect("it is sent");
    socket.write_all(b"a").expect("it is sent");
    eventually("it is under way", Duration::from_secs(10), || {
        (metric(&served, "longshore_uploads_in_flight") == 1.0).then_some(())
    });
    std::thread::sleep(Duration::from_millis(300));
    drop(socket);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(served.put("/site/b.txt", "b").expect(429).problem(), "too-many-uploads");
    drop(lock);
    eventually("it goes on when it may", Duration::from_secs(10), || {
        (served.put("/site/b.txt", "b").status == 201).then_some(())
    });
}

#[test]
fn who_waits_for_another_process_waits_ten_seconds_however_many_wait() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let lock = std::fs::File::open(pod.volume().join(".longshore/lock")).expect("it is there");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("it is taken");
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let served = &served;
            scope.spawn(move || {
                let answer = served.put(&format!("/site/{number}.txt"), "x").expect(503);
                assert_eq!(answer.problem(), "volume-locked");
                assert!(!answer.header("retry-after").is_empty(), "{answer}");
            });
        }
    });
    let waited = start.elapsed();
    assert!(waited > Duration::from_secs(9), "{waited:?}");
    assert!(waited < Duration::from_secs(40), "not one after the other: {waited:?}");
    drop(lock);
    served.put("/site/a.txt", "x").expect(201);
}

#[test]
fn what_the_limits_are_and_what_they_refused_is_told() {
    let (_pod, served) = small();
    assert_eq!(metric(&served, "longshore_limit_file_bytes"), 65_536.0);
    assert_eq!(metric(&served, "longshore_limit_site_bytes"), 131_072.0);
    assert_eq!(metric(&served, "longshore_limit_site_files"), 8.0);
    assert_eq!(metric(&served, "longshore_limit_uploads"), 256.0);
    assert_eq!(metric(&served, "longshore_limit_upload_age_seconds"), 86_400.0);
    assert!(metric(&served, "longshore_limit_free_bytes") > 0.0);
    assert_eq!(metric(&served, "longshore_site_bytes"), 4_096.0);
    assert_eq!(metric(&served, "longshore_site_files"), 1.0);
    let refused = |limit: &str| metric(&served, &format!("longshore_refused_total{{limit=\"{limit}\"}}"));
    let all = || ["file_bytes", "site_bytes", "site_files", "uploads", "free_bytes"].map(refused);
    assert_eq!(all(), [0.0; 5]);
    served.put("/site/a.bin", vec![0; 65 * KIB]).expect(413);
    served.put("/site/a.bin", vec![0; 64 * KIB]).expect(201);
    served.put("/site/b.bin", vec![0; 64 * KIB]).expect(413);
    let files: Vec<(String, u64)> = (0..9).map(|number| (format!("{number}.txt"), 1)).collect();
    served.call("POST", "/v1/releases", manifest(&files).to_string()).expect(413);
    assert_eq!(all(), [1.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(metric(&served, "longshore_site_bytes"), 69_632.0);
    assert_eq!(metric(&served, "longshore_site_files"), 2.0);
    eventually("what is free is told", Duration::from_secs(10), || {
        (metric(&served, "longshore_free_bytes") > 0.0).then_some(())
    });
}

#[test]
fn what_is_to_stay_free_is_not_written_to_and_going_back_still_works() {
    const MIB: u64 = 1 << 20;
    let pod = Pod::new();
    let Some(disk) = Tmpfs::mount(&pod.volume(), "size=64m,mode=755") else { return };
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("about.html", "about")])).expect(0);
    let served = pod.serve_with(&["--min-free", "50%"]);
    served.put("/site/index.html", "another page").expect(200);
    assert_eq!(metric(&served, "longshore_limit_free_bytes"), (32 * MIB) as f64);
    let object = format!("/v1/objects/{}", hex(b"x"));
    for (method, path) in [("PUT", "/site/a.bin"), ("PUT", "/site/"), ("PUT", &object), ("POST", "/v1/objects")] {
        let answer = announced(&served, method, path, "", 40 * MIB);
        assert_eq!((answer.status, &*answer.problem()), (507, "volume-full"), "{method} {path}: {answer}");
        let problem = answer.json();
        let number = |name: &str| problem[name].as_u64().unwrap_or_else(|| panic!("no {name}: {answer}"));
        assert_eq!((number("needed"), number("min_free")), (40 * MIB, 32 * MIB), "{answer}");
        assert_eq!(number("missing"), 72 * MIB - number("free"), "{answer}");
    }
    let free = disk.free();
    for (method, path) in [("PUT", "/site/a.bin"), ("PUT", &*object)] {
        let (answer, sent) = endless(&served, method, path, b"x");
        assert_eq!((answer.status, &*answer.problem()), (507, "volume-full"), "{method} {path}: {answer}");
        assert!(sent as u64 > 16 * MIB, "what may be written is: {sent}");
        assert!((sent as u64) < free - 32 * MIB + 16 * MIB, "{sent} bytes were taken");
        assert_eq!(staging_leftovers(&pod.volume()), Vec::<PathBuf>::new());
    }
    assert_eq!(metric(&served, r#"longshore_refused_total{limit="free_bytes"}"#), 6.0);
    eventually("the space is free again", Duration::from_secs(5), || (disk.free() + MIB >= free).then_some(()));
    served.put("/site/small.html", "small").expect(201);

    // Somebody else takes what was free.
    std::fs::write(pod.volume().join("..ballast"), vec![1; 40 << 20]).expect("there is room");
    assert!(disk.free() < 32 * MIB);
    assert_eq!(announced(&served, "PUT", "/site/more.html", "", 0).status, 507);
    assert_eq!(served.put("/site/more.html", "").expect(507).problem(), "volume-full");
    served.get("/site/index.html").expect(200);
    served.delete("/site/small.html").expect(200);
    let change = json!({ "base": pod.release(), "remove": ["about.html"] });
    served.call("POST", "/v1/releases?max-delete=all", change.to_string()).expect(201);
    served.rollback(&json!({})).expect(200);
    assert_eq!(served.get("/site/about.html").expect(200).text(), "about");
}

#[test]
fn what_nobody_finishes_goes_by_its_age() {
    let pod = Pod::new();
    let served = pod.serve_with(&["--upload-age", "2s"]);
    let object = format!("/v1/objects/{}", hex(b"waits"));
    let token = format!("Bearer {TOKEN}");
    let tus = [("authorization", &*token), ("tus-resumable", "1.0.0"), ("upload-length", "5")];
    let begun = crate::http::call("POST", &served.url("/v1/uploads"), &tus, "").expect(201);
    assert!(!begun.header("upload-expires").is_empty(), "{begun}");
    served.put(&object, "waits").expect(201);
    served.call("HEAD", &object, "").expect(200);
    eventually("neither is there any more", Duration::from_secs(30), || {
        let gone = served.call("HEAD", &object, "").status == 404;
        let upload = crate::http::call("HEAD", &served.url(begun.header("location")), &tus[..2], "");
        (gone && upload.status == 404).then_some(())
    });
    eventually("both are counted", Duration::from_secs(10), || {
        (metric(&served, "longshore_expired_uploads_total") == 2.0).then_some(())
    });
    assert_eq!(staging_leftovers(&pod.volume()), Vec::<PathBuf>::new());
    // A running one is not waiting.
    let slow = format!("/site/{}.txt", "slow");
    let mut socket = self::begun(&served, &slow);
    std::thread::sleep(Duration::from_secs(4));
    socket.write_all(b"cd").expect("it is sent");
    read_answer(&mut socket).expect("an answer").expect(201);
}

/// Uploads at once, and what each announces.
const AT_ONCE: usize = 64;
const ANNOUNCED: u64 = 1 << 30;
/// What they may take together beyond what an idle server has.
const MOST_MEMORY: u64 = 128 << 20;

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    File,
    Object,
    Tar,
    Gzip,
    Zstd,
    Zip,
    Form,
    Tus,
}

impl Way {
    /// The head of the upload of this number, and how its body begins.
    fn begin(self, served: &Served, number: usize) -> (String, Vec<u8>) {
        let length = format!("Content-Length: {ANNOUNCED}\r\n");
        let digest = hex(&number.to_le_bytes());
        let tus = "Tus-Resumable: 1.0.0\r\n";
        match self {
            // No two of them alike.
            Self::File => (head("PUT", &format!("/site/{number}.bin"), &length), number.to_le_bytes().into()),
            Self::Object => (head("PUT", &format!("/v1/objects/{digest}"), &length), vec![]),
            Self::Tar | Self::Gzip | Self::Zstd | Self::Zip => {
                (head("PATCH", &format!("/site/{number}/"), &length), vec![])
            }
            Self::Form => {
                let kind = format!("{length}Content-Type: multipart/form-data; boundary=b\r\n");
                let part = "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.bin\"\r\n\r\n";
                (head("POST", &format!("/site/{number}/"), &kind), part.into())
            }
            Self::Tus => {
                let begin = head("POST", "/v1/uploads", &format!("{tus}Upload-Length: {ANNOUNCED}\r\n"));
                let begun = crate::http::raw(served.listen, begin.as_bytes()).expect("an answer").expect(201);
                let kind = "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n";
                (head("PATCH", begun.header("location"), &format!("{tus}{kind}{length}")), vec![])
            }
        }
    }

    /// The first bytes of a body that goes on to its announced end, `length` of them.
    fn bytes(self, length: usize) -> Vec<u8> {
        let content = noise(length);
        let mut header = tar::Header::new_gnu();
        header.set_path("big.bin").expect("a name");
        header.set_size(ANNOUNCED - KIB as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        let tar = || [&header.as_bytes()[..], &content].concat();
        let mut bytes = match self {
            Self::File | Self::Object | Self::Form | Self::Tus => content,
            Self::Tar => tar(),
            Self::Gzip => gzip(&tar()),
            Self::Zstd => zstandard_with_window(&tar(), 23),
            Self::Zip => crate::archive::zip(&[("big.bin", &content)]),
        };
        bytes.truncate(length);
        bytes
    }
}

fn zstandard_with_window(bytes: &[u8], window: u32) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory takes it");
    encoder.window_log(window).expect("it is possible");
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

#[test]
fn an_archive_that_takes_much_memory_to_unpack_is_refused_and_a_slow_one_keeps_nobody_waiting() {
    let pod = Pod::new();
    let served = pod.serve();
    let content = noise(100 * KIB);
    let site = tar(&[("index.html", b"page"), ("big.bin", &content)]);
    let answer = served.put("/site/", zstandard_with_window(&site, 27)).expect(422);
    assert_eq!(answer.problem(), "bad-archive");
    assert!(answer.text().contains("more than 8 MiB of memory to unpack"), "{answer}");
    // As a seed it may be so.
    std::fs::write(pod.path("seed.tar.zst"), zstandard_with_window(&site, 27)).expect("it is written");
    let other = Pod::new();
    other.fill(pod.path("seed.tar.zst")).expect(0);

    let packed = zstandard_with_window(&site, 23);
    let slow: Vec<_> = (0..4)
        .map(|number| {
            let mut socket = connect(served.listen);
            let length = format!("Content-Length: {}\r\n", packed.len());
            let request = head("PUT", &format!("/site/slow/{number}/"), &length);
            socket.write_all(request.as_bytes()).expect("it is sent");
            socket.write_all(&packed[..50 * KIB]).expect("it is sent");
            socket
        })
        .collect();
    eventually("they are under way", Duration::from_secs(10), || {
        (metric(&served, "longshore_uploads_in_flight") == 4.0).then_some(())
    });
    served.put("/site/", packed.clone()).expect(200);
    served.patch("/site/zip/", crate::archive::zip(&[("a.txt", b"a")])).expect(200);
    for mut socket in slow {
        socket.write_all(&packed[50 * KIB..]).expect("it is sent");
        read_answer(&mut socket).expect("an answer").expect(200);
    }
    assert_eq!(served.get("/site/slow/3/big.bin").expect(200).body, content);
}

/// Lets 64 uploads of 1 GiB send `each` bytes at the same time; tells the memory that this took beyond what the idle
/// server had, and what was answered to those that sent all.
fn memory_of_many(served: &Served, way: Way, each: u64) -> (u64, Vec<Option<Answer>>) {
    served.put("/site/warm.txt", "all that is made once is there").expect(201);
    let bytes = way.bytes(usize::try_from(each.min(16 << 20)).expect("it fits"));
    let (idle, start) = (served.peak_memory(), std::sync::Barrier::new(AT_ONCE));
    let answers = std::thread::scope(|scope| {
        let send = |number: usize| {
            let (start, bytes) = (&start, &bytes);
            move || {
                let mut socket = connect(served.listen);
                socket.set_read_timeout(Some(Duration::from_secs(600))).expect("it is set");
                socket.set_write_timeout(Some(Duration::from_secs(600))).expect("it is set");
                let (head, first) = way.begin(served, number);
                socket.write_all(head.as_bytes()).expect("it is sent");
                let mut left = each - first.len() as u64;
                socket.write_all(&first).expect("it is sent");
                while left > 0 {
                    for piece in bytes.chunks(4 << 20) {
                        // All are at the same place, so that none ends before another has begun.
                        start.wait();
                        let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
                        socket.write_all(piece).expect("it is sent");
                        left -= piece.len() as u64;
                    }
                    if way != Way::File {
                        break;
                    }
                }
                start.wait();
                (each == ANNOUNCED).then(|| read_answer(&mut socket).expect("an answer"))
            }
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|number| scope.spawn(send(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client ends")).collect()
    });
    let memory = served.peak_memory() - idle;
    let (taken, idle) = (memory >> 20, idle >> 20);
    say(&format!("{AT_ONCE} uploads at once, {way:?}: {taken} MiB over the {idle} MiB of an idle server"));
    (memory, answers)
}

/// Whether the disk has so much.
fn has_room(pod: &Pod, bytes: u64) -> bool {
    let about = rustix::fs::statvfs(pod.volume()).expect("it answers");
    let has = about.f_bavail * about.f_frsize >= bytes;
    if !has {
        crate::part::skip(&format!("{} GiB of disk are not free", bytes >> 30));
    }
    has
}

#[test]
fn many_large_uploads_at_once_stay_small_in_memory() {
    for way in [Way::File, Way::Object, Way::Tar, Way::Gzip, Way::Zstd, Way::Zip, Way::Form, Way::Tus] {
        let pod = Pod::new();
        if !has_room(&pod, 4 * ANNOUNCED) {
            return;
        }
        let served = pod.serve();
        let (memory, _) = memory_of_many(&served, way, if way == Way::Zstd { 12 << 20 } else { 4 << 20 });
        assert!(memory < MOST_MEMORY, "{way:?}: {} MiB over idle", memory >> 20);
        let staging = pod.volume().join(".longshore/staging");
        eventually("nothing of them stays", Duration::from_secs(60), || {
            std::fs::read_dir(&staging).expect("it is there").next().is_none().then_some(())
        });
        assert_eq!(pod.causes(), ["patch"]);
    }
}

/// Files, sent to the end.
#[test]
fn many_large_uploads_at_once_are_all_published() {
    let pod = Pod::new();
    if !is_torture() || !has_room(&pod, (AT_ONCE as u64 + 2) * ANNOUNCED) {
        return;
    }
    let served = pod.serve();
    let (memory, answers) = memory_of_many(&served, Way::File, ANNOUNCED);
    assert!(memory < MOST_MEMORY, "{} MiB over idle", memory >> 20);
    for answer in answers {
        answer.expect("it was read").expect(201);
    }
    assert_eq!(pod.journal().len(), AT_ONCE + 1);
}
