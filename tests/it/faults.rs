//! Disks that are full, read-only, or somebody else's: a clear error each, and nothing lost.

use std::{fs, os::unix::fs::chown};

use crate::{
    listing::{assert_unchanged, contents, is_blank, listing, staging_leftovers},
    mount::Tmpfs,
    part::need,
    pod::{Identity, Pod, open_to_all, text},
    run::eventually,
};

/// Bytes that no file system makes smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

#[test]
fn an_upload_to_a_full_disk_is_507_and_the_old_release_serves_on() {
    let pod = Pod::new();
    let Some(disk) = Tmpfs::mount(&pod.volume(), "size=2m,mode=755") else { return };
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("about.html", "about")])).expect(0);
    let mut served = pod.serve();
    let (free, site, journal) = (disk.free(), contents(&pod.volume()), pod.journal());

    let too_much = noise(5 << 20);
    let tar = crate::archive::tar(&[("a.bin", &too_much[..1 << 20]), ("b.bin", &too_much[1 << 20..])]);
    let chunked = |bytes: &[u8]| {
        let pieces: Vec<_> = bytes.chunks(64 << 10).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
    };
    // With its length told beforehand, without it, and as an archive.
    for (path, body) in [
        ("/site/index.html", too_much.clone().into()),
        ("/site/index.html", chunked(&too_much)),
        ("/site/", tar.clone().into()),
        ("/site/", chunked(&tar)),
    ] {
        let answer = served.put(path, body).expect(507);
        answer.problem();
        assert_eq!(served.get("/site/index.html").expect(200).text(), "page");
        assert_eq!(contents(&pod.volume()), site);
        eventually("the space is free again", std::time::Duration::from_secs(3), || {
            (disk.free() + (64 << 10) >= free).then_some(())
        });
        assert_eq!(staging_leftovers(&pod.volume()), Vec::<std::path::PathBuf>::new());
        assert_eq!(served.probe("/readyz"), Some(200), "reading goes on");
    }
    assert_eq!(pod.journal(), journal);
    served.put("/site/small.html", "small").expect(201);
    assert_eq!(contents(&pod.volume())["small.html"], b"small");
    served.rollback(&serde_json::json!({})).expect(200);
    assert_eq!(contents(&pod.volume()), site);
    served.assert_running();
}

#[test]
fn a_disk_without_inodes_is_507_too() {
    let pod = Pod::new();
    let Some(_disk) = Tmpfs::mount(&pod.volume(), "size=64m,nr_inodes=150,mode=755") else { return };
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let names: Vec<_> = (0..400).map(|number| format!("folder/{number}.txt")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    served.put("/site/", crate::archive::tar(&files)).expect(507).problem();
    assert_eq!(contents(&pod.volume()).len(), 1);
    assert_eq!(pod.causes(), ["seed"]);
    served.put("/site/small.html", "small").expect(201);
}

#[test]
fn a_fill_of_a_full_disk_is_exit_5_and_shows_nothing() {
    let pod = Pod::new();
    let Some(disk) = Tmpfs::mount(&pod.volume(), "size=2m,mode=755") else { return };
    let seed = pod.folder("seed", &[("index.html", "page")]);
    fs::write(seed.join("big.bin"), noise(5 << 20)).expect("it is written");
    let run = pod.fill(&seed).expect(5);
    assert!(run.stderr.contains("error: ") && run.stderr.contains("hint: "), "{}", run.stderr);
    assert!(is_blank(&pod.volume()));
    assert_eq!(pod.journal().len(), 0);
    assert!(disk.free() > 1_700 << 10, "the space is free again: {}", disk.free());

    fs::remove_file(seed.join("big.bin")).expect("it is removed");
    pod.fill(&seed).expect(0);
    assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["index.html"]);
    // A seed that changed and grew too big leaves the old one.
    fs::write(seed.join("big.bin"), noise(5 << 20)).expect("it is written");
    pod.fill_with(&["--from", text(&seed), "--when", "always"]).expect(5);
    assert_eq!(contents(&pod.volume()).keys().collect::<Vec<_>>(), ["index.html"]);
    assert_eq!(pod.causes(), ["seed"]);
}

#[test]
fn a_read_only_volume_is_exit_6_for_fill_and_still_read_by_serve() {
    let pod = Pod::new();
    let Some(disk) = Tmpfs::mount(&pod.volume(), "size=8m,mode=755") else { return };
    let seed = pod.folder("seed", &[("index.html", "page")]);
    disk.make_read_only();
    let run = pod.fill(&seed).expect(6);
    assert!(run.stderr.contains("error: ") && run.stderr.contains("hint: "), "{}", run.stderr);
    assert!(run.stderr.contains(text(&pod.volume())), "the path is named: {}", run.stderr);
    assert!(run.stderr.contains("ead-only"), "the reason is named: {}", run.stderr);
    assert!(listing(&pod.volume()).len() == 1, "still blank");

    disk.make_writable();
    pod.fill(&seed).expect(0);
    disk.make_read_only();
    let before = listing(&pod.volume());
    pod.folder("seed", &[("index.html", "another page")]);
    pod.fill_with(&["--from", text(&seed), "--when", "always"]).expect(6);

    let mut served = pod.serve();
    assert_eq!(served.get("/site/index.html").expect(200).text(), "page");
    assert_eq!(served.releases().len(), 1);
    let tar = crate::archive::tar(&[("index.html", b"evil")]);
    for answer in [served.put("/site/index.html", "new"), served.put("/site/", tar), served.delete("/site/index.html")]
    {
        assert_eq!(answer.status, 500, "{answer}");
        assert_eq!(answer.problem(), "volume-not-writable");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains("ead-only"), "the reason is named: {detail}");
        assert!(detail.contains(".longshore") || detail.contains(text(&pod.volume())), "the path is named: {detail}");
    }
    assert_unchanged(&before, &listing(&pod.volume()), "writing to a read-only volume");
    served.assert_running();

    disk.make_writable();
    served.put("/site/index.html", "new").expect(200);
    assert_eq!(contents(&pod.volume())["index.html"], b"new", "and it goes on when the volume is writable again");
}

#[test]
fn a_volume_of_another_user_is_exit_6_with_the_path_named() {
    let (_root, _setpriv) = (need!("root"), need!("setpriv"));
    let pod = Pod::new().run_as(Identity { user: 65_532, group: 65_532, supplementary: None });
    let seed = pod.folder("seed", &[("index.html", "page")]);
    let before = listing(&pod.volume());
    let run = pod.fill(&seed).expect(6);
    assert!(run.stderr.contains(text(&pod.volume())), "the path is named: {}", run.stderr);
    assert!(run.stderr.contains("ermission denied"), "the reason is named: {}", run.stderr);
    assert!(run.stderr.contains("hint: "), "the cure is named: {}", run.stderr);
    assert_unchanged(&before, &listing(&pod.volume()), "a fill of somebody else's volume");

    let served = pod.serve();
    let answer = served.put("/site/index.html", "page").expect(500);
    assert_eq!(answer.problem(), "volume-not-writable");
    assert_unchanged(&before, &listing(&pod.volume()), "an upload to somebody else's volume");
    drop(served);

    // Once it is theirs, it works: the hint's cure is one.
    chown(pod.volume(), Some(65_532), Some(65_532)).expect("it is given away");
    pod.fill(&seed).expect(0);
    assert_eq!(contents(&pod.volume())["index.html"], b"page");
}

#[test]
fn a_source_that_may_not_be_read_is_exit_6() {
    let (_root, _setpriv) = (need!("root"), need!("setpriv"));
    let pod = Pod::new().run_as(Identity { user: 65_532, group: 65_532, supplementary: None });
    chown(pod.volume(), Some(65_532), Some(65_532)).expect("it is given away");
    let seed = pod.folder("seed", &[("index.html", "page"), ("secret.html", "secret")]);
    open_to_all(&seed);
    fs::set_permissions(seed.join("secret.html"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("its mode is set");
    let run = pod.fill(&seed).expect(6);
    assert!(run.stderr.contains("secret.html"), "the path is named: {}", run.stderr);
    assert!(is_blank(&pod.volume()), "half a source is never published");
}

#[test]
fn a_volume_that_is_absent_or_no_directory_is_an_error_that_names_it() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "page")]);
    fs::write(pod.path("file"), "no directory").expect("it is written");
    for volume in ["absent", "file"] {
        let run = crate::run::Runs::run(&mut pod.command(&[
            "fill",
            "--volume",
            text(&pod.path(volume)),
            "--from",
            text(&seed),
        ]));
        assert!(matches!(run.code, Some(1 | 2 | 6)), "{volume}: {run:?}");
        assert!(run.stderr.contains(text(&pod.path(volume))), "{volume} is named: {}", run.stderr);
    }
    assert!(!pod.path("absent").exists(), "a volume that nobody mounted is not made up");
}
