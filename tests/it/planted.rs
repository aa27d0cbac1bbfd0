//! Mistakes planted in the product, one at a time: the harnesses must catch each, or what they find clean proves nothing.
//!
//! They are built in by the feature `planted` only; `make test` tests with it.

use std::{fs, process::Command};

use crate::{
    part::{need, skip},
    pod::{Pod, text},
    power::{Kind, Torture, say},
    run::{Run, Runs as _, clean},
};

/// More cuts than any mistake was seen to survive, many times over.
const CUTS: usize = 400;

/// How a mistake is caught: by power cuts, or by a sync that fails.
enum Trap {
    PowerCut,
    FailedSync,
}

const MISTAKES: [(&str, Trap); 5] = [
    ("drop-syncfs", Trap::PowerCut),
    ("drop-directory-fsync", Trap::PowerCut),
    ("acknowledge-early", Trap::PowerCut),
    ("flip-before-manifest", Trap::PowerCut),
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
