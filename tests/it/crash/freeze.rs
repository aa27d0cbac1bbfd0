//! A process that stands still, as in a container that is paused, at the worst moment.

use std::time::Duration;

use super::oracle::shown;
use crate::{
    http::try_call,
    part::need,
    pod::{Pod, TOKEN, announced, text},
    run::eventually,
    tracer::{Call, Traced, Verdict},
};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_process_that_stands_still_before_its_entry_has_shown_nothing() {
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/b.txt", "b")])).expect(0);
    let before = shown(&pod.volume());
    let (addresses, token_file) = (pod.addresses_file(), pod.token_file());
    let command = pod.serve_command(None, &["--token-file", text(&token_file)], &addresses);
    let mut traced = Traced::start_untraced(command, &pod.volume());
    let (listen, probes) = eventually("addresses", SOON, || announced(&addresses));
    let get = |url: &str| try_call("GET", url, &[], "").map_or(0, |answer| answer.status);
    eventually("ready", SOON, || (get(&format!("http://{probes}/readyz")) == 200).then_some(()));
    traced.watch(|call: &Call| match &call.to {
        Some(to) if to.starts_with(".longshore/journal") => Verdict::Freeze,
        _ => Verdict::Run,
    });
    let (url, token) = (format!("http://{listen}/site/a/new.txt"), format!("Bearer {TOKEN}"));
    std::thread::scope(|scope| {
        let put = scope.spawn(|| try_call("PUT", &url, &[("authorization", &token)], "new"));
        eventually("it stands still", SOON, || traced.is_frozen().then_some(()));
        assert_eq!(shown(&pod.volume()), before);
        assert_eq!(pod.journal().len(), 1);
        // Whoever starts meanwhile starts, and shows what is shown.
        let other = pod.serve();
        assert_eq!(other.get("/site/a/b.txt").expect(200).text(), "b");
        traced.go_on();
        let answer = put.join().expect("it does not panic").expect("it answers");
        assert_eq!(answer.status, 201, "{answer}");
        assert_eq!(other.get("/site/a/new.txt").expect(200).text(), "new");
    });
    assert_eq!(shown(&pod.volume())["a/new.txt"], b"new");
}
