//! Uploads that can be resumed: tus 1.0, spoken by hand. Its real clients are in `tus_clients`.

use std::{io::Write as _, net::Shutdown, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustix::process::Signal;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::{
    http::{Answer, call, connect, read_answer},
    pod::{Pod, TOKEN},
    run::eventually,
    served::Served,
    uploads::hex,
};

const PIECE: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// A request as a client of tus makes it.
#[track_caller]
pub(crate) fn tus(
    served: &Served,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Answer {
    let token = format!("Bearer {TOKEN}");
    let own = [("authorization", token.as_str()), ("tus-resumable", "1.0.0")];
    let answer = call(method, &served.url(path), &[&own, headers].concat(), body);
    assert_eq!(answer.header("tus-resumable"), "1.0.0", "{answer}");
    answer
}

/// Begins an upload; gives its path.
#[track_caller]
pub(crate) fn begin(served: &Served, headers: &[(&str, &str)]) -> String {
    let answer = tus(served, "POST", "/v1/uploads", headers, "").expect(201);
    answer.header("location").to_owned()
}

/// Sends a piece.
#[track_caller]
pub(crate) fn piece(served: &Served, upload: &str, offset: u64, body: &str, more: &[(&str, &str)]) -> Answer {
    let offset = offset.to_string();
    let headers = [&[PIECE, ("upload-offset", &offset)], more].concat();
    tus(served, "PATCH", upload, &headers, body.to_owned())
}

/// Where it goes on.
#[track_caller]
pub(crate) fn offset(served: &Served, upload: &str) -> u64 {
    let answer = tus(served, "HEAD", upload, &[], "").expect(200);
    answer.header("upload-offset").parse().expect("a number")
}

/// `Upload-Metadata`.
fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value))).collect();
    pairs.join(",")
}

fn seeded() -> (Pod, Served) {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "seed")])).expect(0);
    let served = pod.serve();
    (pod, served)
}

#[test]
fn anybody_may_ask_what_is_spoken() {
    let (_pod, served) = seeded();
    let answer = call("OPTIONS", &served.url("/v1/uploads"), &[], "").expect(204);
    assert_eq!(answer.header("tus-version"), "1.0.0");
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
    let extensions: Vec<_> = answer.header("tus-extension").split(',').collect();
    for extension in
        ["creation", "creation-with-upload", "creation-defer-length", "expiration", "checksum", "termination"]
    {
        assert!(extensions.contains(&extension), "{extension}");
    }
    for algorithm in ["sha1", "sha256"] {
        assert!(answer.header("tus-checksum-algorithm").split(',').any(|each| each == algorithm), "{algorithm}");
    }
}

#[test]
fn pieces_become_an_object_that_a_release_may_name() {
    let (_pod, served) = seeded();
    let said = metadata(&[("filename", "a page.html")]);
    let upload = begin(&served, &[("upload-length", "11"), ("upload-metadata", &said)]);
    let asked = tus(&served, "HEAD", &upload, &[], "").expect(200);
    assert_eq!((asked.header("upload-offset"), asked.header("upload-length")), ("0", "11"));
    assert_eq!(asked.header("upload-metadata"), said);
    assert_eq!(asked.header("cache-control"), "no-store");
    assert!(asked.header("upload-expires").ends_with(" GMT"), "{asked}");
    assert_eq!(piece(&served, &upload, 0, "hello ", &[]).expect(204).header("upload-offset"), "6");
    assert_eq!(offset(&served, &upload), 6);
    let digest = hex(b"hello world");
    let last = piece(&served, &upload, 6, "world", &[]).expect(204);
    assert_eq!(last.header("upload-offset"), "11");
    assert_eq!(last.header("etag"), format!("\"{digest}\""));
    assert_eq!(last.header("content-location"), format!("/v1/objects/{digest}"));
    // Whoever lost that answer asks, or sends the empty rest again.
    assert_eq!(tus(&served, "HEAD", &upload, &[], "").expect(200).header("etag"), last.header("etag"));
    assert_eq!(piece(&served, &upload, 11, "", &[]).expect(204).header("etag"), last.header("etag"));
    assert_eq!(served.releases().len(), 1, "an object is no release");
    served.call("HEAD", &format!("/v1/objects/{digest}"), "").expect(200);
    let deploy = serde_json::json!({"manifest": {"page.html": {"digest": digest, "size": 11}}});
    served.call("POST", "/v1/releases", deploy.to_string()).expect(201);
    assert_eq!(served.get("/site/page.html").expect(200).text(), "hello world");
}

#[test]
fn pieces_become_a_file_at_a_path() {
    let (pod, served) = seeded();
    let said = metadata(&[("path", "deep/größe.html"), ("sha256", &hex(b"hello"))]);
    let upload = begin(&served, &[("upload-length", "5"), ("upload-metadata", &said)]);
    piece(&served, &upload, 0, "hel", &[]).expect(204);
    assert_eq!(served.releases().len(), 1, "nothing is published before the end");
    let last = piece(&served, &upload, 3, "lo", &[]).expect(204);
    let page = served.get("/site/deep/gr%C3%B6%C3%9Fe.html").expect(200);
    assert_eq!((page.text().as_str(), page.header("etag")), ("hello", last.header("etag")));
    let head = &served.releases()[0];
    assert_eq!(last.header("longshore-seq"), head["seq"].to_string());
    assert_eq!(last.header("longshore-release"), head["release"].as_str().expect("a release"));
    // The upload is the operation.
    let id = upload.rsplit('/').next().expect("an id");
    assert_eq!(served.get(&format!("/v1/ops/{id}")).expect(200).json()["seq"], head["seq"]);
    drop(served);
    assert_eq!(pod.causes(), ["seed", "patch"]);
}

#[test]
fn a_precondition_holds_when_the_file_is_published_and_no_byte_is_lost() {
    let (_pod, served) = seeded();
    let said = metadata(&[("path", "index.html")]);
    let upload = begin(&served, &[("upload-length", "3"), ("upload-metadata", &said), ("if-none-match", "*")]);
    assert_eq!(piece(&served, &upload, 0, "new", &[]).expect(412).problem(), "precondition-failed");
    assert_eq!(served.get("/site/index.html").expect(200).text(), "seed");
    // A client that is told the end's offset believes that all is well.
    assert_eq!(offset(&served, &upload), 2);
    served.put("/site/other.html", "other").expect(201);
    served.delete("/site/index.html").expect(200);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("w and more")]));
    tus(&served, "PATCH", &upload, &[PIECE, ("upload-offset", "2")], stream).expect(400);
    assert_eq!(piece(&served, &upload, 2, "", &[]).expect(204).header("upload-offset"), "2");
    assert_eq!(piece(&served, &upload, 2, "w", &[]).expect(204).header("upload-offset"), "3");
    assert_eq!(served.get("/site/index.html").expect(200).text(), "new");
    let tag = format!("\"{}\"", hex(b"another"));
    let headers = [("upload-length", "3"), ("upload-metadata", said.as_str()), ("if-match", &tag)];
    let stale = begin(&served, &headers);
    assert_eq!(piece(&served, &stale, 0, "old", &[]).expect(412).json()["current"], hex(b"new"));
    assert_eq!(served.get("/site/index.html").expect(200).text(), "new");
    // It would not be asked for an object.
    let answer = tus(&served, "POST", "/v1/uploads", &[("upload-length", "3"), ("if-match", &tag)], "");
    assert_eq!(answer.expect(400).problem(), "bad-request");
}

#[test]
fn a_locked_release_keeps_the_upload_until_it_is_unlocked() {
    let (_pod, served) = seeded();
    let upload = begin(&served, &[("upload-length", "3"), ("upload-metadata", &metadata(&[("path", "a.txt")]))]);
    served.call("PUT", "/v1/lock", "").expect(201);
    assert_eq!(piece(&served, &upload, 0, "abc", &[]).expect(423).problem(), "locked");
    served.delete("/v1/lock").expect(204);
    let at = offset(&served, &upload);
    piece(&served, &upload, at, &"abc"[usize::try_from(at).expect("small")..], &[]).expect(204);
    assert_eq!(served.get("/site/a.txt").expect(200).text(), "abc");
}

#[test]
fn a_piece_with_another_checksum_is_not_kept() {
    let (_pod, served) = seeded();
    let upload = begin(&served, &[("upload-length", "6")]);
    let sha1 = |text: &str| format!("sha1 {}", BASE64_STANDARD.encode(Sha1::digest(text)));
    let sha256 = |text: &str| format!("sha256 {}", BASE64_STANDARD.encode(Sha256::digest(text)));
    for sum in [sha1("xyz"), sha256("xyz")] {
        let refused = piece(&served, &upload, 0, "abc", &[("upload-checksum", &sum)]).expect(460);
        assert_eq!(refused.problem(), "checksum-mismatch");
        assert_eq!(offset(&served, &upload), 0);
    }
    piece(&served, &upload, 0, "abc", &[("upload-checksum", &sha1("abc"))]).expect(204);
    let content = format!("sha-256=:{}:", BASE64_STANDARD.encode(Sha256::digest("xyz")));
    let refused = piece(&served, &upload, 3, "def", &[("content-digest", &content)]).expect(422);
    assert_eq!((refused.problem().as_str(), offset(&served, &upload)), ("digest-mismatch", 3));
    let unknown = piece(&served, &upload, 3, "def", &[("upload-checksum", "crc32 AAAAAA==")]);
    assert_eq!(unknown.expect(400).problem(), "bad-request");
    let last = piece(&served, &upload, 3, "def", &[("upload-checksum", &sha256("def"))]).expect(204);
    assert_eq!(last.header("etag"), format!("\"{}\"", hex(b"abcdef")));
}

#[test]
fn other_bytes_than_were_announced_for_the_whole_end_the_upload() {
    let (_pod, served) = seeded();
    let said = metadata(&[("path", "index.html"), ("sha256", &hex(b"abc"))]);
    let upload = begin(&served, &[("upload-length", "3"), ("upload-metadata", &said)]);
    let refused = piece(&served, &upload, 0, "xyz", &[]).expect(422);
    assert_eq!((refused.problem(), refused.json()["found"].clone()), ("digest-mismatch".into(), hex(b"xyz").into()));
    tus(&served, "HEAD", &upload, &[], "").expect(404);
    assert_eq!(served.get("/site/index.html").expect(200).text(), "seed");
}

#[test]
fn its_length_may_be_told_later_and_once() {
    let (_pod, served) = seeded();
    let upload = begin(&served, &[("upload-defer-length", "1")]);
    let asked = tus(&served, "HEAD", &upload, &[], "").expect(200);
    assert_eq!((asked.header("upload-defer-length"), asked.header("upload-length")), ("1", ""));
    piece(&served, &upload, 0, "abc", &[]).expect(204);
    piece(&served, &upload, 3, "", &[("upload-length", "2")]).expect(400);
    // Of a piece that is refused nothing counts.
    piece(&served, &upload, 2, "", &[("upload-length", "7")]).expect(409);
    let asked = tus(&served, "HEAD", &upload, &[], "").expect(200);
    assert_eq!((asked.header("upload-defer-length"), asked.header("upload-length")), ("1", ""));
    piece(&served, &upload, 3, "de", &[("upload-length", "6")]).expect(204);
    piece(&served, &upload, 5, "", &[("upload-length", "5")]).expect(400);
    let last = piece(&served, &upload, 5, "f", &[("upload-length", "6")]).expect(204);
    assert_eq!(last.header("etag"), format!("\"{}\"", hex(b"abcdef")));
    // All of it was there when its length came.
    let upload = begin(&served, &[("upload-defer-length", "1")]);
    piece(&served, &upload, 0, "abc", &[]).expect(204);
    let last = piece(&served, &upload, 3, "", &[("upload-length", "3")]).expect(204);
    assert_eq!(last.header("etag"), format!("\"{}\"", hex(b"abc")));
}

#[test]
fn it_may_begin_with_its_first_piece() {
    let (_pod, served) = seeded();
    let said = metadata(&[("path", "a.txt")]);
    let answer = tus(&served, "POST", "/v1/uploads", &[("upload-length", "5"), PIECE], "abc").expect(201);
    assert_eq!(answer.header("upload-offset"), "3");
    let upload = answer.header("location").to_owned();
    let with_charset = ("content-type", "Application/Offset+octet-stream; charset=utf-8");
    tus(&served, "PATCH", &upload, &[with_charset, ("upload-offset", "3")], "de").expect(204);
    let whole = [("upload-length", "3"), ("upload-metadata", said.as_str()), PIECE];
    let answer = tus(&served, "POST", "/v1/uploads", &whole, "abc").expect(201);
    assert_eq!((answer.header("upload-offset"), answer.header("longshore-seq")), ("3", "2"));
    assert_eq!(served.get("/site/a.txt").expect(200).text(), "abc");
    // Nothing is all of an empty file.
    let said = metadata(&[("path", "empty.txt")]);
    begin(&served, &[("upload-length", "0"), ("upload-metadata", &said)]);
    assert_eq!(served.get("/site/empty.txt").expect(200).text(), "");
    // What fails at once is not there.
    let refused = [("upload-length", "3"), ("upload-metadata", said.as_str()), ("if-none-match", "*"), PIECE];
    assert_eq!(tus(&served, "POST", "/v1/uploads", &refused, "abc").expect(412).problem(), "precondition-failed");
    tus(&served, "POST", "/v1/uploads", &[("upload-length", "5")], "abc").expect(415);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (_pod, served) = seeded();
    let token = format!("Bearer {TOKEN}");
    for version in [None, Some("0.2.2")] {
        let mut headers = vec![("authorization", token.as_str()), ("upload-length", "1")];
        headers.extend(version.map(|version| ("tus-resumable", version)));
        let answer = call("POST", &served.url("/v1/uploads"), &headers, "").expect(412);
        assert_eq!((answer.problem().as_str(), answer.header("tus-version")), ("tus-version", "1.0.0"));
    }
    call("POST", &served.url("/v1/uploads"), &[("tus-resumable", "1.0.0"), ("upload-length", "1")], "").expect(401);
    for headers in [
        &[][..],
        &[("upload-length", "-1")],
        &[("upload-length", "9223372036854775808")],
        &[("upload-length", "1"), ("upload-defer-length", "1")],
        &[("upload-defer-length", "2")],
        &[("upload-length", "1"), ("upload-metadata", "path !")],
        &[("upload-length", "1"), ("upload-metadata", "sha256 YWJj")],
        &[("upload-length", "1"), ("dry-run", "?1")],
        &[("upload-length", "1"), ("upload-concat", "partial")],
        &[("upload-length", "1"), ("content-digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:")],
    ] {
        let answer = tus(&served, "POST", "/v1/uploads", headers, "").expect(400);
        assert_eq!(answer.problem(), "bad-request", "{headers:?}");
    }
    for path in ["../x", "/x", ".longshore/x", "a//b", ""] {
        let said = metadata(&[("path", path)]);
        let answer = tus(&served, "POST", "/v1/uploads", &[("upload-length", "1"), ("upload-metadata", &said)], "");
        assert_eq!(answer.expect(400).problem(), "bad-path", "{path:?}");
    }
    let answer = tus(&served, "POST", "/v1/uploads", &[("upload-length", "9223372036854775807")], "").expect(413);
    assert_eq!(answer.problem(), "file-too-large");
    let upload = begin(&served, &[("upload-length", "5")]);
    let wrong = piece(&served, &upload, 1, "x", &[]).expect(409);
    assert_eq!((wrong.problem().as_str(), wrong.json()["offset"].as_u64()), ("offset-mismatch", Some(0)));
    piece(&served, &upload, 0, "too long", &[]).expect(400);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("too long")]));
    tus(&served, "PATCH", &upload, &[PIECE, ("upload-offset", "0")], stream).expect(400);
    tus(&served, "PATCH", &upload, &[("upload-offset", "0")], "x").expect(415);
    tus(&served, "PATCH", &upload, &[PIECE], "x").expect(400);
    piece(&served, &upload, 0, "x", &[("content-encoding", "gzip")]).expect(415);
    let nobody = "/v1/uploads/6f1a0b3c-1111-4222-8333-444455556666";
    for name in [nobody, &upload.to_uppercase().replace("/V1/UPLOADS", "/v1/uploads"), "/v1/uploads/x"] {
        tus(&served, "HEAD", name, &[], "").expect(404);
        assert_eq!(piece(&served, name, 0, "x", &[]).expect(404).problem(), "no-such-upload");
        assert_eq!(tus(&served, "DELETE", name, &[], "").expect(404).problem(), "no-such-upload");
    }
    assert_eq!(offset(&served, &upload), 0);
}

#[test]
fn it_may_be_ended() {
    let (pod, served) = seeded();
    let upload = begin(&served, &[("upload-length", "5")]);
    piece(&served, &upload, 0, "abc", &[]).expect(204);
    tus(&served, "DELETE", &upload, &[], "").expect(204);
    tus(&served, "HEAD", &upload, &[], "").expect(404);
    tus(&served, "DELETE", &upload, &[], "").expect(404);
    let unfinished = pod.volume().join(".longshore/uploads/unfinished");
    assert_eq!(std::fs::read_dir(unfinished).expect("it is listed").count(), 0);
}

#[test]
fn a_client_without_patch_and_delete_says_what_it_means() {
    let (_pod, served) = seeded();
    let upload = begin(&served, &[("upload-length", "3")]);
    let headers = [PIECE, ("upload-offset", "0"), ("x-http-method-override", "PATCH")];
    assert_eq!(tus(&served, "POST", &upload, &headers, "ab").expect(204).header("upload-offset"), "2");
    tus(&served, "POST", &upload, &[PIECE, ("upload-offset", "2")], "c").expect(400);
    tus(&served, "POST", &upload, &[("x-http-method-override", "DELETE")], "").expect(204);
    tus(&served, "HEAD", &upload, &[], "").expect(404);
}

/// A PATCH of `length` bytes that stops after `sent`, its connection open.
fn stuck(served: &Served, upload: &str, offset: u64, length: u64, sent: &[u8]) -> std::net::TcpStream {
    let mut socket = connect(served.listen);
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: {}\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n",
        served.listen, PIECE.1
    );
    socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(sent)).expect("it is sent");
    socket
}

#[test]
fn whoever_comes_ends_whoever_is_there() {
    let (pod, served) = seeded();
    let upload = begin(&served, &[("upload-length", "10")]);
    let mut old = stuck(&served, &upload, 0, 10, b"abcd");
    let bytes =
        pod.volume().join(".longshore").join(upload.replace("/v1/uploads/", "uploads/unfinished/")).join("bytes");
    eventually("the piece is on the disk", Duration::from_secs(30), || {
        (std::fs::read(&bytes).ok()? == b"abcd").then_some(())
    });
    // The old connection is dead, though the server cannot know: the client asks, and goes on from what came.
    assert_eq!(offset(&served, &upload), 4);
    assert_eq!(read_answer(&mut old).expect("an answer").expect(423).problem(), "upload-busy");
    let mut older = stuck(&served, &upload, 4, 6, b"e");
    eventually("the piece is on the disk", Duration::from_secs(30), || {
        (std::fs::read(&bytes).ok()? == b"abcde").then_some(())
    });
    // What the old one brought stays, so that the newest piece does not follow any more.
    let late = piece(&served, &upload, 4, "efghij", &[]).expect(409);
    assert_eq!(late.json()["offset"], 5);
    read_answer(&mut older).expect("an answer").expect(423);
    let last = piece(&served, &upload, 5, "fghij", &[]).expect(204);
    assert_eq!(last.header("etag"), format!("\"{}\"", hex(b"abcdefghij")));
}

#[test]
fn another_process_waits_for_its_turn() {
    let (pod, served) = seeded();
    let other = pod.serve();
    let upload = begin(&served, &[("upload-length", "10")]);
    let old = stuck(&served, &upload, 0, 10, b"abcd");
    eventually("the piece is being written", Duration::from_secs(30), || {
        let folder = pod.volume().join(".longshore/uploads/unfinished");
        let id = upload.rsplit('/').next()?;
        (std::fs::read(folder.join(id).join("bytes")).ok()? == b"abcd").then_some(())
    });
    assert_eq!(piece(&other, &upload, 0, "x", &[]).expect(423).problem(), "upload-busy");
    old.shutdown(Shutdown::Both).expect("the connection is cut");
    let at = eventually("the other process may write", Duration::from_secs(60), || {
        let asked = tus(&other, "HEAD", &upload, &[], "");
        (asked.status == 200).then(|| asked.header("upload-offset").parse::<u64>().expect("a number"))
    });
    assert_eq!(at, 4);
    let last = piece(&other, &upload, 4, "efghij", &[]).expect(204);
    assert_eq!(last.header("etag"), format!("\"{}\"", hex(b"abcdefghij")));
}

#[test]
fn it_goes_on_after_a_restart_and_after_a_kill() {
    let (pod, served) = seeded();
    let upload = begin(&served, &[("upload-length", "9"), ("upload-metadata", &metadata(&[("path", "a.txt")]))]);
    piece(&served, &upload, 0, "abc", &[]).expect(204);
    served.terminate().expect(0);
    let served = pod.serve();
    assert_eq!(offset(&served, &upload), 3);
    piece(&served, &upload, 3, "def", &[]).expect(204);
    served.signal(Signal::KILL);
    drop(served);
    let served = pod.serve();
    assert_eq!(offset(&served, &upload), 6);
    piece(&served, &upload, 6, "ghi", &[]).expect(204);
    assert_eq!(served.get("/site/a.txt").expect(200).text(), "abcdefghi");
    // What is finished is known after a restart, too.
    drop(served);
    let served = pod.serve();
    let asked = tus(&served, "HEAD", &upload, &[], "").expect(200);
    assert_eq!((asked.header("upload-offset"), asked.header("longshore-seq")), ("9", "2"));
}

#[test]
fn one_that_nobody_goes_on_with_goes() {
    let (pod, served) = seeded();
    let upload = begin(&served, &[("upload-length", "9")]);
    let young = begin(&served, &[("upload-defer-length", "1")]);
    piece(&served, &upload, 0, "abc", &[]).expect(204);
    // As if that were long ago.
    let folder = pod.volume().join(".longshore").join(upload.replace("/v1/uploads/", "uploads/unfinished/"));
    let note = std::fs::File::options().write(true).open(folder.join("offset")).expect("it is there");
    let old = std::time::SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    note.set_modified(old).expect("its time is set");
    drop(served);
    let served = pod.serve_with(&["--upload-age", "3h"]);
    let expires = tus(&served, "HEAD", &upload, &[], "").expect(200).header("upload-expires").to_owned();
    let due = old + Duration::from_secs(3 * 60 * 60);
    assert_eq!(httpdate(&expires), due.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs());
    drop(served);
    let served = pod.serve_with(&["--upload-age", "1h"]);
    tus(&served, "HEAD", &upload, &[], "").expect(404);
    assert!(!folder.exists());
    assert_eq!(offset(&served, &young), 0);
}

/// The seconds since 1970 of a date as HTTP writes it.
fn httpdate(text: &str) -> u64 {
    let date = chrono::NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").expect("a date of HTTP");
    date.and_utc().timestamp().try_into().expect("after 1970")
}
