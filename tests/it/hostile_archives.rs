//! Archives that are odd or large; hostile ones are in `hostile`.

use std::{fs, time::Duration};

use tar::EntryType;

use crate::{
    archive::{Tar, gzip, tar, zstandard},
    listing::contents,
    mount::Tmpfs,
    pod::Pod,
};

/// A record of an extended header: its length in front counts itself.
fn record(text: &str) -> Vec<u8> {
    let body = format!(" {text}\n");
    let mut length = body.len() + 1;
    while length.to_string().len() + body.len() != length {
        length += 1;
    }
    format!("{length}{body}").into_bytes()
}

#[test]
fn modes_and_owners_are_normalised() {
    use std::os::unix::fs::MetadataExt as _;
    let pod = Pod::new();
    let served = pod.serve();
    let modes =
        [("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o1777), ("open", 0o777), ("closed", 0), ("plain", 0o644)];
    let mut archive = Tar::new().entry(EntryType::Directory, "folder/", "", 0o7777, b"");
    for (name, mode) in modes {
        archive = archive.entry(EntryType::Regular, &format!("folder/{name}"), "", mode, name.as_bytes());
    }
    served.put("/site/", archive.finish()).expect(200);
    for (name, mode) in modes {
        let about = fs::metadata(pod.volume().join("folder").join(name)).expect("it is there");
        let expected = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
        assert_eq!(about.mode() & 0o7777, expected, "{name}");
        assert_eq!(about.uid(), rustix::process::geteuid().as_raw(), "{name}");
        assert_ne!(about.gid(), 4_242, "{name}");
    }
    let folder = fs::metadata(pod.volume().join("folder")).expect("it is there");
    assert_eq!(folder.mode() & 0o7777, 0o755);
}

#[test]
fn what_a_tar_normally_holds_is_no_escape() {
    let pod = Pod::new();
    let served = pod.serve();
    let pax = record("path=ü/long name.html");
    let archive = Tar::new()
        .entry(EntryType::XGlobalHeader, "pax_global_header", "", 0o644, &record("comment=0123456789abcdef"))
        .entry(EntryType::Directory, "./", "", 0o755, b"")
        .entry(EntryType::Directory, "./assets/", "", 0o755, b"")
        .file("./assets/a.css", b"a")
        .entry(EntryType::XHeader, "header", "", 0o644, &pax)
        .file("x", b"long")
        .finish();
    served.put("/site/", archive).expect(200);
    let site = contents(&pod.volume());
    assert_eq!(site.keys().collect::<Vec<_>>(), ["assets/a.css", "ü/long name.html"]);
}

#[test]
fn a_bomb_fills_neither_memory_nor_the_volume_for_good() {
    let pod = Pod::new();
    let Some(disk) = Tmpfs::mount(&pod.volume(), "size=16m,mode=755") else { return };
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let free = disk.free();
    let bomb = tar(&[("bomb.bin", &vec![0; 300 << 20])]);
    for (what, bytes) in [("gzip", gzip(&bomb)), ("zstandard", zstandard(&bomb))] {
        assert!(bytes.len() < 3 << 20, "{what} makes it small: {}", bytes.len());
        let answer = served.put("/site/", bytes);
        assert!(matches!(answer.status, 413 | 422 | 507), "{what}: {answer}");
        answer.problem();
        assert!(served.peak_memory() < 64 << 20, "{what}: {} MiB of memory", served.peak_memory() >> 20);
        crate::run::eventually("the space is free again", Duration::from_secs(3), || {
            (disk.free() + (128 << 10) >= free).then_some(())
        });
    }
    assert_eq!(pod.causes(), ["seed"]);
    served.put("/site/small.html", "small").expect(201);
}
