//! A few kilobytes that unpack to a lot: whatever they say, they take little memory and change nothing.

use std::io::Write as _;

use crate::{
    archive::{zip, zstandard},
    http::{Answer, call},
    listing::{contents, staging_leftovers},
    pod::{Pod, TOKEN},
    served::Served,
    uploads::hex,
};

fn deploy(served: &Served, packed: Vec<u8>) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", &*authorization), ("content-encoding", "zstd")];
    call("POST", &served.url("/v1/releases"), &headers, packed)
}

/// A start, the same text many times, an end: as a small body.
fn repeated(start: &str, text: &str, times: usize, end: &str) -> Vec<u8> {
    let mut packed = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
    let thousand = text.repeat(1_000);
    packed.write_all(start.as_bytes()).expect("memory takes it");
    for _ in 0..times / 1_000 {
        packed.write_all(thousand.as_bytes()).expect("memory takes it");
    }
    packed.write_all(end.as_bytes()).expect("memory takes it");
    packed.finish().expect("memory takes it")
}

/// Paths of 128 levels, each in folders of its own.
fn deep(n: usize) -> String {
    format!("{n}{}", "/a".repeat(127))
}

#[test]
fn a_small_body_takes_little_memory_whatever_it_says() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/index.html", "page").expect(201);
    let file = format!("{{\"digest\":\"{}\",\"size\":4}}", hex(b"page"));
    let folders: Vec<String> = (0..20_000).map(|n| format!("\"{}\":{file}", deep(n))).collect();
    let bodies = [
        ("blanks", 413, "too-large", repeated("", " ", 80 << 20, "")),
        (
            "one removed four million times",
            409,
            "empty-site",
            repeated("{\"base\":1,\"remove\":[", "\"index.html\",", 4_000_000, "\"index.html\"]}"),
        ),
        ("a million removed", 400, "bad-request", {
            let paths: Vec<String> = (0..1_000_000).map(|n| format!("\"{n}\"")).collect();
            zstandard(format!("{{\"base\":1,\"remove\":[{}]}}", paths.join(",")).as_bytes())
        }),
        ("a base of many numbers", 400, "bad-request", repeated("{\"base\":[", "0,", 30_000_000, "0]}")),
        ("a base of one long number", 400, "bad-request", repeated("{\"base\":", "1", 16 << 20, "}")),
        ("a long message", 400, "bad-request", repeated("{\"base\":1,\"message\":\"", "m", 1_000_000, "\"}")),
        ("a long path", 400, "bad-request", repeated("{\"manifest\":{\"", "m", 16 << 20, &format!("\":{file}}}}}"))),
        (
            "folders in folders",
            413,
            "too-many-files",
            zstandard(format!("{{\"manifest\":{{{}}}}}", folders.join(",")).as_bytes()),
        ),
    ];
    for (what, status, problem, body) in bodies {
        assert!(body.len() < 4 << 20, "{what}: {} bytes", body.len());
        let answer = deploy(&served, body);
        assert_eq!((answer.status, &*answer.problem()), (status, problem), "{what}: {answer}");
        assert!(answer.body.len() < 4_096, "{what}: the answer repeats it");
        assert!(served.peak_memory() < 192 << 20, "{what}: {} MiB", served.peak_memory() >> 20);
    }
    let named: Vec<String> = (0..5_000).map(deep).collect();
    let named: Vec<(&str, &[u8])> = named.iter().map(|name| (&**name, &b"page"[..])).collect();
    assert_eq!(served.patch("/site/", zip(&named)).expect(422).problem(), "bad-archive");
    assert!(served.peak_memory() < 192 << 20, "{} MiB", served.peak_memory() >> 20);
    let wide = {
        let mut packed = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
        packed.window_log(27).expect("a window");
        packed.write_all(format!("{{\"base\":1,\"set\":{{\"a\":{file}}}}}").as_bytes()).expect("memory takes it");
        packed.finish().expect("memory takes it")
    };
    assert_eq!(deploy(&served, wide).expect(400).problem(), "bad-request");
    assert_eq!(contents(&pod.volume()).len(), 1);
    assert_eq!(pod.causes().len(), 1);
    assert_eq!(staging_leftovers(&pod.volume()).iter().filter(|path| path.is_file()).count(), 0);
}

/// A zip of so many empty files, which its directory says of itself in a zip64 record.
fn zip_of(count: u32) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for n in 0..count {
        let (name, offset) = (format!("{n:x}"), bytes.len() as u32);
        let about =
            [&[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0][..], &[0; 12], &(name.len() as u16).to_le_bytes(), &[0; 2]].concat();
        bytes.extend([b"PK\x03\x04", &*about, name.as_bytes()].concat());
        directory.extend([b"PK\x01\x02\x14\0", &*about, &[0; 10], &offset.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, length) = (bytes.len() as u64, directory.len() as u64);
    bytes.extend(directory);
    let end = bytes.len() as u64;
    let number = |number: u64| number.to_le_bytes();
    bytes.extend([b"PK\x06\x06", &number(44)[..], &[45, 0, 45, 0], &[0; 8]].concat());
    bytes.extend([number(count.into()), number(count.into()), number(length), number(start)].concat());
    bytes.extend([b"PK\x06\x07", &[0; 4][..], &number(end), &[1, 0, 0, 0]].concat());
    bytes.extend([b"PK\x05\x06\0\0\0\0", &[0xff; 12][..], &[0; 2]].concat());
    bytes
}

/// A tar of so many empty files.
fn tar_of(count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..count {
        let mut header = ::tar::Header::new_ustar();
        header.set_path(format!("{n:x}")).expect("a name");
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        bytes.extend(header.as_bytes());
    }
    bytes.resize(bytes.len() + 1_024, 0);
    bytes
}

#[test]
fn a_million_of_anything_is_refused_within_the_memory_that_one_client_may_take() {
    let pod = Pod::in_memory();
    let served = pod.serve_with(&["--max-files", "20000"]);
    served.put("/site/index.html", "page").expect(201);
    let idle = served.peak_memory();
    let file = format!("{{\"digest\":\"{}\",\"size\":4}}", hex(b"page"));
    let named = |name: &dyn Fn(u32) -> String| {
        let files: Vec<String> = (0..1_000_000).map(|n| format!("\"{}\":{file}", name(n))).collect();
        zstandard(format!("{{\"manifest\":{{{}}}}}", files.join(",")).as_bytes())
    };
    let small = zip_of(20_001);
    let refused = |what: &str, answer: Answer, status: u16, problem: &str| {
        assert_eq!((answer.status, &*answer.problem()), (status, problem), "{what}: {answer}");
        let more = served.peak_memory() - idle;
        assert!(more < 128 << 20, "{what}: {} MiB more than before", more >> 20);
    };
    refused("a manifest", deploy(&served, named(&|n| format!("{n:x}"))), 413, "too-many-files");
    let set = String::from_utf8(zstd::decode_all(&*named(&|n| format!("{n:x}"))).expect("it is packed")).expect("text");
    let set = format!("{{\"base\":1,\"set\":{}", set.trim_start_matches("{\"manifest\":"));
    refused("changes", deploy(&served, zstandard(set.as_bytes())), 413, "too-many-files");
    refused("a zip's directory", served.put("/site/", zip_of(1_000_000)), 422, "bad-archive");
    refused("a zip", served.put("/site/", small), 413, "too-many-files");
    refused("a tar", served.put("/site/", tar_of(40_000)), 413, "too-many-files");
    assert_eq!(pod.causes().len(), 1);
}
