//! Mistakes planted in the product, one at a time: the harnesses must catch each, or what they find clean proves nothing.
//!
//! They are built in by the feature `planted` only; `make test` tests with it.

use crate::{
    crash::{shown_by_a_death, shown_by_a_failed_sync},
    part::{need, skip},
    pod::{Pod, text},
    power::{Kind, Torture, say},
    run::Runs as _,
};

/// More cuts than any mistake was seen to survive, many times over.
const CUTS: usize = 150;

/// Which harness is to catch a mistake.
enum Trap {
    PowerCut,
    Death,
    FailedSync,
}

const MISTAKES: [(&str, Trap); 5] = [
    ("drop-syncfs", Trap::PowerCut),
    ("drop-directory-fsync", Trap::PowerCut),
    ("acknowledge-early", Trap::PowerCut),
    ("flip-before-manifest", Trap::Death),
    ("retry-failed-fsync", Trap::FailedSync),
];

#[test]
fn each_planted_mistake_is_caught() {
    if !cfg!(feature = "planted") {
        skip("no mistakes were built in (cargo test --features planted)");
        return;
    }
    let (_sh, _ptrace) = (need!("sh"), need!("ptrace"));
    let (mut planted, mut missed) = (0, Vec::new());
    for (mistake, trap) in MISTAKES {
        let caught = match trap {
            Trap::Death => shown_by_a_death(mistake),
            Trap::FailedSync => shown_by_a_failed_sync(mistake),
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
