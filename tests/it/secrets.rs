//! Secrets stand nowhere: not in a log at any level, not in an answer to somebody else's mistake, not in a metric, not in
//! an error, and in no file of the volume, nor in another spelling.
//!
//! Planted are tokens in each of their forms, keys of a bucket, signatures and passwords in addresses of sources and hooks;
//! then everything goes well, and wrong in each way, and every byte that came of it is searched.

mod cluster;
mod echo;
mod evidence;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    archive::tar,
    http::{Answer, call, raw, try_call},
    issuer::{Issuer, now},
    part::need,
    pod::{Pod, text},
    run::Runs as _,
    served::Served,
    uploads::hex,
    weed::environment,
};
use echo::Echo;
use evidence::{Evidence, Secret};

/// What must stand nowhere. A row for each kind; each text occurs nowhere else in the tests.
const SECRETS: [Secret<'static>; 13] = [
    Secret { what: "a token in a file", text: "tk1-Quay7Hawser2Bollard9" },
    Secret { what: "a token without a name", text: "tk2-Fender4Cleat8Painter" },
    Secret { what: "a token that is stored as its digest", text: "tk3-Sextant5Lanyard1Knot" },
    Secret { what: "a token of a line that is not understood", text: "tk4-Halyard3Grommet6Shackle" },
    Secret { what: "a token that somebody has for something else", text: "tk5-Capstan9Windlass2Hawse" },
    Secret { what: "a short token", text: "tk6Zq8Jv" },
    Secret { what: "the secret key of a bucket", text: "sk1Rigging7Ratline3Futtock5Garboard" },
    Secret { what: "the session token of a bucket", text: "st1Strake6Carlin2Ledge8Knightheads" },
    Secret { what: "a password in the address of a source", text: "pw1Thwart4Gunwale9Rowlock" },
    Secret { what: "a signature in the address of a source", text: "sg1Keelson3Stem8Transom6" },
    Secret { what: "a password in the address of a hook", text: "pw2Oakum5Pitch1Mallet7" },
    Secret { what: "a key in the query of a hook", text: "ky1Caulking2Seam6Plank4" },
    Secret { what: "a key in the path of a hook", text: "ky2Treenail8Dowel3Scarf1" },
];

fn secret(what: &str) -> &'static str {
    SECRETS.iter().find(|secret| secret.what == what).expect("one of the table").text
}

/// Words that may well be seen, and must be: where they are not found, the search looked at nothing.
const SEEN: [(&str, &str); 6] = [
    ("log", "tokens read"),
    ("log", "hyper_util"),
    ("answer", "unauthorized"),
    ("metrics", "longshore_tokens"),
    ("volume", "a message that is no secret"),
    ("fill", "error: "),
];

/// A token file for each way of writing one, as a mounted Secret has them.
fn tokens(pod: &Pod) -> std::path::PathBuf {
    let digest = hex(secret("a token that is stored as its digest").as_bytes());
    let files = [
        ("ci", format!("{} name=ci\n", secret("a token in a file"))),
        ("people", format!("# who\n{}\n", secret("a token without a name"))),
        ("hashed", format!("sha256:{digest} name=hashed scopes=upload,read path=blog\n")),
        ("wrong", format!("{} oops=yes\n", secret("a token of a line that is not understood"))),
        ("short", format!("{}\n", secret("a short token"))),
    ];
    pod.folder("tokens", &files.each_ref().map(|(name, text)| (*name, text.as_str())))
}

fn with(served: &Served, authorization: &str, method: &str, target: &str, body: &str) -> Answer {
    call(method, &served.url(target), &[("authorization", authorization)], body.to_owned())
}

/// Requests that go well, and go wrong in each way; what is answered is evidence.
fn ask(served: &Served, evidence: &mut Evidence) {
    let good = format!("Bearer {}", secret("a token in a file"));
    let foreign = secret("a token that somebody has for something else");
    let mut note = |answer: Answer| evidence.heard("answer", &answer);
    for target in ["/site/index.html", "/site/blog/index.html"] {
        note(with(served, &good, "PUT", target, "page"));
    }
    let page = json!({"digest": hex(b"page"), "size": 4});
    let deploy = json!({"manifest": {"index.html": page}, "message": "a message that is no secret"}).to_string();
    note(with(served, &good, "POST", "/v1/releases", &deploy));
    for (token, target) in [
        (secret("a token without a name"), "/site/index.html"),
        (secret("a short token"), "/site/short.html"),
        (secret("a token that is stored as its digest"), "/site/blog/x"),
        (secret("a token that is stored as its digest"), "/site/beyond"),
        (secret("a token of a line that is not understood"), "/site/x"),
        (foreign, "/site/x"),
    ] {
        for authorization in
            [format!("Bearer {token}"), format!("Basic {token}"), format!("Bearer {token} x"), token.into()]
        {
            note(with(served, &authorization, "PUT", target, "page"));
            note(with(served, &authorization, "GET", "/v1/releases", ""));
        }
        for query in ["access_token", "token", "key"] {
            note(call("PUT", &served.url(&format!("{target}?{query}={token}")), &[], "page"));
            note(with(served, &good, "PUT", &format!("{target}?{query}={token}"), "page"));
        }
        // Whoever writes a secret into a path is told of the path, and nobody else.
        for wrong in
            [format!("/{token}"), format!("/site/{token}"), format!("/v1/{token}"), format!("/v1/uploads/{token}")]
        {
            let _ = (with(served, &good, "GET", &wrong, ""), call("PUT", &served.url(&wrong), &[], "page"));
        }
        let twice = format!(
            "PUT {target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\nauthorization: {good}\r\nx-{token}: {token}\r\n\
             cookie: {token}\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx"
        );
        raw(served.listen, twice.as_bytes()).into_iter().for_each(&mut note);
        // Not HTTP at all.
        let broken = format!("PUT {target} HTTP/1.1\r\nauthorization: Bearer {token}\r\nbroken header {token}\r\n\r\n");
        raw(served.listen, broken.as_bytes()).into_iter().for_each(&mut note);
    }
    let rollback = [("authorization", good.as_str()), ("content-type", "application/json")];
    note(call("POST", &served.url("/v1/rollback"), &rollback, r#"{"to":1}"#));
    note(call("POST", &served.url("/v1/rollback"), &rollback, r#"{"to":9}"#));
    for target in ["/v1/releases", "/v1/lock", "/v1/diff/1/2", "/openapi.json", "/site/"] {
        note(with(served, &good, "GET", target, ""));
    }
    note(with(served, &good, "POST", "/v1/sync", ""));
    for target in ["/metrics", "/readyz", "/livez"] {
        let url = format!("http://{}{target}", served.probes);
        try_call("GET", &url, &[], "").into_iter().for_each(|answer| evidence.heard("metrics", &answer));
    }
}

#[test]
fn a_secret_that_was_used_stands_nowhere() {
    let evidence = serve_of(None);
    assert_eq!(evidence.leaks(&SECRETS), Vec::<String>::new());
    evidence.assert_seen(&SEEN);
}

/// A mistake made on purpose must show, or the test above proves nothing.
#[test]
fn a_secret_that_is_told_is_found() {
    if !cfg!(feature = "planted") {
        crate::part::skip("no mistakes were built in (cargo test --features planted)");
        return;
    }
    let leaks = serve_of(Some("tell-token")).leaks(&SECRETS);
    assert!(leaks.iter().any(|leak| leak.contains("a token in a file")), "{leaks:?}");
}

/// Everything that a server and what runs beside it leave behind.
fn serve_of(mistake: Option<&str>) -> Evidence {
    let mut evidence = Evidence::default();
    for format in ["json", "text"] {
        let pod = Pod::new();
        let (tokens, echo) = (tokens(&pod), Echo::start());
        let site = tar(&[("index.html", b"from the source")]);
        let (password, signature) =
            (secret("a password in the address of a source"), secret("a signature in the address of a source"));
        // The first is there once, the second refuses and repeats what it was sent.
        let good = echo.url(&format!("me:{password}"), "/200/site.tar", &format!("X-Amz-Signature={signature}"));
        let bad = echo.url(&format!("me:{password}"), "/403/site.tar", &format!("X-Amz-Signature={signature}"));
        echo.archive(site);
        let (password, query) = (secret("a password in the address of a hook"), secret("a key in the query of a hook"));
        let hook = |status: u16| {
            let path = format!("/{status}/{}", secret("a key in the path of a hook"));
            echo.url(&format!("me:{password}"), &path, &format!("key={query}"))
        };
        let mut environment = environment(&echo.url("", "", ""), secret("the secret key of a bucket")).to_vec();
        environment.push(("AWS_SESSION_TOKEN", secret("the session token of a bucket").to_owned()));
        environment.push(("LONGSHORE_LOG", "trace".to_owned()));
        environment.push(("LONGSHORE_LOG_FORMAT", format.to_owned()));
        environment.extend(mistake.map(|mistake| ("PLANTED_MISTAKE", mistake.to_owned())));
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();

        let bucket = "s3://harbour/site/".to_owned();
        let away = format!("http://me:{password}@127.0.0.1:1/{query}?{query}");
        for (from, code, hooks) in
            [(&good, 0, [hook(200), hook(200)]), (&bad, 6, [hook(403), hook(500)]), (&bucket, 6, [hook(200), away])]
        {
            let blank = Pod::new();
            let run = blank.fill_command(&["--from", from]).envs(environment.iter().copied()).run();
            evidence.ran("fill", &run.expect(code));
            evidence.add_folder("volume", &blank.volume());
            let flags = ["--token-file", text(&tokens), "--from", from, "--every", "1s", "--when", "always"];
            let flags = [&flags[..], &["--pre-publish", &hooks[0], "--post-publish", &hooks[1]]].concat();
            let mut served = pod.launch(&flags, &environment);
            served.wait_until_ready();
            ask(&served, &mut evidence);
            std::thread::sleep(Duration::from_millis(1_200));
            evidence.ran("log", &served.terminate());
        }
        for arguments in [&["doctor"][..], &["verify"], &["verify", "--repair", "--from", &bad]] {
            let volume = pod.volume();
            let arguments = [arguments, &["--volume", text(&volume)]].concat();
            evidence.ran("stderr", &pod.command(&arguments).envs(environment.iter().copied()).run());
        }
        evidence.add_folder("volume", &pod.volume());
        assert!(echo.heard() > 4, "the fake sources and hooks were asked");
    }
    evidence
}

/// Nor does a token that an issuer made, which is as good as it is for minutes: neither what it says nor its signature.
#[test]
fn a_token_of_an_issuer_stands_nowhere() {
    let python = need!("pyjwt");
    let pod = Pod::new();
    let issuer = Issuer::start(&pod, &python, &["rsa-1"]);
    let (good, past) = (issuer.claims(), now() - 4_000);
    let with_claim = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        json!({ "key": "rsa-1", "claims": claims })
    };
    let tokens = issuer.sign(&[
        json!({ "key": "rsa-1", "claims": good }),
        with_claim("exp", json!(past)),
        with_claim("aud", json!("somebody else")),
        with_claim("repository_id", json!("75")),
        with_claim("iss", json!("https://issuer.example")),
        json!({ "key": "rsa-2", "claims": good }),
    ]);
    let mut evidence = Evidence::default();
    let flags = issuer.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--log", "trace"]).collect();
    let mut served = pod.launch(&flags, &[]);
    served.wait_until_ready();
    for (index, token) in tokens.iter().enumerate() {
        let cut = &token[..token.len() - 9];
        for token in [token, cut, &format!("{token}.")] {
            let answer = with(&served, &format!("Bearer {token}"), "PUT", "/site/index.html", "page");
            assert_eq!(answer.status < 300, index == 0 && token == tokens[0], "{answer}");
            evidence.heard("answer", &answer);
            evidence.heard("answer", &call("GET", &served.url(&format!("/site/?access_token={token}")), &[], ""));
        }
    }
    issuer.is_down(true);
    evidence.heard("answer", &with(&served, &format!("Bearer {}", tokens[5]), "GET", "/v1/releases", ""));
    evidence.heard("metrics", &call("GET", &format!("http://{}/metrics", served.probes), &[], ""));
    evidence.ran("log", &served.terminate());
    evidence.add_folder("volume", &pod.volume());
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1));
    // The ends of a part of base64 depend on what stands around it.
    let secrets: Vec<_> = parts.map(|part| Secret { what: "a part of a token", text: &part[4..36] }).collect();
    assert_eq!(evidence.leaks(&secrets), Vec::<String>::new());
    evidence.assert_seen(&[("log", "a token is refused"), ("volume", "oidc:repo:shop"), ("metrics", "longshore_")]);
}

/// Flags that are not understood may hold a secret all the same.
#[test]
fn a_secret_in_a_wrong_flag_is_not_repeated() {
    let pod = Pod::new();
    let mut evidence = Evidence::default();
    let (source, hook) =
        (secret("a password in the address of a source"), secret("a password in the address of a hook"));
    let signature = secret("a signature in the address of a source");
    let token = secret("a token in a file");
    let sources = [
        format!("https://me:{source}@host:99999/site.tar?{signature}"),
        format!("https://me:{source}@ho st/site.tar?{signature}"),
        format!("https://me:{source}@/site.tar"),
        format!("ftp://me:{source}@host/site.tar?{signature}"),
        format!("s3://me:{source}@bucket/prefix"),
    ];
    for from in &sources {
        for command in ["fill", "serve", "verify"] {
            let volume = pod.volume();
            let flags = [command, "--volume", text(&volume), "--from", from];
            let more: &[&str] = match command {
                "serve" => &["--no-auth", "--listen", "127.0.0.1:0", "--probes", "nowhere"],
                _ => &[],
            };
            evidence.ran("stderr", &pod.command(&[&flags, more].concat()).run());
            let mut by_variable = pod.command(&[&[command, "--volume", text(&volume)], more].concat());
            evidence.ran("stderr", &by_variable.env("LONGSHORE_FROM", from).run());
        }
    }
    let hooks = [
        format!("ftp://me:{hook}@host/{hook}"),
        format!("http://me:{hook}@"),
        format!("http://me:{hook}@host:99999/?{hook}"),
        format!("me:{hook}@host"),
        format!("//me:{hook}@host/?{hook}"),
    ];
    for hook in &hooks {
        for flag in ["--pre-publish", "--post-publish"] {
            let run = serve_in_vain(&pod, &[flag, hook]);
            assert_ne!(run.code, Some(0));
            evidence.ran("stderr", &run);
        }
    }
    for wrong in [&["--token", token][..], &[&format!("--token={token}")], &["--token-fil", token]] {
        evidence.ran("stderr", &serve_in_vain(&pod, wrong));
    }
    // Nor is such a variable ours.
    let mut by_variable = pod.command(&["doctor", "--volume", text(&pod.volume())]);
    evidence.ran("stderr", &by_variable.env("LONGSHORE_TOKEN", token).run().expect(2));
    evidence.add_folder("volume", &pod.volume());
    assert_eq!(evidence.leaks(&SECRETS), Vec::<String>::new());
    evidence.assert_seen(&[("stderr", "error: ")]);
}

fn serve_in_vain(pod: &Pod, flags: &[&str]) -> crate::run::Run {
    let volume = pod.volume();
    let fixed = ["serve", "--volume", text(&volume), "--no-auth", "--listen", "127.0.0.1:0", "--probes", "nowhere"];
    pod.command(&[&fixed, flags].concat()).run()
}
