//! `POST /v1/sync`: the source is looked at now, and the answer is of that look.

use std::fs;

use serde_json::Value;

use crate::{
    listing::contents,
    pod::{Pod, text},
    served::Served,
};

fn sync(served: &Served) -> Value {
    served.call("POST", "/v1/sync", "").expect(200).json()
}

/// Serves what lies in an archive, which is never watched, and looked at again in an hour.
fn following(pod: &Pod, when: &str) -> Served {
    let archive = pod.path("site.tar");
    pod.serve_with(&["--from", text(&archive), "--every", "3600s", "--when", when])
}

fn pack(pod: &Pod, page: &str) {
    fs::write(pod.path("next.tar"), crate::archive::tar(&[("index.html", page.as_bytes())])).expect("it is written");
    fs::rename(pod.path("next.tar"), pod.path("site.tar")).expect("it is renamed");
}

#[test]
fn what_is_there_before_the_request_is_live_after_the_answer() {
    let pod = Pod::new();
    let served = following(&pod, "always");
    assert_eq!(sync(&served)["outcome"], "absent");
    for round in 0..8_u64 {
        pack(&pod, &round.to_string());
        let live = sync(&served);
        assert!(matches!(live["outcome"].as_str(), Some("committed" | "unchanged")), "{live}");
        assert_eq!(contents(&pod.volume())["index.html"], round.to_string().as_bytes());
        assert_eq!(live["seq"], round + 1);
        assert_eq!(live["release"], served.releases()[0]["release"]);
    }
    assert_eq!(sync(&served)["outcome"], "unchanged");
}

#[test]
fn many_who_ask_at_once_are_all_answered() {
    let pod = Pod::new();
    let served = following(&pod, "always");
    pack(&pod, "one");
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..20).map(|_| scope.spawn(|| sync(&served))).collect();
        for asked in asking {
            assert_eq!(asked.join().expect("it is answered")["seq"], 1);
        }
    });
    assert_eq!(pod.journal().len(), 1);
}

#[test]
fn a_source_that_is_refused_is_told_and_the_site_stays() {
    let pod = Pod::new();
    pack(&pod, "one");
    let served = following(&pod, "always");
    assert_eq!(sync(&served)["seq"], 1);
    fs::write(pod.path("site.tar"), "no archive at all").expect("it is written");
    let answer = served.call("POST", "/v1/sync", "").expect(422);
    assert_eq!(answer.problem(), "bad-archive");
    assert_eq!(served.get("/site/index.html").expect(200).text(), "one");
}

#[test]
fn a_locked_site_is_followed_once_it_is_unlocked() {
    let pod = Pod::new();
    pack(&pod, "one");
    let served = following(&pod, "always");
    assert_eq!(sync(&served)["seq"], 1);
    served.call("PUT", "/v1/lock", "").expect(201);
    pack(&pod, "two");
    for _ in 0..3 {
        assert_eq!(served.call("POST", "/v1/sync", "").expect(423).problem(), "locked");
    }
    assert_eq!(served.log().matches("is not followed while").count(), 1, "said once:\n{}", served.log());
    served.delete("/v1/lock").expect(204);
    assert_eq!(sync(&served)["outcome"], "committed");
    assert_eq!(served.get("/site/index.html").expect(200).text(), "two");
}

#[test]
fn without_a_source_there_is_nothing_to_look_at() {
    let pod = Pod::new();
    let served = pod.serve();
    assert_eq!(served.call("POST", "/v1/sync", "").expect(409).problem(), "no-source");
}
