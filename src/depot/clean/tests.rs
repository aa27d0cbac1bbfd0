//! What is removed, and what must not be.

use std::fs;

use super::{
    super::{Author, Change, Keep, Rollback, Target, tests::Pod},
    *,
};

/// A pod that keeps as little as there can be.
fn forgetful() -> Pod {
    let mut pod = Pod::with_seed();
    pod.depot.keep = Keep { releases: 1, time: Duration::ZERO, linger: Duration::ZERO };
    pod
}

fn count(pod: &Pod, folder: &str) -> usize {
    let fans = fs::read_dir(pod.volume().join(".longshore").join(folder)).expect("listed");
    fans.map(|fan| fs::read_dir(fan.expect("an entry").path()).expect("listed").count()).sum()
}

#[test]
fn patches_coalesce_and_their_objects_go() {
    let pod = forgetful();
    for number in 0..11 {
        pod.put("index.html", &format!("by hand {number}")).expect("put");
    }
    assert_eq!(count(&pod, "objects"), 3 + 11);
    let cleaned = pod.depot.clean().expect("cleaned");
    assert_eq!((cleaned.entries, cleaned.objects), (10, 10));
    assert!(cleaned.nodes >= 10 && cleaned.bytes > 0, "{cleaned:?}");
    assert_eq!(count(&pod, "objects"), 4);
    assert!(pod.depot.clean().expect("again").is_nothing());
    assert!(pod.depot.recover().expect("all is well").is_nothing());
    pod.depot.roll_back(&Rollback::new(Target::Seq(1), Author::named("test"))).expect("the way back");
    assert_eq!(pod.read("index.html").as_deref(), Some("seed"));
    assert!(matches!(
        pod.depot.roll_back(&Rollback::new(Target::Seq(5), Author::named("test"))),
        Err(Error::NotKept(5))
    ));
    assert!(pod.is_swept());
}

#[test]
fn nothing_is_written_where_there_is_nothing_to_clean() {
    let pod = Pod::with_seed();
    pod.put("index.html", "by hand").expect("put");
    pod.depot.clean().expect("cleaned");
    let before = pod.fingerprint();
    pod.depot.clean().expect("cleaned");
    let after = pod.fingerprint();
    let changed: Vec<_> = after.iter().filter(|entry| !before.contains(entry)).collect();
    // The reserve is looked at under the lock, whose file is opened for it.
    assert_eq!((changed, after.len()), (Vec::new(), before.len()));
}

#[test]
fn while_a_manifest_cannot_be_read_nothing_is_removed() {
    let pod = forgetful();
    pod.put("index.html", "by hand").expect("put");
    pod.put("index.html", "again").expect("put");
    let seed = pod.depot.history(None, 9).expect("read").last().expect("there").entry.release.to_string();
    let node = pod.volume().join(".longshore/manifests").join(&seed[..2]).join(&seed[2..]);
    let good = fs::read(&node).expect("there");
    fs::write(&node, "damaged").expect("written");
    let before = count(&pod, "objects");
    assert!(pod.depot.clean().is_err_and(|error| error.is_damaged()));
    assert_eq!(count(&pod, "objects"), before);
    fs::write(&node, good).expect("written");
    assert_eq!(pod.depot.clean().expect("cleaned").objects, 1);
}

#[test]
fn what_is_named_between_marking_and_removing_stays() {
    let pod = forgetful();
    for text in ["first", "second", "third"] {
        pod.put("index.html", text).expect("put");
    }
    let state = pod.depot.state().expect("read").expect("there");
    pod.depot.drop_entries(&state).expect("dropped");
    let mut marked = Marked::default();
    marked.advance(&state).expect("marked");
    let named = |text: &str| (Room::Objects, Digest::of(text));
    assert!(!marked.has(&named("first")) && marked.has(&named("third")));
    let waiting = ["first", "second"].map(named);
    // An object that is there is not written again.
    pod.put("a/d.js", "first").expect("put");
    let mut cleaned = Cleaned::default();
    pod.depot.remove(&state, &mut marked, &waiting, &mut cleaned).expect("removed");
    assert_eq!(cleaned.objects, 1, "only the second");
    assert!(!state.store.is_damaged(&Digest::of("first"), 5, true).expect("read"));
    assert_eq!(pod.read("a/d.js").as_deref(), Some("first"));
    pod.put("new/folder/page", "x").expect("a new generation finds all its objects");
}

#[test]
fn what_was_withdrawn_can_be_committed_again() {
    let pod = Pod::with_seed();
    let state = pod.depot.state().expect("read").expect("there");
    let staging = state.home.stage().expect("made");
    let staged = staging.file(&mut &b"new"[..], false).expect("staged");
    for _ in 0..2 {
        let mut admitted = store::Admitted::default();
        state.store.admit(&staging, &[(staged.clone(), 1_000)], &[], &mut admitted).expect("admitted");
        assert_eq!(count(&pod, "objects"), 4);
        state.store.withdraw(&staging, &admitted);
        assert_eq!(count(&pod, "objects"), 3);
    }
}

#[test]
fn what_was_dropped_since_it_was_found_is_not_built_upon() {
    let pod = forgetful();
    pod.put("extra.txt", "extra").expect("put");
    let found = pod.depot.history(None, 1).expect("read")[0].entry.release();
    pod.put("index.html", "by hand").expect("put");
    pod.depot.clean().expect("cleaned");
    let deploy = Change::Deploy {
        base: Some(found.manifest),
        set: std::collections::BTreeMap::default(),
        remove: vec!["extra.txt".parse().expect("a path")],
        objects: std::collections::HashMap::default(),
    };
    // Its nodes may still be in memory.
    for change in [Change::Restore(found), deploy] {
        assert!(matches!(pod.change(change), Err(Error::NoSuchRelease(_))));
    }
    assert!(pod.depot.clean().expect("whole").is_nothing());
}

#[test]
fn while_the_journal_is_another_one_nothing_is_removed() {
    let pod = forgetful();
    for text in ["first", "second", "third"] {
        pod.put("index.html", text).expect("put");
    }
    let newest = pod.volume().join(format!(".longshore/journal/{:020}.json", 4));
    let entry = fs::read(&newest).expect("there");
    fs::remove_file(&newest).expect("removed");
    pod.depot.state().expect("read").expect("there").store.journal().forget();
    let before = count(&pod, "objects");
    assert!(pod.depot.clean().expect("left alone").is_nothing());
    assert_eq!(count(&pod, "objects"), before);
    fs::write(&newest, entry).expect("written");
    assert_eq!(pod.depot.clean().expect("cleaned").objects, 2);
}
