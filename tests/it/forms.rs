//! Forms as curl and browsers send them, archives by their Content-Type, and everything back by `?archive`.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::json;
use tar::EntryType;

use crate::{
    archive::{Tar, gzip, tar, zip, zstandard},
    http::{Answer, call, raw},
    listing::{contents, staging_leftovers},
    pod::{Pod, TOKEN},
    run::Runs as _,
    served::Served,
};

fn ask(served: &Served, method: &str, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let token = format!("Bearer {TOKEN}");
    call(method, &served.url(path), &[("authorization", &token), ("content-type", kind)], body)
}

/// curl's status and what was answered.
fn curl(served: &Served, path: &str, folder: &Path, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.current_dir(folder).args(["-sS", "--noproxy", "*", "-w", "\n%{http_code}"]);
    command.args(["-H", &format!("Authorization: Bearer {TOKEN}")]).args(arguments).arg(served.url(path));
    let run = command.run().expect(0);
    let (body, status) = run.stdout.rsplit_once('\n').expect("curl writes the status");
    (status.to_owned(), body.to_owned())
}

#[test]
fn curl_puts_several_files_in_one_release() {
    let pod = Pod::new();
    let local = pod.folder("local", &[("index.html", "page"), ("logo.png", "logo"), ("empty", ""), ("q\"ü .txt", "q")]);
    let served = pod.serve();
    let form = ["-F", "a=@index.html", "-F", "b=@logo.png;filename=img/logo.png", "-F", "c=@empty"];
    let (status, body) = curl(&served, "/site/", &local, &form);
    assert_eq!(status, "200", "{body}");
    let odd = ["-F", "a=@\"q\\\"ü .txt\"", "-F", "x=@logo.png;filename=b/c"];
    let (status, body) = curl(&served, "/site/sub/", &local, &odd);
    assert_eq!(status, "200", "{body}");
    let found = contents(&pod.volume());
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["empty", "img/logo.png", "index.html", "sub/b/c", "sub/q\"ü .txt"]);
    assert_eq!((&*found["img/logo.png"], &*found["empty"]), (&b"logo"[..], &b""[..]));
    assert_eq!(pod.causes(), ["patch", "patch"], "one release a form");
    // What is no file of a name is refused, and so is the whole form.
    for wrong in [
        &["-F", "a=@index.html", "-F", "text=value"][..],
        &["-F", "a=@index.html", "-F", "b=@index.html"],
        &["-F", "a=@index.html;filename=../x"],
        &["-F", "a=@index.html;filename=/etc/x"],
        &["-F", "a=@index.html;filename=C:\\x\\y"],
        &["-F", "a=@index.html,logo.png"],
        &["-F", "a=@index.html;filename=new", "-F", "b=@logo.png;filename=new/x"],
    ] {
        let (status, body) = curl(&served, "/site/", &local, wrong);
        assert!(status == "400" || status == "409", "{wrong:?}: {status} {body}");
    }
    assert_eq!(contents(&pod.volume()), found);
    assert_eq!(staging_leftovers(&pod.volume()), Vec::<std::path::PathBuf>::new());
}

/// A form of these heads, each with the bytes `x`.
fn form(heads: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for head in heads {
        body.extend_from_slice(&[b"--B\r\n", *head, b"\r\n\r\nx\r\n"].concat());
    }
    [body, b"--B--\r\n".to_vec()].concat()
}

const FORM: &str = "multipart/form-data; boundary=B";

#[test]
fn names_are_taken_as_they_are_or_not_at_all() {
    let pod = Pod::new();
    let served = pod.serve();
    let of = |name: &str| format!("Content-Disposition: form-data; name=\"f\"; {name}").into_bytes();
    let taken: [(&str, &str); 4] = [
        ("filename=\"dir/sub/a%20b.txt\"", "dir/sub/a%20b.txt"),
        ("filename*=UTF-8''%e2%82%ac.txt; filename=\"euro.txt\"", "€.txt"),
        ("filename=plain.txt", "plain.txt"),
        ("filename=\"a;b=c\"", "a;b=c"),
    ];
    for (name, path) in taken {
        ask(&served, "POST", "/site/", FORM, form(&[&of(name)])).expect(200);
        assert!(contents(&pod.volume()).contains_key(path), "{name}");
    }
    let before = contents(&pod.volume());
    for name in [
        "filename=\"a\\b\"",
        "filename=\"C:\\x\"",
        "filename=\"../x\"",
        "filename=\"a/../../x\"",
        "filename=\"/x\"",
        "filename=\"a//b\"",
        "filename=\"\"",
        "filename=\"a/\"",
        "filename=\".longshore/journal/x\"",
        "filename=\"..data\"",
        "filename=\"a\u{202e}b\"",
        "filename=\"a\tb\"",
        "filename=\"=?utf-8?q?x?=\"",
        "filename*=latin1''x",
        "filename*=UTF-8''..%2fx",
        "filename*=UTF-8''%ff",
        "filename*=UTF-8''a%00b",
        "filename=\"a\"; filename=\"b\"",
        "x=y",
    ] {
        let answer = ask(&served, "POST", "/site/", FORM, form(&[&of("filename=\"fine\""), &of(name)]));
        answer.expect(400).problem();
    }
    ask(&served, "POST", "/site/", FORM, form(&[b"Content-Disposition: form-data; filename=\"\xff\""]))
        .expect(400)
        .problem();
    ask(&served, "POST", "/site/", FORM, form(&[])).expect(400).problem();
    let long = format!("X: {}", "x".repeat(1 << 20));
    ask(&served, "POST", "/site/", FORM, form(&[long.as_bytes()])).expect(400).problem();
    ask(&served, "POST", "/site/", FORM, "no form").expect(400).problem();
    ask(&served, "POST", "/site/", "text/plain", form(&[])).expect(415).problem();
    ask(&served, "POST", "/site/", "multipart/form-data", form(&[])).expect(415).problem();
    ask(&served, "POST", "/site/x", FORM, form(&[&of("filename=y")])).expect(405).problem();
    assert_eq!(contents(&pod.volume()), before);
    assert_eq!(pod.causes().len(), taken.len());
}

#[test]
fn a_cut_form_changes_nothing_and_a_large_one_needs_no_memory() {
    let pod = Pod::new();
    let served = pod.serve();
    let whole = form(&[b"Content-Disposition: form-data; filename=a", b"Content-Disposition: form-data; filename=b"]);
    let head = format!(
        "POST /site/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {FORM}\r\nConnection: close\r\nContent-Length: "
    );
    for cut in 0..whole.len() - b"--B--\r\n".len() {
        let request = [format!("{head}{cut}\r\n\r\n").as_bytes(), &whole[..cut]].concat();
        assert_eq!(raw(served.listen, &request).expect("an answer").expect(400).problem(), "body-cut", "{cut}");
    }
    served.get("/site/a").expect(404);
    let before = served.peak_memory();
    let big = vec![b'z'; 96 << 20];
    let body = [b"--B\r\nContent-Disposition: form-data; filename=big\r\n\r\n", &big[..], b"\r\n--B--\r\n"].concat();
    ask(&served, "POST", "/site/", FORM, body).expect(200);
    assert_eq!(contents(&pod.volume())["big"].len(), big.len());
    let grown = served.peak_memory() - before;
    assert!(grown < 32 << 20, "{grown} bytes more for a form of {}", big.len());
}

#[test]
fn a_form_can_be_rehearsed_and_has_preconditions() {
    let pod = Pod::new();
    let served = pod.serve();
    let token = format!("Bearer {TOKEN}");
    let body = form(&[b"Content-Disposition: form-data; filename=a"]);
    let with = |name: &str, value: &str| {
        let headers = [("authorization", &*token), ("content-type", FORM), (name, value)];
        call("POST", &served.url("/site/"), &headers, body.clone())
    };
    let said = with("dry-run", "?1").expect(200).json();
    assert_eq!((&said["dry_run"], &said["changes"][0]["path"]), (&json!(true), &json!("a")));
    assert!(contents(&pod.volume()).is_empty());
    with("if-match", "*").expect(412);
    with("if-none-match", "*").expect(200);
    with("if-none-match", "*").expect(412);
}

#[test]
fn a_content_type_says_what_the_bytes_are_or_is_refused() {
    let pod = Pod::new();
    let served = pod.serve();
    let files: &[(&str, &[u8])] = &[("index.html", b"page")];
    let kinds: [(&[&str], Vec<u8>); 4] = [
        (&["application/x-tar", "application/x-gtar", "Application/X-Tar; charset=binary"], tar(files)),
        (
            &["application/gzip", "application/x-gzip", "application/x-compressed-tar", "application/x-tgz"],
            gzip(&tar(files)),
        ),
        (&["application/zstd", "application/x-zstd"], zstandard(&tar(files))),
        (&["application/zip", "application/x-zip-compressed"], zip(files)),
    ];
    for (at, (names, bytes)) in kinds.iter().enumerate() {
        for method in ["PUT", "PATCH"] {
            for name in names.iter().chain(&["application/octet-stream", "application/x-www-form-urlencoded"]) {
                ask(&served, method, "/site/", name, bytes.clone()).expect(200);
            }
            for (other, (names, _)) in kinds.iter().enumerate() {
                if at != other {
                    let answer = ask(&served, method, "/site/d/", names[0], bytes.clone()).expect(422);
                    assert_eq!(answer.problem(), "bad-archive");
                    assert!(answer.text().contains("announced as"), "{answer}");
                }
            }
        }
    }
    for name in ["text/html", "application/json", "image/png", FORM, "x"] {
        for (method, path) in [("PUT", "/site/"), ("PATCH", "/site/d/"), ("POST", "/v1/objects")] {
            assert_eq!(
                ask(&served, method, path, name, tar(files)).expect(415).problem(),
                "unsupported-type",
                "{name}"
            );
        }
    }
    assert_eq!(pod.causes().len(), 1);
    // Of one file it says nothing that matters here.
    ask(&served, "PUT", "/site/a.tar", "text/html", "x").expect(201);
}

/// Executables, odd names, empty files: out and in again, in every kind.
#[test]
fn what_is_given_out_may_be_put_back_and_changes_nothing() {
    let pod = Pod::new();
    let served = pod.serve();
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(200));
    served.put(&format!("/site/{long}"), "long").expect(201);
    let site = Tar::new()
        .entry(EntryType::Regular, "bin/run me.sh", "", 0o755, b"#!/bin/sh\n")
        .file("empty", b"")
        .file("ü/€ 100%.html", b"page")
        .file("a'b\"c;d#e?f&g", b"odd")
        .file("-rf", b"dash");
    served.patch("/site/", site.finish()).expect(200);
    let modes = |folder: &Path| -> BTreeMap<String, bool> {
        let of = |name: &String| {
            std::fs::metadata(folder.join(name)).expect("it is there").permissions().mode() & 0o100 != 0
        };
        contents(folder).keys().map(|name| (name.clone(), of(name))).collect()
    };
    let (release, before, executable) = (pod.release(), contents(&pod.volume()), modes(&pod.volume()));
    assert_eq!((before.len(), executable["bin/run me.sh"]), (6, true));
    for kind in ["tar", "tar.gz", "tar.zst", "zip"] {
        let archive = served.get(&format!("/site/?archive={kind}")).expect(200);
        let media = archive.header("content-type").to_owned();
        let back = ask(&served, "PUT", "/site/", &media, archive.body.clone()).expect(200).json();
        assert_eq!(
            (&back["changed"], &back["removed"], &back["release"]),
            (&json!(0), &json!(0), &json!(release)),
            "{kind}"
        );
        // And on another volume it makes the same release.
        let other = Pod::new();
        let there = other.serve();
        let made = ask(&there, "PUT", "/site/", &media, archive.body).expect(200).json();
        assert_eq!(made["release"], json!(release), "{kind}");
        assert_eq!((contents(&other.volume()), modes(&other.volume())), (before.clone(), executable.clone()), "{kind}");
    }
    assert_eq!(pod.causes().len(), 2);
}
