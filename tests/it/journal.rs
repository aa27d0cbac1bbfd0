//! What stands on a volume is for good: a later version, or another program, must be able to read it.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tar::EntryType;

use crate::{
    archive::{Tar, tar},
    listing::{assert_unchanged, listing},
    pod::Pod,
    uploads::hex,
};

fn is_hex(value: &Value, length: usize) -> bool {
    let digit = |character: char| character.is_ascii_digit() || ('a'..='f').contains(&character);
    value.as_str().is_some_and(|text| text.len() == length && text.chars().all(digit))
}

/// Checks every promise that the format makes of a journal.
#[track_caller]
pub(crate) fn assert_well_formed(pod: &Pod) {
    let journal = pod.journal();
    let (mut previous, mut parent, mut operations) = (Value::Null, Value::Null, BTreeSet::new());
    let site = journal.first().map(|(entry, _)| entry["site"].clone()).unwrap_or_default();
    for (seq, (entry, bytes)) in (1_u64..).zip(&journal) {
        let name = pod.volume().join(format!(".longshore/journal/{seq:020}.json"));
        assert_eq!(&fs::read(&name).expect("numbered without a gap"), bytes);
        assert!(
            bytes.ends_with(b"\n") && bytes.iter().filter(|&&byte| byte == b'\n').count() == 1,
            "one line: {entry}"
        );
        assert_eq!(entry["version"], 1, "{entry}");
        assert_eq!(entry["seq"], seq, "{entry}");
        assert!(is_hex(&entry["site"], 32), "{entry}");
        assert_eq!(entry["site"], site, "one site");
        assert_eq!(entry["previous"], previous, "chained to the entry before: {entry}");
        assert!(is_hex(&entry["release"], 64) && is_hex(&entry["times"], 64), "{entry}");
        assert_eq!(entry["parent"], parent, "the release before it: {entry}");
        let operation = entry["op"].as_str().expect("an operation");
        uuid::Uuid::parse_str(operation).expect("an operation is a UUID");
        assert!(operations.insert(operation.to_owned()), "an operation is one entry's: {entry}");
        let causes = ["seed", "upload", "patch", "rollback", "adopt"];
        assert!(causes.contains(&entry["cause"].as_str().expect("a cause")), "{entry}");
        assert!(entry["by"].as_str().is_some_and(|by| !by.is_empty()), "{entry}");
        assert!(entry["message"].is_null() || entry["message"].is_string(), "{entry}");
        let at = entry["at"].as_str().expect("a time");
        assert!(at.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(at).is_ok(), "{at}");
        previous = hex(bytes).into();
        parent = entry["release"].clone();
    }
}

/// Every object is what its name says, and of nobody's making but ours.
#[track_caller]
fn assert_objects(volume: &Path) -> usize {
    let objects = volume.join(".longshore/objects");
    let mut count = 0;
    for shard in fs::read_dir(&objects).expect("there are objects").flatten() {
        for object in fs::read_dir(shard.path()).expect("a shard lists").flatten() {
            let name = format!("{}{}", shard.file_name().display(), object.file_name().display());
            assert_eq!(name, hex(&fs::read(object.path()).expect("an object reads")), "named by its digest");
            count += 1;
        }
    }
    count
}

#[test]
fn the_journal_is_a_chain_without_a_gap_of_one_site() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("a/b.txt", "b")])).expect(0);
    let served = pod.serve();
    served.put("/site/index.html", "patched").expect(200);
    served.put("/site/", tar(&[("index.html", b"deployed"), ("c.txt", b"c")])).expect(200);
    served.delete("/site/c.txt").expect(200);
    served.patch("/site/", tar(&[("d.txt", b"d")])).expect(200);
    served.rollback(&json!({})).expect(200);
    served.put("/site/index.html", "again").expect(200);
    assert_eq!(pod.causes(), ["seed", "patch", "upload", "patch", "patch", "rollback", "patch"]);
    assert_well_formed(&pod);
    // page, b, patched, deployed, c, d, again
    assert_eq!(assert_objects(&pod.volume()), 7);
}

#[test]
fn a_restart_writes_nothing() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    pod.fill(&seed).expect(0);
    let served = pod.serve();
    served.put("/site/index.html", "patched").expect(200);
    let journal = pod.journal();
    served.terminate().expect(0);
    let before = listing(&pod.volume().join(".longshore/journal"));
    for _ in 0..2 {
        pod.fill(&seed).expect(0);
        pod.serve().terminate().expect(0);
        pod.serve().kill();
    }
    assert_unchanged(&before, &listing(&pod.volume().join(".longshore/journal")), "a restart");
    assert_eq!(pod.journal(), journal);
}

#[test]
fn one_content_is_one_release_on_every_volume_and_two_volumes_are_two_sites() {
    let files: Vec<(String, Vec<u8>)> =
        (0..50).map(|number| (format!("folder {}/{number}.txt", number % 5), vec![b'x'; number])).collect();
    let pack = |reversed: bool, modified: u64| {
        let mut files = files.clone();
        if reversed {
            files.reverse();
        }
        let archive = files.iter().fold(Tar::new(), |archive, (path, bytes)| {
            archive.dated(EntryType::Regular, path, "", 0o644, modified, bytes)
        });
        archive.finish()
    };
    let mut heads = Vec::new();
    for (reversed, modified) in [(false, 1_000_000_000), (true, 1_700_000_000)] {
        let pod = Pod::new();
        let served = pod.serve();
        served.put("/site/", pack(reversed, modified)).expect(200);
        assert_well_formed(&pod);
        heads.push(pod.journal()[0].0.clone());
    }
    // File by file, in the end, is the same release again.
    let pod = Pod::new();
    let served = pod.serve();
    for (path, bytes) in &files {
        served.put(&format!("/site/{}", path.replace(' ', "%20")), bytes.clone()).expect(201);
    }
    heads.push(pod.journal()[49].0.clone());
    let releases: BTreeSet<_> = heads.iter().map(|head| head["release"].to_string()).collect();
    assert_eq!(releases.len(), 1, "{releases:?}");
    let sites: BTreeSet<_> = heads.iter().map(|head| head["site"].to_string()).collect();
    assert_eq!(sites.len(), 3, "{sites:?}");
}

#[test]
fn a_release_is_told_apart_by_paths_bytes_and_the_executable_bit() {
    let variants = [
        Tar::new().file("a.txt", b"x").file("b.txt", b"y"),
        Tar::new().file("a.txt", b"y").file("b.txt", b"x"),
        Tar::new().file("a.txt", b"x").file("c.txt", b"y"),
        Tar::new().file("a.txt", b"x").file("b/b.txt", b"y"),
        Tar::new().file("a.txt", b"x").entry(EntryType::Regular, "b.txt", "", 0o755, b"y"),
        Tar::new().file("a.txt", b"x"),
    ];
    let count = variants.len();
    let pod = Pod::new();
    let served = pod.serve();
    for variant in variants {
        served.put("/site/", variant.finish()).expect(200);
    }
    let releases: BTreeSet<_> = pod.journal().iter().map(|(entry, _)| entry["release"].to_string()).collect();
    assert_eq!(releases.len(), count);
}

#[test]
fn a_journal_that_was_tampered_with_is_not_built_upon() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    pod.fill(&seed).expect(0);
    let served = pod.serve();
    served.put("/site/index.html", "patched").expect(200);
    served.put("/site/index.html", "patched again").expect(200);
    served.terminate().expect(0);
    let second = pod.volume().join(".longshore/journal/00000000000000000002.json");
    let text = fs::read_to_string(&second).expect("it reads");
    fs::write(&second, text.replace("patch", "adopt")).expect("it is written");
    let before = listing(&pod.volume().join(".longshore/journal"));
    // A fill has nothing to do and may not look; what must not happen is a release that vanishes or a site that changes.
    let run = pod.fill(&seed);
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    assert_eq!(fs::read(pod.volume().join("index.html")).expect("it is served"), b"patched again");
    assert_unchanged(&before, &listing(&pod.volume().join(".longshore/journal")), "a fill");
}
