//! `--linger`: a page that is open in a browser still finds the assets of its own release, for a while.

use std::{fs, time::Duration};

use serde_json::json;

use crate::{
    archive::tar,
    listing::contents,
    nginx::Nginx,
    part::need,
    pod::{Pod, text},
    run::eventually,
};

const FIRST: &[(&str, &[u8])] =
    &[("index.html", b"1"), ("assets/app-1.js", b"one"), ("only-1/x/y.css", b"y"), ("old.txt", b"o")];
const SECOND: &[(&str, &[u8])] = &[("index.html", b"2"), ("assets/app-2.js", b"two")];
const LINGER: &[&str] = &["--linger", "1h"];

fn names(pod: &Pod, root: &str) -> Vec<String> {
    contents(&pod.volume().join(root)).into_keys().collect()
}

/// For each layout: its flags, and the document root in the volume.
fn in_each_layout(test: impl Fn(&Pod, &[&str], &str)) {
    for (flags, root) in
        [(&["--layout", "docroot"][..], ""), (&["--link", "html"], "html"), (&["--layout", "files"], "")]
    {
        let pod = Pod::new();
        test(&pod, &[flags, LINGER].concat(), root);
    }
}

#[test]
fn dropped_files_stay_reachable_and_count_nowhere() {
    let program = need!("nginx");
    in_each_layout(|pod, flags, root| {
        let served = pod.serve_with(flags);
        served.put("/site/", tar(FIRST)).expect(200);
        let nginx = Nginx::start(&program, &pod.volume().join(root));
        let tag = nginx.get("/assets/app-1.js").expect(200).header("etag").to_owned();
        served.put("/site/", tar(SECOND)).expect(200);
        assert_eq!(nginx.get("/").expect(200).text(), "2");
        for (path, text) in [("/assets/app-1.js", "one"), ("/only-1/x/y.css", "y"), ("/old.txt", "o")] {
            assert_eq!(nginx.get(path).expect(200).text(), text, "{flags:?}");
            served.get(&format!("/site{path}")).expect(404);
        }
        assert_eq!(nginx.get("/assets/app-1.js").header("etag"), tag, "it is the very file");
        let release = &served.releases()[0];
        assert_eq!(release["release"].as_str().expect("an id"), pod.release());

        // They survive a restart and further patches, and a new file at their path wins.
        drop(served);
        let served = pod.serve_with(flags);
        served.put("/site/index.html", "3").expect(200);
        served.put("/site/new/page.html", "n").expect(201);
        assert_eq!(nginx.get("/assets/app-1.js").expect(200).text(), "one");
        served.put("/site/assets/app-1.js", "again").expect(201);
        assert_eq!(nginx.get("/assets/app-1.js").expect(200).text(), "again");
        // A file where they had a folder, a folder where they had a file.
        served.put("/site/only-1", "file now").expect(201);
        served.put("/site/old.txt/x", "folder now").expect(201);
        assert_eq!(nginx.get("/only-1").expect(200).text(), "file now");
        assert_eq!(nginx.get("/old.txt/x").expect(200).text(), "folder now");
        drop(served);
        let log = pod.serve_with(flags).terminate().stderr;
        assert!(!log.contains("by hand"), "what lingers is no drift: {log}");
    });
}

#[test]
fn deleting_and_rolling_back_purge_at_once() {
    in_each_layout(|pod, flags, root| {
        let served = pod.serve_with(flags);
        served.put("/site/", tar(FIRST)).expect(200);
        let first = pod.release();
        served.put("/site/", tar(SECOND)).expect(200);
        assert_eq!(names(pod, root).len(), 5, "{flags:?}");
        // What somebody deletes is gone, whether it was live or lingering.
        served.delete("/site/assets/app-2.js").expect(200);
        served.delete("/site/assets/app-1.js").expect(200);
        served.delete("/site/only-1/").expect(200);
        served.delete("/site/only-1/").expect(404);
        assert_eq!(names(pod, root), ["index.html", "old.txt"], "{flags:?}");
        assert!(!pod.volume().join(root).join("assets").exists(), "{flags:?}");

        served.put("/site/", tar(FIRST)).expect(200);
        served.put("/site/", tar(SECOND)).expect(200);
        served.put("/site/bad.js", "bad").expect(201);
        served.put("/site/?max-delete=all", tar(&[("index.html", b"4")])).expect(200);
        assert!(names(pod, root).contains(&"bad.js".into()));
        served.rollback(&json!({ "to": first })).expect(200);
        let all: Vec<_> = contents(&pod.volume().join(root)).into_keys().collect();
        assert_eq!(all, ["assets/app-1.js", "index.html", "old.txt", "only-1/x/y.css"], "{flags:?}");
    });
}

#[test]
fn their_time_ends() {
    in_each_layout(|pod, flags, root| {
        let flags: Vec<_> = flags.iter().map(|flag| if *flag == "1h" { "3s" } else { flag }).collect();
        let served = pod.serve_with(&flags);
        served.put("/site/", tar(FIRST)).expect(200);
        served.put("/site/", tar(SECOND)).expect(200);
        assert!(names(pod, root).contains(&"assets/app-1.js".into()));
        eventually("what lingered goes", Duration::from_secs(20), || {
            // Its link goes last, and dangles for a moment.
            fs::symlink_metadata(pod.volume().join(root).join("old.txt")).is_err().then_some(())
        });
        eventually("what lingered goes", Duration::from_secs(20), || {
            // By name: between two steps of a publish a link at the root leads nowhere.
            let root = pod.volume().join(root);
            let is_gone = ["assets/app-1.js", "only-1/x/y.css", "old.txt"].iter().all(|path| !root.join(path).exists());
            is_gone.then_some(())
        });
        eventually("no empty folder stays, nor a link that leads nowhere", Duration::from_secs(20), || {
            let there =
                ["only-1", "old.txt"].map(|name| fs::symlink_metadata(pod.volume().join(root).join(name)).is_ok());
            (there == [false; 2]).then_some(())
        });
        assert_eq!(names(pod, root), ["assets/app-2.js", "index.html"]);
    });
}

#[test]
fn a_seed_that_changes_lets_files_linger_too() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "1"), ("app-1.js", "one")])).expect(0);
    let seed = pod.folder("seed", &[("index.html", "2"), ("app-2.js", "two")]);
    pod.fill_with(&["--from", text(&seed), "--when", "always", "--linger", "1h"]).expect(0);
    assert_eq!(names(&pod, ""), ["app-1.js", "app-2.js", "index.html"]);
    pod.fill_with(&["--from", text(&seed)]).expect(0);
    assert_eq!(names(&pod, ""), ["app-1.js", "app-2.js", "index.html"]);
}

#[test]
fn a_rollback_that_fails_leaves_what_lingers() {
    let pod = Pod::new();
    let served = pod.serve_with(LINGER);
    served.put("/site/", tar(FIRST)).expect(200);
    let first = served.get("/site/index.html").expect(200).header("etag").trim_matches('"').to_owned();
    served.put("/site/", tar(SECOND)).expect(200);
    let before = names(&pod, "");
    fs::remove_file(pod.volume().join(".longshore/objects").join(&first[..2]).join(&first[2..])).expect("it is lost");
    served.rollback(&json!({ "to": 1 })).expect(500);
    assert_eq!(names(&pod, ""), before);
    let list = fs::read_to_string(pod.volume().join(".longshore/lingering.json")).expect("a list");
    assert!(list.contains("assets/app-1.js") && list.contains("old.txt"), "{list}");
    // And one to what is live purges, though nothing else changes.
    served.rollback(&json!({ "to": 2 })).expect(200);
    assert_eq!(names(&pod, ""), ["assets/app-2.js", "index.html"]);
}
