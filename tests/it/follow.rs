//! `serve --from`: following a source while serving.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use crate::{
    listing::{assert_unchanged, contents, listing_without_directory_times},
    part::need,
    pod::{Pod, text},
    proxy::CuttingProxy,
    run::eventually,
    served::Served,
    weed::{BUCKET, SECRET_KEY, Weed, environment},
};

/// Serves and follows with the pod's token file, and these flags.
fn follow(pod: &Pod, flags: &[&str], variables: &[(&str, String)]) -> Served {
    let token_file = pod.token_file();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut served = pod.launch(&[&["--token-file", text(&token_file)], flags].concat(), &variables);
    served.wait_until_ready();
    served
}

#[track_caller]
fn soon_live(volume: &Path, path: &str, page: &str, within: Duration) {
    eventually(&format!("{path} is {page:?}"), within, || {
        (fs::read(volume.join(path)).ok()? == page.as_bytes()).then_some(())
    });
}

#[test]
fn a_bucket_is_followed_until_somebody_uploads() {
    let weed = Weed::shared(&need!("weed"));
    let patience = Duration::from_secs(20);
    weed.put("followed/index.html", "one");
    weed.put("followed/old.html", "old");
    let pod = Pod::new();
    let from = format!("s3://{BUCKET}/followed");
    let flags = ["--from", &from, "--every", "1s", "--when", "unmodified"];
    let served = follow(&pod, &flags, &weed.environment());
    soon_live(&pod.volume(), "index.html", "one", patience);

    weed.put("followed/index.html", "two");
    weed.delete("followed/old.html");
    soon_live(&pod.volume(), "index.html", "two", patience);
    // Its link goes just after the flip.
    eventually("what is gone from the bucket is gone", patience, || {
        fs::symlink_metadata(pod.volume().join("old.html")).is_err().then_some(())
    });
    assert!(pod.causes().iter().all(|cause| cause == "seed"), "{:?}", pod.causes());

    served.put("/site/index.html", "uploaded").expect(200);
    let journal = pod.journal();
    weed.put("followed/index.html", "three");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(contents(&pod.volume())["index.html"], b"uploaded", "an upload is never undone by a seed");
    assert_eq!(pod.journal(), journal);
}

#[test]
fn a_bucket_that_is_away_leaves_the_server_ready_and_is_followed_when_it_is_back() {
    let weed = Weed::shared(&need!("weed"));
    weed.put("away/index.html", "one");
    let proxy = CuttingProxy::start(weed.address(), u64::MAX);
    let pod = Pod::new();
    let from = format!("s3://{BUCKET}/away");
    let flags = ["--from", &from, "--every", "1s", "--when", "always"];
    let mut served = follow(&pod, &flags, &environment(&format!("http://{}", proxy.address), SECRET_KEY));
    soon_live(&pod.volume(), "index.html", "one", Duration::from_secs(20));

    proxy.cut();
    weed.put("away/index.html", "two");
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(served.probe("/readyz"), Some(200));
        assert_eq!(served.get("/site/index.html").expect(200).text(), "one");
    }
    served.assert_running();
    proxy.heal();
    soon_live(&pod.volume(), "index.html", "two", Duration::from_secs(60));
}

#[test]
fn a_folder_is_followed_long_before_the_timer() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "one")]);
    let flags = ["--from", text(&seed), "--every", "600s", "--when", "unmodified"];
    let _served = follow(&pod, &flags, &[]);
    let patience = Duration::from_secs(15);
    soon_live(&pod.volume(), "index.html", "one", patience);
    for number in 0..3 {
        let page = format!("changed {number}");
        fs::write(pod.path("next"), &page).expect("it is written");
        fs::rename(pod.path("next"), seed.join("index.html")).expect("it is renamed");
        soon_live(&pod.volume(), "index.html", &page, patience);
        fs::create_dir_all(seed.join("a/b")).expect("folders are made");
        fs::write(seed.join("a/b/c.txt"), &page).expect("it is written");
        soon_live(&pod.volume(), "a/b/c.txt", &page, patience);
    }
}

#[test]
fn a_config_map_that_is_swapped_is_followed_long_before_the_timer() {
    let pod = Pod::new();
    let mount = pod.folder("mount", &[("..1/index.html", "one"), ("..2/index.html", "two")]);
    symlink("..1", mount.join("..data")).expect("a link is made");
    symlink("..data/index.html", mount.join("index.html")).expect("a link is made");
    let flags = ["--from", text(&mount), "--every", "600s", "--when", "unmodified"];
    let _served = follow(&pod, &flags, &[]);
    soon_live(&pod.volume(), "index.html", "one", Duration::from_secs(15));
    symlink("..2", mount.join("..data_tmp")).expect("a link is made");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("it is renamed");
    soon_live(&pod.volume(), "index.html", "two", Duration::from_secs(15));
}

#[test]
fn the_timer_alone_finds_a_change_and_an_idle_source_writes_nothing() {
    let pod = Pod::new();
    let archive = pod.path("site.tar");
    let pack = |page: &str| crate::archive::tar(&[("index.html", page.as_bytes())]);
    fs::write(&archive, pack("one")).expect("it is written");
    // An archive beside others: the timer is the truth, whatever is watched.
    let flags = ["--from", text(&archive), "--every", "1s", "--when", "always"];
    let _served = follow(&pod, &flags, &[]);
    soon_live(&pod.volume(), "index.html", "one", Duration::from_secs(15));
    // It is live a moment before its commit has tidied up.
    eventually("the commit is over", Duration::from_secs(15), || {
        let state = pod.volume().join(".longshore");
        let tidy = fs::read_dir(state.join("staging")).ok()?.next().is_none();
        (tidy && state.join("shown.json").exists()).then_some(())
    });
    let before = listing_without_directory_times(&pod.volume());
    std::thread::sleep(Duration::from_secs(4));
    let after = listing_without_directory_times(&pod.volume());
    assert_unchanged(&before, &after, "following a source that does not change");
    fs::write(&archive, pack("two")).expect("it is written");
    soon_live(&pod.volume(), "index.html", "two", Duration::from_secs(15));
}

#[test]
fn a_source_that_empties_does_not_empty_the_site() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "one"), ("about.html", "about")]);
    let flags = ["--from", text(&seed), "--every", "1s", "--when", "always"];
    let mut served = follow(&pod, &flags, &[]);
    soon_live(&pod.volume(), "index.html", "one", Duration::from_secs(15));
    fs::remove_file(seed.join("index.html")).expect("it is removed");
    fs::remove_file(seed.join("about.html")).expect("it is removed");
    std::thread::sleep(Duration::from_secs(4));
    served.assert_running();
    assert!(!contents(&pod.volume()).is_empty(), "an empty source is refused");
    assert_eq!(served.probe("/readyz"), Some(200));
    fs::write(seed.join("index.html"), "two").expect("it is written");
    soon_live(&pod.volume(), "index.html", "two", Duration::from_secs(15));
}
