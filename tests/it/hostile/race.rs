//! A million swaps: while Longshore writes, somebody exchanges its folders for links to the canary.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::world::World;
use crate::{
    archive::tar,
    http::try_call,
    listing::contents,
    pod::{TOKEN, text},
    run::eventually,
};

/// Of each folder; there are three.
const SWAPS: usize = 334_000;

/// Exchanges what is at the place for the link and back, again and again; tells how often.
fn swap(path: &Path, link: &Path, canary: &Path, done: &AtomicBool) -> usize {
    let mut count = 0;
    while count < SWAPS {
        let exchange = || renameat_with(CWD, path, CWD, link, RenameFlags::EXCHANGE).is_ok();
        if exchange() {
            count += 1;
            if exchange() {
                count += 1;
                continue;
            }
        }
        // What was there went meanwhile: it is put back, or it is an old generation that nobody needs.
        if !link.is_symlink() {
            if fs::rename(link, path).is_err() {
                let _ = fs::remove_dir_all(link);
            }
            let _ = std::os::unix::fs::symlink(canary, link);
        }
    }
    done.store(true, Relaxed);
    count
}

/// Writes in every way until it is done; tells how much was published.
fn write(world: &World, done: &AtomicBool) -> (usize, usize) {
    let token = format!("Bearer {TOKEN}");
    let url = |path: &str| world.served.url(path);
    let (mut published, mut refused) = (0, 0);
    let mut number = 0_usize;
    while !done.load(Relaxed) {
        number += 1;
        let (method, path, body) = match number % 4 {
            0 => ("PATCH", "/site/", tar(&[("song", format!("{number}").as_bytes()), ("assets/song", b"mine")])),
            1 => ("PUT", "/site/own/song", format!("own {number}").into_bytes()),
            2 => ("PUT", "/site/assets/song", format!("asset {number}").into_bytes()),
            _ => ("DELETE", "/site/own/song", Vec::new()),
        };
        match try_call(method, &url(path), &[("authorization", &token)], body) {
            Ok(answer) if answer.status < 300 => published += 1,
            _ => refused += 1,
        }
    }
    (published, refused)
}

/// Fills again and again from a seed that changes.
fn fill(world: &World, done: &AtomicBool) -> usize {
    let mut filled = 0;
    let mut number = 0_usize;
    while !done.load(Relaxed) {
        number += 1;
        let seed = world.pod.folder("changing", &[("index.html", "page"), ("assets/song", &number.to_string())]);
        let run = world.pod.fill_with(&["--from", text(&seed), "--when", "always"]);
        filled += usize::from(run.code == Some(0));
    }
    filled
}

#[test]
#[expect(clippy::print_stderr, reason = "the counts are shown with `--nocapture`, and with a failure")]
fn a_million_swaps_of_folders_for_links_do_not_reach_the_canary() {
    let mut total = 0;
    let places = ["own", ".longshore/staging", ".longshore/objects"];
    for name in places {
        let mut world = World::new();
        let (volume, link) = (world.pod.volume(), world.pod.path("link"));
        std::os::unix::fs::symlink(world.canary(), &link).expect("a link is made");
        // Somebody's own folder, which a write to its name adopts.
        fs::create_dir_all(volume.join("own")).expect("a folder is made");
        fs::write(volume.join("own/mine"), "mine").expect("a file is written");
        let place = volume.join(name);
        let done = AtomicBool::new(false);
        let (swaps, (published, refused), filled) = std::thread::scope(|scope| {
            let swaps = scope.spawn(|| swap(&place, &link, world.canary(), &done));
            let filled = scope.spawn(|| fill(&world, &done));
            let written = write(&world, &done);
            (swaps.join().expect("it swaps"), written, filled.join().expect("it fills"))
        });
        eprintln!("{name}: {swaps} swaps, {published} writes and {filled} fills published, {refused} refused");
        total += swaps;
        world.check_canary().unwrap_or_else(|why| panic!("{name}: {why}"));
        // Quiet again: it goes on, started anew if a disk like this was too much for it.
        let token = format!("Bearer {TOKEN}");
        let put = |world: &World| {
            try_call("PUT", &world.served.url("/site/after"), &[("authorization", &token)], "after").ok()
        };
        if put(&world).is_none_or(|answer| answer.status >= 300) {
            world.served = world.pod.serve();
        }
        eventually("it publishes again", Duration::from_secs(20), || {
            put(&world).filter(|answer| answer.status < 300).map(drop)
        });
        let site = contents(&volume);
        assert!(
            !site.values().any(|bytes| bytes.starts_with(b"the canary")),
            "{name}: what lies outside was published"
        );
        world.check_canary().unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    assert!(total >= 1_000_000, "{total} swaps");
}
