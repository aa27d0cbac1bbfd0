//! `Dry-Run: ?1`: what would be, and nothing done; and `If-Unmodified-Since`.

use serde_json::{Value, json};

use crate::{
    archive::{gzip, tar, zip},
    http::{Answer, call},
    listing::{assert_unchanged, is_blank, listing},
    pod::{Pod, TOKEN},
    served::Served,
};

fn ask(served: &Served, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let token = format!("Bearer {TOKEN}");
    call(method, &served.url(path), &[&[("authorization", &*token)], headers].concat(), body)
}

fn rehearse(served: &Served, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    ask(served, method, path, &[("dry-run", "?1")], body)
}

/// Each write is rehearsed, the volume compared, and then done: it becomes what the rehearsal said.
#[test]
fn a_rehearsal_says_what_will_be_and_changes_nothing() {
    for layout in [&[][..], &["--layout", "files"]] {
        let pod = Pod::new();
        let served = pod.serve_with(layout);
        served.put("/site/", tar(&[("index.html", b"1"), ("a/b.css", b"b"), ("a/c.css", b"c")])).expect(200);
        let waiting = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0";
        served.put(&format!("/v1/objects/{waiting}"), "aaa").expect(201);
        let deploy = json!({ "base": 1, "set": { "w": { "digest": waiting, "size": 3 } }, "remove": ["a/c.css"] });
        let writes: [(&str, &str, Vec<u8>); 8] = [
            ("PUT", "/site/new.html", b"new".into()),
            ("PUT", "/site/index.html", b"2".into()),
            ("PATCH", "/site/a/", zip(&[("z.css", b"z"), ("b.css", b"bb")])),
            ("DELETE", "/site/new.html", Vec::new()),
            ("POST", "/v1/releases", deploy.to_string().into()),
            ("PUT", "/site/a/", gzip(&tar(&[("x", b"x")]))),
            ("DELETE", "/site/a/", Vec::new()),
            ("POST", "/v1/rollback", Vec::new()),
        ];
        for (method, path, body) in writes {
            let before = listing(&pod.volume());
            let said = rehearse(&served, method, path, body.clone()).expect(200).json();
            assert_unchanged(&before, &listing(&pod.volume()), &format!("a rehearsal of {method} {path}"));
            let from = pod.release();
            let done = served.call(method, path, body).json();
            for member in ["seq", "release", "changed", "removed", "bytes", "digest"] {
                assert_eq!(said[member], done[member], "{member} of {method} {path}");
            }
            assert_eq!(said["dry_run"], true);
            assert!(done.get("dry_run").is_none() && done.get("changes").is_none());
            let real = served.get(&format!("/v1/diff/{from}/{}", pod.release())).expect(200).json();
            assert_eq!(said["changes"], real["changes"], "{method} {path}");
            assert_ne!(said["changes"], json!([]));
        }
    }
}

#[test]
fn what_changes_nothing_is_said_to_change_nothing() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/a", "1").expect(201);
    let said = rehearse(&served, "PUT", "/site/a", "1").expect(200).json();
    assert_eq!((&said["changed"], &said["changes"], &said["seq"]), (&json!(0), &json!([]), &json!(1)));
    ask(&served, "PUT", "/site/a", &[("dry-run", "?0")], "2").expect(200);
    assert_eq!(served.get("/site/a").text(), "2");
}

#[test]
fn a_blank_volume_stays_blank() {
    let pod = Pod::new();
    let served = pod.serve();
    let id = |answer: Answer| answer.expect(200).json()["release"].clone();
    let files: &[(&str, &[u8])] = &[("index.html", b"1"), ("a/b", b"2")];
    let said: Vec<Value> =
        [tar(files), zip(files)].into_iter().map(|body| id(rehearse(&served, "PUT", "/site/", body))).collect();
    rehearse(&served, "PUT", "/site/x", "x").expect(200);
    rehearse(&served, "DELETE", "/site/x", "").expect(404);
    assert!(is_blank(&pod.volume()));
    assert_eq!(said, [pod_release(&served, files), said[0].clone()]);
}

fn pod_release(served: &Served, files: &[(&str, &[u8])]) -> Value {
    served.put("/site/", tar(files)).expect(200).json()["release"].clone()
}

/// Somebody's content is not taken over for a question.
#[test]
fn somebodys_content_is_left_alone() {
    let pod = Pod::new();
    std::fs::write(pod.volume().join("theirs.html"), "theirs").expect("written");
    let served = pod.serve();
    let before = listing(&pod.volume());
    rehearse(&served, "PUT", "/site/ours.html", "ours").expect(200);
    assert_unchanged(&before, &listing(&pod.volume()), "a rehearsal");
}

/// Method, path, headers, body.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Vec<u8>);

/// The problems are those of the real write.
#[test]
fn a_rehearsal_fails_as_the_write_would() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/", tar(&[("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")])).expect(200);
    let absent = "0".repeat(64);
    let missing = json!({ "base": 1, "set": { "x": { "digest": absent, "size": 3 } } }).to_string();
    let stale = json!({ "parent": absent }).to_string();
    let cases: [Case<'_>; 10] = [
        ("PUT", "/site/a/b", &[], b"x".into()),
        ("PUT", "/site/a", &[("if-none-match", "*")], b"x".into()),
        (
            "PUT",
            "/site/a",
            &[("content-digest", "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:")],
            b"x".into(),
        ),
        ("DELETE", "/site/absent", &[], Vec::new()),
        ("PUT", "/site/", &[], tar(&[("a", b"1")])),
        ("PUT", "/site/", &[], b"no archive".into()),
        ("POST", "/v1/releases", &[], missing.into()),
        ("POST", "/v1/releases", &[], br#"{"manifest": {}}"#.into()),
        ("POST", "/v1/rollback", &[], stale.into()),
        ("POST", "/v1/rollback", &[], br#"{"to": 77}"#.into()),
    ];
    for (method, path, headers, body) in cases {
        let before = listing(&pod.volume());
        let rehearsed = ask(&served, method, path, &[headers, &[("dry-run", "?1")]].concat(), body.clone());
        assert_unchanged(&before, &listing(&pod.volume()), &format!("a rehearsal of {method} {path}"));
        let real = ask(&served, method, path, headers, body);
        assert_eq!((rehearsed.problem(), rehearsed.json()), (real.problem(), real.json()), "{method} {path}");
    }
}

#[test]
fn a_dry_run_that_makes_no_sense_is_refused() {
    let pod = Pod::new();
    let served = pod.serve();
    for value in ["1", "true", "?2", "", "?1, ?1"] {
        ask(&served, "PUT", "/site/a", &[("dry-run", value)], "x").expect(400).problem();
    }
    let digest = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0";
    rehearse(&served, "PUT", &format!("/v1/objects/{digest}"), "aaa").expect(400).problem();
    rehearse(&served, "POST", "/v1/objects", tar(&[(digest, b"aaa")])).expect(400).problem();
    assert!(is_blank(&pod.volume()));
}

#[test]
fn a_file_or_site_that_changed_since_is_not_written_over() {
    let pod = Pod::new();
    let served = pod.serve();
    let (old, never) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    ask(&served, "PUT", "/site/a", &[("if-unmodified-since", old)], "1").expect(201);
    let modified = served.get("/site/a").header("last-modified").to_owned();
    for (method, path) in [("PUT", "/site/a"), ("DELETE", "/site/a"), ("POST", "/v1/rollback"), ("PATCH", "/site/")] {
        let body = match method {
            "PATCH" => tar(&[("a", b"2")]),
            "POST" => br#"{"to": 1}"#.into(),
            _ => Vec::new(),
        };
        served.put("/site/b", method);
        let answer = ask(&served, method, path, &[("if-unmodified-since", old)], body);
        assert_eq!(answer.expect(412).problem(), "precondition-failed", "{method} {path}");
    }
    let tag = served.get("/site/a").header("etag").to_owned();
    ask(&served, "PUT", "/site/a", &[("if-unmodified-since", old), ("if-match", &tag)], "2").expect(200);
    let later = served.get("/site/a").header("last-modified").to_owned();
    assert_ne!(modified, later);
    ask(&served, "PUT", "/site/a", &[("if-unmodified-since", &modified)], "3").expect(412);
    ask(&served, "PUT", "/site/a", &[("if-unmodified-since", &later)], "3").expect(200);
    ask(&served, "PUT", "/site/a", &[("if-unmodified-since", "yesterday")], "4").expect(200);
    ask(&served, "PUT", "/site/a", &[("if-modified-since", never)], "5").expect(200);
    ask(&served, "PATCH", "/site/", &[("if-unmodified-since", never)], tar(&[("a", b"6")])).expect(200);
}
