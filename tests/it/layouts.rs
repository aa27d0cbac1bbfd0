//! The layouts `link` and `files` beside `docroot`: what stock nginx makes of them, and what each promises.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use crate::{
    archive::tar,
    listing::{assert_unchanged, contents, listing},
    nginx::Nginx,
    part::need,
    pod::{Pod, text},
};

const OLD: &[(&str, &[u8])] =
    &[("index.html", b"old page"), ("assets/app.js", b"old script"), ("gone/deep/x.txt", b"gone"), ("kind", b"a file")];
const NEW: &[(&str, &[u8])] =
    &[("index.html", b"new page"), ("assets/app.js", b"new script"), ("kind/is", b"a folder")];

fn site(files: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect()
}

/// Deploys, patches, deletes and rolls back; `root` is the application's document root.
fn the_main_job(pod: &Pod, flags: &[&str], root: &Path) {
    let nginx = Nginx::start(&need!("nginx"), root);
    let seed = pod.folder("seed", &[("index.html", "seed")]);
    pod.fill_with(&[&["--from", text(&seed)], flags].concat()).expect(0);
    assert_eq!(nginx.get("/").expect(200).text(), "seed");
    let before = listing(&pod.volume());
    pod.fill(&seed).expect(0);
    assert_unchanged(&before, &listing(&pod.volume()), "filling again, with the layout taken from the volume");

    let served = pod.serve();
    served.put("/site/", tar(OLD)).expect(200);
    assert_eq!(contents(root), site(OLD));
    assert_eq!(nginx.get("/assets/app.js").expect(200).text(), "old script");
    let old = pod.release();
    served.put("/site/", tar(NEW)).expect(200);
    assert_eq!(contents(root), site(NEW));
    nginx.get("/gone/deep/x.txt").expect(404);
    served.rollback(&json!({ "to": old })).expect(200);
    assert_eq!(contents(root), site(OLD), "a folder became a file again");

    served.put("/site/more/page.html", "more").expect(201);
    served.put("/site/index.html", "patched").expect(200);
    served.delete("/site/gone/").expect(200);
    served.delete("/site/assets/app.js").expect(200);
    let now = site(&[("index.html", b"patched"), ("kind", b"a file"), ("more/page.html", b"more")]);
    assert_eq!(contents(root), now);
    assert!(!root.join("gone").exists() && !root.join("assets").exists(), "no empty folder stays");
    served.kill();

    let before = listing(&pod.volume());
    drop(pod.serve());
    assert_unchanged(&before, &listing(&pod.volume()), "a start that has nothing to do");
    assert_eq!(nginx.get("/").expect(200).text(), "patched");
}

#[test]
fn one_link_one_level_up() {
    let pod = Pod::new();
    the_main_job(&pod, &["--link", "html"], &pod.volume().join("html"));
    let names: Vec<_> = fs::read_dir(pod.volume()).expect("listed").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "the link and the state: {names:?}");
    let target = fs::read_link(pod.volume().join("html")).expect("a link");
    assert!(target.starts_with(".longshore/trees"), "{}", target.display());
}

#[test]
fn plain_files() {
    let pod = Pod::new();
    the_main_job(&pod, &["--layout", "files"], &pod.volume());
    for path in ["index.html", "more/page.html"] {
        assert!(fs::symlink_metadata(pod.volume().join(path)).expect("there").is_file(), "{path} is no link");
    }
    assert!(fs::symlink_metadata(pod.volume().join("more")).expect("there").is_dir());
}

#[test]
fn a_layout_is_for_good() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    pod.fill(&seed).expect(0);
    for flags in [["--layout", "files"], ["--link", "html"]] {
        let run = pod.fill_with(&[&["--from", text(&seed)], &flags[..]].concat()).expect(7);
        assert!(run.stderr.contains("docroot") && run.stderr.contains("hint: "), "{}", run.stderr);
    }
    pod.fill_with(&["--from", text(&seed), "--layout", "docroot"]).expect(0);
}

#[test]
fn what_lies_beside_the_link_is_left_alone() {
    let pod = Pod::new();
    fs::write(pod.volume().join("README"), "somebody's").expect("written");
    let seed = pod.folder("seed", &[("index.html", "page"), ("README", "ours")]);
    pod.fill_with(&["--from", text(&seed), "--link", "html"]).expect(0);
    assert_eq!(fs::read(pod.volume().join("html/README")).expect("read"), b"ours");
    assert_eq!(fs::read(pod.volume().join("README")).expect("read"), b"somebody's");
}

#[test]
fn what_lies_beside_the_files_is_left_alone() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a")]);
    pod.fill_with(&["--from", text(&seed), "--layout", "files"]).expect(0);
    fs::write(pod.volume().join("assets/theirs.css"), "somebody's").expect("written");
    let served = pod.serve();
    served.delete("/site/assets/").expect(200);
    assert_eq!(fs::read(pod.volume().join("assets/theirs.css")).expect("read"), b"somebody's");
    assert!(!pod.volume().join("assets/a.css").exists());
}

/// A page of one deploy never names an asset that is not there yet: assets come first.
#[test]
fn plain_files_come_before_the_pages_that_name_them() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "0"), ("assets/0.js", "0")]);
    pod.fill_with(&["--from", text(&seed), "--layout", "files"]).expect(0);
    let served = pod.serve();
    let (volume, ends) = (pod.volume(), Arc::new(AtomicBool::new(false)));
    let over = ends.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = 0;
        while !over.load(Ordering::SeqCst) {
            let page = fs::read_to_string(volume.join("index.html")).expect("a page is always there, whole");
            let asset = volume.join(format!("assets/{page}.js"));
            // The next deploy may have removed it meanwhile; then the page has changed, too.
            let is_there = asset.exists();
            let again = fs::read_to_string(volume.join("index.html")).expect("a page is always there, whole");
            assert!(is_there || again != page, "page {page} came before its asset");
            seen += 1;
        }
        seen
    });
    for number in 1..=60 {
        let (page, asset) = (number.to_string(), format!("assets/{number}.js"));
        served.put("/site/", tar(&[("index.html", page.as_bytes()), (&asset, b"x")])).expect(200);
    }
    ends.store(true, Ordering::SeqCst);
    assert!(reader.join().expect("the reader saw nothing wrong") > 0);
}
