//! What a deploy sends, all bytes both ways: next to nothing when nothing changed, and less than rsync for a small change.
//!
//! The client is one as `push` will be: it remembers the release that it made, and sends the changes to it.

mod data;
mod push;
mod rsync;

use serde_json::json;

use self::{
    data::{Change, Kind, changed, generated},
    push::Push,
    rsync::Rsync,
};
use crate::{listing::contents, part::need, pod::Pod, proxy::CountingProxy};

const FILES: usize = 20_000;

#[expect(clippy::print_stderr, reason = "figures, shown with --nocapture")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// 200 files of 20,000 change, in each of these ways; then nothing does.
fn beats_rsync(kind: Kind, changes: &[Change]) {
    let rsync = need!("rsync");
    let pod = Pod::in_memory();
    let served = pod.serve();
    let mut site = generated(FILES, kind);
    let proxy = CountingProxy::start(served.listen);
    let mut push = Push::new(&proxy);

    let first = push.push(&site).expect(201).json();
    assert_eq!((first["changed"].as_u64(), push.requests()), (Some(FILES as u64), 3), "a handful of requests");
    let [sent, got] = proxy.counted();
    tell(&format!("{FILES} files, {kind:?}: {sent} bytes sent, {got} got"));
    let daemon = Rsync::serve(&rsync, &site);
    let mut newest = first;
    for change in changes {
        site = changed(&site, 100, *change);
        newest = push.push(&site).expect(201).json();
        assert_eq!((&newest["changed"], &newest["removed"], push.requests()), (&json!(200), &json!(0), 3));
        assert_eq!(contents(&pod.volume()), site);
        let ([sent, got], [rsync_sent, rsync_got]) = (proxy.counted(), daemon.copy(&site));
        let (ours, theirs) = (sent + got, rsync_sent + rsync_got);
        tell(&format!(
            "  1 % {change:?}\n    longshore: {sent:>8} sent {got:>8} got {ours:>8} in all\n    rsync -rcz:\
             {rsync_sent:>8} sent {rsync_got:>8} got {theirs:>8} in all, {:.1} times as many",
            theirs as f64 / ours as f64
        ));
        assert!(ours < theirs, "{ours} bytes, and rsync needs {theirs}");
    }
    let again = push.push(&site).expect(200).json();
    let [sent, got] = proxy.counted();
    assert_eq!((&again["changed"], &again["seq"], &again["release"]), (&json!(0), &newest["seq"], &newest["release"]));
    assert_eq!(push.requests(), 1, "nothing is sent but the question");
    assert!(sent + got < 2_048, "{sent} and {got} bytes for nothing");
    push.forget();
    let stranger = push.push(&site).expect(200).json();
    assert_eq!(
        (&stranger["seq"], push.requests()),
        (&newest["seq"], 1),
        "who remembers nothing sends no object either"
    );
    assert_eq!(pod.causes().len(), 1 + changes.len(), "and no release is made");
    let stranger = proxy.counted();
    tell(&format!("  nothing changed: {sent} sent {got} got; by one who remembers nothing: {stranger:?}"));
}

#[test]
fn one_percent_of_a_site_is_fewer_bytes_than_rsync_sends() {
    beats_rsync(Kind::Mixed, &[Change::Replaced]);
}

/// One word more is what rsync is best at: of a file that it knows, it sends the part that differs.
#[test]
fn one_percent_of_a_site_of_text_is_fewer_bytes_than_rsync_sends() {
    beats_rsync(Kind::Text, &[Change::AWord, Change::Replaced]);
}
