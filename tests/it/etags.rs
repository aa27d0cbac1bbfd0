//! What a web server's ETag and Last-Modified promise, through stock nginx: one pair of path and ETag, one content.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::{
    archive::{Tar, tar},
    http::{Answer, call},
    nginx::Nginx,
    part::need,
    pod::{Pod, text},
    served::{Served, to},
};

/// ETag and Last-Modified of a page.
#[track_caller]
fn validators(nginx: &Nginx, path: &str) -> (String, String) {
    let answer = nginx.get(path).expect(200);
    let validators = (answer.header("etag").to_owned(), answer.header("last-modified").to_owned());
    assert!(!validators.0.is_empty() && !validators.1.is_empty(), "nginx sends both: {answer}");
    validators
}

#[test]
fn a_page_keeps_its_etag_until_it_changes() {
    let program = need!("nginx");
    let pod = Pod::new();
    let nginx = Nginx::start(&program, &pod.volume());
    pod.fill(pod.folder("seed", &[("kept.html", "kept"), ("page.html", "one!"), ("a/b.css", "b")])).expect(0);
    let served = pod.serve();
    let (kept, first) = (validators(&nginx, "/kept.html"), validators(&nginx, "/page.html"));

    // A deploy of the whole site, and two versions of one size within a second.
    served.put("/site/", tar(&[("kept.html", b"kept"), ("page.html", b"two!"), ("new/c.css", b"c")])).expect(200);
    let second = validators(&nginx, "/page.html");
    served.put("/site/page.html", "thre").expect(200);
    let third = validators(&nginx, "/page.html");
    served.put("/site/page.html", "four").expect(200);
    let fourth = validators(&nginx, "/page.html");
    let versions = [&first, &second, &third, &fourth];
    for (at, version) in versions.iter().enumerate() {
        assert!(versions[..at].iter().all(|before| before.0 != version.0 && before.1 != version.1), "{versions:?}");
    }
    assert_eq!(validators(&nginx, "/kept.html"), kept, "an unchanged page over a deploy and two patches");
    served.put("/site/page.html", "four").expect(200);
    assert_eq!(validators(&nginx, "/page.html"), fourth, "the same bytes sent again are no change");

    // What a rollback brings back has the ETag it had.
    served.rollback(&to(1)).expect(200);
    assert_eq!(validators(&nginx, "/page.html"), first);
    assert_eq!(nginx.get("/page.html").text(), "one!");

    // Removed and put again within the second.
    served.delete("/site/page.html").expect(200);
    served.put("/site/page.html", "five").expect(201);
    let fifth = validators(&nginx, "/page.html");
    assert!(versions.iter().all(|before| before.0 != fifth.0), "{versions:?} {fifth:?}");
    assert_eq!(validators(&nginx, "/kept.html"), kept);

    let condition = |etag: &str| call("GET", &nginx.url("/page.html"), &[("if-none-match", etag)], "");
    condition(&fifth.0).expect(304);
    for version in versions {
        assert_eq!(condition(&version.0).expect(200).text(), "five");
    }
}

/// A folder whose files were modified a while ago, each at its own time.
fn dated(pod: &Pod, name: &str) -> std::path::PathBuf {
    let folder = pod.folder(name, &[("index.html", "page"), ("a/b.css", "b"), ("a/c.css", "c")]);
    for (number, path) in ["index.html", "a/b.css", "a/c.css"].iter().enumerate() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_001_250 + 7_000 * number as u64);
        let file = File::options().write(true).open(folder.join(path)).expect("it opens");
        file.set_modified(modified).expect("its time is set");
    }
    folder
}

#[test]
fn replicas_that_are_filled_from_one_source_agree() {
    let program = need!("nginx");
    let pods = [Pod::new(), Pod::new()];
    let modes = Tar::new()
        .dated(tar::EntryType::Regular, "index.html", "", 0o644, 1_700_000_001, b"page")
        .dated(tar::EntryType::Regular, "a/b.css", "", 0o644, 1_700_000_008, b"b")
        .finish();
    let archive = pods[0].path("seed.tar");
    fs::write(&archive, modes).expect("written");
    for source in [dated(&pods[0], "seed"), archive] {
        let mut agreed = Vec::new();
        for pod in &pods {
            fs::remove_dir_all(pod.volume()).expect("a blank volume is made of it");
            fs::create_dir(pod.volume()).expect("made");
            crate::pod::open_to_all(&pod.volume());
            pod.fill(&source).expect(0);
            let nginx = Nginx::start(&program, &pod.volume());
            agreed.push(["/index.html", "/a/b.css"].map(|path| validators(&nginx, path)));
            // The other replica starts in another second.
            std::thread::sleep(Duration::from_millis(1_100));
        }
        assert_eq!(agreed[0], agreed[1], "filled from {}", source.display());
        assert_eq!(agreed[0][0].1, "Tue, 14 Nov 2023 22:13:21 GMT");
    }
}

#[test]
fn a_time_that_is_made_up_or_to_come_is_none() {
    let pod = Pod::new();
    let mut seed = Tar::new();
    for (name, modified) in [("zero", 0), ("zip", 315_532_800), ("bazel", 946_684_800), ("to-come", 32_000_000_000)] {
        seed = seed.dated(tar::EntryType::Regular, name, "", 0o644, modified, b"x");
    }
    let archive = pod.path("seed.tar");
    fs::write(&archive, seed.finish()).expect("written");
    let before = SystemTime::now() - Duration::from_secs(2);
    pod.fill(&archive).expect(0);
    for name in ["zero", "zip", "bazel", "to-come"] {
        let modified = fs::metadata(pod.volume().join(name)).expect("there").modified().expect("a time");
        assert!(modified > before && modified <= SystemTime::now(), "{name}: {modified:?}");
    }
}

/// Every pair of path and ETag that was ever seen, and the bytes that came with it.
#[derive(Default)]
struct Seen(HashMap<(String, String), Vec<u8>>);

impl Seen {
    fn look(&mut self, nginx: &Nginx, path: &str, after: &str) {
        let answer: Answer = nginx.get(path);
        if answer.status == 404 {
            return;
        }
        let key = (path.to_owned(), answer.expect(200));
        let bytes = key.1.body.clone();
        let etag = key.1.header("etag").to_owned();
        let before = self.0.entry((key.0, etag.clone())).or_insert_with(|| bytes.clone());
        assert_eq!(*before, bytes, "{path} had {etag} for other bytes, after {after}");
    }
}

/// A small generator of numbers: a failure comes again with the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// One of few contents, all of one size: nothing but the time tells them apart.
    fn content(&mut self) -> Vec<u8> {
        format!("version {}", self.roll(8)).into_bytes()
    }
}

const PATHS: [&str; 5] = ["index.html", "a/b.css", "a/c.css", "d/e/f.js", "g"];

fn one_operation(dice: &mut Dice, served: &mut Option<Served>, pod: &Pod) -> String {
    let server = served.as_ref().expect("it runs");
    let path = PATHS[usize::try_from(dice.roll(PATHS.len() as u64)).expect("small")];
    let site = format!("/site/{path}");
    match dice.roll(12) {
        0..=4 => format!("PUT {path}: {}", server.put(&site, dice.content()).status),
        5 => format!("DELETE {path}: {}", server.delete(&site).status),
        6 | 7 => {
            let paths: Vec<_> = PATHS.into_iter().filter(|_| dice.roll(3) != 0).collect();
            let files: Vec<_> = paths.into_iter().map(|path| (path, dice.content())).collect();
            let files: Vec<_> = files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
            format!("PUT an archive of {} files: {}", files.len(), server.put("/site/", tar(&files)).status)
        }
        8 => {
            let content = dice.content();
            format!(
                "PATCH an archive: {}",
                server.patch("/site/", tar(&[(path, &content), ("a/b.css", b"version 9")])).status
            )
        }
        9 | 10 => {
            let releases = server.releases();
            let seq = releases[usize::try_from(dice.roll(releases.len() as u64)).expect("small")]["seq"].clone();
            format!("rollback to {seq}: {}", server.rollback(&json!({ "to": seq })).status)
        }
        _ => {
            served.take().expect("it runs").kill();
            *served = Some(pod.serve());
            "SIGKILL".into()
        }
    }
}

fn no_etag_means_two_contents(flags: &[&str], root: impl Fn(&Path) -> std::path::PathBuf, operations: u64, seed: u64) {
    let program = need!("nginx");
    let pod = Pod::new();
    let folder = pod.folder("seed", &[("index.html", "version 0"), ("a/b.css", "version 0")]);
    pod.fill_with(&[&["--from", text(&folder)], flags].concat()).expect(0);
    let nginx = Nginx::start(&program, &root(&pod.volume()));
    let (mut dice, mut seen, mut served) = (Dice(seed), Seen::default(), Some(pod.serve()));
    for number in 0..operations {
        let done = one_operation(&mut dice, &mut served, &pod);
        for path in PATHS {
            seen.look(&nginx, &format!("/{path}"), &format!("operation {number} of seed {seed}, {done}"));
        }
    }
    assert!(seen.0.len() as u64 > operations / 3, "many versions were seen: {}", seen.0.len());
}

#[test]
fn no_etag_ever_means_two_contents() {
    no_etag_means_two_contents(&[], Path::to_owned, 200, 4);
}

#[test]
fn nor_does_one_of_plain_files() {
    no_etag_means_two_contents(&["--layout", "files"], Path::to_owned, 60, 5);
}
