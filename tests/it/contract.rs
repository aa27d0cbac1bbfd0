//! The OpenAPI document, held against the server that gives it: by a validator, by schemathesis, and by asking each
//! operation without a token.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    http::{Answer, call},
    part::need,
    pod::{Pod, TOKEN, text},
    run::{Runs as _, clean},
    served::Served,
};

const METHODS: [&str; 7] = ["get", "head", "put", "post", "patch", "delete", "options"];

pub(crate) fn document(served: &Served) -> Value {
    // Nobody needs a token to read how to send one.
    call("GET", &served.url("/openapi.json"), &[], "").expect(200).json()
}

/// Each operation: its method, its path with something in each place, and what the document says of it.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if METHODS.contains(&method.as_str()) {
                let filled: Vec<&str> =
                    path.split('/').map(|part| if part.starts_with('{') { "index.html" } else { part }).collect();
                operations.push((method.to_uppercase(), filled.join("/"), operation.clone()));
            }
        }
    }
    operations
}

/// How an operation is secured: anybody, who may read, or only who has a token.
fn needs(operation: &Value) -> &'static str {
    let alternatives = operation["security"].as_array().expect("each operation says who may use it");
    match (alternatives.is_empty(), alternatives.iter().any(|one| *one == serde_json::json!({}))) {
        (true, _) => "nothing",
        (false, true) => "reading",
        (false, false) => "a token",
    }
}

fn seeded() -> Pod {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/b.html", "deep")])).expect(0);
    pod
}

#[test]
fn the_document_is_valid_and_the_committed_one() {
    let validator = need!("openapi-spec-validator");
    let served_by = seeded();
    let served = served_by.serve();
    let document = document(&served);
    let committed: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).expect("JSON");
    assert!(document == committed, "`make openapi` writes docs/openapi.json anew");
    let file = served_by.path("openapi.json");
    fs::write(&file, document.to_string()).expect("it is written");
    clean(Command::new(validator).arg(&file)).run().expect(0);
}

#[test]
fn every_operation_asks_for_a_token() {
    let pod = seeded();
    for public in [false, true] {
        let served = pod.serve_with(if public { &["--public-read"] } else { &[] });
        let document = document(&served);
        let operations = operations(&document);
        assert!(operations.len() > 15, "{operations:?}");
        for (method, path, operation) in operations {
            let ask = |headers: &[(&str, &str)]| -> Answer { call(&method, &served.url(&path), headers, "") };
            let is_open = match needs(&operation) {
                "nothing" => true,
                "reading" => public,
                _ => false,
            };
            let what = format!("{method} {path}, --public-read: {public}");
            for headers in [&[][..], &[("authorization", "Bearer not-the-token-at-all")], &[("cookie", TOKEN)]] {
                let answer = ask(headers);
                assert_eq!(answer.status != 401, is_open, "{what} with {headers:?}: {answer}");
                if !is_open && method != "HEAD" {
                    assert_eq!(answer.problem(), "unauthorized", "{what}");
                }
            }
            // What it needs is there from here on; whatever else is wrong, it is not that.
            let answer = ask(&[("authorization", &format!("Bearer {TOKEN}"))]);
            assert_ne!(answer.status, 401, "{what}: {answer}");
        }
        served.terminate().expect(0);
    }
}

#[test]
fn what_is_not_in_the_document_is_not_there() {
    let pod = seeded();
    let served = pod.serve();
    let document = document(&served);
    for (path, item) in document["paths"].as_object().expect("paths") {
        let filled: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        for method in METHODS {
            let is_told = item.get(method).is_some() || (method == "head" && item.get("get").is_some());
            if !is_told {
                let answer = served.call(&method.to_uppercase(), &filled.join("/"), "");
                assert_eq!(answer.status, 405, "{method} {path}: {answer}");
                assert!(!answer.header("allow").is_empty(), "{method} {path}: RFC 9110, section 15.5.6: {answer}");
            }
        }
    }
}

#[test]
fn schemathesis_finds_no_answer_that_is_not_in_the_document() {
    let schemathesis = need!("schemathesis");
    let pod = seeded();
    let served = pod.serve();
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/contract");
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let mut command = Command::new(schemathesis);
    clean(&mut command)
        .current_dir(pod.path(""))
        .env("PYTHONPATH", hooks)
        .env("SCHEMATHESIS_HOOKS", "archives")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Its own files beside the volume, not at home.
        .env("HOME", text(&pod.path("")))
        .args(["--config-file", &format!("{hooks}/schemathesis.toml")])
        .args(["run", &served.url("/openapi.json"), "--header", &authorization])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "5", "--no-color"])
        .args(["--continue-on-failure", "--request-timeout", "60", "--suppress-health-check", "all"])
        // What OpenAPI cannot say is refused with reason: paths that no site can have, objects that nobody sent.
        .args(["--exclude-checks", "positive_data_acceptance", "--warnings", "off"]);
    let run = command.run();
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    // It reached the operations.
    assert!(run.stdout.contains("No issues found") || run.stdout.contains("passed"), "{}", run.stdout);
    assert_eq!(served.get("/v1/releases").status, 200);
}

#[test]
fn an_array_is_no_object() {
    let pod = seeded();
    let served = pod.serve();
    // serde would take a struct's members from it in their order.
    for (method, path) in [("PUT", "/v1/lock"), ("POST", "/v1/rollback")] {
        assert_eq!(served.call(method, path, "[null, null]").expect(400).problem(), "bad-request", "{method} {path}");
    }
    assert_eq!(served.get("/v1/lock").status, 404);
}
