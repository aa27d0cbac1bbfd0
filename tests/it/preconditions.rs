//! Writes that lose nobody's update: If-Match, If-None-Match, announced digests.

use std::sync::Barrier;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use crate::{
    archive::{gzip, tar},
    http::{Answer, call},
    listing::contents,
    pod::{Pod, TOKEN},
    served::Served,
};

fn ask(served: &Served, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let token = format!("Bearer {TOKEN}");
    call(method, &served.url(path), &[&[("authorization", &*token)], headers].concat(), body)
}

#[track_caller]
fn refused(answer: Answer) -> Answer {
    assert_eq!(answer.clone().expect(412).problem(), "precondition-failed", "{answer}");
    answer
}

#[test]
fn a_file_is_replaced_only_by_whoever_knows_it() {
    let pod = Pod::new();
    let served = pod.serve();
    let path = "/site/a/page.html";
    refused(ask(&served, "PUT", path, &[("if-match", "*")], "1"));
    let tag = ask(&served, "PUT", path, &[("if-none-match", "*")], "1").expect(201).header("etag").to_owned();
    let there = refused(ask(&served, "PUT", path, &[("if-none-match", "*")], "2"));
    assert_eq!(
        format!("{:?}", there.json()["current"].as_str().expect("a digest")),
        tag,
        "the answer tells what is live"
    );
    let next = ask(&served, "PUT", path, &[("if-match", &tag)], "2").expect(200).header("etag").to_owned();
    for stale in [tag.as_str(), "\"x\"", &format!("W/{next}")] {
        refused(ask(&served, "PUT", path, &[("if-match", stale)], "3"));
        refused(ask(&served, "DELETE", path, &[("if-match", stale)], ""));
    }
    refused(ask(&served, "PUT", path, &[("if-none-match", &format!("\"x\", {next}"))], "3"));
    ask(&served, "PUT", path, &[("if-match", "no quotes")], "3").expect(400).problem();
    assert_eq!(served.get(path).expect(200).text(), "2");
    // Commas within tags and around them, and more than one line.
    let odd = format!("\"a,b\",, {next} ,");
    for headers in [&[("if-match", &*odd)][..], &[("if-match", "\"x\""), ("if-match", &*next)]] {
        assert_eq!(ask(&served, "PUT", path, headers, "2").expect(200).json()["changed"], 0);
    }
    // A reader who goes on with a file, and means that one.
    ask(&served, "GET", path, &[("if-match", &next), ("range", "bytes=0-")], "").expect(206);
    for (name, value) in [("if-match", &*tag), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")] {
        let other = refused(ask(&served, "GET", path, &[(name, value), ("range", "bytes=0-")], ""));
        assert_eq!(format!("{:?}", other.json()["current"].as_str().expect("a digest")), next);
    }
    assert_eq!(pod.causes().len(), 2, "nothing else was committed");
    ask(&served, "DELETE", &format!("{path}?allow-empty=true"), &[("if-match", &next)], "").expect(200);
}

#[test]
fn the_site_is_replaced_only_by_whoever_knows_its_release() {
    let pod = Pod::new();
    let served = pod.serve();
    let deploy = |headers: &[(&str, &str)], page: &str| {
        ask(&served, "PUT", "/site/", headers, tar(&[("index.html", page.as_bytes())]))
    };
    let first = deploy(&[("if-none-match", "*")], "1").expect(200).header("etag").to_owned();
    refused(deploy(&[("if-none-match", "*")], "2"));
    deploy(&[("if-match", &first)], "2").expect(200);
    let late = refused(deploy(&[("if-match", &first)], "3"));
    assert_eq!(late.json()["current"], json!(pod.release()));
    refused(ask(&served, "PATCH", "/site/a/", &[("if-match", &first)], tar(&[("x", b"x")])));
    refused(ask(&served, "DELETE", "/site/index.html/", &[("if-match", &first)], ""));
    refused(ask(&served, "POST", "/v1/rollback", &[("if-match", &first)], ""));
    assert_eq!(contents(&pod.volume())["index.html"], b"2");
    ask(&served, "POST", "/v1/rollback", &[("if-match", &format!("\"{}\"", pod.release()))], "").expect(200);
    assert_eq!(contents(&pod.volume())["index.html"], b"1");
}

/// Eight who read the same version and write at once: one wins, seven are told.
#[test]
fn of_many_who_know_the_same_version_one_wins() {
    let pod = Pod::new();
    let served = pod.serve();
    let mut tag = served.put("/site/n", "0").expect(201).header("etag").to_owned();
    for round in 1..=5 {
        let barrier = Barrier::new(8);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let (served, tag, barrier) = (&served, &tag, &barrier);
            let write = move |who: usize| {
                barrier.wait();
                ask(served, "PUT", "/site/n", &[("if-match", tag)], format!("{round} {who}"))
            };
            let threads: Vec<_> = (0..8).map(|who| scope.spawn(move || write(who))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it answers")).collect()
        });
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!((won.len(), answers.iter().filter(|answer| answer.status == 412).count()), (1, 7));
        tag = won[0].header("etag").to_owned();
        assert_eq!(served.get("/site/n").expect(200).header("etag"), tag);
    }
    assert_eq!(pod.causes().len(), 6);
}

#[test]
fn other_bytes_than_announced_never_come_in() {
    let pod = Pod::new();
    let served = pod.serve();
    let digest = |bytes: &[u8]| {
        let hash = <sha2::Sha256 as sha2::Digest>::digest(bytes);
        format!("sha-256=:{}:", BASE64_STANDARD.encode(hash))
    };
    for name in ["content-digest", "repr-digest"] {
        let wrong = ask(&served, "PUT", "/site/a.txt", &[(name, &digest(b"other"))], "bytes");
        assert_eq!(wrong.expect(422).problem(), "digest-mismatch", "{name}");
        served.get("/site/a.txt").expect(404);
        ask(&served, "PUT", "/site/a.txt", &[(name, &digest(b"bytes"))], "bytes").expect(201);
        served.delete("/site/a.txt?allow-empty=true").expect(200);
    }
    let archive = gzip(&tar(&[("index.html", b"page")]));
    ask(&served, "PUT", "/site/", &[("content-digest", &digest(b"x"))], archive.clone()).expect(422);
    ask(&served, "PUT", "/site/", &[("content-digest", &digest(&archive))], archive).expect(200);
    ask(&served, "PUT", "/site/a.txt", &[("content-digest", "sha-256=abc")], "bytes").expect(400).problem();
    ask(&served, "PUT", "/site/a.txt", &[("content-digest", "sha-512=:AA==:")], "bytes").expect(201);
}
