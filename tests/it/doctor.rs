//! `longshore doctor`: a line with its cure for each thing that keeps a volume from working, and no change.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Command,
};

use crate::{
    listing::{assert_unchanged, listing_without_directory_times},
    mount::Tmpfs,
    part::need,
    pod::{Identity, Pod, text},
    run::{Run, Runs as _},
};

const OTHER: Identity = Identity { user: 65_532, group: 65_532, supplementary: None };

fn examined(pod: &Pod) -> Run {
    let before = listing_without_directory_times(&pod.volume());
    let run = pod.command(&["doctor", "--volume", text(&pod.volume())]).run();
    assert_unchanged(&before, &listing_without_directory_times(&pod.volume()), "a doctor");
    run
}

/// The one line about `topic`, which has a cure that contains `cure`.
#[track_caller]
fn assert_found(run: &Run, topic: &str, cure: &str) {
    assert_eq!(run.code, Some(1), "{run:?}");
    let lines: Vec<_> = run.stdout.lines().filter(|line| line.starts_with(&format!("{topic}: "))).collect();
    let [line] = lines[..] else { panic!("one line about {topic}: {run:?}") };
    let (_, said) = line.split_once("; cure: ").unwrap_or_else(|| panic!("a cure: {line}"));
    assert!(said.contains(cure), "{cure:?} in {said:?}");
}

#[track_caller]
fn assert_well(run: &Run) {
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stdout.contains("cure: "), "{run:?}");
}

fn filled() -> Pod {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/b.css", "b")])).expect(0);
    pod
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode is set");
}

#[test]
fn a_blank_and_a_filled_volume_are_well() {
    assert_well(&examined(&Pod::new()));
    let pod = filled();
    let run = examined(&pod);
    assert_well(&run);
    assert!(run.stdout.contains("shows the newest release"), "{run:?}");
    let served = pod.serve();
    assert_well(&examined(&pod));
    served.terminate().expect(0);
}

#[test]
fn modes_that_a_web_server_answers_403_for() {
    let pod = filled();
    set_mode(&pod.volume(), 0o700);
    assert_found(&examined(&pod), "403", "chmod o+x");
    set_mode(&pod.volume(), 0o755);
    let page = pod.volume().join("..data/index.html");
    set_mode(&page, 0o600);
    assert_found(&examined(&pod), "403", "index.html");
    set_mode(&page, 0o644);
    set_mode(&pod.volume().join(".longshore"), 0o700);
    assert_found(&examined(&pod), "403", ".longshore`");
    set_mode(&pod.volume().join(".longshore"), 0o711);
    assert_well(&examined(&pod));
    set_mode(&pod.path(""), 0o700);
    assert_found(&examined(&pod), "403", text(&pod.path("")).trim_end_matches('/'));
}

#[test]
fn a_sticky_root() {
    let (_root, _setpriv) = (need!("root"), need!("setpriv"));
    let pod = Pod::new().run_as(OTHER);
    set_mode(&pod.volume(), 0o777);
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    set_mode(&pod.volume(), 0o1777);
    let run = examined(&pod);
    let protected = fs::read_to_string("/proc/sys/fs/protected_symlinks").unwrap_or_default();
    match protected.trim() {
        "0" => assert_well(&run),
        _ => assert_found(&run, "403", "chmod -t"),
    }
    // And what another user than ours made there cannot be replaced.
    let _ = Command::new("chown").args(["-h", "1234", text(&pod.volume().join("..data"))]).run().expect(0);
    assert_found(&examined(&pod), "sticky", "chmod -t");
}

#[test]
fn another_users_volume_and_a_read_only_one() {
    let (_root, _setpriv) = (need!("root"), need!("setpriv"));
    let pod = Pod::new().run_as(OTHER);
    assert_found(&examined(&pod), "fsGroup", "chown -R 65532");
    let pod = Pod::new();
    let Some(disk) = Tmpfs::mount(&pod.volume(), "size=2m,mode=755") else { return };
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    disk.make_read_only();
    let run = examined(&pod);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.lines().any(|line| line.starts_with("read-only: ") && line.contains("readOnly")), "{run:?}");
    disk.make_writable();
    assert_well(&examined(&pod));
    // Full.
    let _ = fs::write(pod.path("volume/fill"), vec![1; 4 << 20]);
    assert_found(&examined(&pod), "space", "larger");
}

#[test]
fn a_root_that_is_squashed() {
    let (_root, _setpriv) = (need!("root"), need!("setpriv"));
    let pod = Pod::new();
    chown(pod.volume(), Some(65_534), Some(65_534)).expect("it is given to nobody");
    assert_found(&examined(&pod), "squashed root", "runAsUser");
    // Root without its powers, as a file server sees it.
    chown(pod.volume(), Some(1_234), Some(1_234)).expect("it is given away");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", crate::pod::LONGSHORE, "doctor", "--volume"]);
    let run = command.arg(pod.volume()).run();
    assert_found(&run, "squashed root", "run as user 1234");
}

#[test]
fn content_that_is_not_ours() {
    let pod = Pod::new();
    fs::write(pod.volume().join("theirs\nhtml"), "x").expect("written");
    let run = examined(&pod);
    assert_found(&run, "foreign", "adopt");
    assert!(run.stdout.contains("theirs\\nhtml"), "{run:?}");

    let pod = filled();
    fs::remove_file(pod.volume().join("index.html")).expect("removed");
    fs::write(pod.volume().join("index.html"), "by kubectl cp").expect("written");
    assert_found(&examined(&pod), "shadowed", "move it away");
}

#[test]
fn a_site_that_is_not_what_the_journal_says() {
    let pod = filled();
    fs::write(pod.volume().join("..data/index.html"), "by hand").expect("written");
    assert_found(&examined(&pod), "drift", "--adopt-changes");

    for damage in ["emptied", "swapped"] {
        let (pod, other) = (filled(), filled());
        let journal = pod.volume().join(".longshore/journal");
        fs::remove_dir_all(&journal).expect("removed");
        fs::create_dir(&journal).expect("made");
        if damage == "swapped" {
            let name = "00000000000000000001.json";
            fs::copy(other.volume().join(".longshore/journal").join(name), journal.join(name)).expect("copied");
        }
        assert_found(&examined(&pod), "divergence", "longshore reconcile --keep");
    }
}

#[test]
fn a_broken_volume_still_gets_its_answers() {
    let pod = filled();
    fs::write(pod.volume().join(".longshore/format"), "longshore-volume 99 fancy\n").expect("written");
    let run = examined(&pod);
    assert_found(&run, "state", "version");
    assert!(run.stdout.contains("disk: ") && run.stdout.contains("space: "), "{run:?}");

    let pod = filled();
    let journal = pod.volume().join(".longshore/journal/00000000000000000001.json");
    fs::write(&journal, "{").expect("written");
    assert_found(&examined(&pod), "state", "longshore verify");

    let pod = Pod::new();
    let run = pod.command(&["doctor", "--volume", text(&pod.path("absent"))]).run();
    assert_found(&run, "volume", "mount the volume");
}

#[test]
fn a_lock_that_somebody_holds() {
    let _flock = need!("flock");
    let pod = filled();
    let lock = pod.volume().join(".longshore/lock");
    let mut holder = Command::new("flock").args([text(&lock), "sleep", "60"]).spawn().expect("flock starts");
    let found = crate::run::eventually("the lock is held", std::time::Duration::from_secs(10), || {
        let run = examined(&pod);
        (run.code == Some(1)).then_some(run)
    });
    assert_found(&found, "locked", "kernel then frees the lock");
    holder.kill().expect("it ends");
    holder.wait().expect("it has ended");
}
