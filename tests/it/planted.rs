//! Mistakes planted in the product, one at a time: the harnesses must catch each, or what they find clean proves nothing.
//!
//! They are built in by the feature `planted` only; `make test` tests with it.

use std::{fs, process::Command};

use crate::{
    part::{need, skip},
    pod::{Pod, text},
    power::{Kind, Torture, say},
    run::{Run, Runs as _, clean},
    stored::{entries, shown},
};

/// More cuts than any mistake was seen to survive, many times over.
const CUTS: usize = 150;

/// How a mistake is caught: by power cuts, by a sync that fails, or by an entry that fails.
enum Trap {
    PowerCut,
    FailedSync,
    FailedEntry,
}

const MISTAKES: [(&str, Trap); 5] = [
    ("drop-syncfs", Trap::PowerCut),
    ("drop-directory-fsync", Trap::PowerCut),
    ("acknowledge-early", Trap::PowerCut),
    ("flip-before-manifest", Trap::FailedEntry),
    ("retry-failed-fsync", Trap::FailedSync),
];

#[test]
fn each_planted_mistake_is_caught() {
    if !cfg!(feature = "planted") {
        skip("no mistakes were built in (cargo test --features planted)");
        return;
    }
    let _strace = need!("strace");
    let (mut planted, mut missed) = (0, Vec::new());
    for (mistake, trap) in MISTAKES {
        let caught = match trap {
            Trap::FailedSync => {
                believed_failure(Some(mistake)).map(|nth| format!("sync {nth} failed, and success was told"))
            }
            Trap::FailedEntry => shown_without_entry(Some(mistake)),
            Trap::PowerCut => {
                let Some(report) = Torture::new(Kind::Ext4, CUTS).planted(mistake).run() else { continue };
                report.caught().map(|violation| format!("power cut {}, {violation}", report.cuts))
            }
        };
        planted += 1;
        match caught {
            Some(how) => say(&format!("planted {mistake}: caught: {how}")),
            None => missed.push(mistake),
        }
    }
    say(&format!("planted {planted}, caught {}", planted - missed.len()));
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn a_mistake_that_nobody_knows_ends_the_program() {
    if cfg!(feature = "planted") {
        let pod = Pod::new();
        let seed = pod.folder("seed", &[("index.html", "page")]);
        let run = pod.fill_command(&["--from", text(&seed)]).env("PLANTED_MISTAKE", "drop-syncs").run();
        assert!(run.code != Some(0) && run.stderr.contains("drop-syncs"), "{run:?}");
    }
}

#[test]
fn after_a_failed_sync_success_is_never_told() {
    let _strace = need!("strace");
    assert_eq!(believed_failure(None), None, "a sync failed, and success was told");
}

#[test]
fn what_has_no_entry_is_never_shown() {
    let _strace = need!("strace");
    assert_eq!(shown_without_entry(None), None);
}

/// What is shown and is no release, when the entry of a second fill cannot be made.
fn shown_without_entry(mistake: Option<&str>) -> Option<String> {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let next = pod.folder("next", &[("index.html", "another page"), ("news.html", "news")]);
    let fill = pod.fill_command(&["--from", text(&next), "--when", "always"]);
    let (volume, trace) = (pod.volume(), pod.path("trace"));
    let (journal, name) = (volume.join(".longshore/journal"), format!("{:020}.json", 2));
    let entry = journal.join(&name);
    let mut strace = Command::new("strace");
    clean(&mut strace).args(["-f", "-qq", "-o", text(&trace), "-e", "trace=linkat", "-e", "inject=linkat:error=EIO"]);
    strace.args(["-P", text(&journal), "-P", text(&entry), "-P", &name]);
    strace.arg(fill.get_program()).args(fill.get_args());
    let run = strace.envs(mistake.map(|mistake| ("PLANTED_MISTAKE", mistake))).run();
    let traced = fs::read_to_string(&trace).unwrap_or_default();
    assert!(traced.contains("INJECTED") && run.code != Some(0), "its entry failed: {run:?}; {traced}");
    let shown = shown(&volume).expect("the site reads");
    let is_release = entries(&volume).expect("the journal reads").iter().any(|entry| entry.site == shown);
    (!is_release).then(|| format!("no entry names what is shown: {:?}", shown.keys()))
}

/// The first failed sync of a fill after which success was told.
fn believed_failure(mistake: Option<&str>) -> Option<usize> {
    let runs = (1..).map_while(|nth| Some((nth, fill_with_failed_sync(mistake, nth)?)));
    runs.filter(|(_, run)| run.code == Some(0)).map(|(nth, _)| nth).next()
}

/// A fill whose `nth` sync fails (counted for each of its threads); none when it has fewer.
fn fill_with_failed_sync(mistake: Option<&str>, nth: usize) -> Option<Run> {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page"), ("assets/site.css", "body { }")]);
    let (fill, trace) = (pod.fill_command(&["--from", text(&seed)]), pod.path("trace"));
    let mut strace = Command::new("strace");
    clean(&mut strace).args(["-f", "-qq", "-o", text(&trace), "-e", "trace=fsync,syncfs"]);
    strace.arg("-e").arg(format!("inject=fsync,syncfs:error=EIO:when={nth}"));
    strace.arg(fill.get_program()).args(fill.get_args());
    let run = strace.envs(mistake.map(|mistake| ("PLANTED_MISTAKE", mistake))).run();
    let traced = fs::read_to_string(&trace).unwrap_or_default();
    assert!(traced.contains("sync"), "strace sees the syncs: {run:?}");
    traced.contains("INJECTED").then_some(run)
}
