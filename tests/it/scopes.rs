//! Tokens that may do some things only, and tokens that reach one folder only.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::{
    archive::tar,
    cluster::{self, Cluster},
    contract::{document, operations},
    http::{Answer, call},
    issuer::Issuer,
    listing::contents,
    part,
    pod::{Pod, text},
    served::Served,
    uploads::hex,
};

const READER: &str = "a-token-that-may-read-0123456789";
const UPLOADER: &str = "a-token-that-may-upload-01234567";
const ROLLBACK: &str = "a-token-that-may-go-back-0123456";
const ADMIN: &str = "a-token-of-an-administrator-0123";
const WHOLE: &str = "a-token-without-any-scopes-01234";
const BLOG: &str = "a-token-that-reaches-the-blog-01";
const SHOP: &str = "a-token-that-reaches-the-shop-01";

/// A pod with a token of each kind, seeded.
fn pod() -> Pod {
    let pod = Pod::new();
    let lines = [
        format!("sha256:{} scopes=read name=reader", hex(READER.as_bytes())),
        format!("{UPLOADER} scopes=upload"),
        format!("{ROLLBACK} scopes=rollback"),
        format!("{ADMIN} scopes=admin"),
        WHOLE.to_owned(),
        format!("{BLOG} path=blog/ name=blogger"),
        format!("{SHOP} path=shop"),
    ];
    fs::write(pod.token_file(), lines.join("\n")).expect("tokens are written");
    let files = [
        ("index.html", "seed"),
        ("blog/index.html", "blog"),
        ("blog/one.html", "one"),
        ("blogs/x.html", "not the blog"),
        ("shop/index.html", "shop"),
    ];
    pod.fill(pod.folder("seed", &files)).expect(0);
    pod
}

/// A request with a token.
#[track_caller]
fn with(served: &Served, token: &str, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    call(method, &served.url(path), &[("authorization", &format!("Bearer {token}"))], body)
}

/// The same as tus wants it.
fn tus(served: &Served, token: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let token = format!("Bearer {token}");
    let own = [
        ("authorization", token.as_str()),
        ("tus-resumable", "1.0.0"),
        ("content-type", "application/offset+octet-stream"),
    ];
    call(method, &served.url(path), &[&own, headers].concat(), body.to_owned())
}

fn path_of(name: &str) -> String {
    format!("path {}", BASE64_STANDARD.encode(name))
}

/// The scope that an operation needs, as its document has it: none where anybody may ask.
fn scope(operation: &Value) -> Option<String> {
    let needs = operation["security"].as_array().expect("each operation says what it needs");
    Some(needs.first()?["bearer"][0].as_str().expect("a role").to_owned())
}

/// What a role may ask for.
fn scopes_of(role: &str) -> &[&str] {
    match role {
        "admin" => &["read", "upload", "rollback", "admin"],
        "read" => &["read"],
        "upload" => &["upload"],
        "rollback" => &["rollback"],
        _ => &[],
    }
}

/// The verb of Kubernetes for it.
fn verb_of(role: &str) -> &str {
    match role {
        "read" => "get",
        "upload" => "update",
        other => other,
    }
}

/// A token of each kind with this role, and what kind it is, in a pod with all ways open; `folder` is where the tokens of a
/// directory lie, else they are lines of a file.
struct Kinds {
    flags: Vec<String>,
    environment: Vec<(&'static str, String)>,
    tokens: Vec<(&'static str, Option<String>, Vec<&'static str>)>,
}

impl Kinds {
    fn of(pod: &Pod, issuer: Option<&Issuer>, cluster: &Cluster, role: &'static str, is_folder: bool) -> Self {
        let plain = format!("a-plain-token-that-may-{role}-0123");
        let hashed = format!("a-hashed-token-that-may-{role}-0123");
        let lines = [
            format!("{plain} scopes={role}"),
            format!("sha256:{} scopes={role}", hex(hashed.as_bytes())),
            WHOLE.to_owned(),
        ];
        let file = if is_folder {
            let names = ["plain", "hashed", "whole"];
            let files: Vec<_> = names.into_iter().zip(lines.iter().map(String::as_str)).collect();
            pod.folder("tokens", &files)
        } else {
            fs::write(pod.token_file(), lines.join("\n")).expect("tokens are written");
            pod.token_file()
        };
        let user = format!("system:serviceaccount:shop:{role}");
        let (scopes, all) = (scopes_of(role).to_vec(), scopes_of("admin").to_vec());
        let in_place =
            if is_folder { ["a file of a directory", "a hashed one there"] } else { ["a line", "a hashed line"] };
        let mut tokens = vec![
            ("none", None, vec![]),
            ("a wrong one", Some("not-the-token-at-all".to_owned()), vec![]),
            ("a line's digest", Some(format!("sha256:{}", hex(hashed.as_bytes()))), vec![]),
            ("a cluster's that it does not know", Some(cluster::token("longshore", "nobody")), vec![]),
            ("a cluster's for others", Some(cluster::token("https://kubernetes.default.svc", &user)), vec![]),
            (
                "a cluster's without a role",
                Some(cluster.token_of("system:serviceaccount:shop:guest", &[])),
                vec!["none"],
            ),
            (in_place[0], Some(plain), scopes.clone()),
            (in_place[1], Some(hashed), scopes.clone()),
            ("one without scopes", Some(WHOLE.to_owned()), all),
            ("a cluster's", Some(cluster.token_of(&user, &[verb_of(role)])), scopes.clone()),
        ];
        let mut flags = vec!["--token-file".to_owned(), text(&file).to_owned()];
        match issuer {
            None => flags.extend(["--auth", "kubernetes"].map(str::to_owned)),
            Some(issuer) => {
                let mut claims = issuer.claims();
                claims["repository_id"] = json!("75");
                let other = issuer.sign(&[json!({"key": "ec-1", "claims": claims})]).remove(0);
                tokens.push(("an issuer's, of another repository", Some(other), vec![]));
                tokens.push(("an issuer's", Some(issuer.token("ec-1")), scopes));
                flags.extend(issuer.flags());
                flags.extend(["--oidc-scopes", role].map(str::to_owned));
                let auth = flags.iter_mut().find(|flag| *flag == "oidc").expect("it is there");
                *auth = "oidc,kubernetes".to_owned();
            }
        }
        let environment = vec![("KUBECONFIG", text(&cluster.kubeconfig).to_owned())];
        Self { flags, environment, tokens }
    }
}

/// Asks each operation with each token, and counts how many were asked.
fn ask_all(served: &Served, kinds: &Kinds, role: &str, is_public: bool) -> usize {
    let (document, mut asked) = (document(served), 0);
    for (method, path, operation) in operations(&document) {
        let needed = scope(&operation);
        let is_open = needed.is_none() || (is_public && path.starts_with("/site") && needed.as_deref() == Some("read"));
        for (kind, token, scopes) in &kinds.tokens {
            let header = token.as_ref().map(|token| format!("Bearer {token}"));
            let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
            let answer = call(&method, &served.url(&path), &headers, "");
            let what = format!("{method} {path} as {role} with {kind}, --public-read: {is_public}: {answer}");
            match &needed {
                Some(scope) if !is_open && scopes.is_empty() => {
                    assert_eq!(answer.status, 401, "{scope}: {what}");
                    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}");
                }
                Some(scope) if !is_open && !scopes.contains(&scope.as_str()) => {
                    assert_eq!(answer.status, 403, "{what}");
                    assert!(method == "HEAD" || answer.json()["scope"] == **scope, "{what}");
                }
                _ => assert!(![401, 403, 503].contains(&answer.status), "{what}"),
            }
            asked += 1;
        }
    }
    asked
}

#[test]
fn each_operation_is_open_to_the_tokens_with_its_scope_and_to_no_others_whatever_their_kind() {
    let python = part::part("pyjwt");
    let pod = pod();
    let issuer = python.map(|python| Issuer::start(&pod, &python, &["ec-1"]));
    let cluster = Cluster::start(&pod);
    let mut asked = 0;
    for role in ["read", "upload", "rollback", "admin"] {
        for (is_folder, is_public) in [(false, false), (true, false), (false, true)] {
            let kinds = Kinds::of(&pod, issuer.as_ref(), &cluster, role, is_folder);
            let mut flags: Vec<&str> = kinds.flags.iter().map(String::as_str).collect();
            flags.extend(is_public.then_some("--public-read"));
            let environment: Vec<_> = kinds.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let mut served = pod.launch(&flags, &environment);
            served.wait_until_ready();
            asked += ask_all(&served, &kinds, role, is_public);
            served.terminate().expect(0);
        }
    }
    assert!(asked > 4 * 3 * 10 * 20, "only {asked} requests were made");
}

#[test]
fn what_is_missing_is_named() {
    let pod = pod();
    let served = pod.serve();
    let refused = with(&served, READER, "PUT", "/site/a.txt", "a").expect(403);
    assert_eq!((refused.problem().as_str(), refused.json()["scope"].as_str()), ("forbidden", Some("upload")));
    let refused = with(&served, BLOG, "PUT", "/site/a.txt", "a").expect(403);
    assert_eq!((refused.problem().as_str(), refused.json()["within"].as_str()), ("forbidden", Some("blog")));
    with(&served, BLOG, "PUT", "/site/blog/two.html", "two").expect(201);
    assert_eq!(with(&served, ADMIN, "GET", "/v1/releases", "").json()["releases"][0]["by"], "blogger");
}

#[test]
fn a_token_that_reaches_a_folder_changes_nothing_else_whichever_way_it_tries() {
    let pod = pod();
    let served = pod.serve();
    // Entry 2 differs from the seed outside of the blog, entry 3 from entry 2 within.
    with(&served, WHOLE, "PUT", "/site/index.html", "second").expect(200);
    with(&served, WHOLE, "PUT", "/site/blog/one.html", "one more").expect(200);
    let before = contents(&pod.volume());
    let releases = with(&served, WHOLE, "GET", "/v1/releases", "").json()["releases"].clone();
    let head = releases[0]["release"].as_str().expect("a release").to_owned();
    let all: Vec<(&str, &[u8])> = before.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let blog = |method: &str, path: &str, body: Vec<u8>| with(&served, BLOG, method, path, body);
    let deploy = |body: Value| blog("POST", "/v1/releases", body.to_string().into_bytes());
    let (secret, size) = (hex(b"second"), "second".len());
    let form = |name: &str| {
        let body =
            format!("--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"{name}\"\r\n\r\nevil\r\n--b--\r\n");
        let token = format!("Bearer {BLOG}");
        let headers = [("authorization", token.as_str()), ("content-type", "multipart/form-data; boundary=b")];
        call("POST", &served.url("/site/"), &headers, body)
    };
    let mut evil = all.clone();
    evil.push(("evil.html", b"evil"));
    let outside = |upload: &str| {
        tus(&served, BLOG, "POST", "/v1/uploads", &[("upload-length", "4"), ("upload-metadata", upload)], "")
    };
    for (what, answer) in [
        ("a file", blog("PUT", "/site/evil.html", b"evil".to_vec())),
        ("a neighbour", blog("PUT", "/site/blogs/x.html", b"evil".to_vec())),
        ("the same bytes", blog("PUT", "/site/index.html", b"second".to_vec())),
        ("a deletion", blog("DELETE", "/site/index.html", Vec::new())),
        ("a folder's deletion", blog("DELETE", "/site/shop/", Vec::new())),
        ("a whole site", blog("PUT", "/site/", tar(&evil))),
        ("a site of the blog alone", blog("PUT", "/site/?max-delete=all", tar(&[("blog/one.html", b"1")]))),
        ("an archive", blog("PATCH", "/site/", tar(&[("blog/a", b"a"), ("evil.html", b"evil")]))),
        ("another folder", blog("PUT", "/site/shop/", tar(&[("a", b"a")]))),
        ("a form", form("evil.html")),
        ("a form of a neighbour", form("blogs/evil.html")),
        ("a deploy", deploy(json!({"base": head, "set": {"index.html": {"digest": hex(b"one"), "size": 3}}}))),
        ("a deploy that removes", deploy(json!({"base": head, "remove": ["index.html"]}))),
        ("a deploy of an old release", deploy(json!({"base": 1}))),
        ("a manifest", deploy(json!({"manifest": {"blog/one.html": {"digest": hex(b"one more"), "size": 8}}}))),
        ("an upload", outside(&path_of("evil.html"))),
        ("an upload to a neighbour", outside(&path_of("blogs/evil.html"))),
        ("a rollback", blog("POST", "/v1/rollback", json!({"to": 1}).to_string().into_bytes())),
    ] {
        assert_eq!(answer.status, 403, "{what}: {answer}");
        assert_eq!(answer.problem(), "forbidden", "{what}: {answer}");
    }
    let dry = call(
        "POST",
        &served.url("/v1/rollback"),
        &[("authorization", &format!("Bearer {BLOG}")), ("dry-run", "?1")],
        "{\"to\": 1}",
    );
    assert_eq!(dry.expect(403).problem(), "forbidden");
    // Climbing out is no path at all.
    assert_eq!(form("blog/../evil.html").expect(400).problem(), "bad-path");
    // Bytes of others do not come in under a name of one's own: they would be read there.
    blog("HEAD", &format!("/v1/objects/{secret}"), Vec::new()).expect(404);
    let stolen = deploy(json!({"base": head, "set": {"blog/mine.html": {"digest": secret, "size": size}}})).expect(409);
    assert_eq!((stolen.problem().as_str(), &stolen.json()["missing"][0]), ("missing-objects", &json!(secret)));
    // Nor what somebody sent for another folder.
    let theirs = hex(b"for the shop");
    with(&served, SHOP, "PUT", &format!("/v1/objects/{theirs}"), "for the shop").expect(201);
    with(&served, WHOLE, "HEAD", &format!("/v1/objects/{theirs}"), "").expect(404);
    blog("HEAD", &format!("/v1/objects/{theirs}"), Vec::new()).expect(404);
    let named = json!({"base": head, "set": {"blog/mine.html": {"digest": theirs, "size": 12}}});
    assert_eq!(deploy(named).expect(409).problem(), "missing-objects");
    // Nor is somebody else's upload theirs.
    let upload = tus(&served, WHOLE, "POST", "/v1/uploads", &[("upload-length", "4")], "").expect(201);
    let upload = upload.header("location").to_owned();
    tus(&served, BLOG, "HEAD", &upload, &[], "").expect(404);
    tus(&served, BLOG, "PATCH", &upload, &[("upload-offset", "0")], "evil").expect(404);
    tus(&served, BLOG, "DELETE", &upload, &[], "").expect(404);
    tus(&served, WHOLE, "HEAD", &upload, &[], "").expect(200);
    assert_eq!(contents(&pod.volume()), before);
    assert_eq!(with(&served, WHOLE, "GET", "/v1/releases", "").json()["releases"], releases);
}

#[test]
fn it_does_all_of_that_in_its_folder() {
    let pod = pod();
    let served = pod.serve();
    let blog = |method: &str, path: &str, body: Vec<u8>| with(&served, BLOG, method, path, body);
    let live = |name: &str| contents(&pod.volume()).get(&format!("blog/{name}")).cloned().unwrap_or_default();
    blog("PUT", "/site/blog/new.html", b"new".to_vec()).expect(201);
    blog("DELETE", "/site/blog/new.html", Vec::new()).expect(200);
    blog("PATCH", "/site/blog/", tar(&[("two.html", b"two")])).expect(200);
    blog("PUT", "/site/blog/", tar(&[("index.html", b"blog"), ("three.html", b"three")])).expect(200);
    let seq = with(&served, WHOLE, "GET", "/v1/releases", "").json()["releases"][0]["seq"].clone();
    let digest = hex(b"four");
    blog("PUT", &format!("/v1/objects/{digest}"), b"four".to_vec()).expect(201);
    blog("HEAD", &format!("/v1/objects/{digest}"), Vec::new()).expect(200);
    // What is live in the folder may be named again.
    blog("HEAD", &format!("/v1/objects/{}", hex(b"three")), Vec::new()).expect(200);
    let set = json!({
        "blog/four.html": {"digest": digest, "size": 4},
        "blog/copy.html": {"digest": hex(b"three"), "size": 5},
    });
    let deploy = json!({"base": seq, "set": set, "remove": ["blog/three.html"]});
    blog("POST", "/v1/releases", deploy.to_string().into_bytes()).expect(201);
    assert_eq!((live("four.html"), live("copy.html")), (b"four".to_vec(), b"three".to_vec()));
    let headers = [("upload-length", "4"), ("upload-metadata", &*path_of("blog/five.html"))];
    let upload = tus(&served, BLOG, "POST", "/v1/uploads", &headers, "fi").expect(201).header("location").to_owned();
    tus(&served, BLOG, "PATCH", &upload, &[("upload-offset", "2")], "ve").expect(204);
    assert_eq!(live("five.html"), b"five");
    blog("POST", "/v1/rollback", json!({"to": seq}).to_string().into_bytes()).expect(200);
    assert_eq!((live("five.html"), live("three.html")), (Vec::new(), b"three".to_vec()));
    assert_eq!(contents(&pod.volume())["shop/index.html"], b"shop");
}

#[test]
fn it_sees_nothing_else() {
    let pod = pod();
    let served = pod.serve();
    with(&served, WHOLE, "PUT", "/site/index.html", "second").expect(200);
    with(&served, WHOLE, "PUT", "/site/blog/one.html", "one more").expect(200);
    let blog = |path: &str| with(&served, BLOG, "GET", path, "");
    assert_eq!(blog("/site/blog/one.html").expect(200).text(), "one more");
    assert_eq!(blog("/site/blog/").expect(200).text(), "blog");
    for path in
        ["/site/", "/site/index.html", "/site/nothing", "/site/blogs/x.html", "/site/?list", "/site/shop/?archive=tar"]
    {
        assert_eq!(blog(path).expect(403).problem(), "forbidden", "{path}");
    }
    let listed = blog("/site/blog/?list").expect(200).json();
    assert_eq!(listed["files"].as_array().map(Vec::len), Some(2));
    let manifest = blog("/v1/releases/3").expect(200).json()["manifest"].clone();
    let paths: Vec<_> = manifest.as_object().expect("files").keys().cloned().collect();
    assert_eq!(paths, ["blog/index.html", "blog/one.html"]);
    let changes = blog("/v1/diff/1/3").expect(200).json()["changes"].clone();
    assert_eq!((changes.as_array().map(Vec::len), &changes[0]["path"]), (Some(1), &json!("blog/one.html")));
}

#[test]
fn a_directory_of_tokens_is_read_and_read_again() {
    let pod = pod();
    // As kubelet mounts a Secret with two keys.
    let secret = pod.path("secret");
    let swap = |version: &str, files: &[(&str, &str)]| {
        let folder = secret.join(format!("..{version}"));
        fs::create_dir_all(&folder).expect("a folder is made");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("a key is written");
            let link = secret.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(format!("..data/{name}"), link).expect("a link is made");
            }
        }
        std::os::unix::fs::symlink(format!("..{version}"), secret.join("..data_tmp")).expect("a link is made");
        fs::rename(secret.join("..data_tmp"), secret.join("..data")).expect("it is turned");
    };
    swap("one", &[("ci", "the-token-of-the-pipeline scopes=read"), ("people", "the-token-of-the-people")]);
    let mut served = pod.launch(&["--token-file", text(&secret)], &[]);
    served.wait_until_ready();
    with(&served, "the-token-of-the-pipeline", "GET", "/site/index.html", "").expect(200);
    with(&served, "the-token-of-the-pipeline", "PUT", "/site/a", "a").expect(403);
    with(&served, "the-token-of-the-people", "PUT", "/site/a", "a").expect(201);
    swap("two", &[("ci", "another-token-of-the-pipeline"), ("people", "")]);
    crate::run::eventually("the new tokens are good", std::time::Duration::from_secs(10), || {
        (with(&served, "another-token-of-the-pipeline", "PUT", "/site/b", "b").status == 201).then_some(())
    });
    with(&served, "the-token-of-the-pipeline", "GET", "/site/index.html", "").expect(401);
    with(&served, "the-token-of-the-people", "PUT", "/site/a", "a").expect(401);
}
