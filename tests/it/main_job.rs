//! The main job: a blank volume under stock nginx is filled, then published to by HTTP.

use std::process::Command;

use serde_json::json;

use crate::{
    listing::contents,
    nginx::Nginx,
    part::need,
    pod::{Pod, TOKEN, text},
    run::{Runs as _, clean},
};

const SEED: &[(&str, &str)] = &[
    ("index.html", "<h1>The harbour</h1>\n"),
    ("about.html", "<h1>About the harbour</h1>\n"),
    ("assets/style.css", "h1 { color: navy }\n"),
    ("assets/pictures/ship.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n"),
];

/// Uploads a file exactly as the README tells people to: `curl -T`.
#[track_caller]
fn curl_upload(file: &std::path::Path, url: &str) {
    let mut curl = Command::new("curl");
    clean(&mut curl).args(["--silent", "--show-error", "--fail-with-body", "-T", text(file)]);
    curl.args(["-H", &format!("Authorization: Bearer {TOKEN}"), url]).run().expect(0);
}

#[test]
fn a_blank_volume_is_filled_published_to_rolled_back_and_survives_sigkill() {
    let (program, _curl) = (need!("nginx"), need!("curl"));
    let pod = Pod::new();
    let mut nginx = Nginx::start(&program, &pod.volume());
    nginx.get("/").expect(403);

    pod.fill(pod.folder("seed", SEED)).expect(0);
    for (path, page) in SEED {
        assert_eq!(nginx.get(&format!("/{path}")).expect(200).text(), *page, "{path}");
    }
    assert_eq!(nginx.get("/").expect(200).text(), SEED[0].1);
    assert_eq!(nginx.get("/assets/style.css").header("content-type"), "text/css");

    let served = pod.serve();
    let new = pod.folder("new", &[("index.html", "<h1>The harbour, rebuilt</h1>\n")]);
    curl_upload(&new.join("index.html"), &served.url("/site/"));
    assert_eq!(nginx.get("/").expect(200).text(), "<h1>The harbour, rebuilt</h1>\n");
    assert_eq!(nginx.get("/about.html").expect(200).text(), SEED[1].1);

    served.rollback(&json!({})).expect(200);
    assert_eq!(nginx.get("/").expect(200).text(), SEED[0].1);

    let next = pod.folder("next", &[("news.html", "<h1>News</h1>\n")]);
    curl_upload(&next.join("news.html"), &served.url("/site/"));
    let (history, journal, site) = (served.releases(), pod.journal(), contents(&pod.volume()));
    assert_eq!(pod.causes(), ["seed", "patch", "rollback", "patch"]);

    served.kill();
    nginx.kill_and_start_again();
    assert_eq!(nginx.get("/").expect(200).text(), SEED[0].1, "nginx alone serves the last release");
    pod.fill(pod.path("seed")).expect(0);
    let served = pod.serve();
    assert_eq!(served.releases(), history);
    assert_eq!(pod.journal(), journal);
    assert_eq!(contents(&pod.volume()), site);
    assert_eq!(nginx.get("/").expect(200).text(), SEED[0].1);
    assert_eq!(nginx.get("/news.html").expect(200).text(), "<h1>News</h1>\n");
    served.rollback(&json!({})).expect(200);
    nginx.get("/news.html").expect(404);
}

#[test]
fn an_upload_is_seen_by_nginx_as_soon_as_it_is_acknowledged_and_has_another_etag() {
    let program = need!("nginx");
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page 00")])).expect(0);
    let nginx = Nginx::start(&program, &pod.volume());
    let served = pod.serve();
    let mut tags = vec![nginx.get("/").expect(200).header("etag").to_owned()];
    // Of one size and within a second: nginx's ETag is made of just these two.
    for number in 1..20 {
        let page = format!("page {number:02}");
        served.put("/site/index.html", page.clone()).expect(200);
        let answer = nginx.get("/").expect(200);
        assert_eq!(answer.text(), page);
        tags.push(answer.header("etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 20, "every version has an ETag of its own: {tags:?}");

    // What comes back has the ETag that it had.
    let before = nginx.get("/").expect(200).header("etag").to_owned();
    let release = pod.release();
    served.put("/site/index.html", "page xx").expect(200);
    served.rollback(&json!({ "to": release })).expect(200);
    assert_eq!(nginx.get("/").expect(200).header("etag"), before);
}

#[test]
fn an_empty_volume_with_serve_is_ready_and_takes_the_first_upload() {
    let program = need!("nginx");
    let pod = Pod::new();
    let nginx = Nginx::start(&program, &pod.volume());
    let mut served = pod.serve();
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(served.probe(probe), Some(200), "{probe}");
    }
    nginx.get("/").expect(403);
    served.get("/site/").expect(404);
    assert_eq!(served.releases(), Vec::<serde_json::Value>::new());
    let answer = served.put("/site/index.html", "the first page").expect(201).json();
    assert_eq!(answer["seq"], 1);
    assert_eq!(nginx.get("/").expect(200).text(), "the first page");
    served.assert_running();
}
