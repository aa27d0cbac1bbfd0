//! Hostile zips, as bytes (25 to 32 of the list that this began with, and more): two readers that believe different halves
//! of one must not see different archives.

use super::{
    inputs::{Files, Input, Thing, Verdict},
    zipper::{Member, Parts, UTF_8, end, extra, zipped},
};

fn refused(what: impl Into<String>, bytes: Vec<u8>) -> Input {
    Input { what: what.into(), thing: Thing::Archive(bytes), verdict: Verdict::Refused, is_one_of_many: false }
}

fn fine(what: &str, bytes: Vec<u8>, files: &[(&str, &str)]) -> Input {
    let files: Files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    Input { verdict: Verdict::Fine(files), ..refused(what, bytes) }
}

fn good() -> Member {
    Member::new(b"good.html", b"good")
}

/// Something harmless, and a file of which something is not right.
fn with(change: impl FnOnce(&mut Member)) -> Vec<u8> {
    let mut member = Member::new(b"x", b"evil");
    change(&mut member);
    zipped(&[good(), member])
}

pub(super) fn zips() -> Vec<Input> {
    [halves(), ends(), names(), kinds()].into_iter().flatten().collect()
}

fn halves() -> Vec<Input> {
    let descriptor = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        with(move |member| {
            member.local.flags |= 8;
            member.central.flags |= 8;
            (member.local.sum, member.local.packed, member.local.size) = (0, 0, 0);
            member.data.extend(bytes);
        })
    };
    let sum = Member::new(b"x", b"evil").central.sum.to_le_bytes();
    let right = [&b"PK\x07\x08"[..], &sum, &4_u32.to_le_bytes(), &4_u32.to_le_bytes()].concat();
    let lying = [&b"PK\x07\x08"[..], &sum, &9_u32.to_le_bytes(), &9_u32.to_le_bytes()].concat();
    vec![
        refused("another name in the local header", with(|m| m.local.name = b"../y".to_vec())),
        refused("another name in the directory", with(|m| m.central.name = b"y".to_vec())),
        refused("another size in the local header", with(|m| m.local.size = 3)),
        refused("another packed size in the local header", with(|m| m.local.packed = 3)),
        refused("another size in the directory", with(|m| m.central.size = 5)),
        refused("another checksum in the local header", with(|m| m.local.sum ^= 1)),
        refused("another checksum in the directory", with(|m| m.central.sum ^= 1)),
        refused(
            "a wrong checksum in both",
            with(|m| {
                m.central.sum ^= 1;
                m.local.sum ^= 1;
            }),
        ),
        refused("another method in the local header", with(|m| m.local.method = 8)),
        refused("another method in the directory", with(|m| m.central.method = 8)),
        refused("encrypted, says the local header", with(|m| m.local.flags |= 1)),
        refused("encrypted, says the directory", with(|m| m.central.flags |= 1)),
        refused(
            "encrypted",
            with(|m| {
                m.local.flags |= 1;
                m.central.flags |= 1;
            }),
        ),
        refused(
            "an encrypted directory",
            with(|m| {
                m.local.flags |= 1 << 13;
                m.central.flags |= 1 << 13;
            }),
        ),
        refused(
            "a size of 2^32 - 1 without zip64",
            with(|m| {
                m.local.size = u32::MAX;
                m.central.size = u32::MAX;
            }),
        ),
        refused(
            "a size of 0",
            with(|m| {
                m.local.size = 0;
                m.central.size = 0;
            }),
        ),
        refused(
            "both sizes 0",
            with(|m| {
                for r in [&mut m.local, &mut m.central] {
                    (r.size, r.packed) = (0, 0);
                }
            }),
        ),
        refused(
            "a method that nobody knows",
            with(|m| {
                m.local.method = 77;
                m.central.method = 77;
            }),
        ),
        refused(
            "stored bytes that are said to be deflated",
            with(|m| {
                m.local.method = 8;
                m.central.method = 8;
            }),
        ),
        refused("the first entry's place", with(|m| m.offset = Some(0))),
        refused("a place inside the first entry", with(|m| m.offset = Some(10))),
        refused("a place behind the end", with(|m| m.offset = Some(u32::MAX - 1))),
        refused("an entry that the directory has not", {
            let mut parts = Parts::of(&[good()]);
            let hidden = Parts::of(&[Member::new(b"../x", b"evil")]).members;
            parts.members.extend(hidden);
            parts.end = end(1, parts.directory.len(), parts.members.len(), b"");
            parts.whole()
        }),
        refused("bytes between two entries", with(|m| m.data.extend(b"hidden"))),
        refused("a descriptor that lies", descriptor(&lying)),
        fine("a descriptor that is right", descriptor(&right), &[("x", "evil")]),
    ]
}

fn ends() -> Vec<Input> {
    let whole = || zipped(&[good(), Member::new(b"x", b"evil")]);
    let ended = |entries: usize, length: isize, offset: isize| {
        let mut parts = Parts::of(&[good(), Member::new(b"x", b"evil")]);
        let sum = |base: usize, more: isize| base.saturating_add_signed(more);
        parts.end = end(entries, sum(parts.directory.len(), length), sum(parts.members.len(), offset), b"");
        parts.whole()
    };
    let other = || zipped(&[Member::new(b"y", b"other")]);
    let zip64 = |entries: u64, length: u64, offset: u64, at: u64| {
        let parts = Parts::of(&[good()]);
        let mut record = b"PK\x06\x06".to_vec();
        record.extend(44_u64.to_le_bytes());
        record.extend([45, 3, 45, 0]);
        record.extend([0; 8]);
        for number in [entries, entries, length, offset] {
            record.extend(number.to_le_bytes());
        }
        record.extend(b"PK\x06\x07\0\0\0\0");
        record.extend(at.to_le_bytes());
        record.extend(1_u32.to_le_bytes());
        record.extend(end(usize::MAX, usize::MAX, usize::MAX, b""));
        [parts.members, parts.directory, record].concat()
    };
    let parts = Parts::of(&[good()]);
    let (length, offset) = (parts.directory.len() as u64, parts.members.len() as u64);
    let mut inputs = vec![
        refused("two archives, one after the other", [whole(), other()].concat()),
        refused("an end in the comment of an end", {
            let mut parts = Parts::of(&[good()]);
            parts.end = end(1, parts.directory.len(), parts.members.len(), &other());
            parts.whole()
        }),
        refused("an end that is the comment of another", {
            let mut parts = Parts::of(&[good()]);
            let inner = end(1, parts.directory.len(), parts.members.len(), b"");
            parts.end = end(1, parts.directory.len(), parts.members.len(), &inner);
            parts.whole()
        }),
        refused("bytes in front", [b"#!/bin/sh\n".to_vec(), whole()].concat()),
        refused("bytes behind", [whole(), b"x".to_vec()].concat()),
        refused("bytes between directory and end", {
            let parts = Parts::of(&[good()]);
            [parts.members, parts.directory, b"hidden".to_vec(), parts.end].concat()
        }),
        refused("one entry fewer than there are", ended(1, 0, 0)),
        refused("one entry more than there are", ended(3, 0, 0)),
        refused("65,535 entries", ended(65_535, 0, 0)),
        refused("a longer directory", ended(2, 1, 0)),
        refused("a shorter directory", ended(2, -1, 0)),
        refused("a directory elsewhere", ended(2, 0, -1)),
        refused("a directory at the beginning", ended(2, 0, isize::MIN / 4)),
        refused("an end and nothing else", end(0, 0, 0, b"")),
        refused("an end alone that says otherwise", end(5, 1_000, 1_000, b"")),
        refused("more entries by zip64", zip64(u64::MAX, length, offset, offset + length)),
        refused("a zip64 directory behind the end", zip64(1, length, 1 << 62, offset + length)),
        refused("a zip64 directory of 2^62 bytes", zip64(1, 1 << 62, offset, offset + length)),
        refused("a zip64 record elsewhere", zip64(1, length, offset, 1 << 62)),
        fine(
            "a comment",
            {
                let mut parts = Parts::of(&[good()]);
                parts.end = end(1, parts.directory.len(), parts.members.len(), b"made by hand");
                parts.whole()
            },
            &[("good.html", "good")],
        ),
        fine("zip64 that says the truth", zip64(1, length, offset, offset + length), &[("good.html", "good")]),
    ];
    let whole = whole();
    for at in (5..whole.len()).step_by(37) {
        inputs.push(refused(format!("a zip cut at {at}"), whole[..at].to_vec()));
    }
    inputs
}

fn names() -> Vec<Input> {
    let named = |name: &[u8], flags: u16, more: &[u8]| {
        let member = Member::new(name, b"evil").both(|record| {
            record.flags = flags;
            record.extra = more.to_vec();
        });
        zipped(&[good(), member])
    };
    let unicode = |of: &[u8], name: &str| {
        let mut sum = flate2::Crc::new();
        sum.update(of);
        extra(0x7075, &[&[1][..], &sum.sum().to_le_bytes(), name.as_bytes()].concat())
    };
    let twice = [good(), Member::new(b"a", b"one"), Member::new(b"a", b"two")];
    vec![
        refused("one name twice", zipped(&twice)),
        refused("a name that is said to be UTF-8 and is not", named(b"a\xff", UTF_8, b"")),
        refused("another name in a field for Unicode", named(b"x", UTF_8, &unicode(b"x", "../x"))),
        refused("another harmless name in a field for Unicode", named(b"x", 0, &unicode(b"x", "y"))),
        refused(
            "a name in another code page, and a way out in a field",
            named(b"\x81x", 0, &unicode(b"\x81x", "../x")),
        ),
        refused("a field of additional data that is cut", named(b"x", UTF_8, b"\x75\x70\xff\x00\x01")),
        refused("a folder with bytes", named(b"d/", UTF_8, b"")),
        refused("DOS's separators", named(b"a\\b", 0, b"")),
        refused("a name of nothing", named(b"", 0, b"")),
        fine("the same name in a field for Unicode", named(b"x", 0, &unicode(b"x", "x")), &[("x", "evil")]),
        fine("a field for Unicode of another name", named(b"x", 0, &unicode(b"z", "../x")), &[("x", "evil")]),
        fine("a name in code page 437", named(b"\x81.html", 0, b""), &[("ü.html", "evil")]),
        fine("a name in UTF-8 that is not said to be", named("ü.html".as_bytes(), 0, b""), &[("ü.html", "evil")]),
    ]
}

fn kinds() -> Vec<Input> {
    let mode = |mode: u32, system: u8| {
        with(move |member| {
            member.attributes = mode << 16;
            member.system = system;
        })
    };
    let mut inputs = vec![
        fine("no mode at all", mode(0, 3), &[("x", "evil")]),
        fine(
            "made by DOS",
            with(|member| {
                member.attributes = 0x20;
                member.system = 0;
            }),
            &[("x", "evil")],
        ),
        refused("a folder by its mode", mode(0o040_755, 3)),
        refused(
            "a folder by DOS's attribute",
            with(|member| {
                member.attributes = 0x10;
                member.system = 0;
            }),
        ),
    ];
    for (kind, what) in [(0o120_777, "symlink"), (0o010_644, "FIFO"), (0o020_644, "device"), (0o140_644, "socket")] {
        for system in [3, 19, 0] {
            inputs.push(refused(format!("a {what} by its mode, made by system {system}"), mode(kind, system)));
        }
    }
    inputs
}
