//! Hostile tars, as bytes (18 to 24 of the list that this began with, and more).

use super::{
    inputs::{Files, Input, Thing, Verdict},
    tape::{Block, entry, file, pax, record, tape},
};
use crate::archive::{gzip, zip, zstandard};

fn refused(what: impl Into<String>, bytes: Vec<u8>) -> Input {
    Input { what: what.into(), thing: Thing::Archive(bytes), verdict: Verdict::Refused, is_one_of_many: false }
}

fn fine(what: &str, bytes: Vec<u8>, files: &[(&str, &str)]) -> Input {
    let files: Files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    Input { verdict: Verdict::Fine(files), ..refused(what, bytes) }
}

fn good() -> Vec<u8> {
    file(b"good.html", b"good")
}

/// Something harmless, what is to be tried, and a file that it may belong to.
fn with(front: Vec<u8>) -> Vec<u8> {
    tape(&[good(), front, file(b"x", b"evil")])
}

fn with_records(records: &[u8]) -> Vec<u8> {
    with(entry(b'x', b"pax", records))
}

/// One file whose field of the size says something else than its bytes.
fn sized(field: &[u8; 12]) -> Vec<u8> {
    tape(&[good(), Block::new(b'0', b"x", 0).size(field).with(b"evil")])
}

pub(super) fn tars() -> Vec<Input> {
    [sizes(), records(), sparse_and_volumes(), cuts_and_ends(), packed()].into_iter().flatten().collect()
}

fn sizes() -> Vec<Input> {
    let twice = |size: &str| with_records(&record(b"size", size.as_bytes()));
    let mut checksum = tape(&[good(), file(b"x", b"evil")]);
    checksum[1_024 + 150] ^= 1;
    let mut signed = [0; 12];
    signed[0] = 0x80;
    signed[11] = 4;
    vec![
        refused("a PAX size that is larger", twice("512")),
        refused("a PAX size that is smaller", twice("1")),
        refused("a PAX size of nothing", twice("0")),
        refused("a negative PAX size", twice("-1")),
        refused("a PAX size of 2^62", twice("4611686018427387904")),
        refused("a PAX size of 2^64 and 4", twice("18446744073709551620")),
        refused("a PAX size in hexadecimal", twice("0x4")),
        refused("two PAX sizes", with_records(&[record(b"size", b"4"), record(b"size", b"4")].concat())),
        refused("a negative size", sized(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
        refused("a negative size in octal", sized(b"-0000000004\0")),
        refused("a size that is no number", sized(b"0000000009z\0")),
        refused("a size of 2^62", sized(b"\x80\0\0\0\x40\0\0\0\0\0\0\0")),
        refused("a size of more than 64 bits", sized(b"\x80\0\0\x01\0\0\0\0\0\0\0\x04")),
        refused("a size of eleven sevens", sized(b"77777777777\0")),
        refused("a size with digits after a blank", sized(b"4 7777777777")),
        fine("a small size as a binary number", sized(&signed), &[("x", "evil")]),
        refused("a bad checksum", checksum),
        refused("a folder with bytes", with(entry(b'5', b"d/", b"hidden"))),
        refused("a folder with a PAX size", tape(&[good(), pax(&[record(b"size", b"512")]), entry(b'5', b"d/", b"")])),
        refused("a link with bytes", with(Block::new(b'2', b"l", 6).target(b"x").with(b"hidden"))),
    ]
}

fn records() -> Vec<Input> {
    let path = |path: &[u8]| record(b"path", path);
    let long = |name: &[u8]| entry(b'L', b"././@LongLink", &[name, b"\0"].concat());
    let global = |records: &[u8]| entry(b'g', b"pax_global_header", records);
    let noise = record(b"comment", &[b'c'; 1 << 20]);
    vec![
        refused("a record without an end", with_records(b"10 path=a")),
        refused("a record that is too long", with_records(b"99 path=a\n")),
        refused("a record that is too short", with_records(b"7 path=a\n")),
        refused("a record without a length", with_records(b" path=a\n")),
        refused("a record without a key", with_records(b"6 =ab\n")),
        refused("a record with a sign", with_records(b"+9 path=a\n")),
        refused("a record with leading zeros that hide another", with_records(b"000000000000000000000009 path=a\n")),
        refused("a record of nothing", with_records(b"0 \n")),
        refused("an empty line before a record", with_records(b"\n9 path=a\n")),
        refused("NUL after a record", with_records(b"9 path=a\n\0\0\0")),
        refused("an empty path", with_records(b"8 path=\n")),
        refused("two paths", with_records(&[path(b"a"), path(b"b")].concat())),
        refused("two paths of one name", with_records(&[path(b"a"), path(b"a")].concat())),
        refused("two extended headers", with([pax(&[path(b"a")]), pax(&[path(b"b")])].concat())),
        refused("a global path", with(global(&path(b"a")))),
        refused("a global size", with(global(&record(b"size", b"4")))),
        refused("a global sparse file", with(global(&record(b"GNU.sparse.major", b"1")))),
        refused("a long name and another path", with([long(b"a"), pax(&[path(b"b")])].concat())),
        refused("a path and another long name", with([pax(&[path(b"b")]), long(b"a")].concat())),
        refused("two long names", with([long(b"a"), long(b"b")].concat())),
        refused("a long name that hides another behind NUL", with(long(b"a\0../../b"))),
        refused("a path that hides another behind NUL", with_records(&path(b"a\0../../b"))),
        refused("an extended header of an entry that is not there", tape(&[good(), pax(&[path(b"a")])])),
        refused("a long name of an entry that is not there", tape(&[good(), long(b"a")])),
        refused("an extended header of 8 GiB", tape(&[Block::new(b'x', b"pax", 0).size(b"77777777777\0").with(b"")])),
        refused("an extended header of more than a MiB", with_records(&noise)),
        refused(
            "a character set of its own",
            with_records(&[record(b"hdrcharset", b"BINARY"), path(b"\xff")].concat()),
        ),
        fine(
            "a long link's name that belongs to a file",
            with(entry(b'K', b"././@LongLink", b"/etc/passwd\0")),
            &[("x", "evil")],
        ),
        fine("a PAX link in a file", with_records(&record(b"linkpath", b"../../canary/song")), &[("x", "evil")]),
        fine(
            "extended attributes and owners",
            {
                let attributes = [
                    record(b"SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x04"),
                    record(b"SCHILY.acl.access", b"user::rwx"),
                    record(b"RHT.security.selinux", b"x"),
                    record(b"uid", b"0"),
                    record(b"uname", b"root"),
                    record(b"mtime", b"99999999999.5"),
                ];
                with_records(&attributes.concat())
            },
            &[("x", "evil")],
        ),
        fine("what git archive puts in front", with(global(&record(b"comment", &[b'0'; 40]))), &[("x", "evil")]),
    ]
}

fn sparse_and_volumes() -> Vec<Input> {
    let in_pax = |records: &[(&str, &str)]| {
        let records: Vec<_> = records.iter().map(|(key, value)| record(key.as_bytes(), value.as_bytes())).collect();
        with_records(&records.concat())
    };
    // A map of one hole of 8 EiB, as the old GNU format has it: offset, length, and the real size.
    let hole = Block::new(b'S', b"x", 4).gnu().put(386, b"00000000000\x0000000000004\0");
    let hole = hole.put(483, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff").with(b"evil");
    vec![
        refused("a sparse file with a hole of 8 EiB", tape(&[good(), hole])),
        refused(
            "a sparse file, 0.0",
            in_pax(&[("GNU.sparse.size", "9223372036854775807"), ("GNU.sparse.numblocks", "0")]),
        ),
        refused("a sparse file, 0.1", in_pax(&[("GNU.sparse.map", "0,4"), ("GNU.sparse.name", "../../canary/song")])),
        refused(
            "a sparse file, 1.0",
            in_pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.realsize", "4"), ("GNU.sparse.name", "y")]),
        ),
        refused("another name for a sparse file alone", in_pax(&[("GNU.sparse.name", "../../canary/song")])),
        refused("a file that goes on from another volume", tape(&[good(), entry(b'M', b"x", b"evil")])),
        refused("a dump of a folder", tape(&[good(), entry(b'D', b"d/", b"Yx\0Dy\0\0")])),
        refused("a volume's name", tape(&[entry(b'V', b"volume", b""), good()])),
        refused("names to be renamed", tape(&[good(), entry(b'N', b"././@MaNgLeD", b"Rename good.html to ../x\n")])),
        fine(
            "an offset of the old GNU format",
            tape(&[good(), Block::new(b'0', b"x", 4).gnu().put(369, b"00000000777\0").with(b"evil")]),
            &[("x", "evil")],
        ),
        fine(
            "a prefix that is GNU's times",
            tape(&[good(), Block::new(b'0', b"x", 4).gnu().put(345, b"../../canary").with(b"evil")]),
            &[("x", "evil")],
        ),
    ]
}

fn cuts_and_ends() -> Vec<Input> {
    let whole = tape(&[good(), file(b"page.html", &[b'x'; 5_000])]);
    let no_end = &whole[..whole.len() - 1_024];
    let mut inputs = vec![
        refused("no end at all", no_end.to_vec()),
        refused("half an end", whole[..whole.len() - 512].to_vec()),
        refused("a part of an end", whole[..whole.len() - 1].to_vec()),
        refused("one block of zeros between entries", [no_end, &[0; 512], &file(b"x", b"evil"), &[0; 1_024]].concat()),
        refused("a second archive after the end", [&*whole, &tape(&[file(b"../x", b"evil")])].concat()),
        refused("a byte after the end", [&*whole, b"x"].concat()),
        refused("20 MiB of zeros after the end", [&*whole, &vec![0; 20 << 20]].concat()),
        refused("zeros, and then something", [&*whole, &[0; 9_216], b"x"].concat()),
        refused("nothing", Vec::new()),
        refused("an end and nothing else", tape(&[])),
        refused("folders and nothing else", tape(&[entry(b'5', b"d/", b"")])),
        fine("the padding of a tape", [&*whole, &[0; 9_216]].concat(), &[("good.html", "good")]),
    ];
    for at in [100, 511, 513, 1_024, 1_100, 1_536, 1_700, 3_000, 6_655] {
        inputs.push(refused(format!("cut at {at}"), whole[..at].to_vec()));
    }
    inputs
}

fn packed() -> Vec<Input> {
    let plain = tape(&[good(), file(b"page.html", &[b'x'; 5_000])]);
    let mut inputs = vec![
        refused("gzip in gzip", gzip(&gzip(&plain))),
        refused("zstandard in gzip", gzip(&zstandard(&plain))),
        refused("a zip in gzip", gzip(&zip(&[("a", b"evil")]))),
        refused("a second gzip member with a second archive", [gzip(&plain), gzip(&plain)].concat()),
        refused("garbage after gzip", [gzip(&plain), b"garbage".to_vec()].concat()),
        refused("garbage after zstandard", [zstandard(&plain), b"garbage".to_vec()].concat()),
        refused("a bare header of gzip", vec![0x1f, 0x8b, 8, 0]),
        refused("a bare magic of zstandard", vec![0x28, 0xb5, 0x2f, 0xfd]),
        refused("a skippable frame that never ends", b"\x50\x2a\x4d\x18\xff\xff\xff\xff".to_vec()),
        refused("a window of 2 GiB", [&b"\x28\xb5\x2f\xfd\x00\xa8"[..], &[0; 64]].concat()),
        refused("a dictionary that nobody has", [&b"\x28\xb5\x2f\xfd\x23\x78\x56\x34\x12\x00"[..], &[0; 64]].concat()),
        fine(
            "gzip in members",
            {
                let (a, b) = plain.split_at(700);
                [gzip(a), gzip(b)].concat()
            },
            &[("good.html", "good")],
        ),
        fine(
            "zstandard in frames",
            {
                let (a, b) = plain.split_at(700);
                [zstandard(a), zstandard(b)].concat()
            },
            &[("good.html", "good")],
        ),
    ];
    for (what, bytes) in [("gzip", gzip(&plain)), ("zstandard", zstandard(&plain))] {
        // Cut anywhere, the checksum at the end included: bytes that look whole were not checked.
        for cut in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 9, bytes.len() - 4, bytes.len() - 1] {
            inputs.push(refused(format!("{what} cut at {cut}"), bytes[..cut].to_vec()));
        }
        let mut wrong = bytes.clone();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 0x55;
        inputs.push(refused(format!("{what} with a wrong byte"), wrong));
    }
    inputs
}
