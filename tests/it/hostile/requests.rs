//! Manifests, pieces and heads that make no sense (33 to 38 and 40 to 47 of the list that this began with): a table of
//! requests, each with the answers that it may get, and the canary looked at after each.

use flate2::{Compression, write::GzEncoder};

use super::world::World;
use crate::{archive::zstandard, http::raw, pod::TOKEN, uploads::hex};

struct Row {
    what: String,
    request: Vec<u8>,
    /// Statuses, one of which it gets; 0 is a connection that was closed without a word.
    statuses: &'static [u16],
}

/// With a good token.
fn row(what: &str, statuses: &'static [u16], line: &str, head: &str, body: &[u8]) -> Row {
    let head = format!("Authorization: Bearer {TOKEN}\r\n{head}");
    bare(what, statuses, line, &head, body)
}

fn bare(what: &str, statuses: &'static [u16], line: &str, head: &str, body: &[u8]) -> Row {
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{head}Connection: close\r\n\r\n");
    Row { what: what.into(), request: [head.as_bytes(), body].concat(), statuses }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(body).expect("memory takes it");
    packed.finish().expect("memory takes it")
}

/// Each as it is and packed, as a whole site and as changes to one.
fn manifests() -> Vec<Row> {
    let (digest, other) = (hex(b"waits"), hex(b"nobody sent this"));
    let file = |digest: &str, size: &str| format!("{{\"digest\":\"{digest}\",\"size\":{size}}}");
    let good = file(&digest, "5");
    let deep = 10_000;
    let files: [(&str, &'static [u16], String); 17] = [
        ("the right digest with a wrong size", &[422], format!("\"a\":{}", file(&digest, "4"))),
        ("a size of nothing", &[422], format!("\"a\":{}", file(&digest, "0"))),
        ("the right size with a digest that nobody sent", &[409], format!("\"a\":{}", file(&other, "5"))),
        ("a digest in upper case", &[400], format!("\"a\":{}", file(&digest.to_uppercase(), "5"))),
        ("a short digest", &[400], format!("\"a\":{}", file(&digest[..63], "5"))),
        ("a long digest", &[400], format!("\"a\":{}", file(&format!("{digest}0"), "5"))),
        ("a digest of other letters", &[400], format!("\"a\":{}", file(&digest.replace(char::is_numeric, "g"), "5"))),
        ("a negative size", &[400], format!("\"a\":{}", file(&digest, "-5"))),
        ("a size beyond 64 bits", &[400], format!("\"a\":{}", file(&digest, "18446744073709551621"))),
        ("half a byte", &[400], format!("\"a\":{}", file(&digest, "5.5"))),
        ("a path twice", &[400], format!("\"a\":{good},\"a\":{good}")),
        ("a digest twice", &[400], format!("\"a\":{{\"digest\":\"{other}\",\"digest\":\"{digest}\",\"size\":5}}")),
        ("a file that is a folder", &[409], format!("\"a\":{good},\"a/b\":{good}")),
        (
            "a member that nobody knows",
            &[400],
            format!("\"a\":{{\"digest\":\"{digest}\",\"size\":5,\"link\":\"/etc\"}}"),
        ),
        ("a list for a file", &[400], format!("\"a\":[\"{digest}\",5]")),
        ("objects in objects", &[400], format!("\"a\":{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep))),
        ("lists in lists", &[400], format!("\"a\":{}{}", "[".repeat(deep), "]".repeat(deep))),
    ];
    let mut rows = Vec::new();
    for (what, statuses, files) in files {
        for (kind, body) in [
            ("manifest", format!("{{\"manifest\":{{{files}}}}}")),
            ("set", format!("{{\"base\":1,\"set\":{{{files}}}}}")),
        ] {
            let what = |coding: &str| format!("{what}, {kind}{coding}");
            let post = "POST /v1/releases?max-delete=all";
            rows.push(row(&what(""), statuses, post, "", body.as_bytes()));
            rows.push(row(&what(", gzip"), statuses, post, "Content-Encoding: gzip\r\n", &gzip(body.as_bytes())));
            rows.push(row(&what(", zstd"), statuses, post, "Content-Encoding: zstd\r\n", &zstandard(body.as_bytes())));
        }
    }
    let whole = format!("{{\"manifest\":{{\"a\":{good}}}");
    let bodies: [(&str, &'static [u16], String); 6] = [
        ("a parent that is not live", &[412], format!("{whole},\"parent\":\"{other}\"}}")),
        ("a base that never was", &[404], format!("{{\"base\":\"{other}\",\"set\":{{\"a\":{good}}}}}")),
        ("a base to come", &[404], format!("{{\"base\":99,\"set\":{{\"a\":{good}}}}}")),
        ("a manifest and a base", &[400], format!("{whole},\"base\":1}}")),
        ("no end", &[400], whole.clone()),
        ("more after the end", &[400], format!("{whole}}}}}")),
    ];
    rows.extend(
        bodies.iter().map(|(what, statuses, body)| row(what, statuses, "POST /v1/releases", "", body.as_bytes())),
    );
    for (what, name) in [("upper case", digest.to_uppercase()), ("short", digest[..63].into()), ("another", other)] {
        let line = format!("PUT /v1/objects/{name}");
        rows.push(row(&format!("an object under a digest: {what}"), &[400, 404, 422], &line, "", b"waits"));
    }
    rows
}

/// For an upload of five bytes, none of which came.
fn pieces(upload: &str) -> Vec<Row> {
    let tus = "Tus-Resumable: 1.0.0\r\n";
    let piece = |what: &str, statuses, head: &str, body: &[u8]| {
        let head = format!("{tus}Content-Type: application/offset+octet-stream\r\n{head}");
        row(what, statuses, &format!("PATCH {upload}"), &head, body)
    };
    let offset = |offset: &str| format!("Upload-Offset: {offset}\r\n");
    let mut rows = vec![
        piece("an offset past the end", &[409], &offset("6"), b"x"),
        piece("an offset past what came", &[409], &offset("3"), b"x"),
        piece("more than the whole", &[400, 413], &offset("0"), b"sixsix"),
        piece("two offsets", &[400], &(offset("0") + &offset("3")), b"x"),
        piece("no offset", &[400], "", b"x"),
        piece("another length", &[400, 409], &(offset("0") + "Upload-Length: 9\r\n"), b""),
        piece(
            "a checksum of a kind that nobody knows",
            &[400],
            &(offset("0") + "Upload-Checksum: crc32 AAAA\r\n"),
            b"x",
        ),
    ];
    for wrong in ["-1", "0x0", "+0", "9223372036854775808", "18446744073709551616", "", "0,0", "0 0"] {
        rows.push(piece(&format!("the offset {wrong:?}"), &[400], &offset(wrong), b"x"));
    }
    let begin =
        |what: &str, statuses, head: &str| row(what, statuses, "POST /v1/uploads", &format!("{tus}{head}"), b"");
    rows.extend([
        begin("an upload of less than nothing", &[400], "Upload-Length: -1\r\n"),
        begin("an upload beyond 64 bits", &[400], "Upload-Length: 18446744073709551617\r\n"),
        begin("an upload beyond every disk", &[413, 507], "Upload-Length: 9223372036854775807\r\n"),
        begin("an upload of two lengths", &[400], "Upload-Length: 1\r\nUpload-Length: 2\r\n"),
    ]);
    for id in ["6f1a0b3c-1111-4222-8333-444455556666", "..%2f..%2fjournal", "%00", ".", "-"] {
        for method in ["HEAD", "PATCH", "DELETE"] {
            let head = format!("{tus}Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n");
            let line = format!("{method} /v1/uploads/{id}");
            rows.push(row(
                &format!("{method} of an upload that is nobody's, {id}"),
                &[400, 404, 405],
                &line,
                &head,
                b"",
            ));
        }
    }
    rows
}

/// Heads, and who sends them.
fn heads() -> Vec<Row> {
    let put = "PUT /site/evil.html";
    let half = &TOKEN[..TOKEN.len() / 2];
    let tar = crate::archive::tar(&[("evil.html", b"evil")]);
    let mut rows = vec![
        row("a header of 100 KiB", &[0, 431], put, &format!("X: {}\r\n", "x".repeat(100 << 10)), b"evil"),
        row("1,000 headers", &[0, 431], put, &"X: x\r\n".repeat(1_000), b"evil"),
        row("two lengths", &[0, 400], put, "Content-Length: 5\r\n", b"evil"),
        row("an encoding of a file", &[415], put, "Content-Encoding: gzip\r\n", &gzip(b"evil")),
        row("gzip that is none", &[400], "POST /v1/releases", "Content-Encoding: gzip\r\n", b"{}"),
        row("a tar that says it is a zip", &[415, 422], "PUT /site/", "Content-Type: application/zip\r\n", &tar),
        row(
            "another digest",
            &[422],
            put,
            "Content-Digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:\r\n",
            b"evil",
        ),
        row("a page of another origin", &[403], put, "Origin: https://evil.example\r\n", b"evil"),
        row("a page without an origin", &[403], put, "Origin: null\r\n", b"evil"),
        row("a page elsewhere", &[403], put, "Sec-Fetch-Site: cross-site\r\n", b"evil"),
        row(
            "a simple request of a page",
            &[403],
            "POST /v1/rollback",
            "Origin: https://evil.example\r\nContent-Type: text/plain\r\n",
            b"{}",
        ),
        bare("no token", &[401], put, "", b"evil"),
        bare("a token in the query", &[401], &format!("{put}?access_token={TOKEN}"), "", b"evil"),
        bare("half a token", &[401], put, &format!("Authorization: Bearer {half}\r\n"), b"evil"),
        bare("a token and more", &[401], put, &format!("Authorization: Bearer {TOKEN}x\r\n"), b"evil"),
        bare("a token as a cookie", &[401], put, &format!("Cookie: token={TOKEN}\r\n"), b"evil"),
    ];
    rows.push(row("two tokens", &[401], put, &format!("Authorization: Bearer {half}\r\n"), b"evil"));
    rows
}

#[test]
fn no_request_that_makes_no_sense_changes_anything() {
    let mut world = World::new();
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", &*token), ("tus-resumable", "1.0.0"), ("upload-length", "5")];
    let begun = crate::http::call("POST", &world.served.url("/v1/uploads"), &headers, "").expect(201);
    let upload = begun.header("location");
    // Whoever sends a piece holds this file's lock; it is made by the first.
    let piece = pieces(upload).swap_remove(0).request;
    assert_eq!(raw(world.served.listen, &piece).map(|answer| answer.status), Some(409));
    world.look_again();
    let rows: Vec<_> = [manifests(), pieces(upload), heads()].into_iter().flatten().collect();
    let mut failures = Vec::new();
    for Row { what, request, statuses } in &rows {
        let answer = raw(world.served.listen, request);
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        if !statuses.contains(&status) {
            failures.push(format!(
                "{what}: {status}, not one of {statuses:?}: {}",
                answer.map(|it| it.text()).unwrap_or_default()
            ));
        }
        if let Err(why) = world.check_unharmed() {
            failures.push(format!("{what} changed what it must not:{why}"));
            world.look_again();
        }
    }
    assert!(failures.is_empty(), "{} of {} rows are wrong:\n{}", failures.len(), rows.len(), failures.join("\n"));
}
