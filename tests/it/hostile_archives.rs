//! Hostile archives, through every door that takes one.

use std::{fs, time::Duration};

use tar::{EntryType, Header};

use crate::{
    archive::{Tar, gzip, tar, zip, zstandard},
    hostile::Target,
    listing::{contents, is_blank},
    mount::Tmpfs,
    pod::Pod,
};

/// A file that is fine, so that what comes after it is refused by itself.
fn good() -> Tar {
    Tar::new().file("good.html", b"good")
}

/// A record of an extended header: its length in front counts itself.
fn record(text: &str) -> Vec<u8> {
    let body = format!(" {text}\n");
    let mut length = body.len() + 1;
    while length.to_string().len() + body.len() != length {
        length += 1;
    }
    format!("{length}{body}").into_bytes()
}

/// Archives of which nothing may come in.
fn refused() -> Vec<(String, Vec<u8>)> {
    let mut archives: Vec<(String, Vec<u8>)> = Vec::new();
    let long = "x".repeat(256);
    for path in [
        "/etc/x",
        "../x",
        "a/../../x",
        "a/..",
        "..",
        "a//b",
        ".longshore/journal/x",
        "./.longshore/lock",
        "..data",
        "..data/index.html",
        "lost+found/x",
        ".nfs0001",
        "a\\..\\..\\x",
        "C:\\x",
        "a\nb",
        "a\u{1b}[2J",
        "a\u{202e}b",
    ] {
        archives.push((format!("a file {path:?}"), good().file(path, b"evil").finish()));
        archives.push((
            format!("a long name {path:?}"),
            good()
                .entry(EntryType::GNULongName, "././@LongLink", "", 0o644, path.as_bytes())
                .file("x", b"evil")
                .finish(),
        ));
        if !path.contains('\n') {
            let header = record(&format!("path={path}"));
            let archive = good().entry(EntryType::XHeader, "header", "", 0o644, &header).file("x", b"evil").finish();
            archives.push((format!("an extended path {path:?}"), archive));
        }
    }
    for path in ["../folder/", "/folder/", "..data/", ".longshore/trees/"] {
        let archive = good().entry(EntryType::Directory, path, "", 0o777, b"").finish();
        archives.push((format!("a folder {path:?}"), archive));
    }
    for target in ["/etc/passwd", "../../canary", "..", "good.html"] {
        let link = good().link(EntryType::Symlink, "link", target);
        archives.push((format!("a symlink to {target}"), link.finish()));
        let through = good().link(EntryType::Symlink, "d", target).file("d/f", b"evil");
        archives.push((format!("a file through a symlink to {target}"), through.finish()));
        let chmod = good().link(EntryType::Symlink, "d", target).entry(EntryType::Directory, "d/", "", 0o777, b"");
        archives.push((format!("a folder over a symlink to {target}"), chmod.finish()));
    }
    for target in ["/etc/passwd", "../../canary", ".longshore/lock", "good.html"] {
        archives.push((format!("a hard link to {target}"), good().link(EntryType::Link, "link", target).finish()));
    }
    for (kind, name) in [
        (EntryType::Char, "a character device"),
        (EntryType::Block, "a block device"),
        (EntryType::Fifo, "a FIFO"),
        (EntryType::GNUSparse, "a sparse file"),
        (EntryType::new(b'Z'), "an unknown type"),
    ] {
        archives.push((name.into(), good().entry(kind, "special", "", 0o666, b"").finish()));
    }
    archives.push(("a file under a file".into(), good().file("good.html/below", b"evil").finish()));
    archives.push(("a file over a folder".into(), good().file("d/f", b"f").file("d", b"evil").finish()));
    let name = good().entry(EntryType::GNULongName, "././@LongLink", "", 0o644, long.as_bytes());
    archives.push(("a name of 256 bytes".into(), name.file("x", b"evil").finish()));
    let deep = "a/".repeat(1_000) + "x";
    let name = good().entry(EntryType::GNULongName, "././@LongLink", "", 0o644, deep.as_bytes());
    archives.push(("1,000 levels".into(), name.file("x", b"evil").finish()));
    archives.push(("NUL in an extended path".into(), {
        let header = record("path=a\0b");
        good().entry(EntryType::XHeader, "header", "", 0o644, &header).file("x", b"evil").finish()
    }));
    archives.push(("bytes that are not UTF-8".into(), {
        let name = b"a\xff\xfe.html";
        good().entry(EntryType::GNULongName, "././@LongLink", "", 0o644, name).file("x", b"evil").finish()
    }));

    let whole = good().file("page.html", &[b'x'; 5_000]).finish();
    archives.push(("cut in a body".into(), whole[..3_000].to_vec()));
    archives.push(("cut in a header".into(), whole[..1_024 + 100].to_vec()));
    let mut bad = good().file("x", b"evil").finish();
    bad[1_024 + 150] ^= 1;
    archives.push(("a bad checksum".into(), bad));
    let mut negative = good().file("x", b"evil").finish();
    negative[1_024 + 124..1_024 + 136].fill(0xff);
    archives.push(("a negative size".into(), checked(negative)));
    let mut huge = good().file("x", b"evil").finish();
    huge[1_024 + 124..1_024 + 136].copy_from_slice(&[0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    archives.push((A_SIZE.into(), checked(huge)));
    archives
}

/// The one that is refused by a limit, before anybody sees that it is cut.
const A_SIZE: &str = "a size of 2^62";

/// With the second header's checksum made right.
fn checked(mut archive: Vec<u8>) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&archive[1_024..1_536]);
    header.set_cksum();
    archive[1_024..1_536].copy_from_slice(header.as_bytes());
    archive
}

#[test]
fn no_archive_leaves_the_site_or_brings_anything_but_plain_files() {
    let mut target = Target::new();
    for (what, archive) in refused() {
        let status = if what == A_SIZE { 413 } else { 422 };
        for (method, path) in
            [("PUT", "/site/"), ("PATCH", "/site/"), ("PUT", "/site/assets/"), ("PATCH", "/site/new/")]
        {
            let answer = target.served.call(method, path, archive.clone());
            assert_eq!(answer.status, status, "{method} {path} of {what}: {answer}");
            answer.problem();
        }
        target.assert_unharmed(&what);
        let answer = target.served.put("/site/", gzip(&archive));
        assert_eq!(answer.status, status, "gzip of {what}: {answer}");
        let answer = target.served.put("/site/", zstandard(&archive));
        assert_eq!(answer.status, status, "zstandard of {what}: {answer}");
        target.assert_unharmed(&what);
    }
}

#[test]
fn an_archive_whose_compression_is_cut_short_changes_nothing() {
    let mut target = Target::new();
    let plain = good().file("page.html", &[b'x'; 5_000]).finish();
    for (what, bytes) in [("gzip", gzip(&plain)), ("zstandard", zstandard(&plain))] {
        // Cut anywhere, the checksum at the end included: bytes that look whole were not checked.
        for cut in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 9, bytes.len() - 4, bytes.len() - 1] {
            let answer = target.served.put("/site/", bytes[..cut].to_vec());
            assert_eq!(answer.status, 422, "{what} cut at {cut} of {}: {answer}", bytes.len());
            target.assert_unharmed(what);
        }
        let mut wrong = bytes.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0x55;
        let answer = target.served.put("/site/", wrong);
        assert_eq!(answer.status, 422, "{what} with a wrong byte: {answer}");
        target.assert_unharmed(what);
    }
}

#[test]
fn a_seed_archive_is_no_more_trusted_than_an_upload() {
    for (what, archive) in refused().into_iter().step_by(3) {
        let pod = Pod::new();
        fs::write(pod.path("canary"), "the canary sings").expect("it is written");
        fs::write(pod.path("seed.tar"), &archive).expect("it is written");
        let run = pod.fill(pod.path("seed.tar"));
        assert!(matches!(run.code, Some(1 | 4)), "{what}: {run:?}");
        assert!(is_blank(&pod.volume()) && pod.journal().is_empty(), "{what}");
        assert!(!pod.path("x").exists(), "{what}");
        assert_eq!(fs::read_to_string(pod.path("canary")).expect("it reads"), "the canary sings", "{what}");
    }
}

#[test]
fn hostile_zip_archives_are_refused() {
    let link = {
        use std::io::Write as _;
        let mut archive = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        archive.start_file("good.html", ::zip::write::SimpleFileOptions::default()).expect("memory takes it");
        archive.write_all(b"good").expect("memory takes it");
        archive
            .add_symlink("link", "/etc/passwd", ::zip::write::SimpleFileOptions::default())
            .expect("memory takes it");
        archive.finish().expect("memory takes it").into_inner()
    };
    let mut wrong_sum = zip(&[("good.html", b"good good good good")]);
    let at = wrong_sum.windows(4).position(|four| four == b"good").expect("its name") + "good.html".len();
    wrong_sum[at + 2] ^= 0xff;
    let mut archives = vec![("a symlink", link), ("a wrong byte", wrong_sum)];
    for path in ["../x", "/etc/x", "a/../../x", "..data/x", ".longshore/x", "a\\..\\..\\x", "lost+found/x"] {
        archives.push((path, zip(&[("good.html", b"good"), (path, b"evil")])));
    }
    for (what, archive) in archives {
        let pod = Pod::new();
        fs::write(pod.path("seed.zip"), archive).expect("it is written");
        let run = pod.fill(pod.path("seed.zip"));
        assert!(matches!(run.code, Some(1 | 4)), "{what}: {run:?}");
        assert!(is_blank(&pod.volume()) && pod.journal().is_empty(), "{what}");
        assert!(!pod.path("x").exists(), "{what}");
    }
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
fn one_name_twice_is_refused_or_the_last_one_counts() {
    let pod = Pod::new();
    let served = pod.serve();
    let archive = Tar::new().file("a.html", b"first").file("./a.html", b"second").finish();
    let answer = served.put("/site/", archive);
    match answer.status {
        200 => assert_eq!(contents(&pod.volume())["a.html"], b"second", "as every tar unpacks it"),
        _ => {
            answer.expect(422);
            assert!(is_blank(&pod.volume()));
        }
    }
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
