use std::io::{Cursor, Write as _};

use super::super::{
    Kind, Summary,
    basket::{Basket, expected},
};
use super::*;

fn read(bytes: &[u8]) -> (Basket, Result<Summary, Error>) {
    let basket = Basket::default();
    let outcome = basket.fill(|reading| read_archive(&mut &*bytes, None, reading));
    (basket, outcome)
}

fn refusal(bytes: &[u8]) -> String {
    let error = read(bytes).1.expect_err("it is refused");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

/// One header and its content, written by hand: no crate writes what must be refused.
fn entry(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    sized(kind, name, content, &format!("{:011o}\0", content.len()).into_bytes())
}

fn sized(kind: u8, name: &[u8], content: &[u8], size: &[u8]) -> Vec<u8> {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..124].copy_from_slice(b"0000000\x000000000\0");
    block[124..136].copy_from_slice(size);
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = block.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

fn pax(records: &[Vec<u8>]) -> Vec<u8> {
    entry(b'x', b"pax", &records.concat())
}

fn plain() -> Vec<u8> {
    tar(&[
        entry(b'5', b"./", b""),
        entry(b'5', b"./a/", b""),
        entry(b'0', b"./a/x", b"1"),
        entry(b'0', b"index.html", b"hi"),
    ])
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory")
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = ::zip::write::SimpleFileOptions::default().unix_permissions(0o644);
    for (name, content) in files {
        match name.strip_suffix('/') {
            Some(_) => writer.add_directory(*name, options).expect("memory"),
            None => writer.start_file(*name, options).expect("memory"),
        }
        writer.write_all(content).unwrap_or_default();
    }
    writer.finish().expect("memory").into_inner()
}

#[test]
fn reads_the_same_in_every_format() {
    let zip = zip(&[("a/", b""), ("a/x", b"1"), ("index.html", b"hi")]);
    for bytes in [plain(), gz(&plain()), zst(&plain()), zip] {
        let (basket, outcome) = read(&bytes);
        assert_eq!(outcome.expect("it is plain"), Summary { files: 2, bytes: 3 });
        assert_eq!(basket.files(), expected([("a/x", "1"), ("index.html", "hi")]));
    }
}

#[test]
fn reads_gzip_members_as_one_stream() {
    let plain = plain();
    let (first, second) = plain.split_at(700);
    assert_eq!(read(&[gz(first), gz(second)].concat()).0.files().len(), 2);
}

#[test]
fn reads_long_names() {
    let long = format!("{}/{}.html", "folder/".repeat(20), "x".repeat(120)).replace("//", "/");
    let gnu = [long.as_bytes(), b"\0"].concat();
    let archives = [
        tar(&[pax(&[record("path", &long), record("mtime", "1.5")]), entry(b'0', b"short", b"1")]),
        tar(&[entry(b'L', b"././@LongLink", &gnu), entry(b'0', b"short", b"1")]),
        tar(&[
            entry(b'g', b"pax_global_header", &record("comment", "0123")),
            entry(b'L', b"l", &gnu),
            entry(b'0', b"s", b"1"),
        ]),
    ];
    for bytes in archives {
        let (basket, outcome) = read(&bytes);
        outcome.expect("it is plain");
        assert_eq!(basket.files(), expected([(&long, "1")]));
    }
}

#[test]
fn keeps_the_executable_bit_only() {
    let mut run = entry(b'0', b"run", b"1");
    run[100..108].copy_from_slice(b"0006755\0");
    run[148..156].fill(b' ');
    let sum: u32 = run[..512].iter().map(|byte| u32::from(*byte)).sum();
    run[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(read(&tar(&[run])).0.files(), expected([("run*", "1")]));
}

#[test]
fn refuses_names_that_lead_out() {
    for name in [
        &b"/etc/x"[..],
        b"../x",
        b"a/../../x",
        b"a//b",
        b"a/./b",
        b"x/",
        b"",
        b".longshore/x",
        b"..data",
        b"a\\b",
        b"a\xff",
    ] {
        refusal(&tar(&[entry(b'0', name, b"1")]));
        if let Ok(name) = std::str::from_utf8(name)
            && !name.ends_with('/')
        {
            refusal(&zip(&[(name, b"1")]));
        }
    }
    refusal(&tar(&[pax(&[record("path", "../x")]), entry(b'0', b"good", b"1")]));
    refusal(&tar(&[entry(b'L', b"l", b"/etc/x\0"), entry(b'0', b"good", b"1")]));
    refusal(&tar(&[entry(b'5', b"../x/", b""), entry(b'0', b"good", b"1")]));
}

#[test]
fn refuses_everything_but_files_and_folders() {
    for kind in *b"123467SMVXADZ" {
        let text = refusal(&tar(&[entry(b'0', b"good", b"1"), entry(kind, b"evil", b"")]));
        assert!(text.contains("\"evil\""), "{text}");
    }
    refusal(&tar(&[pax(&[record("GNU.sparse.major", "1")]), entry(b'0', b"a", b"1")]));
    refusal(&tar(&[entry(b'5', b"a/", b"bytes")]));
}

#[test]
fn refuses_names_that_are_there_twice() {
    let pairs = [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a")];
    for (first, second) in pairs {
        refusal(&tar(&[entry(b'0', first.as_bytes(), b"1"), entry(b'0', second.as_bytes(), b"2")]));
    }
    refusal(&tar(&[entry(b'0', b"a", b"1"), entry(b'5', b"a/", b"")]));
    refusal(&tar(&[entry(b'5', b"a/", b""), entry(b'0', b"a", b"1")]));
}

#[test]
fn refuses_what_two_readers_would_read_differently() {
    let a = || entry(b'0', b"a", b"1");
    refusal(&tar(&[pax(&[record("size", "2")]), a()]));
    refusal(&tar(&[pax(&[record("size", "0")]), a()]));
    refusal(&tar(&[pax(&[record("path", "x"), record("path", "y")]), a()]));
    refusal(&tar(&[pax(&[record("path", "x")]), entry(b'L', b"l", b"y\0"), a()]));
    refusal(&tar(&[pax(&[record("path", "x")]), pax(&[record("path", "y")]), a()]));
    refusal(&tar(&[entry(b'x', b"p", b"\n9 path=x\n"), a()]));
    refusal(&tar(&[entry(b'g', b"g", &record("path", "x")), a()]));
    refusal(&tar(&[pax(&[record("path", "x")])]));
    refusal(&tar(&[sized(b'0', b"a", b"1", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")]));
    refusal(&tar(&[sized(b'0', b"a", b"1", b"\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01")]));
    refusal(&tar(&[sized(b'0', b"a", b"1", b"\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff")]));
    refusal(&tar(&[sized(b'0', b"a", b"1", b"-0000000001\0")]));
    refusal(&tar(&[sized(b'x', b"p", b"", b"77777777777\0")]));
    let mut wrong = plain();
    wrong[1030] ^= 1;
    refusal(&wrong);
}

#[test]
fn refuses_an_archive_cut_anywhere() {
    let plain = plain();
    for length in (1..plain.len()).step_by(61) {
        refusal(&plain[..length]);
    }
    let zip = zip(&[("a", b"hello"), ("b", &[7; 300])]);
    for bytes in [gz(&plain), zst(&plain), zip] {
        for length in 1..bytes.len() {
            refusal(&bytes[..length]);
        }
    }
    refusal(b"");
}

#[test]
fn refuses_what_goes_on_after_the_end() {
    let plain = plain();
    refusal(&[&*plain, b"x"].concat());
    refusal(&[&*plain, &*plain].concat());
    refusal(&[gz(&plain), gz(&plain)].concat());
    refusal(&[gz(&plain), b"garbage".to_vec()].concat());
    refusal(&[zst(&plain), b"garbage".to_vec()].concat());
    refusal(&[zip(&[("a", b"1")]), b"x".to_vec()].concat());
    refusal(&[zip(&[("a", b"1")]), zip(&[("b", b"1")])].concat());
    refusal(&[b"x".to_vec(), zip(&[("a", b"1")])].concat());
    read(&[&*plain, &[0; 9216]].concat()).1.expect("GNU tar pads so");
    let lone = entry(b'0', b"a", b"1");
    refusal(&[&*lone, &[0; 512]].concat());
    refusal(&[&*lone, &[0; 512], &*lone, &[0; 1024]].concat());
}

#[test]
fn refuses_damage_and_disguise() {
    let plain = plain();
    let mut damaged = gz(&plain);
    let end = damaged.len();
    damaged[end - 6] ^= 1;
    refusal(&damaged);
    refusal(&gz(&gz(&plain)));
    refusal(&gz(&zip(&[("a", b"1")])));
    refusal(b"<html>not an archive</html>");
    refusal(&[b'x'; 600]);
    assert!(refusal(b"\xfd7zXZ\0").contains("xz"));
}

#[test]
fn an_archive_without_files_is_empty() {
    for bytes in [tar(&[]), tar(&[entry(b'5', b"./", b"")]), gz(&tar(&[])), zip(&[]), zip(&[("a/", b"")])] {
        assert_eq!(read(&bytes).1.expect_err("no file").kind(), Kind::Empty);
    }
}

#[test]
fn believes_no_announced_size() {
    let huge = sized(b'0', b"a", b"1", b"77777777777\0");
    assert!(refusal(&tar(&[huge])).contains("cut short"));
}

/// Where `needle` stands in `bytes` for the `nth` time.
fn find(bytes: &[u8], needle: &[u8], nth: usize) -> usize {
    let places = bytes.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
    places.map(|(at, _)| at).nth(nth).expect("it is there")
}

#[test]
fn refuses_a_zip_that_disagrees_with_itself() {
    let good = || zip(&[("aaaa", b"hello"), ("bbbb", b"world")]);
    let change = |needle: &[u8], nth: usize, offset: usize, to: &[u8]| {
        let mut bytes = good();
        let at = find(&bytes, needle, nth) + offset;
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let local = b"PK\x03\x04";
    let central = b"PK\x01\x02";
    // Another name in the local header than in the directory; the same name twice in both.
    refusal(&change(b"aaaa", 0, 0, b"evil"));
    refusal(&change(b"aaaa", 1, 0, b"evil"));
    let mut twice = change(b"bbbb", 0, 0, b"aaaa");
    let at = find(&twice, b"bbbb", 0);
    twice[at..at + 4].copy_from_slice(b"aaaa");
    refusal(&twice);
    // Sizes, checksum, method, encryption.
    refusal(&change(local, 0, 22, &[9]));
    refusal(&change(central, 0, 24, &[9]));
    refusal(&change(central, 0, 16, &[1, 2, 3, 4]));
    refusal(&change(central, 0, 10, &[77]));
    refusal(&change(central, 0, 8, &[1]));
    // The second entry at the first one's place.
    refusal(&change(central, 1, 42, &[0, 0, 0, 0]));
    // A lie about the number of entries, and about where the directory is.
    refusal(&change(b"PK\x05\x06", 0, 10, &[1, 0]));
    refusal(&change(b"PK\x05\x06", 0, 16, &[0, 0, 0, 0]));
    read(&good()).1.expect("it is good without changes");
}

#[test]
fn refuses_links_in_a_zip() {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = ::zip::write::SimpleFileOptions::default();
    writer.start_file("good", options).expect("memory");
    writer.add_symlink("evil", "/etc/passwd", options).expect("memory");
    let bytes = writer.finish().expect("memory").into_inner();
    assert!(refusal(&bytes).contains("\"evil\""));
}

#[test]
fn tells_a_broken_stream_from_a_broken_archive() {
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::ConnectionReset.into()),
                length => Ok(length),
            }
        }
    }
    let plain = plain();
    for bytes in [&plain[..700], &gz(&plain)[..60], &zst(&plain)[..40], &zip(&[("a", b"1")])[..20]] {
        let basket = Basket::default();
        let error = basket.fill(|reading| read_archive(&mut Broken(bytes), None, reading)).expect_err("it broke");
        assert!(matches!(&error, Error::Body { source } if source.kind() == io::ErrorKind::ConnectionReset), "{error}");
    }
}

#[test]
fn the_taker_ends_a_bomb() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let bomb = gz(&tar(&[entry(b'0', b"bomb", &zeros)]));
    let progress = super::super::Progress::default();
    let sink = |_: &super::super::Item, content: &mut dyn Read| -> Result<(), super::super::Cause> {
        match io::copy(&mut content.take(1024 * 1024), &mut io::sink())? {
            0..1_048_576 => Ok(()),
            _ => Err("the quota is hit".into()),
        }
    };
    let reading = Reading {
        sink: &sink,
        forget: &|_| (),
        scratch: &|| tempfile::tempfile(),
        progress: &progress,
        is_one_of_many: false,
    };
    let outcome = read_archive(&mut &*bomb, None, &reading);
    assert!(matches!(outcome, Err(Error::Sink { source, .. }) if source.to_string() == "the quota is hit"));
}
