//! A locked release stays, whoever wants another and however; unlocked, all goes on.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    archive::tar,
    http::Answer,
    listing::contents,
    pod::{Pod, text},
    run::{Runs as _, eventually},
    served::{Served, to},
};

#[track_caller]
fn locked(answer: Answer) -> Value {
    let answer = answer.expect(423);
    assert_eq!(answer.problem(), "locked");
    let lock = answer.json()["lock"].clone();
    assert!(lock["by"].is_string() && lock["at"].is_string(), "who and when: {lock}");
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("DELETE /v1/lock"), "the way out: {detail}");
    lock
}

fn metric(served: &Served) -> String {
    let answer = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").expect(200).text();
    answer.lines().find(|line| line.starts_with("longshore_locked ")).expect("the metric").to_owned()
}

#[test]
fn every_write_is_refused_while_the_release_is_locked_and_none_after() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "one").expect(201);
    served.put("/site/old.html", "old").expect(201);
    assert_eq!(served.get("/v1/lock").expect(404).problem(), "not-locked");
    assert_eq!(metric(&served), "longshore_locked 0");
    let release = served.releases()[0]["release"].clone();
    let lock = served.call("PUT", "/v1/lock", r#"{"message":"the fair"}"#).expect(201).json();
    assert_eq!((&lock["message"], &lock["release"]), (&json!("the fair"), &release));
    assert_eq!(served.get("/v1/lock").expect(200).json(), lock);
    assert_eq!(served.call("PUT", "/v1/lock", "").expect(200).json(), lock, "the same caller, once more");
    assert_eq!(metric(&served), "longshore_locked 1");

    let (journal, before) = (pod.journal(), contents(&pod.volume()));
    let deploy = json!({ "base": release, "remove": ["old.html"] }).to_string();
    let answers = [
        served.put("/site/index.html", "two"),
        served.put("/site/index.html", "one"),
        served.put("/site/", tar(&[("index.html", b"two")])),
        served.patch("/site/", tar(&[("index.html", b"two")])),
        served.delete("/site/old.html"),
        served.delete("/site/never.html"),
        served.call("POST", "/v1/releases", deploy.clone()),
        served.rollback(&to(1)),
        // Not even rehearsed: the answer would be a promise.
        served.rehearse("PUT", "/site/index.html", "two"),
        served.rehearse("DELETE", "/site/old.html", ""),
    ];
    for answer in answers {
        assert_eq!(locked(answer), lock);
    }
    let object = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    served.put(&format!("/v1/objects/{object}"), "two").expect(201);
    assert_eq!((pod.journal(), contents(&pod.volume())), (journal, before));

    served.delete("/v1/lock").expect(204);
    assert_eq!(served.delete("/v1/lock").expect(404).problem(), "not-locked");
    assert_eq!(metric(&served), "longshore_locked 0");
    served.call("POST", "/v1/releases", deploy).expect(201);
    served.rollback(&to(1)).expect(200);
}

#[test]
fn only_the_given_parent_is_locked() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "one").expect(201);
    let one = served.releases()[0]["release"].clone();
    served.put("/site/index.html", "two").expect(200);
    let answer = served.call("PUT", "/v1/lock", json!({ "parent": one }).to_string()).expect(412);
    assert_eq!(answer.problem(), "stale-parent");
    let two = answer.json()["current"].clone();
    served.put("/site/index.html", "three").expect(200);
    served.rollback(&to(two.as_str().expect("an id"))).expect(200);
    served.call("PUT", "/v1/lock", json!({ "parent": two }).to_string()).expect(201);
    assert_eq!(served.call("PUT", "/v1/lock", r#"{"until":1}"#).expect(400).problem(), "bad-request");
    assert_eq!(
        served.call("PUT", "/v1/lock", json!({ "parent": one }).to_string()).expect(412).problem(),
        "stale-parent"
    );
}

#[test]
fn a_lock_outlives_a_kill_and_binds_every_process_on_the_volume() {
    let pod = Pod::new();
    let (one, two) = (pod.serve(), pod.serve());
    one.put("/site/index.html", "one").expect(201);
    one.call("PUT", "/v1/lock", "").expect(201);
    locked(two.put("/site/index.html", "two"));
    eventually("the other process counts it", Duration::from_secs(20), || {
        (metric(&two) == "longshore_locked 1").then_some(())
    });
    one.kill();
    two.kill();
    let again = pod.serve();
    assert_eq!(metric(&again), "longshore_locked 1");
    locked(again.put("/site/index.html", "two"));
    let verified = pod.command(&["verify", "--volume", text(&pod.volume())]).run();
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let seed = pod.folder("seed", &[("index.html", "seed")]);
    let filled = pod.fill_with(&["--from", text(&seed), "--when", "always"]);
    assert_eq!(filled.code, Some(0), "{}", filled.stderr);
    assert!(filled.stderr.contains("locked"), "{}", filled.stderr);
    assert_eq!(contents(&pod.volume())["index.html"], b"one");
    again.delete("/v1/lock").expect(204);
    again.put("/site/index.html", "two").expect(200);
}

#[test]
fn what_is_changed_by_hand_waits_for_the_lock() {
    let pod = Pod::new();
    let served = pod.serve_with(&["--adopt-changes"]);
    served.put("/site/index.html", "one").expect(201);
    served.call("PUT", "/v1/lock", "").expect(201);
    fs::write(pod.volume().join("added.html"), "by hand").expect("it is written");
    eventually("it is noticed", Duration::from_secs(90), || served.log().contains("changed by hand").then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(served.releases().len(), 1, "nothing was adopted");
    served.delete("/v1/lock").expect(204);
    eventually("it is adopted", Duration::from_secs(90), || (served.releases().len() == 2).then_some(()));
    assert_eq!(served.get("/site/added.html").expect(200).text(), "by hand");
}

#[test]
fn a_damaged_lock_binds_until_it_is_removed() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "one").expect(201);
    fs::write(pod.volume().join(".longshore/pin.json"), "{").expect("it is written");
    assert_eq!(served.put("/site/index.html", "two").expect(500).problem(), "damaged");
    served.delete("/v1/lock").expect(204);
    served.put("/site/index.html", "two").expect(200);
}
