//! Callers whom a Kubernetes cluster knows, with a fake API server: no kubelet can be had here.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, Trouble, bound, known, token},
    http::{Answer, call},
    issuer::now,
    listing::contents,
    pod::{Pod, TOKEN, text},
    run::{Runs as _, eventually},
    served::Served,
};

const CI: &str = "system:serviceaccount:shop:ci";

fn served(pod: &Pod, cluster: &Cluster, more: &[&str]) -> Served {
    let flags = [&["--auth", "kubernetes", "--log", "trace"], more].concat();
    let mut served = pod.launch(&flags, &[("KUBECONFIG", text(&cluster.kubeconfig))]);
    served.wait_until_ready();
    served
}

fn with(served: &Served, token: &str, method: &str, path: &str, body: &str) -> Answer {
    call(method, &served.url(path), &[("authorization", &format!("Bearer {token}"))], body.to_owned())
}

#[test]
fn a_service_account_publishes_and_the_cluster_is_asked_properly() {
    let pod = Pod::new();
    let cluster = Cluster::start(&pod);
    let ci = cluster.token_of(CI, &["update"]);
    let served = served(&pod, &cluster, &["--kubernetes-site", "shop-2"]);
    with(&served, &ci, "PUT", "/site/a.html", "a").expect(201);
    let asked = cluster.state.lock().expect("no panic").asked.clone();
    let [(tokens, own, review), (access, own_again, question)] = &asked[..] else { panic!("two questions: {asked:?}") };
    assert_eq!((own.as_str(), own_again.as_str()), ("Bearer our-own-token-1", "Bearer our-own-token-1"));
    assert_eq!(tokens, "/apis/authentication.k8s.io/v1/tokenreviews");
    assert_eq!((&review["apiVersion"], &review["kind"]), (&json!("authentication.k8s.io/v1"), &json!("TokenReview")));
    assert_eq!(review["spec"], json!({"token": ci, "audiences": ["longshore"]}));
    assert_eq!(access, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
    assert_eq!(
        (&question["apiVersion"], &question["kind"]),
        (&json!("authorization.k8s.io/v1"), &json!("SubjectAccessReview"))
    );
    let spec = json!({
        "user": CI, "uid": "7", "groups": ["system:serviceaccounts", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/pod-name": ["ci-1"]},
        "resourceAttributes":
            {"group": "longshore.dev", "resource": "sites", "name": "shop-2", "namespace": "shop", "verb": "update"},
    });
    assert_eq!(question["spec"], spec);
    // Kept: asked once for many requests of a kind.
    for _ in 0..20 {
        with(&served, &ci, "PUT", "/site/a.html", "a").expect(200);
    }
    assert_eq!(cluster.asked(), 2);
    // Another scope is another question, and this one is answered with no: neither its verb nor admin's.
    let refused = with(&served, &ci, "GET", "/v1/releases", "").expect(403);
    assert_eq!((refused.problem().as_str(), &refused.json()["scope"]), ("forbidden", &json!("read")));
    let verbs: Vec<_> = cluster.state.lock().expect("no panic").asked[3..]
        .iter()
        .map(|(_, _, body)| body["spec"]["resourceAttributes"]["verb"].clone())
        .collect();
    assert_eq!(verbs, [json!("get"), json!("admin")]);
    let admin = cluster.token_of("system:serviceaccount:shop:admin", &["admin"]);
    let head = with(&served, &admin, "GET", "/v1/releases", "").expect(200).json()["releases"][0].clone();
    assert_eq!(head["by"], format!("kubernetes:{CI}"));
    assert!(!served.log().contains(&ci) && !served.log().contains("our-own-token-1"));
}

#[test]
fn whoever_the_cluster_does_not_know_is_nobody() {
    let pod = Pod::new();
    let cluster = Cluster::start(&pod);
    let served = served(&pod, &cluster, &[]);
    let user = |name: &str, value: Value| {
        let mut status = known(CI);
        status[name] = value;
        status
    };
    let statuses = [
        ("not authenticated", user("authenticated", json!(false))),
        ("authenticated unsaid", user("authenticated", Value::Null)),
        ("for others", user("audiences", json!(["https://kubernetes.default.svc"]))),
        ("for nobody said", user("audiences", Value::Null)),
        ("an error", user("error", json!("the webhook failed"))),
        ("no user", user("user", Value::Null)),
        ("a user without a name", user("user", json!({"groups": ["system:masters"]}))),
        ("an empty name", user("user", json!({"username": ""}))),
        ("no status", Value::Null),
    ];
    let first = with(&served, "not-a-token", "PUT", "/site/a.html", "a").expect(401);
    for (number, (what, status)) in statuses.into_iter().enumerate() {
        let token = token("longshore", &number.to_string());
        let mut state = cluster.state.lock().expect("no panic");
        state.tokens.insert(token.clone(), status);
        state.roles.insert((CI.to_owned(), "update".to_owned()));
        state.roles.insert((String::new(), "update".to_owned()));
        drop(state);
        let answer = with(&served, &token, "PUT", "/site/a.html", "a");
        assert_eq!((answer.status, &answer.body), (401, &first.body), "{what}: {answer}");
    }
    let before = cluster.asked();
    // Not a word of these leaves the house: they are not for us, or over.
    let others = [
        token("https://kubernetes.default.svc", CI),
        bound("longshore", CI, now() - 300),
        TOKEN.to_owned(),
        "a.b.c".to_owned(),
        token("longshore", &"x".repeat(20_000)),
    ];
    for token in &others {
        let status = with(&served, token, "PUT", "/site/a.html", "a").status;
        assert!(matches!(status, 401 | 431), "{token}: {status}");
    }
    assert_eq!(cluster.asked(), before);
    assert!(contents(&pod.volume()).is_empty());
}

#[test]
fn an_api_server_that_is_away_lets_nobody_in_until_it_is_back() {
    let pod = Pod::new();
    let cluster = Cluster::start(&pod);
    let (ci, other) = (cluster.token_of(CI, &["update"]), cluster.token_of("other", &["update"]));
    let token_file = pod.token_file();
    let served = served(&pod, &cluster, &["--token-file", text(&token_file)]);
    with(&served, &ci, "PUT", "/site/a.html", "a").expect(201);
    let troubles = [Trouble::Down, Trouble::Status(500), Trouble::Status(403), Trouble::Status(429), Trouble::Garbled];
    for (number, trouble) in troubles.into_iter().enumerate() {
        cluster.is_in(trouble);
        let token = token("longshore", &format!("trouble-{number}"));
        let away = with(&served, &token, "PUT", "/site/a.html", "b").expect(503);
        assert_eq!(away.problem(), "caller-unknown");
        assert!(away.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{away}");
        assert!(!served.log().contains(&token), "{}", served.log());
    }
    cluster.is_in(Trouble::Silent);
    let (began, before) = (Instant::now(), cluster.asked());
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..8).map(|_| scope.spawn(|| with(&served, &other, "PUT", "/site/a.html", "b").status)).collect();
        // Whoever else comes is not kept waiting.
        with(&served, TOKEN, "GET", "/v1/releases", "").expect(200);
        with(&served, &ci, "PUT", "/site/a.html", "a").expect(200);
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert!(waiting.into_iter().all(|one| one.join().expect("no panic") == 503));
    });
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(cluster.asked() - before <= 2, "one question for all of them");
    cluster.is_in(Trouble::None);
    eventually("it is asked again", Duration::from_secs(20), || {
        (with(&served, &other, "PUT", "/site/a.html", "c").status == 200).then_some(())
    });
}

#[test]
fn what_was_taken_back_is_refused_within_a_minute_and_our_own_token_rotates() {
    let pod = Pod::new();
    let cluster = Cluster::start(&pod);
    let (ci, role) = (cluster.token_of(CI, &["update"]), cluster.token_of("other", &["update"]));
    let served = served(&pod, &cluster, &[]);
    for token in [&ci, &role] {
        assert!(with(&served, token, "PUT", "/site/a.html", "a").status < 300);
    }
    {
        let mut state = cluster.state.lock().expect("no panic");
        state.tokens.remove(&ci);
        state.roles.clear();
    }
    fs::write(&cluster.own_token, "our-own-token-2").expect("it is written");
    let limit = Duration::from_secs(75);
    eventually("a token is refused", limit, || {
        (with(&served, &ci, "PUT", "/site/a.html", "a").status == 401).then_some(())
    });
    eventually("a role is", limit, || (with(&served, &role, "PUT", "/site/a.html", "a").status == 403).then_some(()));
    let (_, own, _) = cluster.state.lock().expect("no panic").asked.last().cloned().expect("it was asked");
    assert_eq!(own, "Bearer our-own-token-2");
}

#[test]
fn without_a_cluster_it_does_not_start() {
    let pod = Pod::new();
    let volume = pod.volume();
    let flags = ["--auth", "kubernetes", "--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0"];
    let mut command = pod.command(&[&["serve", "--volume", text(&volume)], &flags[..]].concat());
    let run = command.run().expect(2);
    assert!(run.stderr.contains("KUBECONFIG") && run.stderr.contains("--auth kubernetes"), "{}", run.stderr);
}
