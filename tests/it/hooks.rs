//! `--post-publish`: whoever listens there is told of what is live, until they take it.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    listener::Listener,
    pod::{Pod, text},
    run::eventually,
    served::Served,
};

/// A hook that answers as it is bidden; with 0, never.
struct Hook {
    answer: Arc<AtomicU16>,
    listener: Listener,
}

impl Hook {
    fn start(answer: u16) -> Self {
        let answer = Arc::new(AtomicU16::new(answer));
        let answers = answer.clone();
        let listener = Listener::start(move |_| match answers.load(Ordering::SeqCst) {
            0 => None,
            status => Some((status, Vec::new())),
        });
        Self { answer, listener }
    }

    fn seqs(&self) -> Vec<u64> {
        self.listener.told().iter().map(|told| told["seq"].as_u64().expect("a number")).collect()
    }

    fn serve(&self, pod: &Pod) -> Served {
        pod.serve_with(&["--post-publish", &self.listener.url(), "--post-publish-timeout", "1s"])
    }

    fn soon(&self, what: &str, is: impl Fn(&[u64]) -> bool) {
        eventually(what, Duration::from_secs(60), || is(&self.seqs()).then_some(()));
    }
}

#[test]
fn each_release_that_stays_is_told_once_with_its_tree() {
    let pod = Pod::new();
    let hook = Hook::start(204);
    let served = hook.serve(&pod);
    let answer = served.put("/site/index.html", "one").expect(201).json();
    hook.soon("it is told", |seqs| seqs == [1]);
    let told = hook.listener.told()[0].clone();
    assert_eq!((&told["event"], &told["release"]), (&"post-publish".into(), &answer["release"]));
    let page = Path::new(told["tree"].as_str().expect("a path")).join("index.html");
    assert_eq!(fs::read_to_string(page).expect("it is there"), "one");
    let page = pod.volume().join(told["tree_in_volume"].as_str().expect("a path")).join("index.html");
    assert_eq!(fs::read_to_string(page).expect("it is there"), "one");
    served.put("/site/sub/index.html", "two!").expect(201);
    hook.soon("the next is told", |seqs| seqs == [1, 2]);
    let next = &hook.listener.told()[1];
    assert_eq!((&next["parent"], &next["cause"], &next["by"]), (&told["release"], &json!("patch"), &told["by"]));
    assert_eq!((&next["changed"], &next["removed"], &next["bytes"]), (&json!(1), &json!(0), &json!(4)));
    assert_eq!(next["site"], json!({ "files": 2, "bytes": 7 }));
    // Nor after a restart.
    served.terminate();
    let served = hook.serve(&pod);
    served.put("/site/index.html", "three").expect(200);
    hook.soon("the third is told", |seqs| seqs.len() > 2);
    assert_eq!(hook.seqs(), [1, 2, 3]);
}

#[test]
fn a_hook_that_refuses_is_told_again_and_of_the_newest_also_after_a_kill() {
    let pod = Pod::new();
    for answer in [500, 302, 0] {
        let hook = Hook::start(answer);
        let served = hook.serve(&pod);
        served.put("/site/index.html", format!("first {answer}"));
        hook.soon("it is told twice", |seqs| seqs.len() >= 2);
        let log = served.log();
        assert!(log.contains("was not told") && !log.contains("hidden"), "{log}");
        let newest = served.put("/site/index.html", format!("second {answer}")).expect(200).json()["seq"].as_u64();
        served.kill();
        hook.answer.store(200, Ordering::SeqCst);
        let before = hook.seqs().len();
        let _served = hook.serve(&pod);
        hook.soon("the newest is told", |seqs| seqs.len() > before && seqs.last().copied() == newest);
    }
}

#[test]
fn a_disk_that_does_not_tell_what_was_told_is_named_once() {
    let (pod, hook) = (Pod::new(), Hook::start(200));
    pod.serve().put("/site/index.html", "page").expect(201);
    fs::create_dir(pod.volume().join(".longshore/told")).expect("something is in its place");
    let served = hook.serve(&pod);
    eventually("it is said", Duration::from_secs(60), || {
        served.log().contains("cannot find out whether a release is to be told").then_some(())
    });
    fs::remove_dir(pod.volume().join(".longshore/told")).expect("it is taken away");
    hook.soon("then it is told", |seqs| seqs == [1]);
    assert_eq!(served.log().matches("cannot find out").count(), 1, "said once:\n{}", served.log());
}

#[test]
fn a_program_is_told_as_well_until_it_ends_with_zero() {
    let pod = Pod::new();
    // The first two times it fails.
    let folder = pod.folder("hook", &[]);
    let noted = folder.join("noted");
    let program = pod.program(
        "told",
        &format!(
            "cat >> {0}; echo >> {0}; echo \"$LONGSHORE_EVENT $LONGSHORE_TREE\" >> {0}; [ $(wc -l < {0}) -gt 5 ]",
            text(&noted)
        ),
    );
    let served = pod.serve_with(&["--post-publish", text(&program)]);
    served.put("/site/index.html", "page").expect(201);
    let lines = eventually("it takes it", Duration::from_secs(60), || {
        let lines: Vec<_> = fs::read_to_string(&noted).ok()?.lines().map(str::to_owned).collect();
        (lines.len() >= 6).then_some(lines)
    });
    let told: Value = serde_json::from_str(&lines[4]).expect("JSON");
    assert_eq!((&told["event"], &told["seq"]), (&json!("post-publish"), &json!(1)));
    assert_eq!(lines[5], format!("post-publish {}", told["tree"].as_str().expect("a path")));
    eventually("it is noted", Duration::from_secs(60), || {
        let metrics = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").text();
        let count = |outcome| format!("longshore_hooks_total{{hook=\"post-publish\",outcome=\"{outcome}\"}} ");
        let of = |outcome| metrics.lines().find_map(|line| line.strip_prefix(&*count(outcome))).map(str::to_owned);
        (of("accepted")? == "1" && of("refused")? == "2").then_some(())
    });
    assert!(served.log().contains("ended with exit status: 1"), "{}", served.log());
}

#[test]
fn a_program_that_is_not_there_is_told_at_the_start() {
    let pod = Pod::new();
    let (volume, token_file) = (pod.volume(), pod.token_file());
    let plain = pod.folder("hook", &[("plain", "#!/bin/sh\n")]).join("plain");
    for (flag, program, why) in [
        ("--pre-publish", "/nowhere/check", "no such program"),
        ("--post-publish", text(&plain), "cannot be run"),
        ("--pre-publish", "check.sh", "nor the absolute path"),
    ] {
        let flags = ["serve", "--volume", text(&volume), "--token-file", text(&token_file), flag, program];
        let run = crate::run::Runs::run(&mut pod.command(&flags)).expect(2);
        assert!(run.stderr.contains(why) && run.stderr.contains(flag), "{}", run.stderr);
    }
}
