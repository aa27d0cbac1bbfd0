//! Callers whom an OIDC issuer vouches for: every way to forge, bend or outlive a token is tried.

use std::{path::Path, time::Duration};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use crate::{
    archive::tar,
    http::{Answer, call, raw},
    issuer::{AUDIENCE, Issuer, now},
    listing::contents,
    part::need,
    pod::{Pod, TOKEN, text},
    run::{Runs as _, eventually},
    served::Served,
};

/// A pod that an issuer vouches for, with more flags, and what the log has of refusals.
fn served(pod: &Pod, issuer: &Issuer, more: &[&str]) -> Served {
    let flags = issuer.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--log", "longshore=debug"]).collect();
    let mut served = pod.launch(&[&flags, more].concat(), &[]);
    served.wait_until_ready();
    served
}

fn with(served: &Served, token: &str, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    call(method, &served.url(path), &[("authorization", &format!("Bearer {token}"))], body)
}

/// `claims` with one of them set, or without it.
fn but(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    let all = claims.as_object_mut().expect("an object");
    if value.is_null() {
        all.remove(name)
    } else {
        all.insert(name.to_owned(), value)
    };
    claims
}

fn metric(served: &Served, line: &str) -> u64 {
    let metrics = call("GET", &format!("http://{}/metrics", served.probes), &[], "").expect(200).text();
    let value = metrics.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
    value.unwrap_or_default()
}

#[test]
fn a_job_publishes_without_a_stored_secret() {
    let python = need!("pyjwt");
    let pod = Pod::new();
    let issuer = Issuer::start(&pod, &python, &["rsa-1", "ec-1", "ed-1"]);
    let served = served(&pod, &issuer, &[]);
    for (number, key) in ["rsa-1", "ec-1", "ed-1"].into_iter().enumerate() {
        let token = issuer.token(key);
        let path = format!("/site/{number}.html");
        with(&served, &token, "PUT", &path, "page").expect(201);
        assert_eq!(with(&served, &token, "GET", &path, "").expect(200).text(), "page");
        let head = with(&served, &token, "GET", "/v1/releases", "").expect(200).json()["releases"][0].clone();
        assert_eq!(head["by"], "oidc:repo:shop/site:ref:refs/heads/main");
        // What it may do by default is read and upload.
        for (method, path, scope) in [("POST", "/v1/rollback", "rollback"), ("PUT", "/v1/lock", "admin")] {
            let refused = with(&served, &token, method, path, "").expect(403);
            assert_eq!((refused.problem().as_str(), &refused.json()["scope"]), ("forbidden", &json!(scope)));
            assert!(refused.text().contains("--oidc-scopes"), "{refused}");
        }
        assert!(
            !served.log().contains(&token) && !served.log().contains(token.rsplit('.').next().expect("it has one"))
        );
    }
    assert_eq!(issuer.asked(), 2, "discovery and keys, once");
    assert!(metric(&served, "longshore_authentications_total{way=\"oidc\",outcome=\"known\"}") >= 15);
    // The pod's own token is none here: no file was named.
    with(&served, TOKEN, "GET", "/v1/releases", "").expect(401);
}

#[test]
fn no_other_token_is_let_in() {
    let python = need!("pyjwt");
    let pod = Pod::new();
    let issuer = Issuer::start(&pod, &python, &["rsa-1", "ec-1"]);
    let served = served(&pod, &issuer, &[]);
    let good = issuer.claims();
    let at = now();
    let one = |name: &str, value: Value| json!({"key": "rsa-1", "claims": but(&good, name, value)});
    let header = |header: Value| json!({"key": "rsa-1", "claims": good, "header": header});
    let wishes = [
        ("alg none", json!({"key": "rsa-1", "claims": good, "forge": "none"})),
        ("HMAC with the public key", json!({"key": "rsa-1", "claims": good, "forge": "hmac"})),
        ("HMAC with the other public key", json!({"key": "ec-1", "claims": good, "forge": "hmac"})),
        ("another key under its name", json!({"key": "rsa-2", "claims": good, "header": {"kid": "rsa-1"}})),
        ("another key under its own name", json!({"key": "rsa-2", "claims": good})),
        ("a key of another kind", json!({"key": "ec-1", "claims": good, "header": {"kid": "rsa-1"}})),
        ("another algorithm of its kind", json!({"key": "rsa-1", "claims": good, "algorithm": "RS512"})),
        ("a padding of its kind", json!({"key": "rsa-1", "claims": good, "algorithm": "PS256"})),
        ("no key's name", header(json!({"kid": null}))),
        ("an empty name of a key", header(json!({"kid": ""}))),
        ("a path for a name of a key", header(json!({"kid": "../../../dev/null"}))),
        ("a long name of a key", header(json!({"kid": "x".repeat(5_000)}))),
        ("its own key", json!({"key": "rsa-2", "claims": good, "forge": "own-jwk"})),
        ("its own key, and a good one", json!({"key": "rsa-1", "claims": good, "forge": "own-jwk"})),
        ("an address of keys", header(json!({"jku": "http://127.0.0.1:1/keys"}))),
        ("an address of certificates", header(json!({"x5u": "http://127.0.0.1:1/keys"}))),
        ("certificates", header(json!({"x5c": ["AAAA"]}))),
        ("what must be understood", header(json!({"crit": ["exp"], "exp": at}))),
        ("encrypted", header(json!({"enc": "A256GCM"}))),
        ("a member of the header twice", json!({"key": "rsa-1", "claims": good, "forge": "twice"})),
        ("no issuer", one("iss", Value::Null)),
        ("another issuer", one("iss", json!("https://gitlab.example"))),
        ("the issuer with a slash", one("iss", json!(format!("{}/", issuer.url())))),
        ("issuers", one("iss", json!([issuer.url()]))),
        ("no audience", one("aud", Value::Null)),
        ("another audience", one("aud", json!("https://other.example"))),
        ("a longer audience", one("aud", json!(format!("{AUDIENCE}.evil.example")))),
        ("other audiences", one("aud", json!(["https://other.example", "sigstore"]))),
        ("no audiences", one("aud", json!([]))),
        ("odd audiences", one("aud", json!([AUDIENCE, 7]))),
        ("no end", one("exp", Value::Null)),
        ("expired", one("exp", json!(at - 120))),
        ("an end as text", one("exp", json!((at + 600).to_string()))),
        ("an end before time", one("exp", json!(-1))),
        ("good for days", one("exp", json!(at + 25 * 3_600))),
        ("good for ever", one("exp", json!(u64::MAX))),
        ("no beginning", one("nbf", Value::Null)),
        ("not yet", one("nbf", json!(at + 300))),
        ("a beginning as text", one("nbf", json!("0"))),
        ("never issued", one("iat", Value::Null)),
        ("issued in the future", one("iat", json!(at + 300))),
        ("issued long ago", one("iat", json!(at - 30 * 3_600))),
        ("no subject", one("sub", Value::Null)),
        ("an empty subject", one("sub", json!(""))),
        ("a subject that is no text", one("sub", json!(7))),
        ("no claim", one("repository_id", Value::Null)),
        ("another claim", one("repository_id", json!("75"))),
        ("a longer claim", one("repository_id", json!("740"))),
        ("a list of claims", one("repository_id", json!(["74"]))),
        ("claims that are a list", json!({"key": "rsa-1", "claims": [good]})),
        ("no claims", json!({"key": "rsa-1", "claims": {}})),
    ];
    let names: Vec<&str> = wishes.iter().map(|(name, _)| *name).collect();
    let signed = issuer.sign(&wishes.map(|(_, wish)| wish));
    let mut tokens: Vec<(&str, String)> = names.into_iter().zip(signed).collect();
    let token = issuer.token("rsa-1");
    let parts: Vec<&str> = token.split('.').collect();
    let [head, claims, signature] = parts[..] else { panic!("three parts") };
    let evil = BASE64_URL_SAFE_NO_PAD.encode(but(&good, "sub", json!("repo:evil")).to_string());
    tokens.extend([
        ("no signature", format!("{head}.{claims}.")),
        ("no dot before none", format!("{head}.{claims}")),
        ("a cut signature", format!("{head}.{claims}.{}", &signature[..signature.len() - 4])),
        ("a longer signature", format!("{head}.{claims}.{signature}AAAA")),
        ("a part more", format!("{token}.{signature}")),
        ("a part before", format!("{head}.{token}")),
        ("a dot more", format!("{token}.")),
        ("a dot before", format!(".{token}")),
        ("padding", format!("{head}=.{claims}=.{signature}=")),
        ("two tokens", format!("{token},{token}")),
        ("other claims under the signature", format!("{head}.{evil}.{signature}")),
        ("16 KiB", format!("{head}.{}.{signature}", "A".repeat(16_384))),
        ("dots only", "..".to_owned()),
    ]);
    let first = with(&served, "not-a-token", "PUT", "/site/a.html", "a").expect(401);
    let refused = |token: &String| {
        let answer = with(&served, token, "PUT", "/site/a.html", "a");
        // The same answer whatever was wrong.
        answer.status == 401 && answer.body == first.body
    };
    let let_in: Vec<_> = tokens.iter().filter(|(_, token)| !refused(token)).map(|(what, _)| what).collect();
    assert!(let_in.is_empty(), "not refused, or otherwise than the rest: {let_in:?}");
    let bytes = |value: &[u8]| {
        let head = b"PUT /site/a.html HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nConnection: close\r\n";
        let request = [&head[..], b"Authorization: Bearer ", value, b"\r\n\r\na"].concat();
        raw(served.listen, &request).map(|answer| answer.status)
    };
    assert_eq!(bytes(format!("{head}.\u{e9}{claims}.{signature}").as_bytes()), Some(401), "not ASCII");
    assert_eq!(bytes(&[head.as_bytes(), b".\xff\xfe.", signature.as_bytes()].concat()), Some(401), "not UTF-8");
    let huge = bytes(format!("{token}{}", "A".repeat(100 << 10)).as_bytes());
    assert!(matches!(huge, None | Some(401 | 431)), "100 KiB: {huge:?}");
    let twice = [("authorization", format!("Bearer {token}")), ("authorization", format!("Bearer {token}"))];
    let twice: Vec<_> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    call("PUT", &served.url("/site/a.html"), &twice, "a").expect(401);
    call("PUT", &served.url(&format!("/site/a.html?access_token={token}")), &[], "a").expect(401);
    assert!(contents(&pod.volume()).is_empty());
    // The log tells the operator what was wrong, and has no token.
    let log = served.log();
    for why in ["its algorithm is none of those", "the issuer has no such key", "good for too long", "is another"] {
        assert!(log.contains(why), "{why}: {log}");
    }
    assert!(tokens.iter().all(|(_, token)| token.len() < 20 || !log.contains(token.as_str())));
    // Discovery and keys once, and once more for the first key that it does not have.
    assert_eq!(issuer.asked(), 4, "however many keys are named");
    assert!(metric(&served, "longshore_authentications_total{way=\"oidc\",outcome=\"refused\"}") > 30);
    // What is right is let in, all the same: also with other audiences beside ours, and numbers for digits.
    let right = [
        one("aud", json!([AUDIENCE, "sigstore"])),
        one("exp", json!(at + 23 * 3_600)),
        one("exp", json!(at - 20)),
        one("repository_id", json!(74)),
    ];
    for token in issuer.sign(&right) {
        with(&served, &token, "GET", "/v1/releases", "").expect(200);
    }
    with(&served, &token, "PUT", "/site/a.html", "a").expect(201);
}

#[test]
fn keys_rotate_and_strangers_do_not_make_us_ask() {
    let python = need!("pyjwt");
    let pod = Pod::new();
    let issuer = Issuer::start(&pod, &python, &["rsa-1"]);
    let served = served(&pod, &issuer, &[]);
    let old = issuer.token("rsa-1");
    with(&served, &old, "GET", "/v1/releases", "").expect(200);
    issuer.publish(&["rsa-2"]);
    let new = issuer.token("rsa-2");
    with(&served, &new, "GET", "/v1/releases", "").expect(200);
    with(&served, &old, "GET", "/v1/releases", "").expect(401);
    assert_eq!(issuer.asked(), 4);
    let strangers = issuer.sign(&[json!({"key": "rsa-3", "claims": issuer.claims()})]);
    for _ in 0..50 {
        with(&served, &strangers[0], "GET", "/v1/releases", "").expect(401);
    }
    assert_eq!(issuer.asked(), 4, "two requests for the first unknown key, none for the others");
}

#[test]
fn an_issuer_that_is_away_lets_nobody_in_until_it_is_back() {
    let python = need!("pyjwt");
    let pod = Pod::new();
    let issuer = Issuer::start(&pod, &python, &["rsa-1"]);
    issuer.is_down(true);
    let token_file = pod.token_file();
    let served = served(&pod, &issuer, &["--token-file", text(&token_file)]);
    let token = issuer.token("rsa-1");
    for _ in 0..20 {
        let away = with(&served, &token, "PUT", "/site/a.html", "a").expect(503);
        assert_eq!(away.problem(), "caller-unknown");
        assert!(away.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{away}");
    }
    assert!(issuer.asked() <= 4, "it is left alone: {}", issuer.asked());
    assert!(contents(&pod.volume()).is_empty());
    // Others are known without it.
    with(&served, TOKEN, "PUT", "/site/b.html", "b").expect(201);
    with(&served, "nobody's-token", "PUT", "/site/b.html", "b").expect(401);
    issuer.is_down(false);
    eventually("it is asked again", Duration::from_secs(20), || {
        (with(&served, &token, "PUT", "/site/a.html", "a").status == 201).then_some(())
    });
    // Known keys go on without it.
    issuer.is_down(true);
    with(&served, &token, "PUT", "/site/c.html", "c").expect(201);
    assert!(metric(&served, "longshore_authentications_total{way=\"oidc\",outcome=\"unavailable\"}") >= 20);
}

#[test]
fn an_issuer_of_another_name_is_none() {
    let python = need!("pyjwt");
    let pod = Pod::new();
    let issuer = Issuer::start(&pod, &python, &["rsa-1"]);
    issuer.call_itself("https://accounts.example.com");
    let served = served(&pod, &issuer, &[]);
    with(&served, &issuer.token("rsa-1"), "PUT", "/site/a.html", "a").expect(503);
    assert!(served.log().contains("another issuer"), "{}", served.log());
}

#[test]
fn callers_of_an_issuer_reach_the_folder_that_is_theirs_and_nothing_else() {
    let python = need!("pyjwt");
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "seed"), ("blog/index.html", "blog")])).expect(0);
    let issuer = Issuer::start(&pod, &python, &["ec-1"]);
    let served = served(&pod, &issuer, &["--oidc-path", "blog/", "--oidc-scopes", "read,upload,rollback"]);
    let token = issuer.token("ec-1");
    with(&served, &token, "PUT", "/site/blog/one.html", "one").expect(201);
    let before = contents(&pod.volume());
    let outside = [
        ("GET", "/site/index.html", Vec::new()),
        ("PUT", "/site/index.html", b"evil".to_vec()),
        ("PUT", "/site/", tar(&[("blog/index.html", b"blog"), ("evil.html", b"evil")])),
        ("PATCH", "/site/", tar(&[("evil.html", b"evil")])),
        ("DELETE", "/site/index.html", Vec::new()),
        ("POST", "/v1/releases", br#"{"base": 1, "remove": ["index.html"]}"#.to_vec()),
    ];
    for (method, path, body) in outside {
        let refused = with(&served, &token, method, path, body);
        assert_eq!(
            (refused.status, refused.json()["within"].as_str()),
            (403, Some("blog")),
            "{method} {path}: {refused}"
        );
    }
    assert_eq!(contents(&pod.volume()), before);
    with(&served, &token, "POST", "/v1/rollback", r#"{"to": 1}"#).expect(200);
}

#[test]
fn what_is_missing_for_an_issuer_is_a_usage_error() {
    let pod = Pod::new();
    let volume = pod.volume();
    let serve = |flags: &[&str]| {
        let fixed = ["serve", "--volume", text(&volume), "--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0"];
        pod.command(&[&fixed[..], flags].concat()).run().expect(2).stderr
    };
    let said = serve(&["--auth", "oidc"]);
    assert!(["--oidc-issuer", "--oidc-audience", "--oidc-claim"].iter().all(|flag| said.contains(flag)), "{said}");
    let said = serve(&["--auth", "oidc", "--oidc-issuer", "http://gitlab.example", "--no-auth"]);
    assert!(said.contains("is not https://"), "{said}");
    assert!(Path::new(&volume).read_dir().expect("a folder").next().is_none());
}
