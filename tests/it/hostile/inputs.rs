//! What is tried, as values: entries with names and kinds for every door, and what is to become of them.

use std::path::Path;

/// One thing to try.
pub(super) struct Input {
    pub(super) what: String,
    pub(super) thing: Thing,
    pub(super) verdict: Verdict,
    /// To be brought to doors for one path only: the others get it among many.
    pub(super) is_one_of_many: bool,
}

fn input(what: impl Into<String>, entries: Vec<Entry>, verdict: Verdict) -> Input {
    Input { what: what.into(), thing: Thing::Entries(entries), verdict, is_one_of_many: false }
}

pub(super) enum Thing {
    /// Entries that each door writes in its own way; a harmless file goes in front where it can.
    Entries(Vec<Entry>),
    /// An archive whose very bytes are the input: a tar or a zip, or one of them packed.
    Archive(Vec<u8>),
}

pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// With its permission bits.
    File(u32),
    Folder(u32),
    Symlink(Vec<u8>),
    Link(Vec<u8>),
    /// A device, a FIFO, a socket, or a type that nobody knows: tar's letter for it.
    Special(u8),
}

/// What is to become of an input.
pub(super) enum Verdict {
    /// Turned away by every door.
    Refused,
    /// Taken by every door, as these files.
    Fine(Files),
    /// Taken by doors of these kinds, turned away by the others.
    FineIn(&'static [Class], Files),
    /// Reserved where a path begins: taken by a door that has the folder in front in the same path.
    Reserved(Files),
}

pub(super) type Files = Vec<(String, Vec<u8>)>;

/// Kinds of doors that may treat a name differently, for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A path in an address, where nothing is encoded twice.
    Address,
    /// The same with a folder in front.
    Below,
    /// A manifest, a form, metadata.
    Request,
    Tar,
    Zip,
    /// A folder on a disk, where links that stay inside are followed and kubelet's own names are passed over.
    Folder,
    /// Keys of a bucket.
    Bucket,
    /// Takes nothing but digests, or only paths that are live: everything here is refused.
    Never,
}

/// As it is packed by `tar -C folder .`.
const ARCHIVES: &[Class] = &[Class::Tar, Class::Zip];
const FOLDER: &[Class] = &[Class::Folder];

pub(super) fn file(name: impl Into<Vec<u8>>, bytes: &str) -> Entry {
    Entry { kind: Kind::File(0o644), name: name.into(), bytes: bytes.into() }
}

fn other(kind: Kind, name: &str) -> Entry {
    Entry { kind, name: name.into(), bytes: Vec::new() }
}

fn symlink(name: &str, target: &str) -> Entry {
    other(Kind::Symlink(target.into()), name)
}

fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(50).collect();
    format!("{text:?}{}", if name.len() > 50 { format!("… of {} bytes", name.len()) } else { String::new() })
}

fn files(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.as_bytes().to_vec())).collect()
}

/// Names, links and kinds (1 to 17 of the list that this began with, and more).
pub(super) fn entries(canary: &Path) -> Vec<Input> {
    let mut inputs = refused_names(canary);
    inputs.extend(names_that_are_fine());
    inputs.extend(several());
    inputs.extend(links(canary));
    inputs.extend(kinds());
    inputs
}

/// Longshore's own folder, and those of a file system and a file server, also as file systems see them that fold names.
const AT_THE_ROOT: [&str; 13] = [
    "lost+found",
    "lost+found/x",
    ".longshore",
    ".longshore/journal/00000000000000000002.json",
    ".longshore/lock",
    ".LongShore/x",
    ".long\u{200c}shore/x",
    "\u{feff}.longshore/x",
    ".long\u{17f}hore/x",
    ".longshore./x",
    ".longshore /x",
    "LOST+FOUND/x",
    ".snapshot/x",
];

fn refused_names(canary: &Path) -> Vec<Input> {
    let canary = canary.to_str().expect("a temporary path is UTF-8");
    let mut names: Vec<Vec<u8>> = [
        // Absolute, and upwards.
        "/etc/x",
        "//etc/x",
        "/",
        "//",
        "../x",
        "..",
        "../",
        "a/../../x",
        "a/..",
        "a/../x",
        "assets/../index.html",
        ".../x",
        ".. /x",
        "..;/x",
        "..%00/x",
        "a/..\u{200d}/x",
        ".\u{200b}./x",
        // Empty and standing still.
        "",
        ".",
        "a//b",
        "a/./b",
        "a/.",
        "file/",
        // What hides or ends a name.
        "a\0b",
        "\0",
        "index.html\0.png",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\u{1b}[2J",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{200e}b",
        "a\u{2028}b",
        "a\\b",
        "..\\x",
        "a\\..\\..\\x",
        "C:\\x",
        "\\\\host\\share\\x",
        // Names that are somebody else's.
        "..data",
        "..data/index.html",
        "..data_tmp",
        "..x",
        "a/..x",
        ".nfs0001",
        "a/.nfs0001",
        ".NFS0001",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into();
    names.extend(
        [&b"a\xff"[..], b"\xc0\xae\xc0\xae/x", b"\xe0\x80\xae/x", b"\xed\xa0\x80", b"\xff\xfe/x"].map(Vec::from),
    );
    // Right at the canary: beside the volume, and by its absolute path.
    names.extend((1..=6).map(|up| format!("{}canary/song", "../".repeat(up)).into_bytes()));
    names.push("assets/../../../../../canary/new".into());
    names.push(format!("{canary}/song").into_bytes());
    names.push(format!("{canary}/new").into_bytes());
    names.push(vec![b'x'; 256]);
    names.push(format!("a/{}", "ü".repeat(128)).into_bytes());
    names.push(("seven77/".repeat(512) + "x").into_bytes());
    names.push(("a/".repeat(1_000) + "x").into_bytes());
    names.push(("a/".repeat(128) + "x").into_bytes());
    let refused = |name: Vec<u8>| {
        let verdict = if is_passed_over(&name) { Verdict::FineIn(FOLDER, Vec::new()) } else { Verdict::Refused };
        input(shown(&name), vec![file(name, "evil")], verdict)
    };
    let at_the_root = |name: &str| {
        let verdict = Verdict::Reserved(files(&[(name, "evil")]));
        input(shown(name.as_bytes()), vec![file(name, "evil")], verdict)
    };
    names.into_iter().map(refused).chain(AT_THE_ROOT.map(at_the_root)).collect()
}

/// What a seed directory may hold and no site: kubelet's own links in a ConfigMap.
fn is_passed_over(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'/').any(|part| part.starts_with(b".."))
}

fn names_that_are_fine() -> Vec<Input> {
    let with_dots = |name: &str, path: &str| {
        let verdict = Verdict::FineIn(ARCHIVES, files(&[(path, "fine")]));
        input(shown(name.as_bytes()), vec![file(name, "fine")], verdict)
    };
    let mut inputs = vec![with_dots("./x", "x"), with_dots("././a/x", "a/x")];
    let long = "x".repeat(255);
    let deep = "d/".repeat(127) + "x";
    let wide = format!("{}end", "seven77/".repeat(100));
    // Escapes that nobody undoes, look-alikes, what a shell or another system would trip over: names as any.
    let names = [
        "100%.html",
        "%2e%2e/x",
        "%2e%2e%2fx",
        "%c0%ae%c0%ae/x",
        "%00",
        "\u{ff0e}\u{ff0e}/x",
        "\u{2024}\u{2024}/x",
        "a\u{2215}..\u{2215}x",
        ". ",
        " ..",
        "b ",
        "b.",
        "CON",
        "a:b",
        "~/x",
        "-rf",
        "$(id)",
        "`id`",
        "'\"",
        "<script>",
        "*",
        "?x=1",
        "#x",
        "a;b=c",
        "a..b",
        ".htaccess",
        ".well-known/x",
        "x.longshore",
        "sub/.longshore/x",
        "sub/lost+found",
        "日本.html",
        "👨\u{200d}👩",
        "A",
        "a",
        "\u{e9}",
        "e\u{301}",
        &*wide,
        &*long,
        &*deep,
    ]
    .into_iter();
    let fine = |name: &str| Verdict::Fine(files(&[(name, name)]));
    inputs.extend(names.clone().map(|name| Input {
        is_one_of_many: true,
        ..input(shown(name.as_bytes()), vec![file(name, name)], fine(name))
    }));
    let all: Files = names.map(|name| (name.to_owned(), name.as_bytes().to_vec())).collect();
    let entries = all.iter().map(|(name, _)| file(&**name, name)).collect();
    // A header of tar has no place for the longest.
    inputs.push(input("all names that are fine", entries, Verdict::Fine(all.clone())));
    let short: Files = all.into_iter().filter(|(name, _)| name.len() <= 100).collect();
    let entries = short.iter().map(|(name, _)| file(&**name, name)).collect();
    inputs.push(input("all short names that are fine", entries, Verdict::Fine(short)));
    inputs
}

/// Several entries that only together are a trap.
fn several() -> Vec<Input> {
    let refused = |what: &str, entries| input(what, entries, Verdict::Refused);
    vec![
        refused("a file, then a file under it", vec![file("a", "evil"), file("a/b", "evil")]),
        refused("a file, then one in its folder's place", vec![file("a/b", "evil"), file("a", "evil")]),
        refused("one name twice", vec![file("a", "one"), file("a", "two")]),
        refused("one name twice, spelled differently", vec![file("a", "one"), file("./a", "two")]),
        refused("a file, then a folder of that name", vec![file("a", "evil"), other(Kind::Folder(0o777), "a/")]),
    ]
}

fn links(canary: &Path) -> Vec<Input> {
    let canary = canary.to_str().expect("a temporary path is UTF-8");
    let mut inputs = Vec::new();
    let mut push = |what: String, entries, verdict| inputs.push(input(what, entries, verdict));
    for target in [canary, "/", "..", "../../../../canary", "/proc/self/root", "nowhere", "d"] {
        push(format!("a symlink to {target}"), vec![symlink("d", target)], Verdict::Refused);
        let through = vec![symlink("d", target), file("d/song", "evil")];
        push(format!("a file through a symlink to {target}"), through, Verdict::Refused);
        let chmod = vec![symlink("d", target), other(Kind::Folder(0o777), "d/")];
        push(format!("a folder over a symlink to {target}"), chmod, Verdict::Refused);
        let replaced = vec![symlink("d", target), file("d", "evil")];
        push(format!("a file over a symlink to {target}"), replaced, Verdict::Refused);
    }
    let song = format!("{canary}/song");
    let leaf = vec![symlink("leaf", &song), file("leaf", "evil")];
    push("a file over a symlink to the canary's file".into(), leaf, Verdict::Refused);
    let sibling = vec![file("real/f", "fine"), symlink("d", "real")];
    let followed = files(&[("real/f", "fine"), ("d/f", "fine")]);
    push("a symlink to a sibling".into(), sibling, Verdict::FineIn(FOLDER, followed));
    for target in [&*song, "../canary/song", ".longshore/lock", "..data/index.html", "good.html", "nowhere"] {
        let link = |name: &str| other(Kind::Link(target.into()), name);
        push(format!("a hard link to {target}"), vec![link("h")], Verdict::Refused);
        let over = vec![link("h"), file("h", "evil")];
        push(format!("a file over a hard link to {target}"), over, Verdict::Refused);
    }
    let to_link = vec![symlink("l", &song), other(Kind::Link("l".into()), "h"), file("h", "evil")];
    push("a hard link to an earlier symlink".into(), to_link, Verdict::Refused);
    inputs
}

fn kinds() -> Vec<Input> {
    let mut inputs = Vec::new();
    // tar's letters: devices, a FIFO, and what GNU, Solaris and others have of their own; a socket has none.
    for kind in *b"3467ADEIMNSVXZa\x01\xff" {
        let entries = vec![other(Kind::Special(kind), "special")];
        inputs.push(input(format!("the kind {:?}", char::from(kind)), entries, Verdict::Refused));
    }
    inputs.push(input("a socket", vec![other(Kind::Special(b's'), "special")], Verdict::Refused));
    for mode in [0o4755, 0o2755, 0o1777, 0o7777, 0o777, 0o111, 0] {
        let entry = Entry { kind: Kind::File(mode), name: "odd/mode".into(), bytes: b"fine".into() };
        let folder = other(Kind::Folder(0o7777), "odd/");
        let verdict = Verdict::Fine(files(&[("odd/mode", "fine")]));
        inputs.push(input(format!("the mode {mode:o}"), vec![folder, entry], verdict));
    }
    inputs
}
