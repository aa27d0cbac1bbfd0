//! Seeds from a bucket: a real S3 server, and the ways in which one fails.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    listing::{assert_unchanged, contents, is_blank, listing},
    part::need,
    pod::{Pod, text},
    proxy::CuttingProxy,
    run::{Run, Runs as _, eventually},
    weed::{BUCKET, SECRET_KEY, Weed, environment},
};

fn url(prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}")
}

fn fill(pod: &Pod, from: &str, environment: [(&'static str, String); 4]) -> Run {
    pod.fill_command(&["--from", from]).envs(environment).run()
}

#[track_caller]
fn assert_blank(pod: &Pod) {
    assert!(is_blank(&pod.volume()));
    assert_eq!(pod.journal().len(), 0);
}

/// Puts a site under a prefix.
fn put_site(weed: &Weed, prefix: &str, site: &BTreeMap<String, Vec<u8>>) {
    weed.put_all(site.iter().map(|(path, bytes)| (format!("{prefix}/{path}"), bytes.clone())));
}

#[test]
fn a_prefix_of_300_files_fills_a_volume() {
    let weed = Weed::shared(&need!("weed"));
    let file = |number: usize| {
        (
            format!("part-{}/deeper/page-{number}.html", number % 7),
            format!("{number};").repeat(number * 13).into_bytes(),
        )
    };
    let site: BTreeMap<_, _> = (0..300).map(file).collect();
    put_site(weed, "three-hundred", &site);
    // A sibling whose name begins alike is not below the prefix.
    weed.put("three-hundred-and-one/stranger.html", "stranger");

    let pod = Pod::new();
    fill(&pod, &url("three-hundred"), weed.environment()).expect(0);
    assert_eq!(contents(&pod.volume()), site);
    let before = listing(&pod.volume());
    fill(&pod, &url("three-hundred"), weed.environment()).expect(0);
    assert_unchanged(&before, &listing(&pod.volume()), "a second fill");

    // A replica that starts in another second.
    std::thread::sleep(Duration::from_millis(1_100));
    let with_slash = Pod::new();
    fill(&with_slash, &url("three-hundred/"), weed.environment()).expect(0);
    assert_eq!(with_slash.release(), pod.release());
    let modified = |pod: &Pod| {
        let page = pod.volume().join("part-1/deeper/page-1.html");
        fs::metadata(page).expect("there").modified().expect("a time")
    };
    assert_eq!(modified(&with_slash), modified(&pod), "the object's own time");

    let local = Pod::new();
    let texts: Vec<_> = site.iter().map(|(path, bytes)| (path.as_str(), String::from_utf8_lossy(bytes))).collect();
    let files: Vec<_> = texts.iter().map(|(path, text)| (*path, &**text)).collect();
    local.fill(local.folder("seed", &files)).expect(0);
    assert_eq!(local.release(), pod.release(), "a release id is of content only, wherever it comes from");
}

#[test]
fn an_object_of_200_mib_needs_less_than_64_mib_of_memory() {
    let weed = Weed::shared(&need!("weed"));
    let piece = |index: usize| (0..1_usize << 20).map(|at| (at * 31 + index * 7 + (at >> 9)) as u8).collect::<Vec<_>>();
    weed.put_large("large/film.bin", 200, piece);
    let pod = Pod::new();
    let run = fill(&pod, &url("large"), weed.environment()).expect(0);
    let film = fs::read(pod.volume().join("film.bin")).expect("it is there");
    assert_eq!(film.len(), 200 << 20);
    for (index, bytes) in film.chunks(1 << 20).enumerate() {
        assert!(bytes == piece(index), "the MiB at {index} differs");
    }
    assert!(run.peak_memory > 1 << 20, "the memory was seen: {}", run.peak_memory);
    assert!(run.peak_memory < 64 << 20, "{} MiB of memory", run.peak_memory >> 20);
}

#[test]
fn keys_with_spaces_unicode_and_plus_arrive_under_their_own_names() {
    let weed = Weed::shared(&need!("weed"));
    let names = [
        "with space/a b  c.html",
        "plus+plus/1+1=2.html",
        "Käse & Brötchen/日本語.html",
        "emoji 🚢.html",
        "percent %20 literal.html",
        "marks !$'()*,;:@[]~.html",
        "hash#and?question.html",
        "index.html",
    ];
    let site: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec())).collect();
    put_site(weed, "odd keys+ü", &site);
    let pod = Pod::new();
    fill(&pod, &url("odd keys+ü"), weed.environment()).expect(0);
    assert_eq!(contents(&pod.volume()), site);
}

#[test]
fn an_archive_in_a_bucket_is_unpacked() {
    let weed = Weed::shared(&need!("weed"));
    let files: [(&str, &[u8]); 2] = [("index.html", b"page"), ("assets/a.css", b"a")];
    let tar = crate::archive::tar(&files);
    let archives = [
        ("archives/site.tar.gz", crate::archive::gzip(&tar)),
        ("archives/site.tar.zst", crate::archive::zstandard(&tar)),
        ("archives/site.zip", crate::archive::zip(&files)),
        ("archives/site.tar", tar),
    ];
    for (key, bytes) in archives {
        weed.put(key, bytes);
        let pod = Pod::new();
        fill(&pod, &url(key), weed.environment()).expect(0);
        assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["assets/a.css", "index.html"], "{key}");
    }
    let pod = Pod::new();
    fill(&pod, &url("archives/absent.tar.gz"), weed.environment()).expect(3);
    assert_blank(&pod);
}

#[test]
fn an_empty_prefix_and_a_missing_bucket_are_exit_3() {
    let weed = Weed::shared(&need!("weed"));
    for from in [url("nothing-here"), "s3://no-such-bucket-here/site".to_owned()] {
        let pod = Pod::new();
        let run = fill(&pod, &from, weed.environment()).expect(3);
        assert!(run.stderr.contains(&from), "the source is named: {}", run.stderr);
        assert_blank(&pod);
        // The next source takes its place.
        let fallback = pod.folder("fallback", &[("index.html", "placeholder")]);
        let mut fill = pod.fill_command(&["--from", &from, "--from", text(&fallback)]);
        fill.envs(weed.environment()).run().expect(0);
        assert_eq!(contents(&pod.volume())["index.html"], b"placeholder");
    }
}

#[test]
fn a_wrong_key_is_exit_6_and_no_absence() {
    let weed = Weed::shared(&need!("weed"));
    weed.put("locked/index.html", "page");
    let pod = Pod::new();
    let fallback = pod.folder("fallback", &[("index.html", "placeholder")]);
    let mut fill = pod.fill_command(&["--from", &url("locked"), "--from", text(&fallback)]);
    let run = fill.envs(environment(&weed.endpoint(), "a-wrong-secret-of-ours")).run().expect(6);
    assert!(run.stderr.contains("error: ") && run.stderr.contains("hint: "), "{}", run.stderr);
    for secret in ["a-wrong-secret-of-ours", SECRET_KEY] {
        assert!(!run.stderr.contains(secret), "a secret is never said: {}", run.stderr);
    }
    assert_blank(&pod);
}

#[test]
fn folder_markers_are_no_files() {
    let weed = Weed::shared(&need!("weed"));
    let _curl = need!("curl");
    weed.put("markers/index.html", "page");
    // As consoles make them: an empty object whose key ends with a slash.
    let [(_, endpoint), _, (_, key), (_, secret)] = weed.environment();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "-X", "PUT", "--data-binary", "", "--aws-sigv4", "aws:amz:us-east-1:s3"]);
    curl.args(["--user", &format!("{key}:{secret}"), &format!("{endpoint}/{BUCKET}/markers/folder/")]);
    curl.run().expect(0);
    let pod = Pod::new();
    fill(&pod, &url("markers"), weed.environment()).expect(0);
    assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["index.html"]);
}

#[test]
fn keys_that_belong_to_others_do_not_reach_the_volume() {
    let weed = Weed::shared(&need!("weed"));
    for (prefix, key) in [("own", ".longshore/journal/x"), ("kubelet", "..data/x"), ("disk", "lost+found/x")] {
        weed.put(&format!("reserved-{prefix}/index.html"), "page");
        weed.put(&format!("reserved-{prefix}/{key}"), "evil");
        let pod = Pod::new();
        let run = fill(&pod, &url(&format!("reserved-{prefix}")), weed.environment());
        match run.code {
            Some(0) => assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["index.html"], "{key}"),
            _ => {
                assert!(run.stderr.contains(key), "{key} is named: {}", run.stderr);
                assert_blank(&pod);
            }
        }
    }
}

/// Five files of 8 MiB.
fn heavy_site() -> BTreeMap<String, Vec<u8>> {
    let bytes = |number: usize| (0..8_usize << 20).map(|at| (at * 17 + number + (at >> 10)) as u8).collect();
    (0..5).map(|number| (format!("film-{number}.bin"), bytes(number))).collect()
}

#[test]
fn a_server_that_dies_half_way_is_exit_75_and_publishes_nothing() {
    let program = need!("weed");
    // Side by side, since each tries for a minute.
    std::thread::scope(|scope| {
        scope.spawn(|| a_connection_cut_for_good(&program));
        scope.spawn(|| a_server_killed(&program));
    });
}

fn a_connection_cut_for_good(program: &Path) {
    let weed = Weed::shared(program);
    let site = heavy_site();
    put_site(weed, "cut", &site);
    let pod = Pod::new();
    let proxy = CuttingProxy::start(weed.address(), 20 << 20);
    let through_proxy = environment(&format!("http://{}", proxy.address), SECRET_KEY);
    let run = fill(&pod, &url("cut"), through_proxy).expect(75);
    assert!(proxy.has_cut(), "only {} bytes passed", proxy.passed());
    assert!(run.stderr.contains("error: "), "{}", run.stderr);
    assert_blank(&pod);
    fill(&pod, &url("cut"), weed.environment()).expect(0);
    assert!(contents(&pod.volume()) == site, "a later fill is whole");
    assert_eq!(pod.causes(), ["seed"]);
}

#[test]
fn a_connection_cut_for_a_moment_is_retried() {
    let weed = Weed::shared(&need!("weed"));
    let site = heavy_site();
    put_site(weed, "hiccup", &site);
    let pod = Pod::new();
    let proxy = CuttingProxy::start(weed.address(), 20 << 20);
    let through_proxy = environment(&format!("http://{}", proxy.address), SECRET_KEY);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            eventually("the proxy cuts", Duration::from_secs(60), || proxy.has_cut().then_some(()));
            std::thread::sleep(Duration::from_millis(500));
            proxy.heal();
        });
        fill(&pod, &url("hiccup"), through_proxy).expect(0);
    });
    assert!(contents(&pod.volume()) == site, "no half-read object is published");
}

fn a_server_killed(program: &Path) {
    let mut weed = Weed::start(program);
    let piece = |index: usize| vec![index as u8; 1 << 20];
    weed.put_large("killed/film.bin", 200, piece);
    weed.put("killed/index.html", "page");
    let pod = Pod::new();
    let mut command = pod.fill_command(&["--from", &url("killed")]);
    let mut child =
        command.envs(weed.environment()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a fill starts");
    let staging = pod.volume().join(".longshore/staging");
    eventually("the download is under way", Duration::from_secs(30), || {
        assert_eq!(child.try_wait().expect("a child can be waited for"), None, "the fill ended before the server");
        (bytes_below(&staging) >= 4 << 20).then_some(())
    });
    weed.kill();
    assert_eq!(child.try_wait().expect("a child can be waited for"), None, "the fill ended before the server");
    let code = eventually("the fill gives up", Duration::from_secs(100), || {
        child.try_wait().expect("a child can be waited for")
    });
    assert_eq!(code.code(), Some(75));
    assert_blank(&pod);

    weed.start_again();
    fill(&pod, &url("killed"), weed.environment()).expect(0);
    let film = fs::read(pod.volume().join("film.bin")).expect("it is there");
    assert!(film.len() == 200 << 20 && film.chunks(1 << 20).enumerate().all(|(index, bytes)| bytes == piece(index)));
}

/// Bytes in the files below a folder, of which any may vanish meanwhile.
fn bytes_below(folder: &Path) -> u64 {
    let (mut sum, mut folders) = (0, vec![PathBuf::from(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(about) if about.is_dir() => folders.push(entry.path()),
                Ok(about) => sum += about.len(),
                Err(_) => {}
            }
        }
    }
    sum
}
