//! Guards against a slip that empties a site: `max-delete`, `allow-empty`.

use serde_json::json;

use crate::{archive::tar, listing::contents, pod::Pod, served::Served};

/// A site of ten files that is no seed.
fn ten(pod: &Pod) -> Served {
    let served = pod.serve();
    let names: Vec<_> = (0..10).map(|number| format!("{number}.html")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), &b"page"[..])).collect();
    served.put("/site/", tar(&files)).expect(200);
    served
}

fn some(prefix: &str, count: usize) -> Vec<u8> {
    let names: Vec<_> = (0..count).map(|number| format!("{prefix}{number}.html")).collect();
    tar(&names.iter().map(|name| (name.as_str(), &b"page"[..])).collect::<Vec<_>>())
}

#[test]
fn most_of_a_site_goes_only_when_somebody_says_so() {
    let pod = Pod::new();
    let served = ten(&pod);
    let refused = served.put("/site/", some("", 4)).expect(409);
    assert_eq!(refused.problem(), "too-many-deletions");
    assert_eq!((&refused.json()["removed"], &refused.json()["files"]), (&json!(6), &json!(10)));
    let deploy = json!({ "base": 1, "remove": (0..6).map(|number| format!("{number}.html")).collect::<Vec<_>>() });
    let deploy = deploy.to_string();
    assert_eq!(served.call("POST", "/v1/releases", deploy.clone()).expect(409).problem(), "too-many-deletions");
    assert_eq!(contents(&pod.volume()).len(), 10);
    // As many others: a build whose names have hashes in them.
    served.put("/site/", some("hashed-", 10)).expect(200);
    served.put("/site/", some("hashed-", 5)).expect(200);
    served.put("/site/?max-delete=all", some("hashed-", 2)).expect(200);
    served.call("POST", "/v1/releases?max-delete=6", deploy).expect(201);
    assert_eq!(contents(&pod.volume()).len(), 4);
}

#[test]
fn a_limit_holds_exactly() {
    let pod = Pod::new();
    let served = ten(&pod);
    for (query, count) in [("max-delete=2", 7), ("max-delete=0", 9), ("max-delete=20%", 7), ("max-delete=29%25", 7)] {
        let refused = served.put(&format!("/site/?{query}"), some("", count)).expect(409);
        assert_eq!(refused.problem(), "too-many-deletions", "{query}");
    }
    assert_eq!(served.delete("/site/1.html?max-delete=0").expect(409).problem(), "too-many-deletions");
    served.put("/site/?max-delete=3", some("", 7)).expect(200);
    let back = served.call("POST", "/v1/rollback?max-delete=0", r#"{"to": 1}"#).expect(200).json();
    assert_eq!(back["changed"], 3);
    served.put("/site/?max-delete=30%", some("", 7)).expect(200);
    served.delete("/site/1.html?max-delete=1").expect(200);
}

/// Who names what is to go, or goes back, means it; and a seed can be had again.
#[test]
fn what_is_named_and_what_replaces_a_seed_may_go() {
    let pod = Pod::new();
    let site = pod.folder("seed", &[("a/1", "1"), ("a/2", "2"), ("a/3", "3"), ("b", "b")]);
    pod.fill(&site).expect(0);
    let served = pod.serve();
    served.put("/site/", tar(&[("b", b"new")])).expect(200);
    served.rollback(&json!({ "to": 1 })).expect(200);
    served.rollback(&json!({ "to": 2 })).expect(200);
    served.rollback(&json!({ "to": 1 })).expect(200);
    served.delete("/site/a/").expect(200);
    assert_eq!(contents(&pod.volume()).len(), 1);
}

#[test]
fn a_site_becomes_empty_only_when_somebody_says_so() {
    for layout in [&[][..], &["--link", "html"], &["--layout", "files"]] {
        let pod = Pod::new();
        let served = pod.serve_with(layout);
        assert_eq!(served.call("POST", "/v1/releases", r#"{"manifest": {}}"#).expect(409).problem(), "empty-site");
        served.put("/site/a/page.html", "1").expect(201);
        for refused in [
            served.delete("/site/a/page.html"),
            served.delete("/site/a/"),
            served.call("POST", "/v1/releases?max-delete=all", r#"{"manifest": {}}"#),
        ] {
            assert_eq!(refused.expect(409).problem(), "empty-site", "{layout:?}");
        }
        served.get("/site/a/page.html").expect(200);
        served.delete("/site/a/page.html?allow-empty=true").expect(200);
        served.get("/site/a/page.html").expect(404);
        served.get("/site/").expect(404);
        served.put("/site/a/page.html", "2").expect(201);
        served.call("POST", "/v1/releases?allow-empty=true&max-delete=all", r#"{"manifest": {}}"#).expect(201);
        let root = if layout.contains(&"--link") { pod.volume().join("html") } else { pod.volume() };
        assert!(contents(&root).is_empty(), "{layout:?}: {:?}", contents(&root).keys());
        served.get("/site/a/page.html").expect(404);
        served.terminate().expect(0);
        let served = pod.serve();
        served.get("/site/a/page.html").expect(404);
        served.put("/site/index.html", "3").expect(201);
        assert_eq!(contents(&root)["index.html"], b"3", "{layout:?}");
    }
}

/// A misspelt guard is no guard.
#[test]
fn parameters_that_are_not_known_are_refused() {
    let pod = Pod::new();
    let served = ten(&pod);
    for query in ["max_delete=1", "max-delete=lots", "max-delete=1&max-delete=2", "allow-empty=1", "archive=tar"] {
        for (method, path) in [
            ("PUT", "/site/0.html"),
            ("PUT", "/site/"),
            ("PATCH", "/site/"),
            ("DELETE", "/site/0.html"),
            ("POST", "/v1/releases"),
            ("POST", "/v1/rollback"),
            ("POST", "/v1/objects"),
        ] {
            let answer = served.call(method, &format!("{path}?{query}"), "");
            assert_eq!(answer.expect(400).problem(), "bad-request", "{method} {path}?{query}");
        }
    }
    assert_eq!(pod.causes().len(), 1);
}
