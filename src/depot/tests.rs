//! The two verbs on a real directory, and what is left when a process dies between their steps.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    disk::Staging,
    entry::{Cause, Entry},
    path::SitePath,
    source::{Location, Progress},
    store::Appended,
};

pub(super) struct Pod {
    scratch: tempfile::TempDir,
    pub(super) depot: Depot,
    runtime: tokio::runtime::Runtime,
}

fn patient(patience: Duration) -> Options {
    Options { patience, ..Options::default() }
}

fn path(text: &str) -> SitePath {
    text.parse().expect(text)
}

impl Pod {
    pub(super) fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        fs::create_dir(scratch.path().join("volume")).expect("made");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Self {
            depot: Depot::open(&scratch.path().join("volume"), patient(Duration::from_secs(60))).expect("opened"),
            scratch,
            runtime,
        }
    }

    pub(super) fn with_seed() -> Self {
        let pod = Self::new();
        pod.source(&[("index.html", "seed"), ("a/b/c.css", "c"), ("a/d.js", "d")]);
        assert!(matches!(pod.fill(When::Empty), Ok(Filled::Seeded(_))));
        pod
    }

    pub(super) fn volume(&self) -> PathBuf {
        self.scratch.path().join("volume")
    }

    fn source(&self, files: &[(&str, &str)]) {
        let root = self.scratch.path().join("source");
        drop(fs::remove_dir_all(&root));
        for (name, text) in files {
            let file = root.join(name);
            fs::create_dir_all(file.parent().expect("it has one")).expect("made");
            fs::write(file, text).expect("written");
        }
    }

    fn fill_on(&self, when: When, occasion: Occasion) -> Result<Filled, Error> {
        let from: Location = self.scratch.path().join("source").to_str().expect("text").parse().expect("a location");
        self.depot.fill(&[from], when, occasion, self.runtime.handle(), &Progress::default())
    }

    fn fill(&self, when: When) -> Result<Filled, Error> {
        self.fill_on(when, Occasion::Fill)
    }

    pub(super) fn put(&self, name: &str, text: &str) -> Result<Outcome, Error> {
        let ingest = self.depot.ingest()?;
        ingest.file(path(name), false, &mut text.as_bytes())?;
        let (staging, change) = ingest.into_change(None, false);
        self.depot.commit(&staging, &Proposal::new(change, Cause::Patch, &Author::named("test")))
    }

    pub(super) fn change(&self, change: Change) -> Result<Outcome, Error> {
        let ingest = self.depot.ingest()?;
        self.depot.commit(&ingest.staging, &Proposal::new(change, Cause::Patch, &Author::named("test")))
    }

    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.volume().join(name)).ok()
    }

    fn live(&self) -> PathBuf {
        fs::read_link(self.volume().join("..data")).expect("it is published")
    }

    /// Every name below the volume with what tells a change, for "nothing was written".
    pub(super) fn fingerprint(&self) -> Vec<(PathBuf, u64, i64, i64)> {
        fn walk(at: &Path, into: &mut Vec<(PathBuf, u64, i64, i64)>) {
            for entry in fs::read_dir(at).expect("listed") {
                let path = entry.expect("an entry").path();
                let stat = fs::symlink_metadata(&path).expect("there");
                into.push((path.clone(), stat.ino(), stat.ctime(), stat.ctime_nsec()));
                if stat.is_dir() {
                    walk(&path, into);
                }
            }
        }
        let mut all = Vec::new();
        walk(&self.volume(), &mut all);
        all.sort();
        all
    }

    pub(super) fn is_swept(&self) -> bool {
        fs::read_dir(self.volume().join(".longshore/staging")).expect("listed").next().is_none()
    }
}

#[test]
fn an_empty_volume_is_filled_and_a_second_time_nothing_is_written() {
    let pod = Pod::with_seed();
    assert_eq!(pod.read("index.html").as_deref(), Some("seed"));
    assert_eq!(pod.read("a/b/c.css").as_deref(), Some("c"));
    let before = pod.fingerprint();
    assert!(pod.depot.recover().expect("nothing to do").is_nothing());
    assert!(matches!(pod.fill(When::Empty), Ok(Filled::Kept(_))));
    assert_eq!(pod.fingerprint(), before);
    assert!(pod.is_swept());
}

#[test]
fn one_changed_file_is_one_rename_and_anything_else_a_flip() {
    let pod = Pod::with_seed();
    let first = pod.live();
    pod.put("a/d.js", "new").expect("put");
    pod.put("top.html", "top").expect("put");
    assert_eq!(
        (pod.live(), pod.read("a/d.js").as_deref(), pod.read("top.html").as_deref()),
        (first.clone(), Some("new"), Some("top"))
    );
    pod.change(Change::Remove(path("top.html"))).expect("removed");
    assert_eq!((pod.live(), fs::symlink_metadata(pod.volume().join("top.html")).is_err()), (first.clone(), true));
    pod.put("new/folder/x", "x").expect("put");
    assert_ne!(pod.live(), first);
    assert_eq!(pod.read("new/folder/x").as_deref(), Some("x"));
    pod.change(Change::Remove(path("new/folder/x"))).expect("removed");
    assert!(fs::symlink_metadata(pod.volume().join("new")).is_err(), "the folder went with its last file");
    assert!(pod.depot.recover().expect("all is well").is_nothing());
}

#[test]
fn a_rollback_brings_bytes_and_times_back() {
    let pod = Pod::with_seed();
    let mtime = |pod: &Pod| fs::metadata(pod.volume().join("index.html")).expect("there").mtime();
    let before = mtime(&pod);
    pod.put("index.html", "newer").expect("put");
    let between = mtime(&pod);
    assert!(between > before, "within one second too: {between} after {before}");
    let back = pod.depot.roll_back(&Rollback::new(Target::Before, Author::named("test"))).expect("back");
    assert_eq!((pod.read("index.html").as_deref(), mtime(&pod)), (Some("seed"), before));
    pod.put("index.html", "third").expect("put");
    assert!(mtime(&pod) > between, "a time never comes twice with other bytes");
    assert!(matches!(
        pod.depot.roll_back(&Rollback::new(Target::Seq(77), Author::named("t"))),
        Err(Error::NoSuchRelease(_))
    ));
    let stale = pod.depot.roll_back(&Rollback {
        parent: Some(back.head.entry.release),
        ..Rollback::new(Target::Before, Author::named("t"))
    });
    assert!(matches!(stale, Err(Error::Stale { .. })));
}

#[test]
fn nothing_changed_is_no_entry() {
    let pod = Pod::with_seed();
    let outcome = pod.put("index.html", "seed").expect("put");
    assert_eq!((outcome.is_new, outcome.head.entry.seq), (false, 1));
}

#[test]
fn a_file_and_a_folder_do_not_take_each_others_place() {
    let pod = Pod::with_seed();
    assert!(matches!(pod.put("a", "x"), Err(Error::Manifest(_))));
    assert!(matches!(pod.put("index.html/x", "x"), Err(Error::Manifest(_))));
    assert!(matches!(pod.change(Change::Remove(path("nothing"))), Err(Error::NotFound(_))));
    assert!(matches!(pod.change(Change::RemoveFolder(path("index.html"))), Err(Error::NotFound(_))));
    assert!(pod.is_swept());
}

#[test]
fn a_seed_leaves_foreign_content_alone_and_a_link_in_it_refuses_an_upload() {
    let pod = Pod::new();
    pod.source(&[("index.html", "seed")]);
    fs::write(pod.volume().join("theirs"), "t").expect("written");
    assert!(matches!(pod.fill(When::Always), Ok(Filled::Foreign(names)) if names == ["theirs"]));
    std::os::unix::fs::symlink("/etc/hostname", pod.volume().join("out")).expect("linked");
    let before = pod.fingerprint();
    assert!(matches!(pod.put("index.html", "x"), Err(Error::Unfit(unfit)) if unfit[0].path == "out"));
    assert_eq!(pod.fingerprint(), before);
}

#[test]
fn what_lies_in_the_way_is_never_lost() {
    let pod = Pod::with_seed();
    fs::write(pod.volume().join("mine.html"), "by hand").expect("written");
    pod.put("mine.html", "x").expect("it is adopted first");
    assert_eq!(pod.read("mine.html").as_deref(), Some("x"));
    let causes: Vec<_> = pod.depot.history(None, 9).expect("read").iter().map(|one| one.entry.cause).collect();
    assert_eq!(causes, [Cause::Patch, Cause::Adopt, Cause::Seed]);
    pod.depot.roll_back(&Rollback::new(Target::Seq(2), Author::named("test"))).expect("back to it");
    assert_eq!(pod.read("mine.html").as_deref(), Some("by hand"));
}

#[test]
fn an_absent_source_leaves_the_volume_blank() {
    let pod = Pod::new();
    assert!(matches!(pod.fill(When::Empty), Err(Error::Source(_))));
    fs::create_dir(pod.scratch.path().join("source")).expect("made");
    assert!(matches!(pod.fill(When::Empty), Err(Error::Source(_))));
    assert!(pod.fingerprint().is_empty());
}

#[test]
fn a_seed_follows_the_rules_of_when() {
    let pod = Pod::with_seed();
    pod.source(&[("index.html", "second")]);
    assert!(matches!(pod.fill(When::Empty), Ok(Filled::Kept(_))));
    assert!(matches!(pod.fill(When::Unmodified), Ok(Filled::Seeded(_))));
    pod.source(&[("index.html", "seed"), ("a/b/c.css", "c"), ("a/d.js", "d")]);
    assert!(matches!(pod.fill(When::Unmodified), Ok(Filled::Kept(_))), "the old pod of a rollout starts again");
    assert!(matches!(pod.fill_on(When::Unmodified, Occasion::Changed), Ok(Filled::Seeded(_))));
    pod.put("index.html", "by hand").expect("put");
    pod.source(&[("index.html", "third")]);
    assert!(matches!(pod.fill(When::Unmodified), Ok(Filled::Kept(_))), "somebody has uploaded");
    assert!(matches!(pod.fill(When::Always), Ok(Filled::Seeded(_))));
    assert_eq!(pod.read("index.html").as_deref(), Some("third"));
    pod.put("index.html", "by hand again").expect("put");
    assert!(matches!(pod.fill_on(When::Always, Occasion::SiteChanged), Ok(Filled::Seeded(_))));
    pod.source(&[("index.html", "second")]);
    assert!(matches!(pod.fill_on(When::Always, Occasion::SiteChanged), Ok(Filled::Kept(_))), "not an older seed's pod");
}

#[test]
fn many_fill_at_once_and_one_wins() {
    let pod = Pod::new();
    pod.source(&[("index.html", "seed"), ("a/b", "c")]);
    std::thread::scope(|scope| {
        let fills: Vec<_> = (0..8).map(|_| scope.spawn(|| pod.fill(When::Empty))).collect();
        let seeded = fills.into_iter().map(|fill| fill.join().expect("no panic").expect("nobody fails"));
        assert_eq!(seeded.filter(|filled| matches!(filled, Filled::Seeded(_))).count(), 1);
    });
    assert_eq!(pod.depot.history(None, 10).expect("read").len(), 1);
    assert!(pod.is_swept());
}

#[test]
fn an_entry_that_was_not_shown_is_shown_by_whoever_comes_next() {
    let pod = Pod::with_seed();
    pod.put("index.html", "second").expect("put");
    // A process that dies after its entry and before its flip leaves this behind.
    let state = pod.depot.state().expect("read").expect("there");
    let head = pod.depot.head().expect("read").expect("there");
    let first = state.store.journal().read(1).expect("read").expect("there");
    let entry = Entry {
        seq: 3,
        op: crate::random::uuid(),
        previous: Some(head.digest),
        cause: Cause::Rollback,
        release: first.entry.release,
        times: first.entry.times,
        ..head.entry.clone()
    };
    let staging = Staging::create(&state.home.staging, 0o700).expect("made");
    assert!(matches!(state.store.journal().append(&staging, entry), Ok(Appended::Won(_))));
    drop(staging);
    assert_eq!(pod.read("index.html").as_deref(), Some("second"));
    let recovered = Depot::open(&pod.volume(), patient(Duration::ZERO)).expect("opened").recover().expect("recovered");
    assert_eq!((recovered.applied, pod.read("index.html").as_deref()), (Some(3), Some("seed")));
    assert!(pod.depot.recover().expect("a second time").is_nothing());
}

#[test]
fn a_live_tree_that_is_not_what_it_was_thought_to_be_is_noticed() {
    let pod = Pod::with_seed();
    let file = pod.volume().join(pod.live()).join("a/d.js");
    // Died after the rename within the generation: what is shown is unknown, and the head is another release.
    fs::remove_file(pod.volume().join(".longshore/shown.json")).expect("there");
    fs::remove_file(&file).expect("there");
    fs::write(&file, "half done").expect("written");
    pod.put("index.html", "next").expect("put");
    assert_eq!((pod.read("a/d.js").as_deref(), pod.read("index.html").as_deref()), (Some("d"), Some("next")));
}

#[test]
fn a_file_with_another_time_or_mode_is_never_the_same_inode() {
    let pod = Pod::new();
    pod.source(&[("one", "same"), ("two", "same")]);
    fs::set_permissions(pod.scratch.path().join("source/two"), fs::Permissions::from_mode(0o755)).expect("set");
    pod.fill(When::Empty).expect("filled");
    let stat = |name: &str| fs::metadata(pod.volume().join(name)).expect("there");
    assert_ne!(stat("one").ino(), stat("two").ino());
    assert_eq!((stat("one").mode() & 0o777, stat("two").mode() & 0o777), (0o644, 0o755));
    std::thread::sleep(Duration::from_millis(1_100));
    pod.put("three", "same").expect("put");
    assert_ne!(stat("three").ino(), stat("one").ino());
    assert!(stat("three").mtime() > stat("one").mtime());
}

#[test]
fn the_release_id_is_of_content_alone() {
    let (one, two) = (Pod::with_seed(), Pod::new());
    two.put("a/d.js", "d").expect("put");
    two.put("index.html", "other").expect("put");
    two.put("a/b/c.css", "c").expect("put");
    two.put("index.html", "seed").expect("put");
    let head = |pod: &Pod| pod.depot.head().expect("read").expect("there").entry.clone();
    assert_eq!(head(&one).release, head(&two).release);
    assert_ne!(head(&one).site, head(&two).site);
}

#[test]
fn a_full_disk_is_found_behind_whatever_hides_it() {
    let full =
        || crate::disk::Error { call: "write", path: "x".into(), source: std::io::ErrorKind::StorageFull.into() };
    let hidden = std::io::Error::new(std::io::ErrorKind::StorageFull, full());
    let scratch = crate::source::Error::Io { call: "write", place: "site.zip".into(), source: hidden };
    let all = [
        Error::Disk(full()),
        Error::Volume(full().into()),
        Error::Store(full().into()),
        Error::Source(scratch),
        Error::OutcomeUnknown { op: crate::random::uuid(), source: Box::new(Error::Disk(full())) },
    ];
    for error in all {
        assert!(error.disk().is_some_and(crate::disk::Error::is_full), "{error:?}");
    }
}

#[test]
fn a_file_becomes_a_folder_and_a_folder_a_file() {
    let pod = Pod::with_seed();
    pod.source(&[("a", "file now"), ("index.html/deep/page", "folder now")]);
    assert!(matches!(pod.fill(When::Always), Ok(Filled::Seeded(_))));
    let read = |name| pod.read(name);
    assert_eq!(read("a").as_deref(), Some("file now"));
    assert_eq!(read("index.html/deep/page").as_deref(), Some("folder now"));
    pod.depot.roll_back(&Rollback::new(Target::Before, Author::named("test"))).expect("and back");
    assert_eq!((read("a/d.js").as_deref(), read("index.html").as_deref()), (Some("d"), Some("seed")));
    assert!(pod.depot.recover().expect("all is well").is_nothing());
}

#[test]
fn what_was_overwritten_in_place_is_not_published_again_and_is_mended_by_sending_it_again() {
    let pod = Pod::with_seed();
    let file = pod.volume().join("index.html");
    fs::write(&file, "by hand, through the link").expect("written");
    let damaged = |error: &Error| error.is_damaged();
    let start = || Depot::open(&pod.volume(), patient(Duration::from_secs(1))).expect("opened");
    assert_eq!(start().recover().expect("the application must start").applied, None);
    assert_eq!(pod.read("index.html").as_deref(), Some("by hand, through the link"), "reported, not touched");
    assert!(start().find(Some(&path("index.html"))).is_err_and(|error| damaged(&error)), "the API does not serve it");
    pod.put("a/d.js", "others go on").expect("put");
    assert!(pod.put("new/folder/x", "x").is_err_and(|error| damaged(&error)), "no generation with wrong bytes");
    assert!(pod.is_swept());
    let mended = pod.put("index.html", "seed").expect("the same bytes again");
    assert!(!mended.is_new);
    assert_eq!(
        (pod.read("index.html").as_deref(), pod.read("a/d.js").as_deref()),
        (Some("seed"), Some("others go on"))
    );
    pod.put("new/folder/x", "x").expect("put");
    assert!(start().recover().expect("all is well").is_nothing());
}

#[test]
fn a_file_copied_over_a_link_does_not_keep_the_application_from_starting() {
    let pod = Pod::with_seed();
    let link = pod.volume().join("index.html");
    fs::remove_file(&link).expect("tar does so, too");
    fs::write(&link, "by hand").expect("written");
    assert_eq!(pod.depot.recover().expect("a start").applied, None);
    assert!(matches!(pod.fill(When::Empty), Ok(Filled::Kept(_))));
    assert_eq!(pod.read("index.html").as_deref(), Some("by hand"));
    pod.put("a/d.js", "others go on").expect("put");
    assert_eq!(pod.read("a/d.js").as_deref(), Some("others go on"));
    assert_eq!(pod.read("index.html").as_deref(), Some("by hand"), "it is in nobody's way yet");
    pod.put("index.html", "x").expect("it is adopted first");
    assert_eq!(pod.read("index.html").as_deref(), Some("x"));
    pod.depot.roll_back(&Rollback::new(Target::Seq(3), Author::named("test"))).expect("back to it");
    assert_eq!(pod.read("index.html").as_deref(), Some("by hand"));
}

#[test]
fn a_store_with_holes_is_called_damaged() {
    for folder in ["objects", "manifests"] {
        let pod = Pod::with_seed();
        for fan in fs::read_dir(pod.volume().join(".longshore").join(folder)).expect("listed") {
            fs::remove_dir_all(fan.expect("an entry").path()).expect("removed");
        }
        fs::remove_file(pod.volume().join("..data")).expect("removed");
        let depot = Depot::open(&pod.volume(), patient(Duration::ZERO)).expect("opened");
        assert!(depot.recover().is_err_and(|error| error.is_damaged()), "{folder}");
    }
}

#[test]
fn a_damaged_head_does_not_stand_in_the_way_of_what_replaces_it() {
    let pod = Pod::with_seed();
    fs::write(pod.volume().join("index.html"), "by hand, through the link").expect("written");
    fs::remove_file(pod.volume().join(".longshore/shown.json")).expect("there");
    assert!(pod.put("a/d.js", "x").is_err_and(|error| error.is_damaged()), "it cannot be shown with the damaged file");
    pod.source(&[("page.html", "another site")]);
    assert!(matches!(pod.fill(When::Always), Ok(Filled::Seeded(_))));
    assert_eq!((pod.read("page.html").as_deref(), pod.read("index.html")), (Some("another site"), None));
}

#[test]
fn files_put_by_hand_into_a_folder_survive_a_start() {
    let pod = Pod::with_seed();
    fs::write(pod.volume().join("a/by-hand.txt"), "mine").expect("written");
    let start = Depot::open(&pod.volume(), patient(Duration::ZERO)).expect("opened");
    assert_eq!(start.recover().expect("a start").applied, None);
    assert_eq!(pod.read("a/by-hand.txt").as_deref(), Some("mine"));
}

#[test]
fn a_start_does_not_wait_for_ever_for_a_stopped_process() {
    let pod = Pod::with_seed();
    let state = pod.depot.state().expect("read").expect("there");
    let _held = state.home.lock(Duration::ZERO).expect("free");
    let start = Depot::open(&pod.volume(), patient(Duration::from_millis(50))).expect("opened");
    assert!(start.recover().expect("the old release is whole").is_nothing());
    assert_eq!(start.tend().expect("nothing to do now"), Waiting::Long);
}

#[test]
fn a_link_that_was_made_for_a_flip_and_never_turned_is_swept_and_somebody_elses_is_not() {
    let pod = Pod::with_seed();
    let next = pod.volume().join("..data_tmp");
    std::os::unix::fs::symlink(".longshore/trees/0123456789abcdef0123456789abcdef", &next).expect("linked");
    pod.depot.recover().expect("recovered");
    assert!(!next.is_symlink());
    fs::write(&next, "of somebody else").expect("written");
    assert!(pod.depot.recover().expect("recovered").is_nothing());
    assert_eq!(pod.read("..data_tmp").as_deref(), Some("of somebody else"));
}

#[test]
fn links_that_were_removed_come_back() {
    let pod = Pod::with_seed();
    fs::remove_file(pod.volume().join("index.html")).expect("removed");
    pod.depot.tend().expect("tended");
    assert_eq!(pod.read("index.html").as_deref(), Some("seed"));
}

#[test]
fn a_layout_of_another_version_is_left_alone() {
    let pod = Pod::with_seed();
    fs::write(pod.volume().join(".longshore/format"), "longshore-volume 2 files").expect("written");
    let before = pod.fingerprint();
    assert!(matches!(
        Depot::open(&pod.volume(), patient(Duration::ZERO)),
        Err(Error::Volume(volume::Error::Format(_)))
    ));
    assert_eq!(pod.fingerprint(), before);
}

#[test]
fn a_file_with_the_bytes_of_a_node_is_kept_beside_it() {
    let pod = Pod::with_seed();
    let mut highest = 0;
    // Ahead of the clock, so that the next time is known.
    for number in 0..20 {
        pod.put("index.html", &number.to_string()).expect("put");
        highest = fs::metadata(pod.volume().join("index.html")).expect("there").mtime();
    }
    pod.change(Change::RemoveFolder(path("a"))).expect("removed");
    let state = pod.depot.state().expect("read").expect("there");
    let head = pod.depot.head().expect("read").expect("there");
    let times = state.store.nodes().node(&head.entry.times).expect("there");
    let times = String::from_utf8(times.to_vec()).expect("text");
    let line = |mtime: i64| format!("at {mtime} {mtime} index.html");
    assert!(times.contains(&line(highest)), "{times}");
    pod.put("index.html", &times.replace(&line(highest), &line(highest + 1))).expect("put");
    pod.put("index.html", "goes on").expect("the times can be read");
    assert_eq!(pod.read("index.html").as_deref(), Some("goes on"));
}

#[test]
fn what_was_removed_by_hand_is_no_unknown_outcome() {
    let pod = Pod::with_seed();
    fs::remove_dir_all(pod.volume().join(pod.live()).join("a")).expect("removed");
    pod.put("a/new.txt", "n").expect("a new generation");
    assert_eq!((pod.read("a/new.txt").as_deref(), pod.read("a/d.js").as_deref()), (Some("n"), Some("d")));
    let file = pod.volume().join(pod.live()).join("index.html");
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("made");
    pod.put("index.html", "x").expect("a new generation");
    assert_eq!(pod.read("index.html").as_deref(), Some("x"));
    assert!(!pod.depot.is_adrift());
}

#[test]
fn a_volume_that_lost_its_journal_is_not_filled_as_if_it_were_new() {
    let pod = Pod::with_seed();
    fs::remove_dir_all(pod.volume().join(".longshore/journal")).expect("removed");
    let depot = Depot::open(&pod.volume(), patient(Duration::ZERO)).expect("opened");
    let from: Location = pod.scratch.path().join("source").to_str().expect("text").parse().expect("a location");
    let filled = depot.fill(&[from], When::Always, Occasion::Fill, pod.runtime.handle(), &Progress::default());
    assert!(matches!(filled, Err(Error::Diverged(_))));
    assert_eq!(pod.read("index.html").as_deref(), Some("seed"));
}

#[test]
fn whoever_waited_while_an_outcome_became_unknown_writes_no_more() {
    let pod = Pod::with_seed();
    let state = pod.depot.state().expect("looked").expect("there");
    let lock = pod.depot.lock(&state, Duration::from_secs(1)).expect("free");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let ingest = pod.depot.ingest().expect("nothing is wrong yet");
            ingest.file(path("late.html"), false, &mut &b"late"[..]).expect("staged");
            let (staging, change) = ingest.into_change(None, false);
            pod.depot.commit(&staging, &Proposal::new(change, Cause::Patch, &Author::named("test")))
        });
        // Long enough to be let in, and to wait for the lock.
        std::thread::sleep(Duration::from_millis(500));
        pod.depot.adrift.store(true, Ordering::SeqCst);
        drop(lock);
        assert!(matches!(waiting.join().expect("it answers"), Err(Error::Adrift)));
    });
    assert_eq!(state.store.journal().head().expect("read").expect("a seed").entry.seq, 1);
}
