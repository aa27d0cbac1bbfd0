//! The names under which the door may be asked for, and what a browser is told about answers.

use crate::{
    http::{call, raw},
    pod::{Pod, TOKEN, text},
    served::Served,
};

/// The status of a request with these lines after the request line, and the problem's type.
fn ask(served: &Served, target: &str, lines: &str) -> (u16, String) {
    let request = format!("GET {target} HTTP/1.1\r\n{lines}Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n");
    let answer = raw(served.listen, request.as_bytes()).expect("an answer");
    let problem = if answer.status >= 400 && !answer.body.is_empty() { answer.problem() } else { String::new() };
    (answer.status, problem)
}

#[test]
fn another_name_is_turned_away_whatever_is_asked() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve_with(&["--host", "publish.example.com", "--host", "10.0.0.7:8080"]);
    for host in ["publish.example.com", "Publish.Example.com:1234", "10.0.0.7:8080"] {
        assert_eq!(ask(&served, "/site/index.html", &format!("Host: {host}\r\n")).0, 200, "{host}");
    }
    let turned_away = (421, "misdirected".to_owned());
    for host in ["evil.example", "10.0.0.7:9", "publish.example.com.evil.example", "localhost", ""] {
        for target in ["/site/index.html", "/openapi.json", "/v1/releases", "/nothing"] {
            assert_eq!(ask(&served, target, &format!("Host: {host}\r\n")), turned_away, "{host:?} {target}");
        }
    }
    // The target's own name, and a second Host, are no way round it.
    let good = "Host: publish.example.com\r\n";
    assert_eq!(ask(&served, "http://evil.example/site/index.html", good), turned_away);
    assert_ne!(ask(&served, "/site/index.html", &format!("{good}Host: evil.example\r\n")).0, 200);
    // Nobody learns whether a token is good.
    let answer = call("GET", &served.url("/v1/releases"), &[("authorization", "Bearer wrong")], "");
    assert_eq!(answer.expect(421).problem(), "misdirected");
    // Probes are asked by the address.
    assert_eq!(served.probe("/readyz"), Some(200));
}

#[test]
fn a_browser_runs_nothing_that_is_answered() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "<script>1</script>")])).expect(0);
    let token_file = pod.token_file();
    let mut served = pod.launch(&["--token-file", text(&token_file), "--public-read"], &[]);
    served.wait_until_ready();
    for (path, status, policy) in [
        ("/site/index.html", 200, "sandbox"),
        ("/site/", 200, "sandbox"),
        ("/site/nothing", 404, "default-src 'none'; frame-ancestors 'none'"),
        ("/site/?list", 200, "default-src 'none'; frame-ancestors 'none'"),
        ("/v1/releases", 401, "default-src 'none'; frame-ancestors 'none'"),
        ("/openapi.json", 200, "default-src 'none'; frame-ancestors 'none'"),
        ("/elsewhere", 404, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        let answer = call("GET", &served.url(path), &[("origin", "https://evil.example")], "").expect(status);
        assert_eq!(answer.header("content-security-policy"), policy, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let cors = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-"));
        assert_eq!((cors.count(), answer.header("set-cookie")), (0, ""), "{path}");
    }
    // The request that a browser makes before one with a token.
    let asked = [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
    let answer = call("OPTIONS", &served.url("/site/index.html"), &asked, "");
    assert!(answer.status >= 400 && answer.header("access-control-allow-origin").is_empty(), "{answer}");
}
