//! Who may write: the bearer tokens and their file.

use std::{fs, os::unix::fs::symlink, time::Duration};

use crate::{
    http::call,
    listing::{assert_unchanged, listing_without_directory_times},
    pod::{Pod, TOKEN, text},
    run::{Runs as _, eventually},
    served::Served,
};

fn put(served: &Served, token: &str) -> u16 {
    call("PUT", &served.url("/site/a.txt"), &[("authorization", &format!("Bearer {token}"))], token.to_owned()).status
}

/// Waits for a token's standing to change: the file is watched, or read again within ten seconds.
#[track_caller]
fn soon(served: &Served, token: &str, expected: &[u16]) {
    eventually(&format!("{token:?} is answered {expected:?}"), Duration::from_secs(11), || {
        expected.contains(&put(served, token)).then_some(())
    });
}

#[test]
fn a_missing_wrong_or_misplaced_token_changes_nothing() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let served = pod.serve();
    let before = listing_without_directory_times(&pod.volume());
    let half = &TOKEN[..TOKEN.len() / 2];
    let almost = &TOKEN[..TOKEN.len() - 1];
    let headers = [
        None,
        Some(String::new()),
        Some("Bearer".into()),
        Some("Bearer ".into()),
        Some(format!("Bearer {half}")),
        Some(format!("Bearer {almost}")),
        Some(format!("Bearer {TOKEN}x")),
        Some(format!("Bearer {}", TOKEN.to_uppercase())),
        Some(format!("Bearer {TOKEN} {TOKEN}")),
        Some(format!("Bearer {TOKEN},x")),
        Some(format!("Basic {TOKEN}")),
        Some(TOKEN.into()),
    ];
    let requests = [
        ("PUT", "/site/index.html"),
        ("PUT", "/site/"),
        ("PATCH", "/site/"),
        ("DELETE", "/site/index.html"),
        ("GET", "/site/index.html"),
        ("GET", "/v1/releases"),
        ("POST", "/v1/rollback"),
    ];
    for (method, path) in requests {
        for header in &headers {
            for query in ["", "?token=TOKEN", "?access_token=TOKEN", "?authorization=Bearer%20TOKEN"] {
                let url = served.url(path) + &query.replace("TOKEN", TOKEN);
                let header: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
                let answer = call(method, &url, &header, "x");
                assert_eq!(answer.status, 401, "{method} {path}{query} {header:?}: {answer}");
                assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer}");
                assert_eq!(answer.problem(), "unauthorized");
                assert!(!answer.text().contains(TOKEN), "an answer never says a token: {answer}");
            }
        }
    }
    // Two of them: which one counts must not be a question.
    let both = [("authorization", "Bearer wrong"), ("authorization", &format!("Bearer {TOKEN}"))];
    let answer = call("PUT", &served.url("/site/index.html"), &both, "x");
    assert!(matches!(answer.status, 400 | 401), "{answer}");
    assert_unchanged(&before, &listing_without_directory_times(&pod.volume()), "an unauthorised request");
    assert!(!served.log().contains(TOKEN), "a log never says a token");
}

#[test]
fn a_token_file_may_hold_several_and_is_read_again_when_it_changes() {
    let pod = Pod::new();
    fs::write(pod.token_file(), "token-of-the-editor-1\ntoken-of-the-pipeline-2\n").expect("it is written");
    let served = pod.serve();
    assert_eq!(put(&served, "token-of-the-editor-1"), 201);
    assert_eq!(put(&served, "token-of-the-pipeline-2"), 200);
    assert_eq!(put(&served, TOKEN), 401);

    // By rename, as most programs write.
    fs::write(pod.path("next"), "token-of-the-editor-3\n").expect("it is written");
    fs::rename(pod.path("next"), pod.token_file()).expect("it is renamed");
    soon(&served, "token-of-the-editor-3", &[200]);
    assert_eq!(put(&served, "token-of-the-editor-1"), 401);

    // In place.
    fs::write(pod.token_file(), "token-of-the-editor-4").expect("it is written");
    soon(&served, "token-of-the-editor-4", &[200]);
    assert_eq!(put(&served, "token-of-the-editor-3"), 401);

    // Emptied: nobody may write, not even the empty token.
    fs::write(pod.token_file(), "\n \n").expect("it is written");
    soon(&served, "token-of-the-editor-4", &[401, 503]);
    assert_eq!(put(&served, ""), 401);

    fs::write(pod.token_file(), "token-of-the-editor-5").expect("it is written");
    soon(&served, "token-of-the-editor-5", &[200]);
    fs::remove_file(pod.token_file()).expect("it is removed");
    soon(&served, "token-of-the-editor-5", &[401, 503]);

    // A file that comes back counts again.
    fs::write(pod.token_file(), "token-of-the-editor-6").expect("it is written");
    soon(&served, "token-of-the-editor-6", &[200]);
}

#[test]
fn a_secret_mount_that_is_swapped_is_read_again() {
    let pod = Pod::new();
    let mount = pod.folder("secret", &[("..1/token", "token-before-the-swap"), ("..2/token", "token-after-the-swap")]);
    symlink("..1", mount.join("..data")).expect("a link is made");
    symlink("..data/token", mount.join("token")).expect("a link is made");
    let served = pod.launch(&["--token-file", text(&mount.join("token"))], &[]);
    soon(&served, "token-before-the-swap", &[201]);
    symlink("..2", mount.join("..data_tmp")).expect("a link is made");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("it is renamed");
    soon(&served, "token-after-the-swap", &[200]);
    assert_eq!(put(&served, "token-before-the-swap"), 401);
}

#[test]
fn serve_refuses_to_start_without_a_way_to_know_who_writes() {
    let pod = Pod::new();
    let volume = pod.volume();
    let absent = pod.path("absent");
    let serve = ["serve", "--volume", text(&volume), "--probes", "127.0.0.1:0"];
    let refused: [&[&str]; 5] = [
        &["--listen", "127.0.0.1:0"],
        &["--listen", "0.0.0.0:0", "--no-auth"],
        &["--listen", "[::]:0", "--no-auth"],
        &["--no-auth"],
        &["--listen", "127.0.0.1:0", "--token-file", text(&absent), "--no-auth"],
    ];
    for flags in refused {
        let run = pod.command(&[&serve, flags].concat()).run().expect(2);
        assert!(run.stderr.contains("--token-file") || run.stderr.contains("--no-auth"), "{flags:?}: {}", run.stderr);
    }
    let served = pod.launch(&["--no-auth"], &[]);
    call("PUT", &served.url("/site/a.txt"), &[], "anybody on this machine").expect(201);
}
