//! What the upload address answers, and what is live afterwards.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    archive::{gzip, tar, zstandard},
    http::{call, raw},
    listing::contents,
    pod::{Pod, TOKEN},
    served::{Served, to},
};

/// A pod with three files in two levels, and its server.
fn seeded() -> (Pod, Served) {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a"), ("assets/b.css", "b")])).expect(0);
    let served = pod.serve();
    (pod, served)
}

fn names(pod: &Pod) -> Vec<String> {
    contents(&pod.volume()).into_keys().collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_file_is_put_replaced_and_put_again() {
    let (pod, served) = seeded();
    let new = served.put("/site/new/deep/page.html", "one").expect(201).json();
    assert_eq!((&new["seq"], &new["changed"], &new["removed"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(new["digest"], hex(b"one"));
    assert_eq!(new["bytes"], 3);
    let replaced = served.put("/site/new/deep/page.html", "two").expect(200).json();
    assert_eq!(replaced["seq"], 3);
    assert_ne!(replaced["release"], new["release"]);
    let unchanged = served.put("/site/new/deep/page.html", "two").expect(200).json();
    assert_eq!((&unchanged["seq"], &unchanged["release"]), (&replaced["seq"], &replaced["release"]));
    assert_eq!(unchanged["changed"], 0);
    assert_eq!(pod.causes(), ["seed", "patch", "patch"]);
    assert_eq!(contents(&pod.volume())["new/deep/page.html"], b"two");
}

#[test]
fn what_is_live_is_read_with_its_digest() {
    let (_pod, served) = seeded();
    for method in ["GET", "HEAD"] {
        let answer = served.call(method, "/site/assets/a.css", "").expect(200);
        assert_eq!(answer.header("etag"), format!("\"{}\"", hex(b"a")), "{method}");
        assert_eq!(answer.header("content-type").split(';').next(), Some("text/css"), "{method}");
        assert_eq!(answer.header("content-length"), "1", "{method}");
        assert!(answer.header("repr-digest").starts_with("sha-256=:"), "{method}: {answer}");
        assert!(answer.header("last-modified").ends_with("GMT"), "{method}: {answer}");
        assert_eq!(answer.body, if method == "GET" { b"a".as_slice() } else { b"" });
    }
    assert_eq!(served.get("/site/").expect(200).text(), "page", "a folder answers its index.html");
    served.get("/site/assets/").expect(404);
    assert_eq!(served.get("/site/absent.html").expect(404).problem(), "not-found");
    served.get("/site/index.html/below").expect(404);
}

#[test]
fn a_file_or_a_folder_is_deleted() {
    let (pod, served) = seeded();
    served.delete("/site/absent.html").expect(404);
    served.delete("/site/absent/").expect(404);
    let one = served.delete("/site/assets/a.css").expect(200).json();
    assert_eq!((&one["seq"], &one["removed"]), (&json!(2), &json!(1)));
    assert_eq!(names(&pod), ["assets/b.css", "index.html"]);
    served.delete("/site/assets/").expect(200);
    assert_eq!(names(&pod), ["index.html"]);
    served.get("/site/assets/b.css").expect(404);
    served.rollback(&json!({})).expect(200);
    assert_eq!(names(&pod), ["assets/a.css", "assets/b.css", "index.html"]);
}

#[test]
fn a_file_and_a_folder_of_one_name_are_a_conflict() {
    let (pod, served) = seeded();
    let before = pod.journal();
    served.put("/site/index.html/below.html", "x").expect(409).problem();
    served.put("/site/assets", "x").expect(409).problem();
    assert_eq!(pod.journal(), before);
    assert_eq!(names(&pod), ["assets/a.css", "assets/b.css", "index.html"]);
}

#[test]
fn an_archive_replaces_or_is_merged_into_the_whole_or_a_folder() {
    let (pod, served) = seeded();
    let merged = served.patch("/site/", tar(&[("more.html", b"more"), ("./assets/a.css", b"A")])).expect(200).json();
    assert_eq!(merged["changed"], 2);
    assert_eq!(names(&pod), ["assets/a.css", "assets/b.css", "index.html", "more.html"]);
    served.put("/site/assets/", gzip(&tar(&[("only.css", b"only")]))).expect(200);
    assert_eq!(names(&pod), ["assets/only.css", "index.html", "more.html"]);
    served.patch("/site/new/folder/", tar(&[("x.txt", b"x")])).expect(200);
    assert_eq!(contents(&pod.volume())["new/folder/x.txt"], b"x");
    let whole = served.put("/site/?max-delete=all", zstandard(&tar(&[("index.html", b"whole")]))).expect(200).json();
    assert_eq!(whole["removed"], 3);
    assert_eq!(names(&pod), ["index.html"]);
    assert_eq!(pod.causes(), ["seed", "patch", "patch", "patch", "upload"]);
    // At the root, the links of what is gone are gone.
    for gone in ["assets", "more.html", "new"] {
        assert!(std::fs::symlink_metadata(pod.volume().join(gone)).is_err(), "{gone}");
    }
}

#[test]
fn rolling_back_goes_to_the_last_other_deploy_or_where_one_says() {
    let (pod, served) = seeded();
    let seed = pod.release();
    served.put("/site/", tar(&[("index.html", b"deploy")])).expect(200);
    let deploy = pod.release();
    served.put("/site/index.html", "patched").expect(200);
    served.put("/site/index.html", "patched again").expect(200);
    let patched = pod.release();

    let live = served.rollback(&json!({})).expect(200).json();
    assert_eq!(live["release"], deploy, "patches in between are not where a rollback goes");
    let live = served.rollback(&to(&seed[..8])).expect(200).json();
    assert_eq!(live["release"], seed);
    let live = served.rollback(&to(4)).expect(200).json();
    assert_eq!(live["release"], patched);
    let live = served.rollback(&json!({ "to": deploy, "parent": patched })).expect(200).json();
    assert_eq!((&live["release"], &live["seq"]), (&json!(deploy), &json!(8)));
    assert_eq!(contents(&pod.volume())["index.html"], b"deploy");

    // Going where one is, is no entry.
    let same = served.rollback(&to(deploy.as_str())).expect(200).json();
    assert_eq!(same["seq"], 8);
    served.rollback(&json!({ "to": seed, "parent": patched })).expect(412).problem();
    for nowhere in [json!("0".repeat(64)), json!(99), json!(0), json!(-1), json!("abc"), json!("xyz"), json!({})] {
        let status = served.rollback(&json!({ "to": nowhere })).status;
        assert!((400..500).contains(&status), "{nowhere}: {status}");
    }
    assert_eq!(pod.causes(), ["seed", "upload", "patch", "patch", "rollback", "rollback", "rollback", "rollback"]);
}

#[test]
fn without_another_deploy_there_is_no_way_back() {
    let (pod, served) = seeded();
    served.rollback(&json!({})).expect(409).problem();
    assert_eq!(pod.causes(), ["seed"]);
}

#[test]
fn the_history_is_newest_first_and_says_who_did_what_when() {
    let (pod, served) = seeded();
    served.put("/site/index.html", "patched").expect(200);
    served.put("/site/?max-delete=all", tar(&[("index.html", b"deploy")])).expect(200);
    let answer = served.get("/v1/releases").expect(200).json();
    let releases = served.releases();
    let sequence: Vec<_> = releases.iter().map(|release| release["seq"].as_u64()).collect();
    assert_eq!(sequence, [Some(3), Some(2), Some(1)]);
    let causes: Vec<_> = releases.iter().map(|release| release["cause"].as_str()).collect();
    assert_eq!(causes, [Some("upload"), Some("patch"), Some("seed")]);
    for (entry, (journal, _)) in releases.iter().rev().zip(pod.journal()) {
        for field in ["seq", "release", "cause", "by", "at"] {
            assert_eq!(entry[field], journal[field], "{field}");
        }
        assert!(entry["by"].as_str().is_some_and(|by| !by.is_empty() && !by.contains(TOKEN)), "{entry}");
        assert_eq!(answer["site"], journal["site"]);
    }
}

#[test]
fn an_archive_without_a_file_does_not_empty_a_site() {
    let (pod, served) = seeded();
    let folder_only = crate::archive::Tar::new().entry(tar::EntryType::Directory, "folder/", "", 0o755, b"").finish();
    for archive in [tar(&[]), folder_only, gzip(&tar(&[])), Vec::new(), b"not an archive".to_vec()] {
        for method in ["PUT", "PATCH"] {
            let answer = served.call(method, "/site/", archive.clone());
            assert!(matches!(answer.status, 400 | 415 | 422), "{method}: {answer}");
            answer.problem();
        }
    }
    assert_eq!(pod.causes(), ["seed"]);
    assert_eq!(names(&pod).len(), 3);
}

#[test]
fn reading_needs_a_token_unless_the_site_is_public() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let closed = pod.serve();
    let answer = call("GET", &closed.url("/site/index.html"), &[], "").expect(401);
    assert_eq!(answer.problem(), "unauthorized");
    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer}");
    closed.terminate().expect(0);
    let open = pod.serve_with(&["--public-read"]);
    assert_eq!(call("GET", &open.url("/site/index.html"), &[], "").expect(200).text(), "page");
    call("PUT", &open.url("/site/index.html"), &[], "mine").expect(401);
    call("POST", &open.url("/v1/rollback"), &[], "{}").expect(401);
    assert_eq!(contents(&pod.volume())["index.html"], b"page");
}

#[test]
fn hundred_uploads_at_once_are_all_live_and_all_in_the_journal() {
    let (pod, served) = seeded();
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let put = |lane: usize| {
            let served = &served;
            move || {
                let one = |number| {
                    let path = format!("/site/lane {lane}/{number}.txt").replace(' ', "%20");
                    served.put(&path, format!("{lane} {number}")).expect(201).json()
                };
                (0..20).map(one).collect::<Vec<_>>()
            }
        };
        let lanes: Vec<_> = (0..5).map(|lane| scope.spawn(put(lane))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("a lane ends")).collect()
    });
    let site = contents(&pod.volume());
    for (lane, number) in (0..5).flat_map(|lane| (0..20).map(move |number| (lane, number))) {
        assert_eq!(site[&format!("lane {lane}/{number}.txt")], format!("{lane} {number}").as_bytes());
    }
    let journal = pod.journal();
    for answer in answers {
        let entry = journal.iter().find(|(entry, _)| entry["seq"] == answer["seq"]).expect("it is in the journal");
        assert_eq!(entry.0["release"], answer["release"]);
    }
}

#[test]
fn a_large_upload_streams_through_little_memory() {
    let (pod, served) = seeded();
    let pieces = 200_usize;
    let piece: bytes::Bytes = (0..1_usize << 20).map(|index| (index % 251) as u8).collect::<Vec<_>>().into();
    let stream = futures_util::stream::iter((0..pieces).map({
        let piece = piece.clone();
        move |_| Ok::<_, std::io::Error>(piece.clone())
    }));
    // Without a Content-Length, chunked: nothing is known of it beforehand.
    served.put("/site/big.bin", reqwest::Body::wrap_stream(stream)).expect(201);
    let file = pod.volume().join("big.bin");
    assert_eq!(std::fs::metadata(&file).expect("it is there").len(), (pieces * piece.len()) as u64);
    let peak = served.peak_memory();
    assert!(peak < 64 << 20, "{} MiB of memory for 200 MiB of upload", peak >> 20);
    let answer = served.get("/site/big.bin").expect(200);
    assert_eq!(answer.header("etag"), format!("\"{}\"", hex(&answer.body)));
}

#[test]
fn an_archive_that_is_put_as_a_file_is_kept_and_the_answer_says_how_it_is_unpacked() {
    let pod = Pod::new();
    let served = pod.serve();
    let archive = gzip(&tar(&[("index.html", b"page")]));
    let answer = served.put("/site/site.tar.gz", archive.clone()).expect(201);
    assert!(answer.json()["hint"].as_str().is_some_and(|hint| hint.contains("/site/")), "{answer}");
    assert_eq!(served.get("/site/site.tar.gz").expect(200).body, archive);
    assert!(served.put("/site/index.html", "page").expect(201).json().get("hint").is_none());
}

#[test]
fn what_a_write_asks_for_and_does_not_get_is_refused_not_ignored() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "page").expect(201);
    let token = format!("Bearer {TOKEN}");
    for (name, value, status) in [("dry-run", "yes", 400), ("content-encoding", "gzip", 415)] {
        for method in ["PUT", "DELETE"] {
            let headers = [("authorization", token.as_str()), (name, value)];
            let answer = call(method, &served.url("/site/index.html"), &headers, "other");
            assert_eq!(answer.status, status, "{method} with {name}: {answer}");
        }
    }
    // A client that would end its body by closing the connection: HTTP takes that for an empty body.
    let endless = format!("PUT /site/index.html HTTP/1.0\r\nHost: a\r\nAuthorization: {token}\r\n\r\nhello");
    raw(served.listen, endless.as_bytes()).expect("an answer").expect(411);
    assert_eq!(served.get("/site/index.html").expect(200).text(), "page");
}
