//! Flags and variables: what is misspelt is said, what is Kubernetes' is left alone.

use serde_json::Value;

use crate::{
    listing::{contents, is_blank},
    pod::{Pod, TOKEN, text},
    run::Runs as _,
};

#[test]
fn an_unknown_variable_is_a_usage_error_that_names_the_nearest() {
    for (unknown, nearest) in [
        ("LONGSHORE_VOLUM", "LONGSHORE_VOLUME"),
        ("LONGSHORE_TOKENFILE", "LONGSHORE_TOKEN_FILE"),
        ("LONGSHORE_PUBLIC_REED", "LONGSHORE_PUBLIC_READ"),
        ("LONGSHORE_FORM", "LONGSHORE_FROM"),
    ] {
        let pod = Pod::new();
        let seed = pod.folder("seed", &[("index.html", "page")]);
        let mut fill = pod.fill_command(&["--from", text(&seed)]);
        let run = fill.env(unknown, "x").run().expect(2);
        assert!(run.stderr.contains(unknown) && run.stderr.contains(nearest), "{unknown}: {}", run.stderr);
        assert!(is_blank(&pod.volume()));
        let volume = pod.volume();
        let mut serve = pod.command(&["serve", "--volume", text(&volume), "--token-file", text(&pod.token_file())]);
        serve.env(unknown, "x").run().expect(2);
    }
}

#[test]
fn a_variable_of_another_command_is_known() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    // One set of variables for both containers of a pod.
    let mut fill = pod.fill_command(&["--from", text(&seed)]);
    fill.env("LONGSHORE_LISTEN", "127.0.0.1:0").env("LONGSHORE_EVERY", "30s").env("LONGSHORE_TOKEN_FILE", "/x");
    fill.run().expect(0);
    assert_eq!(contents(&pod.volume()).len(), 1);
}

#[test]
fn the_variables_of_kubernetes_services_are_ignored() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    let mut fill = pod.fill_command(&["--from", text(&seed)]);
    for (name, value) in [
        ("LONGSHORE_SERVICE_HOST", "10.0.0.1"),
        ("LONGSHORE_SERVICE_PORT", "8080"),
        ("LONGSHORE_SERVICE_PORT_HTTP", "8080"),
        ("LONGSHORE_PORT", "tcp://10.0.0.1:8080"),
        ("LONGSHORE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("LONGSHORE_PORT_8080_TCP_PROTO", "tcp"),
        ("LONGSHORE_PORT_8080_TCP_PORT", "8080"),
        ("LONGSHORE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("LONGSHORE_UPLOADS_SERVICE_HOST", "10.0.0.2"),
        ("LONGSHORE_UPLOADS_SERVICE_PORT", "8080"),
        ("LONGSHORE_UPLOADS_SERVICE_PORT_HTTP", "8080"),
        ("LONGSHORE_UPLOADS_PORT", "tcp://10.0.0.2:8080"),
        ("LONGSHORE_UPLOADS_PORT_53_UDP_ADDR", "10.0.0.2"),
    ] {
        fill.env(name, value);
    }
    fill.run().expect(0);
    assert_eq!(contents(&pod.volume()).len(), 1);
}

#[test]
fn all_mistakes_are_said_in_one_go() {
    let pod = Pod::new();
    let volume = pod.volume();
    let mut serve = pod.command(&["serve", "--volume", text(&volume)]);
    serve.env("LONGSHORE_LISTEN", "nonsense").env("LONGSHORE_EVERY", "often").env("LONGSHORE_WHEN", "sometimes");
    let run = serve.env("LONGSHORE_VOLUMEN", "x").run().expect(2);
    for mistake in ["nonsense", "often", "sometimes", "LONGSHORE_VOLUMEN"] {
        assert!(run.stderr.contains(mistake), "{mistake} is missing in: {}", run.stderr);
    }
    assert!(is_blank(&volume));
}

#[test]
fn a_wrong_flag_is_exit_2() {
    let pod = Pod::new();
    let volume = pod.volume();
    let wrong: [&[&str]; 6] = [
        &[],
        &["fill"],
        &["fill", "--volume"],
        &["fill", "--volume", text(&volume), "--when", "sometimes"],
        &["fill", "--volume", text(&volume), "--wehn", "empty"],
        &["feel", "--volume", text(&volume)],
    ];
    for arguments in wrong {
        let run = pod.command(arguments).run().expect(2);
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
    assert!(is_blank(&volume));
}

#[test]
fn help_has_examples_and_names_the_variables() {
    let pod = Pod::new();
    for (command, variables) in [
        ("fill", vec!["LONGSHORE_VOLUME", "LONGSHORE_FROM", "LONGSHORE_WHEN", "LONGSHORE_LOG"]),
        (
            "serve",
            vec!["LONGSHORE_VOLUME", "LONGSHORE_LISTEN", "LONGSHORE_PROBES", "LONGSHORE_TOKEN_FILE", "LONGSHORE_GRACE"],
        ),
    ] {
        let help = pod.command(&[command, "--help"]).run().expect(0).stdout;
        assert!(help.to_lowercase().contains("example"), "{command}: {help}");
        assert!(help.contains(&format!("longshore {command} ")), "{command}: a line to copy: {help}");
        for variable in variables {
            assert!(help.contains(variable), "{command}: {variable}: {help}");
        }
    }
    let help = pod.command(&["--help"]).run().expect(0).stdout;
    assert!(help.contains("fill") && help.contains("serve"), "{help}");
    let version = pod.command(&["--version"]).run().expect(0).stdout;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn serve_is_set_up_by_variables_alone() {
    let pod = Pod::new();
    let addresses = pod.path("addresses");
    let mut serve = pod.command(&["serve"]);
    serve.env("LONGSHORE_VOLUME", pod.volume()).env("LONGSHORE_TOKEN_FILE", pod.token_file());
    serve.env("LONGSHORE_LISTEN", "127.0.0.1:0").env("LONGSHORE_PROBES", "127.0.0.1:0");
    serve.env("LONGSHORE_ADDRESSES_FILE", &addresses).env("LONGSHORE_PUBLIC_READ", "true");
    let mut child = serve.stderr(std::process::Stdio::null()).spawn().expect("longshore starts");
    let listen = crate::run::eventually("it is up", std::time::Duration::from_secs(20), || {
        let text = std::fs::read_to_string(&addresses).ok()?;
        text.lines().find_map(|line| line.strip_prefix("listen=").map(str::to_owned))
    });
    let token = format!("Bearer {TOKEN}");
    let url = format!("http://{listen}/site/a.txt");
    let put = crate::http::try_call("PUT", &url, &[("authorization", &token)], "a").map(|answer| answer.status);
    let get = crate::http::try_call("GET", &url, &[], "").map(|answer| answer.text());
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(put.expect("an answer"), 201);
    assert_eq!(get.expect("an answer"), "a");
}

#[test]
fn log_lines_are_json_where_nobody_watches() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    let run = pod.fill(&seed).expect(0);
    let lines: Vec<Value> = run
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let release = pod.release();
    assert!(lines.iter().any(|line| line.to_string().contains(&release)), "the commit is logged: {}", run.stderr);
    let other = Pod::new();
    let run = other.fill_with(&["--from", text(&seed), "--log-format", "text"]).expect(0);
    assert!(!run.stderr.is_empty() && run.stderr.lines().all(|line| serde_json::from_str::<Value>(line).is_err()));
    let quiet = Pod::new();
    let run = quiet.fill_with(&["--from", text(&seed), "--log", "error"]).expect(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn metrics_are_served_beside_the_probes() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/a.txt", "a").expect(201);
    let metrics = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").expect(200);
    assert!(
        metrics.header("content-type").starts_with("text/plain")
            || metrics.header("content-type").contains("openmetrics")
    );
    let text = metrics.text();
    assert!(text.lines().any(|line| line.starts_with("longshore_")), "{text}");
    assert!(text.contains("# TYPE"), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains("a.txt"), "labels are never a path: {text}");
    // What is for the cluster is not on the address that is for people, nor the other way round.
    assert_eq!(served.get("/metrics").status, 404);
    assert_eq!(served.probe("/site/a.txt"), Some(404));
}
