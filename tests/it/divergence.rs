//! A journal that lacks what the volume has shown: emptied, swapped, cut back, damaged, or put back with the volume.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    archive::tar,
    http::Answer,
    listing::{assert_unchanged, contents, listing},
    pod::{Pod, text},
    run::{Run, Runs as _, clean, eventually},
    served::Served,
};

impl Pod {
    /// `longshore reconcile --keep` this side.
    fn reconcile(&self, side: &str) -> Run {
        self.command(&["reconcile", "--volume", text(&self.volume()), "--keep", side]).run()
    }

    fn state(&self, name: &str) -> PathBuf {
        self.volume().join(".longshore").join(name)
    }

    fn entry(&self, seq: u64) -> PathBuf {
        self.state(&format!("journal/{seq:020}.json"))
    }
}

/// A volume with four entries, nobody at work on it.
fn pod_of(content: &str, flags: &[&str]) -> Pod {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", content), ("assets/app.js", "script")]);
    pod.fill_with(&[&["--from", text(&seed)], flags].concat()).expect(0);
    let served = pod.serve();
    for number in 2..=4 {
        let page = format!("{content} {number}");
        served.put("/site/", tar(&[("index.html", page.as_bytes()), ("assets/app.js", b"script")])).expect(200);
    }
    served.terminate().expect(0);
    pod
}

fn pod() -> Pod {
    pod_of("page", &[])
}

fn page(pod: &Pod) -> String {
    fs::read_to_string(pod.volume().join("index.html")).expect("a page is shown")
}

/// `cp -a`, as a snapshot would.
fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    clean(&mut command).arg("-a").arg(from.join(".")).arg(to).run().expect(0);
}

fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).expect("it lists").flatten() {
        let path = entry.path();
        let is_folder = fs::symlink_metadata(&path).expect("it is there").is_dir();
        if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it is removed");
    }
}

fn metric(served: &Served) -> Option<u64> {
    let url = format!("http://{}/metrics", served.probes);
    let text = crate::http::call("GET", &url, &[], "").expect(200).text();
    text.lines().find_map(|line| line.strip_prefix("longshore_diverged ")?.parse().ok())
}

#[track_caller]
fn assert_refused(answer: Answer) {
    let problem = answer.expect(409).json();
    assert_eq!(problem["type"], "/problems/diverged", "{problem}");
}

/// A pod whose journal lacks what it shows: it serves on, takes nothing, and nothing that is shown changes.
#[track_caller]
fn assert_diverged(pod: &Pod) {
    let shown: Value = serde_json::from_slice(&fs::read(pod.state("shown.json")).expect("it reads")).expect("JSON");
    let release = shown["release"].as_str().expect("a release");
    let before = listing(&pod.volume());
    let run = pod.fill(pod.folder("seed", &[("index.html", "another seed")])).expect(7);
    assert!(run.stderr.contains("hint: ") && run.stderr.contains("reconcile"), "{}", run.stderr);
    let run = pod.fill_with(&["--from", text(&pod.path("seed")), "--when", "always"]).expect(7);
    assert!(run.stderr.contains("reconcile"), "{}", run.stderr);
    let served = pod.serve();
    assert_eq!(metric(&served), Some(1));
    assert_eq!(served.probe("/readyz"), Some(200));
    assert_refused(served.put("/site/index.html", "x"));
    assert_refused(served.put("/site/", tar(&[("index.html", b"x")])));
    assert_refused(served.delete("/site/index.html"));
    assert_refused(served.rollback(&json!({})));
    // Where the manifest of what is shown is gone, too, only the web server reads it.
    if pod.state("manifests").join(&release[..2]).join(&release[2..]).exists() {
        assert_eq!(served.get("/site/index.html").expect(200).text(), page(pod));
    } else {
        served.get("/site/index.html").expect(500);
    }
    // It looks after the volume every two seconds: nothing may be applied over what is shown.
    std::thread::sleep(Duration::from_secs(3));
    let said = served.terminate().expect(0).stderr;
    assert_eq!(said.matches("diverged: ").count(), 1, "said once: {said}");
    assert_unchanged(&before, &listing(&pod.volume()), "a divergence");
}

#[track_caller]
fn assert_settled(pod: &Pod, page: &str) {
    assert_eq!(self::page(pod), page);
    let run = pod.verify(&[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for side in ["store", "volume"] {
        assert!(pod.reconcile(side).expect(0).stdout.contains("nothing to reconcile"));
    }
    let served = pod.serve();
    assert_eq!(metric(&served), Some(0));
    served.put("/site/settled.html", "settled").expect(201);
    assert_eq!(served.get("/site/index.html").expect(200).text(), page);
    served.terminate().expect(0);
    assert_eq!(self::page(pod), page);
    let run = pod.verify(&[]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

fn head(pod: &Pod) -> Value {
    pod.journal().pop().expect("a head").0
}

#[test]
fn an_emptied_journal_is_not_begun_again_until_somebody_says_so() {
    for is_gone in [false, true] {
        let pod = pod();
        let site = head(&pod)["site"].clone();
        if is_gone {
            fs::remove_dir_all(pod.state("journal")).expect("it is removed");
            pod.fill(pod.folder("seed", &[("index.html", "another seed")])).expect(7);
        } else {
            clear(&pod.state("journal"));
            assert_diverged(&pod);
        }
        let before = contents(&pod.volume());
        let run = pod.reconcile("store").expect(7);
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
        let run = pod.reconcile("volume").expect(0);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
        assert_eq!(contents(&pod.volume()), before);
        let head = head(&pod);
        assert_eq!((&head["seq"], &head["cause"], &head["parent"]), (&1.into(), &"adopt".into(), &Value::Null));
        assert_ne!(head["site"], site);
        assert_settled(&pod, "page 4");
    }
}

#[test]
fn a_journal_that_was_cut_back_is_shown_or_goes_on_from_what_is_shown() {
    for flags in [&[][..], &["--link", "html"], &["--layout", "files"]] {
        for side in ["store", "volume"] {
            let pod = pod_of("page", flags);
            let page = || match flags.contains(&"html") {
                true => fs::read_to_string(pod.volume().join("html/index.html")).expect("a page is shown"),
                false => page(&pod),
            };
            let times =
                || fs::metadata(pod.volume().join("..data/assets/app.js")).ok().and_then(|of| of.modified().ok());
            let modified = times();
            for seq in [3, 4] {
                fs::remove_file(pod.entry(seq)).expect("it is removed");
            }
            if flags.is_empty() {
                assert_diverged(&pod);
            }
            let found = pod.verify(&[]);
            assert!(found.code == Some(4) && found.stdout.contains("diverged: "), "{found:?}");
            let run = pod.reconcile(side).expect(0);
            assert!(run.stdout.contains("given up: entry 4 of the site"), "{}", run.stdout);
            assert_eq!(page(), if side == "store" { "page 2" } else { "page 4" });
            assert_eq!(times(), modified, "a file that both have keeps its time");
            assert_eq!(head(&pod)["seq"], if side == "store" { 2 } else { 3 });
            assert_eq!(head(&pod)["cause"], if side == "store" { "upload" } else { "adopt" });
            if flags.is_empty() {
                assert_settled(&pod, if side == "store" { "page 2" } else { "page 4" });
            }
        }
    }
}

#[test]
fn the_journal_of_another_site_is_noticed() {
    for side in ["store", "volume"] {
        let (pod, other) = (pod(), pod_of("another site", &[]));
        for folder in ["journal", "objects", "manifests"] {
            clear(&pod.state(folder));
            copy(&other.state(folder), &pod.state(folder));
        }
        assert_diverged(&pod);
        pod.reconcile(side).expect(0);
        let (is, theirs) = (head(&pod), head(&other));
        assert_eq!(is["site"], theirs["site"]);
        if side == "store" {
            assert_eq!(is, theirs);
            // Nothing else had these bytes.
            let kept = pod.state("quarantine/00000000000000000004/index.html");
            assert_eq!(fs::read_to_string(kept).expect("it is kept"), "page 4");
        } else {
            assert_eq!((&is["seq"], &is["parent"], &is["cause"]), (&5.into(), &theirs["release"], &"adopt".into()));
        }
        assert_settled(&pod, if side == "store" { "another site 4" } else { "page 4" });
    }
}

#[test]
fn two_contents_of_one_size_and_time_are_told_apart() {
    let (pod, snapshot) = (pod(), Pod::new());
    let served = pod.serve();
    // Times run ahead of the clock by this: the next one is known, however slow the machine is.
    for number in 0..60 {
        served.put("/site/index.html", number.to_string()).expect(200);
    }
    served.terminate().expect(0);
    copy(&pod.volume(), &snapshot.volume());
    let put = |pod: &Pod, text: &'static str| {
        let served = pod.serve();
        served.put("/site/index.html", text).expect(200);
        served.terminate().expect(0);
        fs::metadata(pod.volume().join("index.html")).expect("it is there").modified().expect("a time")
    };
    let (ours, theirs) = (put(&pod, "this one"), put(&snapshot, "that one"));
    assert_eq!(ours, theirs, "two histories gave one time to two contents");
    for (side, page) in [("store", "that one"), ("volume", "this one")] {
        let both = Pod::new();
        copy(&pod.volume(), &both.volume());
        clear(&both.state("journal"));
        for folder in ["journal", "objects", "manifests"] {
            copy(&snapshot.state(folder), &both.state(folder));
        }
        both.reconcile(side).expect(0);
        let now = fs::metadata(both.volume().join("index.html")).expect("it is there").modified().expect("a time");
        assert!(side == "store" || now > ours, "a time that neither history used");
        assert_settled(&both, page);
    }
}

#[test]
fn a_volume_that_was_put_back_as_a_whole_has_not_diverged() {
    let (pod, snapshot) = (pod(), Pod::new());
    copy(&pod.volume(), &snapshot.volume());
    let served = pod.serve();
    served.put("/site/index.html", "later").expect(200);
    served.put("/site/other.html", "later").expect(201);
    served.terminate().expect(0);
    clear(&pod.volume());
    copy(&snapshot.volume(), &pod.volume());
    assert_settled(&pod, "page 4");
}

#[test]
fn a_server_notices_that_the_volume_was_put_back_under_it() {
    let (pod, snapshot) = (pod(), Pod::new());
    copy(&pod.volume(), &snapshot.volume());
    let served = pod.serve();
    served.put("/site/index.html", "later").expect(200);
    clear(&pod.volume());
    copy(&snapshot.volume(), &pod.volume());
    let before = pod.journal();
    assert_refused(served.put("/site/index.html", "over history"));
    eventually("the metric tells", Duration::from_secs(10), || (metric(&served) == Some(1)).then_some(()));
    assert_eq!(served.get("/site/index.html").expect(200).text(), "page 4", "what is shown now");
    assert_eq!(pod.journal(), before);
    served.terminate().expect(0);
    assert_settled(&pod, "page 4");

    // Files alone, in the folders that the server holds open.
    let served = pod.serve();
    served.put("/site/index.html", "later").expect(200);
    let newest = pod.journal().len() as u64;
    fs::remove_file(pod.entry(newest)).expect("it is removed");
    fs::copy(snapshot.state("shown.json"), pod.state("shown.json")).expect("it is put back");
    assert_refused(served.put("/site/index.html", "over history"));
    assert_eq!(pod.journal().len() as u64, newest - 1);
}

#[test]
fn a_server_goes_on_once_somebody_decided() {
    for side in ["store", "volume"] {
        let pod = pod();
        let served = pod.serve();
        served.put("/site/index.html", "later").expect(200);
        for seq in [4, 5] {
            fs::remove_file(pod.entry(seq)).expect("it is removed");
        }
        assert_refused(served.put("/site/index.html", "x"));
        pod.reconcile(side).expect(0);
        eventually("it takes writes again", Duration::from_secs(10), || (metric(&served) == Some(0)).then_some(()));
        served.put("/site/more.html", "more").expect(201);
        let page = if side == "store" { "page 3" } else { "later" };
        assert_eq!(served.get("/site/index.html").expect(200).text(), page);
        served.terminate().expect(0);
        assert_settled(&pod, page);
    }
}

#[test]
fn a_damaged_newest_entry_keeps_nobody_from_reading() {
    for side in ["store", "volume"] {
        let pod = pod();
        fs::write(pod.entry(4), "{\"version\":").expect("it is damaged");
        let before = listing(&pod.volume());
        let run = pod.fill(pod.folder("seed", &[("index.html", "another seed")])).expect(4);
        assert!(run.stderr.contains("journal entry 4"), "{}", run.stderr);
        let served = pod.serve();
        assert_eq!(served.get("/site/index.html").expect(200).text(), "page 4");
        let problem = served.put("/site/index.html", "x").expect(500).json();
        assert_eq!(problem["type"], "/problems/damaged", "{problem}");
        let said = served.terminate().expect(0).stderr;
        assert!(said.contains("journal entry 4"), "{said}");
        assert_unchanged(&before, &listing(&pod.volume()), "a damaged entry");
        let run = pod.reconcile(side).expect(0);
        assert!(run.stdout.contains("damaged entries in .longshore/quarantine: 4"), "{}", run.stdout);
        assert_settled(&pod, if side == "store" { "page 3" } else { "page 4" });
    }
}

/// The entry that a volume remembers may be one that its journal does not keep any more: of its own site, not of another.
#[test]
fn another_sites_folded_journal_is_not_ours() {
    let other = Pod::new();
    let served = other.serve_with(&["--keep-releases", "1", "--keep-for", "1s"]);
    for number in 1..=6 {
        served.put("/site/", tar(&[("index.html", format!("other {number}").as_bytes())])).expect(200);
    }
    eventually("its old entries are folded", Duration::from_secs(60), || {
        (!other.entry(1).exists() && !other.entry(4).exists()).then_some(())
    });
    served.terminate().expect(0);
    let pod = pod();
    for name in ["journal", "manifests", "objects"] {
        fs::remove_dir_all(pod.state(name)).expect("it goes");
        copy(&other.state(name), &pod.state(name));
    }
    let shown = page(&pod);
    let served = pod.serve();
    assert_eq!(served.put("/site/x", "x").expect(409).problem(), "diverged");
    assert_eq!(page(&pod), shown, "nothing is applied over what is shown");
}

/// Somebody put only another journal there, without what it names: what is shown can still be kept.
#[test]
fn a_journal_without_its_manifests_gives_way_to_what_is_shown() {
    let (pod, other) = (pod(), pod_of("other", &[]));
    fs::remove_dir_all(pod.state("journal")).expect("it goes");
    copy(&other.state("journal"), &pod.state("journal"));
    let shown = page(&pod);
    let run = pod.reconcile("store");
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    pod.reconcile("volume").expect(0);
    assert_eq!(page(&pod), shown);
    let served = pod.serve();
    served.put("/site/x", "x").expect(201);
    assert_eq!(served.get("/site/index.html").expect(200).text(), shown);
}
