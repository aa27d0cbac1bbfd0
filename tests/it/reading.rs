//! Reading back what is there: parts of files, folders, archives, releases and their differences.

use serde_json::{Value, json};

use crate::{
    archive::tar,
    http::{Answer, call, try_call},
    listing::contents,
    pod::{Pod, TOKEN},
    served::Served,
};

const SITE: &[(&str, &[u8])] =
    &[("index.html", b"page"), ("a/one.txt", b"0123456789"), ("a/b/two.bin", &[0, 1, 2, 255]), ("ab.txt", b"beside a")];

fn get(served: &Served, path: &str, headers: &[(&str, &str)]) -> Answer {
    let token = format!("Bearer {TOKEN}");
    call("GET", &served.url(path), &[&[("authorization", &*token)], headers].concat(), "")
}

fn site() -> (Pod, Served) {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/", tar(SITE)).expect(200);
    (pod, served)
}

#[test]
fn a_part_of_a_file() {
    let (_pod, served) = site();
    let whole = served.get("/site/a/one.txt").expect(200);
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let (tag, modified) = (whole.header("etag").to_owned(), whole.header("last-modified").to_owned());
    for (range, text, content) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=9-99", "9", "bytes 9-9/10"),
    ] {
        let part = get(&served, "/site/a/one.txt", &[("range", range)]).expect(206);
        assert_eq!((part.text().as_str(), part.header("content-range")), (text, content), "{range}");
        assert_eq!(part.header("content-length"), text.len().to_string());
        assert_eq!(part.header("repr-digest"), whole.header("repr-digest"), "it is of the whole (RFC 9530)");
        let same = get(&served, "/site/a/one.txt", &[("range", range), ("if-range", &tag)]).expect(206);
        assert_eq!(same.text(), text);
        get(&served, "/site/a/one.txt", &[("range", range), ("if-range", &modified)]).expect(206);
        let other = get(&served, "/site/a/one.txt", &[("range", range), ("if-range", "\"another\"")]).expect(200);
        assert_eq!(other.text(), "0123456789", "a part of another version is no use");
    }
    let none = get(&served, "/site/a/one.txt", &[("range", "bytes=10-")]).expect(416);
    assert_eq!((none.problem().as_str(), none.header("content-range")), ("no-such-range", "bytes */10"));
    assert_eq!(get(&served, "/site/a/one.txt", &[("range", "bytes=0-1,4-5")]).expect(200).text(), "0123456789");
    get(&served, "/site/a/one.txt", &[("if-none-match", "*")]).expect(304);
    get(&served, "/site/a/one.txt", &[("if-modified-since", &modified)]).expect(304);
    get(&served, "/site/a/one.txt", &[("if-modified-since", "Mon, 01 Jan 2001 00:00:00 GMT")]).expect(200);
}

#[test]
fn everything_comes_back_and_putting_it_back_changes_nothing() {
    let (pod, served) = site();
    let mut tool = crate::archive::Tar::new();
    for (path, bytes) in SITE {
        tool = tool.file(path, bytes);
    }
    served.put("/site/", tool.entry(tar::EntryType::Regular, "tool", "", 0o755, b"#!").finish()).expect(200);
    let (release, before) = (pod.release(), contents(&pod.volume()));
    let seq = served.releases().len();
    for kind in ["tar", "tar.gz", "tar.zst", "zip"] {
        let answer = served.get(&format!("/site/?archive={kind}")).expect(200);
        assert!(answer.header("content-disposition").contains(&format!("site.{kind}")), "{answer}");
        let put = served.put("/site/", answer.body.clone()).expect(200).json();
        assert_eq!((put["release"].as_str(), put["changed"].as_u64()), (Some(&*release), Some(0)), "{kind}");
        // And on another volume it is the same release: modes too.
        let other = Pod::new();
        other.serve().put("/site/", answer.body).expect(200);
        assert_eq!(other.release(), release, "{kind}");
        assert_eq!(contents(&other.volume()), before, "{kind}");
    }
    assert_eq!(served.releases().len(), seq, "no entry was made");
    let folder = served.get("/site/a/?archive=tar").expect(200);
    served.put("/site/copy/", folder.body).expect(200);
    assert_eq!(contents(&pod.volume())["copy/b/two.bin"], [0, 1, 2, 255]);
    for (path, status) in
        [("/site/?archive=rar", 400), ("/site/no/?archive=tar", 404), ("/site/index.html?archive=tar", 400)]
    {
        served.get(path).expect(status).problem();
    }
}

#[test]
fn an_archive_of_a_damaged_file_is_cut_never_wrong() {
    let (pod, served) = site();
    std::fs::write(pod.volume().join("a/one.txt"), "9876543210").expect("written in place, through its link");
    for kind in ["tar", "tar.gz", "zip"] {
        let answer = try_call(
            "GET",
            &served.url(&format!("/site/?archive={kind}")),
            &[("authorization", &format!("Bearer {TOKEN}"))],
            "",
        );
        assert!(answer.is_err(), "{kind}: the client notices: {answer:?}");
    }
}

#[test]
fn folders_releases_and_differences() {
    let (_pod, served) = site();
    let listed = served.get("/site/a/?list").expect(200).json();
    let paths = |value: &Value| -> Vec<String> {
        let files = value.as_array().expect("a list");
        files.iter().map(|file| file["path"].as_str().expect("a path").to_owned()).collect()
    };
    assert_eq!(paths(&listed["files"]), ["a/b/two.bin", "a/one.txt"]);
    served.get("/site/none/?list").expect(404);

    served.put("/site/index.html", "other page").expect(200);
    served.delete("/site/ab.txt").expect(200);
    let first = served.get("/v1/releases/1").expect(200).json();
    let names: Vec<_> = first["manifest"].as_object().expect("paths").keys().collect();
    assert_eq!(names, ["a/b/two.bin", "a/one.txt", "ab.txt", "index.html"]);
    assert_eq!((first["bytes"].as_u64(), first["seq"].as_u64()), (Some(26), Some(1)));
    let id = first["release"].as_str().expect("an id");
    assert_eq!(served.get(&format!("/v1/releases/{}", &id[..12])).expect(200).json(), first, "by the start of its id");
    let page = &first["manifest"]["index.html"];
    assert_eq!((page["size"].as_u64(), page["executable"].as_bool()), (Some(4), Some(false)));
    assert!(
        page["mtime"].as_i64() >= Some(1_700_000_000) && page["digest"].as_str().is_some_and(|hex| hex.len() == 64)
    );

    let diff = served.get("/v1/diff/1/3").expect(200).json();
    assert_eq!(paths(&diff["changes"]), ["ab.txt", "index.html"]);
    assert_eq!(diff["changes"][0]["to"], Value::Null);
    assert_eq!(diff["changes"][1]["to"]["size"], json!(10));
    assert_eq!(served.get("/v1/diff/1/1").expect(200).json()["changes"], json!([]));
    for path in ["/v1/releases/9", "/v1/releases/ffffffffff", "/v1/diff/1/9"] {
        assert_eq!(served.get(path).expect(404).problem(), "no-such-release", "{path}");
    }
    served.get("/v1/releases/not-hex").expect(400).problem();
}

#[test]
fn history_comes_in_pages() {
    let (_pod, served) = site();
    for number in 0..6 {
        served.put("/site/n.txt", number.to_string()).expect(if number == 0 { 201 } else { 200 });
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/releases?limit=3".to_owned());
    loop {
        let answer = served.get(&path).expect(200);
        let page = answer.json();
        seen.extend(
            page["releases"].as_array().expect("a list").iter().map(|one| one["seq"].as_u64().expect("a number")),
        );
        match page["next"].as_u64() {
            None => break,
            Some(before) => path = format!("/v1/releases?limit=3&before={before}"),
        }
        assert_eq!(answer.header("link"), format!("<{path}>; rel=\"next\""));
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn an_operation_tells_what_became_of_it() {
    let (pod, served) = site();
    let (entry, _) = pod.journal().remove(0);
    let op = entry["op"].as_str().expect("an operation");
    assert_eq!(served.get(&format!("/v1/ops/{op}")).expect(200).json()["seq"], json!(1));
    let answer = served.get("/v1/ops/00000000-0000-4000-8000-000000000000").expect(404);
    assert_eq!(answer.problem(), "no-such-operation");
    served.get("/v1/ops/x").expect(400).problem();
}
