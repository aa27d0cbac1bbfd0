//! What a browser says of the page behind a request, for every operation that changes something.

use crate::{
    contract::{document, operations},
    http::{Answer, call},
    pod::{Pod, TOKEN},
    served::Served,
};

const FRIEND: &str = "https://admin.example.com";

/// Every operation that changes something, as method and path.
fn writing(served: &Served) -> Vec<(String, String)> {
    let all = operations(&document(served)).into_iter().map(|(method, path, _)| (method, path));
    let writing: Vec<_> = all.filter(|(method, _)| !["GET", "HEAD", "OPTIONS"].contains(&method.as_str())).collect();
    assert!(writing.len() > 15, "{writing:?}");
    writing
}

fn ask(served: &Served, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let token = format!("Bearer {TOKEN}");
    call(method, &served.url(path), &[&[("authorization", token.as_str())], headers].concat(), "")
}

fn seeded() -> Pod {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/b.html", "deep")])).expect(0);
    pod
}

#[test]
fn what_another_origins_page_wants_to_change_is_refused() {
    let pod = seeded();
    let served = pod.serve_with(&["--public-read", "--origin", FRIEND]);
    let (http, https) = (format!("http://{}", served.listen), format!("https://{}", served.listen));
    let port = served.listen.port();
    let other_port = format!("http://127.0.0.1:{}", port ^ 1);
    let (other_name, longer) = (format!("http://localhost:{port}"), format!("http://{}.evil.example", served.listen));
    let (site, origin) = ("sec-fetch-site", "origin");
    let bad: [&[(&str, &str)]; 15] = [
        &[(site, "cross-site")],
        &[(site, "same-site")],
        &[(site, "")],
        &[(site, "Same-Origin")],
        &[(site, "same-origin"), (site, "cross-site")],
        &[(origin, "https://evil.example")],
        &[(origin, "https://evil.example"), (site, "same-origin")],
        &[(origin, "null")],
        &[(origin, "")],
        &[(origin, &other_port)],
        &[(origin, &other_name)],
        &[(origin, &longer)],
        &[(origin, &http), (site, "cross-site")],
        &[(origin, FRIEND), (origin, "https://evil.example")],
        &[(origin, "http://admin.example.com")],
    ];
    let before = pod.journal();
    for (method, path) in writing(&served) {
        for headers in bad {
            let answer = ask(&served, &method, &path, headers);
            let said = (answer.status, answer.problem());
            assert_eq!(said, (403, "foreign-origin".to_owned()), "{method} {path} {headers:?}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{method} {path} {headers:?}");
            // A token makes no difference.
            let answer = call(&method, &served.url(&path), headers, "").expect(403);
            assert_eq!(answer.problem(), "foreign-origin");
        }
    }
    assert_eq!(pod.journal(), before, "nothing was changed");
    served.call("GET", "/v1/lock", "").expect(404);

    let good: [&[(&str, &str)]; 7] = [
        &[],
        &[(origin, &http)],
        &[(origin, &https)],
        &[(origin, &http), (site, "same-origin")],
        &[(site, "none")],
        &[(origin, FRIEND), (site, "cross-site")],
        &[(origin, FRIEND), (site, "same-site")],
    ];
    for (method, path) in writing(&served) {
        for headers in good {
            let answer = ask(&served, &method, &path, headers);
            assert_ne!(answer.status, 403, "{method} {path} {headers:?}: {answer}");
        }
    }
    // Somebody follows a link from elsewhere.
    for path in ["/site/", "/site/index.html", "/v1/releases"] {
        let answer = ask(&served, "GET", path, &[(site, "cross-site")]);
        assert_ne!(answer.status, 403, "{path}: {answer}");
    }
}

#[test]
fn pages_of_a_listed_origin_and_no_others_may_read_the_answer() {
    let pod = seeded();
    let served = pod.serve_with(&["--origin", FRIEND, "--origin", "http://localhost:5173/"]);
    let wish = ("access-control-request-method", "PATCH");
    for origin in [FRIEND, "http://localhost:5173"] {
        // Before it sends the token.
        for path in ["/v1/uploads/x", "/v1/uploads", "/site/index.html"] {
            let answer = call("OPTIONS", &served.url(path), &[("origin", origin), wish], "").expect(204);
            assert_eq!(answer.header("access-control-allow-origin"), origin);
            let methods = answer.header("access-control-allow-methods");
            assert!(["PUT", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{answer}");
            let sent = answer.header("access-control-allow-headers").to_ascii_lowercase();
            for name in [
                "authorization",
                "content-type",
                "tus-resumable",
                "upload-offset",
                "upload-length",
                "upload-metadata",
                "upload-checksum",
                "x-http-method-override",
                "if-match",
                "content-digest",
            ] {
                assert!(sent.split(", ").any(|one| one == name), "{name}: {answer}");
            }
        }
        // Answers, and problems.
        for (path, status) in [("/site/index.html", 200), ("/site/nothing", 404), ("/openapi.json", 200)] {
            let answer = ask(&served, "GET", path, &[("origin", origin)]).expect(status);
            assert_eq!(answer.header("access-control-allow-origin"), origin, "{path}");
            assert!(answer.header("access-control-expose-headers").contains("Upload-Offset"), "{path}");
        }
        let answer = call("PUT", &served.url("/site/a.txt"), &[("origin", origin)], "a").expect(401);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
    }
    for origin in ["https://evil.example", "null", "https://admin.example.com.evil.example", "http://admin.example.com"]
    {
        for (method, path) in [("OPTIONS", "/v1/uploads"), ("OPTIONS", "/site/a"), ("GET", "/site/index.html")] {
            let answer = ask(&served, method, path, &[("origin", origin), wish]);
            let told = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(told.count(), 0, "{method} {path} {origin}: {answer}");
        }
    }
    for headers in [&[][..], &[("origin", FRIEND)], &[("origin", "null")]] {
        let answer = ask(&served, "GET", "/site/index.html", headers);
        assert!(answer.header("vary").to_ascii_lowercase().contains("origin"), "{answer}");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_ne!(answer.header("access-control-allow-origin"), "*");
    }
    // tus' own OPTIONS is none of a browser's.
    let answer = call("OPTIONS", &served.url("/v1/uploads"), &[("origin", FRIEND)], "").expect(204);
    assert_eq!(answer.header("tus-version"), "1.0.0");
    // A whole upload.
    let length = [("origin", FRIEND), ("tus-resumable", "1.0.0"), ("upload-length", "0")];
    let answer = ask(&served, "POST", "/v1/uploads", &length).expect(201);
    assert!(!answer.header("location").is_empty());
}

#[test]
fn without_tokens_a_listed_origins_page_may_write() {
    let pod = seeded();
    let mut served = pod.launch(&["--no-auth", "--origin", "http://localhost:5173"], &[]);
    served.wait_until_ready();
    let put = |headers: &[(&str, &str)]| call("PUT", &served.url("/site/a.txt"), headers, "a");
    put(&[("origin", "http://localhost:5173"), ("sec-fetch-site", "same-site")]).expect(201);
    for headers in [&[("origin", "http://localhost:5174")][..], &[("host", "evil.example")], &[("origin", "null")]] {
        assert_eq!(put(headers).expect(403).problem(), "foreign-origin", "{headers:?}");
    }
    assert_eq!(pod.causes(), ["seed", "patch"]);
}
