//! The changes that the harness dies in.

use std::{
    fs,
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

use super::{
    oracle::Site,
    scenario::Scenario,
    session::{Session, Told, nth},
};
use crate::{
    archive::tar,
    listener::Listener,
    tracer::{Call, Ended, Verdict},
};

type Files<'a> = &'a [(&'a str, &'a str)];

const SEED: Files<'_> = &[
    ("index.html", "seed"),
    ("about.html", "about"),
    ("assets/app.js", "script"),
    ("assets/app.css", "style"),
    ("docs/a/one.html", "one"),
    ("docs/a/two.html", "same bytes"),
    ("docs/b/three.html", "same bytes"),
];

const DEPLOYED: Files<'_> = &[
    ("index.html", "deployed"),
    ("about.html", "about"),
    ("assets/app-2.js", "script 2"),
    ("assets/app.css", "style"),
    ("docs/a", "a file where a folder was"),
    ("new/page.html", "new"),
];

fn archive(files: Files<'_>) -> Vec<u8> {
    tar(&files.iter().map(|(path, text)| (*path, text.as_bytes())).collect::<Vec<_>>())
}

fn blank(_: &mut Session<'_>) {}

fn seeded(session: &mut Session<'_>) {
    session.fill(SEED, &[]);
}

/// A seed, and a deploy over it.
fn deployed(session: &mut Session<'_>) {
    seeded(session);
    session.serve(&[]);
    session.put("/site/", archive(DEPLOYED));
    session.end();
}

/// The site `files` with these changed, and without those.
fn with(files: Files<'_>, changed: Files<'_>, gone: &[&str]) -> Site {
    let mut site: Site =
        files.iter().chain(changed).map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    site.retain(|path, _| !gone.contains(&&**path));
    site
}

/// Serves, and asks for one thing.
fn request(session: &mut Session<'_>, method: &str, path: &str, body: impl Into<Vec<u8>>) {
    session.serve(&[]);
    session.request(method, path, body);
}

/// The same of a server that asks a hook first, which lets everything pass.
fn asking(session: &mut Session<'_>, method: &str, path: &str, body: impl Into<Vec<u8>>) {
    static HOOK: LazyLock<Listener> = LazyLock::new(|| Listener::start(|_| Some((200, Vec::new()))));
    session.serve(&["--pre-publish", &HOOK.url()]);
    session.request(method, path, body);
}

/// The publish of one file, or of all of them.
fn publishes(call: &Call) -> bool {
    let to = call.to.as_deref().unwrap_or(Path::new(""));
    call.name == "renameat"
        && (to == Path::new("..data") || call.path.starts_with(".longshore/staging") && in_generation(to))
}

fn in_generation(path: &Path) -> bool {
    path.strip_prefix(".longshore/trees").is_ok_and(|below| below.components().count() > 1)
}

/// Asks for something of a server that dies after the entry and before anything shows.
fn dies_before_it_shows(session: &mut Session<'_>, method: &str, path: &str, body: impl Into<Vec<u8>>) {
    seeded(session);
    let (judge, died) = nth(1, Verdict::Kill, publishes);
    session.judged_by(Some(judge));
    request(session, method, path, body);
    assert!(died() && session.told == Told::Nothing, "it died:\n{}", session.log);
    session.judged_by(None);
    session.told = Told::Done;
}

fn starts(session: &mut Session<'_>) {
    session.start(&[]);
}

const fn scenario(name: &'static str, act: fn(&mut Session<'_>), after: fn() -> Site) -> Scenario {
    Scenario { after: Some(after), ..Scenario::new(name, seeded, act) }
}

/// Keeps as little as can be, and cleans every second.
const FORGETFUL: &[&str] = &["--keep-releases", "1", "--keep-for", "0s"];

/// Two entries that were folded already, some more that are to go, and the reserve.
fn with_a_past(session: &mut Session<'_>) {
    seeded(session);
    session.serve(FORGETFUL);
    for text in ["1", "2", "3"] {
        session.put("/site/index.html", text);
    }
    wait_until_cleaned(session, 7);
    session.end();
    session.serve(&[]);
    for text in ["4", "5", "6"] {
        session.put("/site/docs/a/one.html", text);
    }
    session.end();
}

fn cleans(session: &mut Session<'_>) {
    session.serve(FORGETFUL);
    wait_until_cleaned(session, 8);
}

/// Waits until the seed and the head are left, and as many objects, or the server has ended.
fn wait_until_cleaned(session: &mut Session<'_>, objects: usize) {
    let (home, start) = (session.pod.volume().join(".longshore"), Instant::now());
    let list = |path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_clean = || {
        list(home.join("journal")).count() == 2
            && session.pod.journal().len() == 2
            && list(home.join("objects")).flat_map(list).count() == objects
            && list(home.join("reserve")).count() > 0
    };
    while session.is_serving() && !is_clean() {
        assert!(start.elapsed() < Duration::from_secs(60), "it cleans:\n{}", session.log);
        std::thread::sleep(Duration::from_millis(20));
    }
    if !session.is_serving() {
        session.told = match session.ended(Duration::ZERO) {
            Some(Ended::Code(code)) => Told::Refused(code),
            _ => Told::Nothing,
        };
        session.end();
    }
}

/// All of them.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        again: seeded,
        ..Scenario { prepare: blank, ..scenario("fill of an empty volume", seeded, || with(SEED, &[], &[])) }
    },
    Scenario {
        prepare: blank,
        ..scenario(
            "first upload to an empty volume",
            |session| request(session, "PUT", "/site/docs/page.html", "first"),
            || with(&[], &[("docs/page.html", "first")], &[]),
        )
    },
    scenario(
        "a new file",
        |session| request(session, "PUT", "/site/assets/new.js", "new"),
        || with(SEED, &[("assets/new.js", "new")], &[]),
    ),
    scenario(
        "a new file at the root",
        |session| request(session, "PUT", "/site/new.html", "new"),
        || with(SEED, &[("new.html", "new")], &[]),
    ),
    scenario(
        "a file replaced",
        |session| request(session, "PUT", "/site/index.html", "patched"),
        || with(SEED, &[("index.html", "patched")], &[]),
    ),
    scenario(
        "a file in a new folder",
        |session| request(session, "PUT", "/site/new/deep/page.html", "new"),
        || with(SEED, &[("new/deep/page.html", "new")], &[]),
    ),
    scenario(
        "an archive in place of the site",
        |session| request(session, "PUT", "/site/", archive(DEPLOYED)),
        || with(DEPLOYED, &[], &[]),
    ),
    scenario(
        "an archive merged into a folder",
        |session| request(session, "PATCH", "/site/docs/", archive(&[("a/one.html", "1"), ("c/four.html", "4")])),
        || with(SEED, &[("docs/a/one.html", "1"), ("docs/c/four.html", "4")], &[]),
    ),
    scenario(
        "a file deleted",
        |session| request(session, "DELETE", "/site/docs/a/one.html", ""),
        || with(SEED, &[], &["docs/a/one.html"]),
    ),
    scenario(
        "a file at the root deleted",
        |session| request(session, "DELETE", "/site/about.html", ""),
        || with(SEED, &[], &["about.html"]),
    ),
    scenario(
        "a file that a hook lets pass",
        |session| asking(session, "PUT", "/site/index.html", "patched"),
        || with(SEED, &[("index.html", "patched")], &[]),
    ),
    scenario(
        "a folder deleted",
        |session| request(session, "DELETE", "/site/docs/", ""),
        || with(&SEED[..4], &[], &[]),
    ),
    Scenario {
        prepare: deployed,
        ..scenario("a rollback", |session| request(session, "POST", "/v1/rollback", "{}"), || with(SEED, &[], &[]))
    },
    Scenario {
        prepare: |session| dies_before_it_shows(session, "PUT", "/site/", archive(DEPLOYED)),
        acknowledges: false,
        ..scenario("recovery of a deploy", starts, || with(DEPLOYED, &[], &[]))
    },
    Scenario {
        prepare: |session| dies_before_it_shows(session, "PUT", "/site/index.html", "patched"),
        acknowledges: false,
        ..scenario("recovery of a file", starts, || with(SEED, &[("index.html", "patched")], &[]))
    },
    Scenario {
        is_slow: true,
        ..scenario(
            "a seed over a seed, and the old one swept",
            |session| session.fill(DEPLOYED, &["--when", "always"]),
            || with(DEPLOYED, &[], &[]),
        )
    },
    Scenario {
        prepare: with_a_past,
        acknowledges: false,
        is_slow: true,
        ..scenario("clean-up of what is not kept", cleans, || {
            with(SEED, &[("index.html", "3"), ("docs/a/one.html", "6")], &[])
        })
    },
    Scenario {
        flags: &["--link", "html"],
        root: "html",
        ..scenario(
            "layout link: an archive",
            |session| request(session, "PUT", "/site/", archive(DEPLOYED)),
            || with(DEPLOYED, &[], &[]),
        )
    },
    Scenario {
        flags: &["--layout", "files"],
        is_atomic: false,
        ..scenario(
            "layout files: an archive",
            |session| request(session, "PUT", "/site/", archive(DEPLOYED)),
            || with(DEPLOYED, &[], &[]),
        )
    },
    Scenario {
        flags: &["--layout", "files"],
        is_atomic: false,
        ..scenario(
            "layout files: an archive that a hook lets pass",
            |session| asking(session, "PUT", "/site/", archive(DEPLOYED)),
            || with(DEPLOYED, &[], &[]),
        )
    },
    Scenario {
        flags: &["--layout", "files"],
        is_atomic: false,
        again: seeded,
        prepare: blank,
        ..scenario("layout files: fill of an empty volume", seeded, || with(SEED, &[], &[]))
    },
    Scenario {
        flags: &["--linger", "1h"],
        ..scenario(
            "an archive that lets files linger",
            |session| request(session, "PUT", "/site/", archive(DEPLOYED)),
            || with(DEPLOYED, &[SEED[2], SEED[6]], &[]),
        )
    },
];
