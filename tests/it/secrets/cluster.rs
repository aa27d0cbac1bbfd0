//! Nor do tokens of a cluster, our own among them, and the key of a certificate.

use std::{fs, time::Duration};

use super::{
    evidence::{Evidence, Secret},
    with,
};
use crate::{
    authority::Authority,
    cluster::{Cluster, Trouble, token},
    http::call,
    pod::{Pod, text},
    run::{Runs as _, eventually},
};

/// A piece of a key's PEM, from its middle.
fn piece(pem: &str) -> &str {
    let line = pem.lines().nth(1).expect("a line of base64");
    &line[8..48]
}

#[test]
fn a_token_of_a_cluster_stands_nowhere() {
    let pod = Pod::new();
    let cluster = Cluster::start(&pod);
    let good = cluster.token_of("system:serviceaccount:shop:ci", &["update", "get"]);
    let (stranger, foreign) = (token("longshore", "nobody-of-ours"), token("somebody-else", "of another"));
    let mut evidence = Evidence::default();
    let mut served =
        pod.launch(&["--auth", "kubernetes", "--log", "trace"], &[("KUBECONFIG", text(&cluster.kubeconfig))]);
    served.wait_until_ready();
    let ask = |evidence: &mut Evidence| {
        for token in [&good, &stranger, &foreign, &good[..good.len() - 3]] {
            for method in ["PUT", "DELETE"] {
                let answer = with(&served, &format!("Bearer {token}"), method, "/site/index.html", "page");
                evidence.heard("answer", &answer);
            }
            evidence.heard("answer", &call("GET", &served.url(&format!("/site/?access_token={token}")), &[], ""));
        }
    };
    ask(&mut evidence);
    for trouble in [Trouble::Down, Trouble::Status(403), Trouble::Garbled] {
        cluster.is_in(trouble);
        ask(&mut evidence);
    }
    evidence.heard("metrics", &call("GET", &format!("http://{}/metrics", served.probes), &[], ""));
    evidence.ran("log", &served.terminate());
    evidence.add_folder("volume", &pod.volume());
    let claims = [&good, &stranger, &foreign].map(|token| token.split('.').nth(1).expect("claims"));
    let mut secrets = vec![Secret { what: "our own token", text: "our-own-token-1" }];
    secrets.extend(claims.map(|claims| Secret { what: "a token's claims", text: &claims[60..] }));
    assert_eq!(evidence.leaks(&secrets), Vec::<String>::new());
    evidence.assert_seen(&[("log", "kubernetes"), ("volume", "kubernetes:system:serviceaccount:shop:ci")]);
}

#[test]
fn the_key_of_a_certificate_stands_nowhere() {
    let pod = Pod::new();
    let authority = Authority::new();
    let (first, second) = (authority.month(), authority.month());
    let mut evidence = Evidence::default();
    first.mount(&pod.path("tls"));
    let (certificate, key) = (pod.path("tls/tls.crt"), pod.path("tls/tls.key"));
    let flags = ["--log", "trace", "--tls-cert", text(&certificate), "--tls-key", text(&key)];
    let served = pod.serve_with(&flags);
    // Wrong in each way, one after the other; each is told once.
    let garbled = second.key.replace("PRIVATE", "PRIVAT");
    for (number, wrong) in [&second.key, &garbled, &second.key[..second.key.len() / 2].to_owned()].iter().enumerate() {
        fs::write(pod.path("tls/..data/tls.key"), wrong).expect("written");
        let told =
            || served.log().matches("\"level\":\"WARN\"").count() + served.log().matches("\"level\":\"ERROR\"").count();
        eventually("it is told", Duration::from_secs(20), || (told() > number).then_some(()));
    }
    fs::write(pod.path("tls/..data/tls.crt"), &second.key).expect("a key in the place of a certificate");
    let volume = pod.volume();
    let fixed = ["serve", "--volume", text(&volume), "--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--no-auth"];
    evidence.ran("stderr", &pod.command(&[&fixed[..], &flags].concat()).run().expect(2));
    evidence.heard("metrics", &call("GET", &format!("http://{}/metrics", served.probes), &[], ""));
    evidence.ran("log", &served.terminate());
    evidence.add_folder("volume", &volume);
    let secrets = [&first.key, &second.key].map(|key| Secret { what: "a key", text: piece(key) });
    assert_eq!(evidence.leaks(&secrets), Vec::<String>::new());
    evidence.assert_seen(&[("log", "tls.key"), ("stderr", "error: "), ("metrics", "longshore_")]);
}
