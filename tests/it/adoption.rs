//! What somebody else put on the volume becomes an entry before anything of ours takes its place.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::{
    archive::tar,
    listing::{assert_unchanged, contents, listing},
    nginx::Nginx,
    part::need,
    pod::Pod,
    run::eventually,
};

const THEIRS: &[(&str, &str)] =
    &[("index.html", "their page"), ("photos/a.jpg", "a"), ("photos/2019/b.jpg", "b"), ("tool", "#!")];
/// For each layout: its flags, and the document root in the volume.
const LAYOUTS: &[(&[&str], &str)] =
    &[(&["--layout", "docroot"], ""), (&["--link", "html"], "html"), (&["--layout", "files"], "")];

/// A pod on whose volume somebody else's site lies, a year old.
fn pod_of_theirs(root: &str) -> Pod {
    let pod = Pod::new();
    put_theirs(&pod.volume().join(root));
    pod
}

fn put_theirs(root: &Path) {
    let year = Duration::from_secs(365 * 24 * 60 * 60) + Duration::from_nanos(123_456_789);
    for (path, text) in THEIRS {
        let file = root.join(path);
        fs::create_dir_all(file.parent().expect("it has one")).expect("a folder is made");
        fs::write(&file, text).expect("a file is written");
        let mode = if *path == "tool" { 0o700 } else { 0o640 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode is set");
        let opened = fs::File::options().write(true).open(&file).expect("it opens");
        opened.set_modified(SystemTime::now() - year).expect("a time is set");
    }
    fs::create_dir_all(root.join("photos/empty")).expect("a folder is made");
}

fn theirs() -> BTreeMap<String, Vec<u8>> {
    THEIRS.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

fn mtimes(root: &Path) -> BTreeMap<String, i64> {
    let mtime = |path: &String| fs::metadata(root.join(path)).expect("it is there").mtime();
    contents(root).into_keys().map(|path| (path.clone(), mtime(&path))).collect()
}

/// Whether nothing is left of what was exchanged out.
fn nothing_replaced(pod: &Pod) -> bool {
    fs::read_dir(pod.volume().join(".longshore/replaced")).is_ok_and(|mut left| left.next().is_none())
}

#[test]
fn the_first_write_adopts_what_is_there_and_a_rollback_brings_it_back() {
    for (flags, root) in LAYOUTS {
        let pod = pod_of_theirs(root);
        let root = pod.volume().join(root);
        let before = mtimes(&root);
        let served = pod.serve_with(flags);
        served.put("/site/index.html", "ours").expect(200);
        let mut now = theirs();
        now.insert("index.html".into(), b"ours".to_vec());
        assert_eq!(contents(&root), now, "{flags:?}");
        assert_eq!(pod.causes(), ["adopt", "patch"], "{flags:?}");
        let adoption = pod.journal()[0].0.clone();
        assert_eq!(adoption["by"], "adopt");
        assert!(adoption["message"].as_str().is_some_and(|message| message.contains("4 files")), "{adoption}");

        served.rollback(&json!({ "to": 1 })).expect(200);
        assert_eq!(contents(&root), theirs(), "{flags:?}");
        assert_eq!(mtimes(&root), before, "{flags:?}: whole seconds are what web servers show");
        let mode = |path: &str| fs::metadata(root.join(path)).expect("there").mode() & 0o7777;
        assert_eq!((mode("tool"), mode("index.html")), (0o755, 0o644));
        assert!(!root.join("photos/empty").exists() || flags[1] == "files");
        if flags[1] != "files" {
            eventually("what was exchanged out goes", Duration::from_secs(20), || nothing_replaced(&pod).then_some(()));
        }
        served.put("/site/?max-delete=all", tar(&[("new.html", b"n")])).expect(200);
        assert_eq!(contents(&root).into_keys().collect::<Vec<_>>(), ["new.html"], "{flags:?}");
        drop(served);
        let before = listing(&pod.volume());
        drop(pod.serve());
        assert_unchanged(&before, &listing(&pod.volume()), "a start that has nothing to do");
    }
}

#[test]
fn any_first_write_adopts() {
    let pod = pod_of_theirs("");
    let served = pod.serve();
    served.delete("/site/photos/").expect(200);
    assert_eq!((pod.causes(), pod.volume().join("photos").exists()), (vec!["adopt".into(), "patch".into()], false));
    drop(served);
    let pod = pod_of_theirs("");
    pod.serve().put("/site/?max-delete=all", tar(&[("index.html", b"ours")])).expect(200);
    assert_eq!((pod.causes(), contents(&pod.volume()).len()), (vec!["adopt".into(), "upload".into()], 1));
    let pod = pod_of_theirs("");
    pod.serve().patch("/site/photos/", tar(&[("c.jpg", b"c")])).expect(200);
    assert_eq!((pod.causes(), contents(&pod.volume()).len()), (vec!["adopt".into(), "patch".into()], 5));
}

#[test]
fn what_cannot_be_adopted_refuses_the_write_and_is_named() {
    let pod = pod_of_theirs("");
    symlink("/etc/hostname", pod.volume().join("photos/way-out")).expect("a link is made");
    let fifo = rustix::fs::CWD;
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(fifo, pod.volume().join("pipe"), rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO is made");
    fs::write(pod.volume().join("line\nbreak"), "x").expect("a file is written");
    let before = listing(&pod.volume());
    let served = pod.serve();
    for answer in [
        served.put("/site/index.html", "ours"),
        served.put("/site/", tar(&[("index.html", b"ours")])),
        served.delete("/site/index.html"),
    ] {
        let answer = answer.expect(409);
        assert_eq!(answer.problem(), "foreign-content");
        for named in ["photos/way-out", "pipe", "line\\\\nbreak", "move it away"] {
            assert!(answer.text().contains(named), "{named} is not named: {answer}");
        }
    }
    assert_unchanged(&before, &listing(&pod.volume()), "a write that is refused");
    for path in ["photos/way-out", "pipe", "line\nbreak"] {
        fs::remove_file(pod.volume().join(path)).expect("it is removed");
    }
    served.put("/site/index.html", "ours").expect(200);
    assert_eq!(pod.causes(), ["adopt", "patch"]);
}

/// A reader asks all the while, and never finds anything but their page.
#[test]
fn a_web_server_serves_their_page_without_a_gap() {
    let program = need!("nginx");
    for (flags, root) in &LAYOUTS[..2] {
        let pod = pod_of_theirs(root);
        let nginx = Nginx::start(&program, &pod.volume().join(root));
        let first = nginx.get("/photos/a.jpg").expect(403).status;
        assert_eq!(first, 403, "their files are closed to others");
        for (path, _) in THEIRS {
            let path = pod.volume().join(root).join(path);
            let stat = fs::metadata(&path).expect("there");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode is set");
            assert!(stat.is_file());
        }
        let page = nginx.get("/photos/a.jpg").expect(200);
        let (modified, tag) = (page.header("last-modified").to_owned(), page.header("etag").to_owned());
        let over = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (url, over, modified, tag) =
                    (nginx.url("/photos/a.jpg"), over.clone(), modified.clone(), tag.clone());
                std::thread::spawn(move || {
                    let mut asked = 0_u32;
                    while !over.load(Ordering::SeqCst) {
                        let page = crate::http::call("GET", &url, &[], "").expect(200);
                        assert_eq!(page.text(), "a");
                        assert_eq!((page.header("last-modified"), page.header("etag")), (&*modified, &*tag));
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        let served = pod.serve_with(flags);
        for number in 0..5 {
            served.put("/site/index.html", format!("ours {number}")).expect(200);
        }
        eventually("what was exchanged out goes", Duration::from_secs(20), || nothing_replaced(&pod).then_some(()));
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.join().expect("no reader saw anything else") > 10);
        }
    }
}

#[test]
fn what_was_put_over_a_link_is_adopted_by_the_write_that_needs_its_name() {
    for (flags, root) in &LAYOUTS[..2] {
        let pod = Pod::new();
        let served = pod.serve_with(flags);
        served.put("/site/", tar(&[("index.html", b"one"), ("assets/a.css", b"a"), ("b.html", b"b")])).expect(200);
        let root = pod.volume().join(root);
        if *flags == ["--link", "html"] {
            // The whole folder, as somebody who does not know of links would restore it.
            fs::remove_file(&root).expect("the link goes");
            fs::create_dir(&root).expect("a folder is made");
            fs::write(root.join("index.html"), "by hand").expect("written");
        } else {
            for name in ["index.html", "assets"] {
                fs::remove_file(root.join(name)).expect("the link goes");
            }
            fs::write(root.join("index.html"), "by hand").expect("written");
            fs::create_dir(root.join("assets")).expect("a folder is made");
            fs::write(root.join("assets/new.css"), "new").expect("written");
            served.put("/site/b.html", "others go on").expect(200);
            assert_eq!(fs::read_to_string(root.join("index.html")).expect("read"), "by hand", "in nobody's way");
        }
        served.put("/site/index.html", "two").expect(200);
        assert_eq!(contents(&root)["index.html"], b"two");
        assert_eq!(contents(&root)["assets/a.css"], b"a", "a folder that was put in the way is merged");
        let adoption = served.releases()[1].clone();
        assert_eq!(adoption["cause"], "adopt", "{flags:?}");
        served.rollback(&json!({ "to": adoption["seq"] })).expect(200);
        assert_eq!(contents(&root)["index.html"], b"by hand", "{flags:?}");
        // The very bytes that the head has: nothing to commit, but the link comes back.
        if flags[1] == "docroot" {
            fs::remove_file(root.join("index.html")).expect("the link goes");
            fs::write(root.join("index.html"), "by hand").expect("written");
            let entries = pod.journal().len();
            served.put("/site/index.html", "by hand").expect(200);
            assert!(fs::symlink_metadata(root.join("index.html")).expect("there").is_symlink());
            assert_eq!(pod.journal().len(), entries);
        }
    }
}

#[test]
fn what_is_in_the_way_of_plain_files_is_adopted_too() {
    let pod = Pod::new();
    let served = pod.serve_with(LAYOUTS[2].0);
    served.put("/site/", tar(&[("index.html", b"one"), ("a/b.css", b"b")])).expect(200);
    fs::write(pod.volume().join("new.html"), "by hand").expect("written");
    fs::write(pod.volume().join("a/c.css"), "by hand").expect("written");
    served.put("/site/index.html", "others go on").expect(200);
    served.put("/site/new.html", "ours").expect(200);
    served.put("/site/a/c.css", "ours").expect(200);
    assert_eq!(pod.causes(), ["upload", "patch", "adopt", "patch", "adopt", "patch"]);
    served.rollback(&json!({ "to": 5 })).expect(200);
    assert_eq!(contents(&pod.volume())["a/c.css"], b"by hand");
    assert_eq!(contents(&pod.volume())["new.html"], b"ours");
}

#[test]
fn a_thousand_files_are_adopted() {
    let pod = Pod::new();
    for folder in 0..20 {
        fs::create_dir(pod.volume().join(format!("f{folder}"))).expect("a folder is made");
        for file in 0..50 {
            let path = pod.volume().join(format!("f{folder}/{file}.txt"));
            fs::write(path, format!("{folder} {file}")).expect("a file is written");
        }
    }
    let before = contents(&pod.volume());
    let served = pod.serve();
    served.put("/site/index.html", "ours").expect(201);
    served.delete("/site/index.html").expect(200);
    assert_eq!(contents(&pod.volume()), before);
    eventually("what was exchanged out goes", Duration::from_secs(20), || nothing_replaced(&pod).then_some(()));
}

/// Somebody has a file open when it is exchanged out, and writes on.
#[test]
fn what_is_written_during_the_exchange_is_adopted_too() {
    use std::io::Write as _;
    let pod = pod_of_theirs("");
    let mut writer = fs::File::options().append(true).open(pod.volume().join("photos/a.jpg")).expect("it opens");
    let served = pod.serve();
    served.put("/site/index.html", "ours").expect(200);
    assert!(fs::symlink_metadata(pod.volume().join("photos")).expect("there").is_symlink());
    writer.write_all(b" and more").expect("it is written");
    drop(writer);
    eventually("what was written is shown", Duration::from_secs(20), || {
        (contents(&pod.volume())["photos/a.jpg"] == b"a and more").then_some(())
    });
    eventually("what was exchanged out goes", Duration::from_secs(20), || nothing_replaced(&pod).then_some(()));
    assert_eq!(pod.causes(), ["adopt", "patch", "adopt"]);
    assert_eq!(contents(&pod.volume())["index.html"], b"ours");
}

const ADOPTS: &[&str] = &["--adopt-changes"];
const SITE: &[(&str, &[u8])] =
    &[("index.html", b"page"), ("about.html", b"about"), ("assets/a.css", b"a"), ("assets/b.css", b"b"), ("c", b"c")];

/// A pod that serves [`SITE`], with these flags besides.
fn pod_of_site(flags: &[&str]) -> (Pod, crate::served::Served) {
    let pod = Pod::new();
    let served = pod.serve_with(flags);
    served.put("/site/", tar(SITE)).expect(200);
    (pod, served)
}

fn drift(served: &crate::served::Served) -> u32 {
    let text = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").expect(200).text();
    let line = text.lines().find_map(|line| line.strip_prefix("longshore_drift_files ")).expect("a metric");
    line.parse().expect("a number")
}

/// What `kubectl cp` does in the container: tar puts a file in the place of what was there, with the mtime it had.
fn copy_in(to: &Path, text: &str) {
    let _ = fs::remove_file(to);
    fs::write(to, text).expect("a file is written");
    let file = fs::File::options().write(true).open(to).expect("it opens");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000)).expect("a time is set");
}

/// The head has these bytes at a path, and the volume shows it.
fn adopted(pod: &Pod, served: &crate::served::Served, path: &str, text: &str) {
    eventually(&format!("{path} is adopted"), Duration::from_secs(20), || {
        let answer = served.get(&format!("/site/{path}"));
        (answer.status == 200 && answer.text() == text && drift(served) == 0).then_some(())
    });
    assert_eq!(fs::read_to_string(pod.volume().join(path)).expect("it reads"), text);
}

#[test]
fn what_is_copied_in_by_hand_is_adopted_where_that_is_asked_for() {
    let (pod, served) = pod_of_site(ADOPTS);
    for (path, text) in [
        ("index.html", "over a link"),
        ("new.html", "beside them"),
        ("assets/a.css", "in a folder"),
        ("assets/n.css", "new there"),
    ] {
        copy_in(&pod.volume().join(path), text);
        adopted(&pod, &served, path, text);
        assert_eq!(served.releases()[0]["cause"], "adopt");
    }
    for name in ["index.html", "new.html"] {
        assert!(fs::symlink_metadata(pod.volume().join(name)).expect("there").is_symlink(), "{name}");
    }
    let new = fs::metadata(pod.volume().join("new.html")).expect("there").mtime();
    assert_eq!(new, 1_600_000_000, "nobody had this path before: it keeps its time");
    let metrics = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").text();
    assert!(metrics.contains("longshore_releases_total{cause=\"adopt\"} 4"), "{metrics}");

    for (path, goes) in [("assets/b.css", "assets/b.css"), ("about.html", "about.html")] {
        fs::remove_file(pod.volume().join(path)).expect("it is removed");
        eventually(&format!("{goes} is gone"), Duration::from_secs(20), || {
            (served.get(&format!("/site/{goes}")).status == 404 && drift(&served) == 0).then_some(())
        });
    }
    served.rollback(&json!({ "to": 1 })).expect(200);
    let site = SITE.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect::<BTreeMap<_, _>>();
    assert_eq!(contents(&pod.volume()), site);
    assert_eq!(drift(&served), 0);
}

#[test]
fn a_folder_copied_in_and_plain_files_and_the_one_link_are_adopted_too() {
    for (flags, root) in LAYOUTS {
        let (pod, served) = pod_of_site(&[ADOPTS, flags].concat());
        let root = pod.volume().join(root);
        fs::create_dir_all(root.join("blog/2026")).expect("a folder is made");
        fs::write(root.join("blog/2026/a.html"), "post").expect("written");
        fs::write(root.join("assets/n.css"), "n").expect("written");
        eventually("they are adopted", Duration::from_secs(20), || {
            let all = ["blog/2026/a.html", "assets/n.css"];
            all.iter().all(|path| served.get(&format!("/site/{path}")).status == 200).then_some(())
        });
        eventually("nothing differs", Duration::from_secs(20), || (drift(&served) == 0).then_some(()));
        assert_eq!(contents(&root)["blog/2026/a.html"], b"post", "{flags:?}");
        assert_eq!(contents(&root).len(), SITE.len() + 2, "{flags:?}");
    }
}

#[test]
fn without_the_flag_drift_is_reported_and_kept_aside_when_a_release_replaces_it() {
    let (pod, served) = pod_of_site(&[]);
    copy_in(&pod.volume().join("assets/n.css"), "new by hand");
    copy_in(&pod.volume().join("assets/a.css"), "changed by hand");
    fs::remove_file(pod.volume().join("assets/b.css")).expect("it is removed");
    copy_in(&pod.volume().join("beside.html"), "beside");
    eventually("it is reported", Duration::from_secs(20), || (drift(&served) == 4).then_some(()));
    assert!(served.log().contains("assets/n.css"), "{}", served.log());
    assert_eq!(pod.journal().len(), 1);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((pod.journal().len(), served.log().matches("changed by hand").count()), (1, 1), "said once");

    served.put("/site/new/folder.html", "a new generation").expect(201);
    eventually("both are kept aside", Duration::from_secs(20), || {
        let kept = quarantined(&pod);
        let texts: Vec<&str> = kept.iter().map(|(_, text)| &**text).collect();
        (texts == ["changed by hand", "new by hand"]).then_some(())
    });
    assert_eq!(contents(&pod.volume())["assets/a.css"], b"a");
    eventually("the rest stays reported", Duration::from_secs(70), || (drift(&served) == 1).then_some(()));
    assert_eq!(fs::read_to_string(pod.volume().join("beside.html")).expect("read"), "beside", "in nobody's way");
    // One file over one that was changed by hand: a single rename, and kept aside all the same; in place, too.
    copy_in(&pod.volume().join("assets/b.css"), "again");
    fs::write(pod.volume().join("assets/a.css"), "in place").expect("written");
    served.put("/site/assets/b.css", "ours").expect(200);
    served.put("/site/assets/a.css", "ours").expect(200);
    for kept in ["again", "in place"] {
        assert!(quarantined(&pod).iter().any(|(_, text)| text == kept), "{kept}: {:?}", quarantined(&pod));
    }
}

/// The files in quarantine, by path, each with its text.
fn quarantined(pod: &Pod) -> Vec<(String, String)> {
    let folder = pod.volume().join(".longshore/quarantine");
    if !folder.exists() {
        return Vec::new();
    }
    let texts = contents(&folder).into_iter();
    texts.map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned())).collect()
}

/// `kubectl exec … sh -c 'echo x > index.html'` as root: through the one inode that every release shares.
#[test]
fn a_file_written_over_in_place_is_adopted_and_its_old_object_leaves_the_store() {
    let (pod, served) = pod_of_site(ADOPTS);
    served.put("/site/c", "another").expect(200);
    let old = served.get("/site/index.html").header("etag").trim_matches('"').to_owned();
    fs::write(pod.volume().join("index.html"), "written over in place").expect("written");
    adopted(&pod, &served, "index.html", "written over in place");
    served.put("/site/new/folder.html", "a new generation can be built").expect(201);
    let digest = old.trim_start_matches("sha256-").to_owned();
    let log = served.log();
    assert!(log.contains("written over in place"), "{log}");
    assert!(!quarantined(&pod).is_empty(), "{digest}");
    served.rollback(&json!({ "to": 1 })).expect(500);
    served.put("/site/index.html", "page").expect(200);
    served.rollback(&json!({ "to": 1 })).expect(200);
    assert_eq!(contents(&pod.volume())["index.html"], b"page");
}

#[test]
fn a_file_that_is_half_copied_is_not_taken() {
    use std::io::Write as _;
    let (pod, served) = pod_of_site(ADOPTS);
    let mut writer = fs::File::create(pod.volume().join("large.bin")).expect("it is made");
    for part in 0..15 {
        writer.write_all(format!("part {part}\n").as_bytes()).expect("written");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(pod.journal().len(), 1, "after {part} parts");
    }
    drop(writer);
    let text = fs::read_to_string(pod.volume().join("large.bin")).expect("read");
    adopted(&pod, &served, "large.bin", &text);
    assert_eq!(pod.journal().len(), 2);
}

#[test]
fn more_than_half_of_the_site_removed_by_hand_is_put_back() {
    let (pod, served) = pod_of_site(ADOPTS);
    for path in ["assets/a.css", "assets/b.css", "index.html"] {
        fs::remove_file(pod.volume().join(path)).expect("it is removed");
    }
    eventually("it is put back", Duration::from_secs(20), || {
        (contents(&pod.volume()).len() == SITE.len() && drift(&served) == 0).then_some(())
    });
    assert_eq!(pod.journal().len(), 1);
    assert!(served.log().contains("more than half"), "{}", served.log());
}

#[test]
fn a_touched_file_gets_its_time_back_and_a_link_is_only_reported() {
    let (pod, served) = pod_of_site(ADOPTS);
    let before = mtimes(&pod.volume());
    let file = fs::File::options().write(true).open(pod.volume().join("assets/a.css")).expect("it opens");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("a time is set");
    eventually("its time is back", Duration::from_secs(20), || (mtimes(&pod.volume()) == before).then_some(()));
    symlink("/etc/hostname", pod.volume().join("assets/out.css")).expect("a link is made");
    eventually("it is reported", Duration::from_secs(20), || (drift(&served) == 1).then_some(()));
    assert_eq!(pod.journal().len(), 1);
    served.get("/site/assets/out.css").expect(404);
}

#[test]
fn our_own_publishes_are_no_drift() {
    let (pod, served) = pod_of_site(ADOPTS);
    for number in 0..40 {
        served.put("/site/index.html", format!("{number}")).expect(200);
        served.put(&format!("/site/f{number}/x"), "x").expect(201);
        if number % 4 == 3 {
            served.delete(&format!("/site/f{number}/")).expect(200);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(2_500));
    assert!(!pod.causes().contains(&"adopt".to_owned()), "{:?}", pod.causes());
    assert!(!served.log().contains("by hand"), "{}", served.log());
    assert_eq!(drift(&served), 0);
}

#[test]
fn no_room_for_the_copies_is_507_and_their_content_stays() {
    let pod = Pod::new();
    let Some(_disk) = crate::mount::Tmpfs::mount(&pod.volume(), "size=4m,mode=755") else { return };
    put_theirs(&pod.volume());
    fs::write(pod.volume().join("large.bin"), vec![7; 3 << 20]).expect("written");
    let theirs = contents(&pod.volume());
    let served = pod.serve();
    for _ in 0..2 {
        let answer = served.put("/site/index.html", "ours").expect(507);
        assert_eq!(answer.problem(), "volume-full");
    }
    assert_eq!(contents(&pod.volume()), theirs);
    assert!(pod.journal().is_empty());
    fs::remove_file(pod.volume().join("large.bin")).expect("removed");
    served.put("/site/index.html", "ours").expect(200);
    assert_eq!(pod.causes(), ["adopt", "patch"]);
}

/// Readers that ask without a pause for what is exchanged, again and again.
#[test]
fn whoever_reads_what_is_exchanged_always_finds_it() {
    let (pod, served) = pod_of_site(&[]);
    let over = Arc::new(AtomicBool::new(false));
    let page = pod.volume().join("assets/a.css");
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (page, over) = (page.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let size = fs::metadata(&page).map(|about| about.len());
                    assert_eq!(size.ok(), Some(1), "a reader missed it");
                }
            })
        })
        .collect();
    for round in 0..15 {
        // As atomic as ours: what the readers miss is not our test's doing.
        let theirs = pod.folder("theirs", &[("a.css", "a"), ("round", &round.to_string())]);
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, &theirs, rustix::fs::CWD, pod.volume().join("assets"), exchange)
            .expect("the link and the folder take each other's place");
        fs::remove_file(&theirs).expect("it is the link now");
        served.put("/site/assets/ours.css", format!("{round}")).expect(if round == 0 { 201 } else { 200 });
        assert!(fs::symlink_metadata(pod.volume().join("assets")).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(pod.volume().join("assets/round")).expect("read"), round.to_string());
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.join().expect("no reader missed it");
    }
}

/// What `kubectl cp ./html pod:/site/html` makes of the one link: tar puts a real folder in its place.
#[test]
fn a_folder_in_place_of_the_one_link_is_noticed_and_adopted_where_that_is_asked_for() {
    for adopts in [false, true] {
        let mut flags = vec!["--link", "html"];
        flags.extend(adopts.then_some("--adopt-changes"));
        let (pod, served) = pod_of_site(&flags);
        let html = pod.volume().join("html");
        fs::remove_file(&html).expect("the link goes");
        fs::create_dir_all(html.join("assets")).expect("a folder is made");
        for (path, text) in [("index.html", "by hand"), ("assets/a.css", "a"), ("c", "c")] {
            fs::write(html.join(path), text).expect("written");
        }
        if adopts {
            eventually("it is adopted", Duration::from_secs(70), || {
                let answer = served.get("/site/index.html");
                (answer.text() == "by hand" && html.is_symlink() && drift(&served) == 0).then_some(())
            });
            assert_eq!(contents(&html).keys().collect::<Vec<_>>(), ["assets/a.css", "c", "index.html"]);
            served.rollback(&json!({ "to": 1 })).expect(200);
            assert_eq!(contents(&html).len(), SITE.len());
        } else {
            eventually("it is reported", Duration::from_secs(70), || (drift(&served) > 0).then_some(()));
            assert_eq!((pod.journal().len(), fs::read(html.join("index.html")).expect("read")), (1, b"by hand".into()));
        }
    }
}

#[test]
fn plain_files_are_adopted_with_the_mode_of_a_site() {
    use std::os::unix::fs::PermissionsExt as _;
    let pod = Pod::new();
    for (name, mode) in [("a.txt", 0o600), ("b.txt", 0o666)] {
        copy_in(&pod.volume().join(name), name);
        fs::set_permissions(pod.volume().join(name), fs::Permissions::from_mode(mode)).expect("a mode is set");
    }
    let served = pod.serve_with(&["--layout", "files"]);
    served.put("/site/c.txt", "ours").expect(201);
    for name in ["a.txt", "b.txt", "c.txt"] {
        let mode = fs::metadata(pod.volume().join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{name}");
    }
}
