//! What is kept of the past, what goes, and going back on a full disk.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    archive::tar,
    listing::contents,
    mount::Tmpfs,
    part::need,
    pod::{Pod, text},
    run::{Runs as _, eventually},
    served::{Served, to},
    uploads::hex,
};

/// Cleaning comes every second.
const BRIEF: &[&str] = &["--keep-releases", "2", "--keep-for", "2s"];
const SOON: Duration = Duration::from_secs(30);

/// The numbers of the entries that are kept, newest first.
fn kept(served: &Served) -> Vec<u64> {
    served.releases().iter().map(|entry| entry["seq"].as_u64().expect("a number")).collect()
}

#[track_caller]
fn wait_until_kept(served: &Served, wanted: &[u64]) {
    eventually(&format!("just {wanted:?} are kept"), SOON, || (kept(served) == wanted).then_some(()));
}

/// The digests of the objects on the volume, each read again.
fn objects(volume: &Path) -> BTreeSet<String> {
    let fans = fs::read_dir(volume.join(".longshore/objects")).expect("there are objects").flatten();
    let files = fans.flat_map(|fan| fs::read_dir(fan.path()).expect("it lists").flatten());
    files.map(|file| hex(&fs::read(file.path()).expect("it reads"))).collect()
}

#[track_caller]
fn assert_whole(pod: &Pod) {
    pod.command(&["verify", "--volume", text(&pod.volume())]).run().expect(0);
}

#[test]
fn eleven_uploads_of_a_file_leave_every_way_back_and_no_more_than_that() {
    let pod = Pod::new();
    let served = pod.serve_with(BRIEF);
    let sites: [&[(&str, &[u8])]; 3] =
        [&[("index.html", b"first"), ("old.txt", b"old")], &[("index.html", b"second")], &[("index.html", b"third")]];
    for site in sites {
        served.put("/site/", tar(site)).expect(200);
    }
    for number in 1..=11 {
        served.put("/site/index.html", format!("by hand {number}")).expect(200);
    }
    wait_until_kept(&served, &[14, 3, 2]);
    eventually("what nothing names is gone", SOON, || (objects(&pod.volume()).len() == 3).then_some(()));
    assert_eq!(objects(&pod.volume()), ["second", "third", "by hand 11"].map(|text| hex(text.as_bytes())).into());
    assert_whole(&pod);
    for (gone, why) in [(json!(5), "not kept any more"), (json!(1), "not kept any more"), (json!(77), "no release 77")]
    {
        let answer = served.rollback(&to(gone)).expect(404);
        assert_eq!(answer.problem(), "no-such-release");
        assert!(answer.text().contains(why), "{answer}");
    }
    served.rollback(&json!({})).expect(200);
    assert_eq!(contents(&pod.volume())["index.html"], b"third");
    served.rollback(&to(2)).expect(200);
    assert_eq!(contents(&pod.volume())["index.html"], b"second");
    wait_until_kept(&served, &[16, 3, 2]);
    served.rollback(&to(3)).expect(200);
    assert_whole(&pod);
    let metrics = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").text();
    let removed = metrics.lines().find_map(|line| line.strip_prefix("longshore_removed_objects_total "));
    assert!(removed.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count >= 12)), "{metrics}");
    assert!(metrics.contains("longshore_last_cleaning_timestamp_seconds 1"), "{metrics}");
}

#[test]
fn bytes_come_back_also_after_the_time_watched_was_lost() {
    let pod = Pod::new();
    let served = pod.serve_with(&["--keep-releases", "1", "--keep-for", "1s"]);
    served.put("/site/", tar(&[("index.html", b"page")])).expect(200);
    for number in 0..5_u8 {
        served.put("/site/big.bin", vec![number; 1 << 20]);
        // Torn, as by a power cut.
        fs::write(pod.volume().join(".longshore/watched.json"), "{\"watched\":99999999").expect("written");
    }
    eventually("only the newest is left", SOON, || (objects(&pod.volume()).len() == 2).then_some(()));
    assert_eq!(kept(&served), [6, 1]);
    assert_whole(&pod);
}

#[test]
fn hundreds_of_entries_are_folded_and_read_on_by_others() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("index.html", "seed")]);
    pod.fill(&seed).expect(0);
    let served = pod.serve();
    for number in 2..=300 {
        served.put("/site/index.html", format!("by hand {number}")).expect(200);
    }
    let before: Vec<(Value, Vec<u8>)> = pod.journal();
    pod.folder("seed", &[("index.html", "another seed")]);
    pod.fill_with(&["--from", text(&seed), "--when", "always"]).expect(0);
    let journal = pod.volume().join(".longshore/journal");
    let names: BTreeSet<_> =
        fs::read_dir(&journal).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
    let wanted = [format!("{:020}-{:020}.jsonl", 1, 300), format!("{:020}.json", 301)];
    assert_eq!(names, wanted.clone().map(Into::into).into());
    let segment = fs::read(journal.join(&wanted[0])).expect("read");
    let lines: Vec<u8> = before.into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert!(segment.ends_with(&lines), "byte for byte");
    assert_whole(&pod);

    // The process that was there before, and one that comes after.
    for (served, back) in [(&served, 3), (&pod.serve(), 250)] {
        let releases = served.get("/v1/releases?limit=1000").expect(200).json();
        let seqs: Vec<_> =
            releases["releases"].as_array().expect("a list").iter().map(|entry| entry["seq"].clone()).collect();
        let newest = seqs[0].as_u64().expect("a number");
        assert_eq!(seqs, (1..=newest).rev().map(Value::from).collect::<Vec<_>>());
        served.rollback(&to(back)).expect(200);
        assert_eq!(contents(&pod.volume())["index.html"], format!("by hand {back}").into_bytes());
        served.put("/site/index.html", format!("on from {back}")).expect(200);
    }
    assert_whole(&pod);
}

#[test]
fn cleaning_takes_nothing_that_somebody_is_about_to_name() {
    let pod = Pod::new();
    let flags = &["--keep-releases", "1", "--keep-for", "1ms"];
    let servers = [pod.serve_with(flags), pod.serve_with(flags)];
    servers[0].put("/site/", tar(&[("index.html", b"page")])).expect(200);
    // The same few contents come and go, and each is an object that was just removed, or is about to be.
    std::thread::scope(|scope| {
        for (served, name) in servers.iter().zip(["a", "b"]) {
            scope.spawn(move || {
                for number in 0..150 {
                    let answer = served.put(&format!("/site/{name}/{}", number % 2), format!("content {}", number % 5));
                    assert!(matches!(answer.status, 200 | 201), "{answer}");
                    let back = served.rollback(&json!({}));
                    assert!(matches!(back.status, 200 | 409), "{back}");
                }
            });
        }
    });
    assert_whole(&pod);
    let removed: u64 = servers
        .iter()
        .map(|served| {
            let metrics = crate::http::call("GET", &format!("http://{}/metrics", served.probes), &[], "").text();
            let line = metrics.lines().find_map(|line| line.strip_prefix("longshore_removed_objects_total "));
            line.expect("it is counted").parse::<u64>().expect("a number")
        })
        .sum();
    assert!(removed > 0, "nothing was removed meanwhile");
}

/// Fills a volume to its end, goes back without the reserve, which fails, and with it.
fn go_back_on_a_full_disk(options: &str, eat: impl Fn(&Path)) {
    let pod = Pod::new();
    let Some(_disk) = Tmpfs::mount(&pod.volume(), options) else { return };
    // Long enough that no cleaning comes between, but for the one that makes the reserve.
    let served = pod.serve_with(&["--keep-for", "2s"]);
    let first: Vec<_> = (0..20).map(|number| format!("folder-{}/{number}.txt", number % 4)).collect();
    let first: Vec<_> = first.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    served.put("/site/", tar(&first)).expect(200);
    served.put("/site/?max-delete=all", tar(&[("index.html", b"second")])).expect(200);
    let second = contents(&pod.volume());
    let reserve = pod.volume().join(".longshore/reserve");
    let held = || fs::read_dir(&reserve).map_or(0, |list| list.count());
    eventually("something is held back", SOON, || (held() > 20).then_some(()));

    // Uploads never use it.
    let ballast = pod.volume().join(".longshore/uploads");
    eat(&ballast);
    served.put("/site/more.txt", "more").expect(507).problem();
    assert!(held() > 20);
    served.rollback(&to(1)).expect(200);
    assert_eq!(contents(&pod.volume()).len(), first.len());
    assert_eq!(held(), 0, "it was used");

    eat(&ballast);
    served.rollback(&to(2)).expect(507).problem();
    assert_eq!(contents(&pod.volume()).len(), first.len(), "as before");
    for file in fs::read_dir(&ballast).expect("listed") {
        fs::remove_file(file.expect("an entry").path()).expect("removed");
    }
    eventually("it is held back again", SOON, || (held() > 20).then_some(()));
    served.rollback(&to(2)).expect(200);
    assert_eq!(contents(&pod.volume()), second);
    assert_whole(&pod);
}

#[test]
fn a_rollback_works_on_a_disk_without_a_byte() {
    let _mount = need!("mount");
    go_back_on_a_full_disk("size=16m,mode=755", |folder| {
        let name = (0..).map(|number| folder.join(format!("ballast-{number}"))).find(|name| !name.exists());
        // Writing ends with the last page.
        let mut file = fs::File::create(name.expect("there is one")).expect("made");
        while std::io::Write::write(&mut file, &[1; 4_096]).is_ok() {}
    });
}

#[test]
fn a_rollback_works_on_a_disk_without_an_inode() {
    let _mount = need!("mount");
    go_back_on_a_full_disk("size=64m,nr_inodes=4000,mode=755", |folder| {
        (0..).map_while(|number| fs::File::create(folder.join(format!("ballast-{number}"))).ok()).count();
    });
}
