//! Every kind of source gives the same release.

use std::{collections::HashMap, fs, process::Command};

use crate::{
    archive::{gzip, tar, zip, zstandard},
    listing::{contents, is_blank},
    nginx::Nginx,
    part::part,
    pod::{Pod, text},
    run::Runs as _,
    tls::TlsServer,
};

const SITE: &[(&str, &str)] = &[
    ("index.html", "<h1>The harbour</h1>\n"),
    ("assets/style.css", "h1 { color: navy }\n"),
    ("assets/deep/er/empty.txt", ""),
    ("menu ü.html", "<h1>Fish & chips + more</h1>\n"),
];

fn files() -> Vec<(&'static str, &'static [u8])> {
    SITE.iter().map(|(path, text)| (*path, text.as_bytes())).collect()
}

/// The release of [`SITE`] when it comes from a directory.
fn release_of_the_directory() -> String {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", SITE)).expect(0);
    pod.release()
}

#[track_caller]
fn assert_filled(pod: &Pod, from: &str) {
    let site: Vec<_> = contents(&pod.volume()).into_iter().collect();
    let mut expected: Vec<_> = files().into_iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    expected.sort();
    assert_eq!(site, expected, "{from}");
    assert_eq!(pod.release(), release_of_the_directory(), "{from}");
}

#[test]
fn a_directory_and_archives_of_it_give_the_same_release() {
    let plain = tar(&files());
    let archives = [
        ("site.tar", plain.clone()),
        ("site.tar.gz", gzip(&plain)),
        ("site.tgz", gzip(&plain)),
        ("site.tar.zst", zstandard(&plain)),
        ("site.zip", zip(&files())),
    ];
    for (name, bytes) in archives {
        let pod = Pod::new();
        fs::write(pod.path(name), bytes).expect("an archive is written");
        pod.fill(pod.path(name)).expect(0);
        assert_filled(&pod, name);
    }
}

#[test]
fn what_gnu_tar_packs_gives_the_same_release() {
    if part("tar").is_none() {
        return;
    }
    // `./` in front, entries of folders, long names in GNU's way.
    for format in ["gnu", "pax", "ustar"] {
        let pod = Pod::new();
        let archive = pod.path("site.tar.gz");
        let seed = pod.folder("seed", SITE);
        let mut tar = Command::new("tar");
        tar.args(["--format", format, "-czf", text(&archive), "-C", text(&seed), "."]).run().expect(0);
        pod.fill(&archive).expect(0);
        assert_filled(&pod, format);
    }
}

#[test]
fn an_archive_at_an_https_url_is_fetched_with_its_query() {
    let pod = Pod::new();
    let authority = pod.path("authority.pem");
    let target = "/releases/site.tar.gz?X-Amz-Signature=0a%2Fb%2Bc%3D&X-Amz-Expires=60";
    let targets = HashMap::from([(target.to_owned(), gzip(&tar(&files())))]);
    let server = TlsServer::start(targets, &authority);
    let url = server.url(target);

    let mut fill = pod.fill_command(&["--from", &url]);
    fill.env("SSL_CERT_FILE", &authority).run().expect(0);
    assert_filled(&pod, "https");
    let head = String::from_utf8(pod.journal()[0].1.clone()).expect("text");
    assert!(!head.contains("X-Amz-Signature"), "a signature is a secret and stays out of the journal: {head}");
}

#[test]
fn an_archive_at_an_http_url_is_taken_with_a_warning() {
    let Some(program) = part("nginx") else { return };
    let pod = Pod::new();
    let host = pod.folder("host", &[]);
    fs::write(host.join("site.tar.gz"), gzip(&tar(&files()))).expect("an archive is written");
    let nginx = Nginx::start(&program, &host);
    let run = pod.fill(nginx.url("/site.tar.gz")).expect(0);
    assert_filled(&pod, "http");
    assert!(run.stderr.contains("WARN") || run.stderr.contains("warn"), "{}", run.stderr);

    let other = Pod::new();
    other.fill(nginx.url("/absent.tar.gz")).expect(3);
    assert!(is_blank(&other.volume()));
}

#[test]
fn a_cut_archive_is_never_published() {
    let plain = tar(&files());
    let (gzipped, zstandarded, zipped) = (gzip(&plain), zstandard(&plain), zip(&files()));
    let cuts = [
        ("site.tar", &plain[..plain.len() - 1_024 - 700]),
        ("site.tar.gz", &gzipped[..gzipped.len() / 2]),
        ("other.tar.gz", &gzipped[..gzipped.len() - 5]),
        ("site.tar.zst", &zstandarded[..zstandarded.len() / 2]),
        ("site.zip", &zipped[..zipped.len() / 2]),
    ];
    for (name, bytes) in cuts {
        let pod = Pod::new();
        fs::write(pod.path(name), bytes).expect("an archive is written");
        let run = pod.fill(pod.path(name));
        assert!(matches!(run.code, Some(1 | 4)), "{name}: {run:?}");
        assert!(run.stderr.contains(name), "{name} is named: {}", run.stderr);
        assert!(is_blank(&pod.volume()), "{name}");
        assert_eq!(pod.journal().len(), 0, "{name}");
    }
}

#[test]
fn an_unreachable_url_is_not_an_absent_one() {
    let nobody = format!("http://127.0.0.1:{}/site.tar.gz", crate::nginx::free_port());
    let authority = Pod::new();
    let target = "/site.tar.gz?X-Amz-Signature=0a%2Fb%2Bc%3D";
    let targets = HashMap::from([(target.to_owned(), gzip(&tar(&files())))]);
    let server = TlsServer::start(targets, &authority.path("authority.pem"));
    let stranger = server.url(target);
    // Side by side, since each tries for a minute.
    std::thread::scope(|scope| {
        // A certificate does not cure itself in a minute.
        for (url, code) in [(&nobody, 75), (&stranger, 1)] {
            scope.spawn(move || {
                let pod = Pod::new();
                let fallback = pod.folder("fallback", &[("index.html", "placeholder")]);
                let run = pod.fill_with(&["--from", url, "--from", text(&fallback)]).expect(code);
                assert!(is_blank(&pod.volume()), "a placeholder must not take the place of what is only away: {url}");
                assert!(!run.stderr.contains("0a%2Fb%2Bc"), "a signature stays out of the log: {}", run.stderr);
            });
        }
    });
}
