//! A site of 200,000 files: deployed, changed and read back, with memory that is bounded.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    archive::zstandard,
    http::{Answer, try_call_within},
    pod::{Pod, TOKEN},
    served::Served,
    uploads::hex,
};

const FILES: usize = 200_000;
/// Files in one flat folder.
const FLAT: usize = 50_000;

fn ask(served: &Served, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let token = format!("Bearer {TOKEN}");
    let headers = [&[("authorization", &*token)], headers].concat();
    try_call_within(Duration::from_secs(900), method, &served.url(path), &headers, body).expect("an answer")
}

fn post(served: &Served, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    ask(served, "POST", "/v1/releases", headers, body)
}

fn path(n: usize) -> String {
    if n < FLAT { format!("flat/page-{n}.html") } else { format!("deep/{}/{}/{n}.html", n % 100, n / 100 % 20) }
}

fn content(n: usize) -> String {
    format!("content {}", n % 500)
}

fn manifest() -> String {
    let mut text = "{\"manifest\":{".to_owned();
    for n in 0..FILES {
        let (content, comma) = (content(n), if n == 0 { "" } else { "," });
        let (digest, size) = (hex(content.as_bytes()), content.len());
        write!(text, "{comma}\"{}\":{{\"digest\":\"{digest}\",\"size\":{size}}}", path(n)).expect("memory takes it");
    }
    text + "}}"
}

#[expect(clippy::print_stderr, reason = "figures, shown with --nocapture")]
fn timed<T>(served: &Served, what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    eprintln!("{what}: {:.1} s, at most {} MiB so far", start.elapsed().as_secs_f64(), served.peak_memory() >> 20);
    done
}

#[test]
fn two_hundred_thousand_files_are_deployed_changed_and_read_back() {
    let pod = Pod::in_memory();
    let served = pod.serve_with(&["--max-files", "300000"]);
    for n in 0..500 {
        served.put(&format!("/v1/objects/{}", hex(content(n).as_bytes())), content(n)).expect(201);
    }
    let body = manifest();
    let packed = zstandard(body.as_bytes());
    let zstd = [("content-encoding", "zstd")];
    let first = timed(&served, "deploy", || post(&served, &zstd, packed.clone())).expect(201).json();
    assert_eq!(first["changed"], json!(FILES));
    let again = timed(&served, "again", || post(&served, &zstd, packed)).expect(200).json();
    assert_eq!((&again["seq"], &again["changed"]), (&json!(1), &json!(0)));

    let set: Value = (0..1_000).map(|n| (path(n * 200), json!({ "digest": hex(b"content 7"), "size": 9 }))).collect();
    let remove: Vec<String> = (0..1_000).map(|n| path(n * 200 + 3)).collect();
    let delta = json!({ "base": first["release"], "parent": first["release"], "set": set, "remove": remove });
    let second = timed(&served, "2,000 changes", || post(&served, &[], delta.to_string().into())).expect(201).json();
    assert_eq!((&second["changed"], &second["removed"]), (&json!(1_000), &json!(1_000)));

    let release = second["release"].as_str().expect("an id");
    let whole = timed(&served, "read", || ask(&served, "GET", &format!("/v1/releases/{release}"), &[], "")).expect(200);
    assert_eq!(whole.header("content-length"), whole.body.len().to_string());
    assert_eq!(whole.json()["manifest"].as_object().map(serde_json::Map::len), Some(FILES - 1_000));
    timed(&served, "list", || ask(&served, "GET", "/site/?list", &[], "")).expect(200);
    // More than a kilobyte and a half for each file would be a copy too many.
    assert!(served.peak_memory() < 384 << 20, "{} bytes", served.peak_memory());
    timed(&served, "one file", || ask(&served, "PUT", "/site/flat/page-9.html", &[], "one")).expect(200);
    timed(&served, "rollback", || ask(&served, "POST", "/v1/rollback", &[], "{}")).expect(200);
}

#[test]
fn many_large_deploys_at_once_take_the_memory_of_one() {
    const AT_ONCE: usize = 8;
    let pod = Pod::in_memory();
    let served = pod.serve_with(&["--max-files", "300000"]);
    served.put("/site/index.html", "page").expect(201);
    let packed = zstandard(manifest().as_bytes());
    let deploy = || post(&served, &[("content-encoding", "zstd")], packed.clone()).expect(409);
    assert_eq!(deploy().problem(), "missing-objects");
    let one = served.peak_memory();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| assert_eq!(deploy().json()["missing"].as_array().map(Vec::len), Some(500)));
        }
    });
    // Their answers, and what the allocator keeps, come to some; seven more of them would be hundreds.
    let more = served.peak_memory() - one;
    assert!(more < 64 << 20, "{} MiB more than one", more >> 20);
}
