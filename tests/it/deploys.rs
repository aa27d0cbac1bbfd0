//! Deploys by manifest: only what is missing is sent, and nobody's update is lost.

use std::{collections::BTreeMap, io::Write as _};

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    archive::{gzip, tar, zstandard},
    http::{Answer, call},
    journal::assert_well_formed,
    listing::{contents, staging_leftovers},
    pod::{Pod, TOKEN},
    served::Served,
};

type Site = BTreeMap<String, Vec<u8>>;

fn site(files: &[(&str, &str)]) -> Site {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn manifest(site: &Site) -> Value {
    let line = |bytes: &Vec<u8>| json!({ "digest": hex(bytes), "size": bytes.len() });
    Value::Object(site.iter().map(|(path, bytes)| (path.clone(), line(bytes))).collect::<Map<_, _>>())
}

fn post(served: &Served, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
    let token = format!("Bearer {TOKEN}");
    call("POST", &served.url(path), &[&[("authorization", &*token)], headers].concat(), body)
}

fn deploy(served: &Served, body: &Value) -> Answer {
    post(served, "/v1/releases", &[("content-type", "application/json")], body.to_string())
}

fn missing(answer: Answer) -> Vec<String> {
    let answer = answer.expect(409);
    assert_eq!(answer.problem(), "missing-objects");
    let list = answer.json()["missing"].as_array().expect("a list").clone();
    list.iter().map(|digest| digest.as_str().expect("a digest").to_owned()).collect()
}

/// As a client does it: asks, sends what is missing, asks again; tells how many objects it sent.
fn publish(served: &Served, site: &Site, parent: Option<&str>) -> (usize, Answer) {
    let body = json!({ "manifest": manifest(site), "parent": parent });
    let first = deploy(served, &body);
    if first.status != 409 {
        return (0, first);
    }
    let missing = missing(first);
    for bytes in site.values().filter(|bytes| missing.contains(&hex(bytes))) {
        served.put(&format!("/v1/objects/{}", hex(bytes)), bytes.clone());
    }
    (missing.len(), deploy(served, &body))
}

#[test]
fn only_what_is_missing_is_sent() {
    let pod = Pod::new();
    let served = pod.serve();
    let mut files = site(&[("index.html", "page"), ("a/style.css", "css"), ("a/copy.css", "css"), ("empty", "")]);
    let (sent, answer) = publish(&served, &files, None);
    assert_eq!(sent, 3, "equal bytes are one object");
    let first = answer.expect(201).json();
    assert_eq!(
        (first["seq"].as_u64(), first["changed"].as_u64(), first["bytes"].as_u64()),
        (Some(1), Some(4), Some(10))
    );
    assert_eq!(contents(&pod.volume()), files);
    assert_eq!(pod.causes(), ["upload"]);

    // Nothing changed: no object, no release.
    let (sent, answer) = publish(&served, &files, None);
    assert_eq!((sent, answer.expect(200).json()["changed"].as_u64()), (0, Some(0)));
    // One file changed: one object.
    files.insert("index.html".into(), b"new page".to_vec());
    let (sent, answer) = publish(&served, &files, first["release"].as_str());
    assert_eq!((sent, answer.expect(201).json()["changed"].as_u64()), (1, Some(1)));
    // A rename sends nothing.
    let bytes = files.remove("a/copy.css").expect("there");
    files.insert("b/moved.css".into(), bytes);
    let (sent, answer) = publish(&served, &files, None);
    let moved = answer.expect(201).json();
    assert_eq!((sent, moved["changed"].as_u64(), moved["removed"].as_u64()), (0, Some(1), Some(1)));
    assert_eq!(contents(&pod.volume()), files);
    assert_eq!(pod.causes().len(), 3);
    assert_well_formed(&pod);
    assert!(staging_leftovers(&pod.volume()).iter().all(|path| path.is_dir()), "nothing waits that was taken");
}

#[test]
fn the_changes_to_a_release_are_enough() {
    let pod = Pod::new();
    let served = pod.serve();
    let mut files = site(&[("index.html", "1"), ("a/one", "one"), ("a/two", "two")]);
    let (_, answer) = publish(&served, &files, None);
    let first = answer.expect(201).json()["release"].as_str().expect("an id").to_owned();
    let delta = json!({ "base": first, "set": manifest(&site(&[("a/three", "three")])), "remove": ["a/one"], "parent": first, "message": "m" });
    let wanted = missing(deploy(&served, &delta));
    assert_eq!(wanted, [hex(b"three")]);
    served.put(&format!("/v1/objects/{}", wanted[0]), "three").expect(201);
    deploy(&served, &delta).expect(201);
    files.remove("a/one");
    files.insert("a/three".into(), b"three".to_vec());
    assert_eq!(contents(&pod.volume()), files);
    assert_eq!(served.releases()[0]["message"], json!("m"));
    // The same again is for another parent than the live one.
    assert_eq!(deploy(&served, &delta).expect(412).problem(), "stale-parent");
    // From an older base than the live release, when nobody insists on the parent.
    let old = json!({ "base": 1, "remove": ["index.html"] });
    deploy(&served, &old).expect(201);
    deploy(&served, &json!({ "base": "1", "remove": ["index.html"] })).expect(200);
    deploy(&served, &json!({ "base": [1], "remove": ["index.html"] })).expect(400);
    assert_eq!(contents(&pod.volume()), site(&[("a/one", "one"), ("a/two", "two")]));
    deploy(&served, &json!({ "base": "1", "remove": ["none"] })).expect(404);
    deploy(&served, &json!({ "base": "99", "remove": ["none"] })).expect(404);
}

/// Before it sends a gigabyte in vain.
#[test]
fn a_deploy_for_another_release_is_told_so_before_it_is_asked_for_objects() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/a", "a").expect(201);
    let old = pod.release();
    served.put("/site/a", "b").expect(200);
    let mut body = json!({ "manifest": manifest(&site(&[("a", "never sent")])), "parent": old });
    let told = deploy(&served, &body).expect(412);
    assert_eq!((told.problem(), &told.json()["current"]), ("stale-parent".into(), &json!(pod.release())));
    assert_eq!(served.rehearse("POST", "/v1/releases", body.to_string()).expect(412).problem(), "stale-parent");
    body["parent"] = pod.release().into();
    assert_eq!(missing(deploy(&served, &body)), [hex(b"never sent")]);
    body.as_object_mut().expect("it is one").remove("parent");
    let tag = format!("\"{old}\"");
    let answer = post(&served, "/v1/releases", &[("if-match", &tag)], body.to_string());
    assert_eq!(answer.expect(412).problem(), "precondition-failed");
}

#[test]
fn a_manifest_that_was_read_can_be_sent_back() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/", tar(&[("index.html", b"1"), ("x/y", b"2")])).expect(200);
    let whole = served.get("/v1/releases/1").expect(200).json();
    served.put("/site/index.html", "other").expect(200);
    deploy(&served, &json!({ "manifest": whole["manifest"] })).expect(201);
    assert_eq!(pod.release(), whole["release"].as_str().expect("an id"));
}

#[test]
fn many_small_objects_come_in_one_request() {
    let pod = Pod::new();
    let served = pod.serve();
    let files: Site = (0..3_000).map(|n| (format!("{}/{n}.txt", n % 97), format!("file {n}").into_bytes())).collect();
    let body = json!({ "manifest": manifest(&files) }).to_string();
    let packed = zstandard(body.as_bytes());
    let ask = || post(&served, "/v1/releases", &[("content-encoding", "zstd")], packed.clone());
    assert_eq!(missing(ask()).len(), 3_000);
    let named: Vec<(String, Vec<u8>)> = files.values().map(|bytes| (hex(bytes), bytes.clone())).collect();
    let named: Vec<(&str, &[u8])> = named.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    let stored = post(&served, "/v1/objects", &[], zstandard(&tar(&named))).expect(200).json();
    assert_eq!(stored["objects"], json!(3_000));
    assert_eq!(ask().expect(201).json()["changed"], json!(3_000), "three requests in all");
    assert_eq!(contents(&pod.volume()), files);
    let gzipped = post(&served, "/v1/releases", &[("content-encoding", "gzip")], gzip(body.as_bytes()));
    assert_eq!(gzipped.expect(200).json()["changed"], json!(0));
}

#[test]
fn what_waits_survives_a_restart_and_shows_nowhere() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "page").expect(201);
    let object = format!("/v1/objects/{}", hex(b"sent ahead"));
    served.call("HEAD", &object, "").expect(404);
    served.put(&object, "sent ahead").expect(201);
    served.put(&object, "sent ahead").expect(200);
    served.kill();
    let served = pod.serve();
    assert_eq!(served.call("HEAD", &object, "").expect(200).header("content-length"), "10");
    assert_eq!(contents(&pod.volume()), site(&[("index.html", "page")]));
    assert_eq!(served.releases().len(), 1);
    let (sent, answer) = publish(&served, &site(&[("a", "sent ahead")]), None);
    assert_eq!((sent, answer.expect(201).status), (0, 201));
}

#[test]
fn wrong_objects_never_come_in() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "page").expect(201);
    let object = format!("/v1/objects/{}", hex(b"right"));
    assert_eq!(served.put(&object, "wrong").expect(422).problem(), "digest-mismatch");
    served.call("HEAD", &object, "").expect(404);
    for name in ["x", &hex(b"right").to_uppercase(), &hex(b"right")[1..]] {
        served.put(&format!("/v1/objects/{name}"), "right").expect(400).problem();
    }
    let lies: &[(&str, &[u8])] = &[(&hex(b"one"), b"one"), (&hex(b"two"), b"2")];
    assert_eq!(post(&served, "/v1/objects", &[], tar(lies)).expect(422).problem(), "digest-mismatch");
    served.call("HEAD", &format!("/v1/objects/{}", hex(b"one")), "").expect(404);
    post(&served, "/v1/objects", &[], tar(&[("index.html", b"x")])).expect(400).problem();
    // The right digest with another size, sent or not.
    let lie = json!({ "manifest": { "a": { "digest": hex(b"right"), "size": 6 } } });
    assert_eq!(missing(deploy(&served, &lie)), [hex(b"right")]);
    served.put(&object, "right").expect(201);
    assert_eq!(deploy(&served, &lie).expect(422).problem(), "wrong-size");
    let both = json!({ "manifest": {
        "a": { "digest": hex(b"right"), "size": 5 },
        "b": { "digest": hex(b"right"), "size": 6 },
    } });
    assert_eq!(deploy(&served, &both).expect(422).problem(), "wrong-size", "said rightly once is not enough");
    let live = json!({ "manifest": { "a": { "digest": hex(b"page"), "size": 5 } } });
    assert_eq!(missing(deploy(&served, &live)), [hex(b"page")]);
    assert_eq!(contents(&pod.volume()), site(&[("index.html", "page")]));
    assert_eq!(pod.causes(), ["patch"]);
}

#[test]
fn a_hostile_manifest_is_refused_whole() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "page").expect(201);
    let (file, digest) = (format!("{{\"digest\":\"{0}\",\"size\":4}}", hex(b"page")), hex(b"page"));
    for body in [
        "".to_owned(),
        "[]".into(),
        "{}".into(),
        format!("{{\"manifest\":{{\"a\":{file},\"a\":{file}}}}}"),
        format!("{{\"manifest\":{{\"../a\":{file}}}}}"),
        format!("{{\"manifest\":{{\"/etc/x\":{file}}}}}"),
        format!("{{\"manifest\":{{\".longshore/x\":{file}}}}}"),
        format!("{{\"manifest\":{{\"a\":{{\"digest\":\"{}\",\"size\":4}}}}}}", digest.to_uppercase()),
        format!("{{\"manifest\":{{\"a\":{{\"digest\":\"{digest}\",\"size\":-4}}}}}}"),
        format!("{{\"manifest\":{{\"a\":{{\"digest\":\"{digest}\",\"size\":4,\"mode\":4095}}}}}}"),
        format!("{{\"manifest\":{{\"a\":{file}}},\"base\":\"1\"}}"),
        "{\"set\":{}}".into(),
        format!("[{{\"a\":{file}}},null,null,[],null,null]"),
        format!("{{\"manifest\":{{\"a\":[\"{digest}\",4,false,0]}}}}"),
        "{\"base\":[[[[1]]]]}".into(),
        format!("{{\"manifest\":{{\"a\":{file}}}}} trailing"),
        "{\"manifest\":".repeat(10_000),
        "[".repeat(100_000),
    ] {
        let answer = post(&served, "/v1/releases", &[], body.clone());
        assert_eq!(answer.status, 400, "{}: {answer}", body.chars().take(80).collect::<String>());
        answer.problem();
    }
    let both = format!("{{\"manifest\":{{\"a\":{file},\"a/b\":{file}}}}}");
    assert_eq!(post(&served, "/v1/releases", &[], both).expect(409).problem(), "path-conflict");
    for coding in ["br", "gzip, zstd", "gzip, gzip"] {
        post(&served, "/v1/releases", &[("content-encoding", coding)], "{}").expect(415).problem();
    }
    post(&served, "/v1/releases", &[("content-encoding", "gzip"), ("content-encoding", "zstd")], "{}").expect(415);
    let nothing = "{\"base\":1,\"set\":null,\"remove\":null,\"parent\":null,\"message\":null}";
    post(&served, "/v1/releases", &[("content-encoding", "GZip")], gzip(nothing.as_bytes())).expect(200);
    post(&served, "/v1/releases", &[("content-encoding", ", Identity")], nothing).expect(200);
    let whole = zstandard(format!("{{\"manifest\":{{\"a\":{file}}}}}").as_bytes());
    for (coding, body) in
        [("gzip", whole.clone()), ("zstd", b"no zstd".to_vec()), ("zstd", whole[..whole.len() - 4].to_vec())]
    {
        let answer = post(&served, "/v1/releases", &[("content-encoding", coding)], body).expect(400);
        assert_eq!(answer.problem(), "bad-request", "sent again, it is no better: {answer}");
    }
    // A bomb: 80 MiB of blanks in a few kilobytes.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blanks = vec![b' '; 1 << 20];
    (0..80).for_each(|_| bomb.write_all(&blanks).expect("memory takes it"));
    let bomb = bomb.finish().expect("memory takes it");
    assert_eq!(post(&served, "/v1/releases", &[("content-encoding", "gzip")], bomb).expect(413).problem(), "too-large");
    assert!(served.peak_memory() < 128 << 20, "{} bytes", served.peak_memory());
    assert_eq!((contents(&pod.volume()), pod.causes().len()), (site(&[("index.html", "page")]), 1));
}

#[test]
fn of_two_who_deploy_at_once_one_is_told() {
    let pod = Pod::new();
    let served = pod.serve();
    let (_, answer) = publish(&served, &site(&[("n", "0")]), None);
    let mut parent = answer.expect(201).json()["release"].as_str().expect("an id").to_owned();
    for round in 1..=10 {
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let (served, parent) = (&served, &*parent);
            let one = |who| publish(served, &site(&[("n", &format!("{round}")), ("who", who)]), Some(parent)).1;
            let threads = ["left", "right"].map(|who| scope.spawn(move || one(who)));
            threads.into_iter().map(|thread| thread.join().expect("it answers")).collect()
        });
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 412], "{answers:?}");
        parent = pod.release();
        let told = answers.iter().find(|answer| answer.status == 412).expect("one").json();
        assert_eq!(told["current"], json!(parent));
    }
    assert_eq!(pod.causes().len(), 11);
}
