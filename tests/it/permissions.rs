//! Users apart, as in a pod: Longshore as one user, the web server as another, a volume that an `fsGroup` made setgid.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::json;

use crate::{
    archive::tar,
    http::connect,
    listing::{assert_unchanged, contents, listing, staging_leftovers},
    nginx::Nginx,
    part::{need, skip},
    pod::{Identity, Pod, TOKEN, text},
    run::{Runs as _, clean, eventually},
    tus::{begin, piece},
    uploads::hex,
};

/// The group that every container of the pod has: its `fsGroup`.
const SHARED: u32 = 2_000;

/// Switches of the kernel that distributions set and a bare one does not, put back when dropped.
struct Protections(Vec<(PathBuf, String)>);

impl Protections {
    /// Sets them, or skips the test.
    fn on() -> Option<Self> {
        let mut before = Self(Vec::new());
        for name in ["protected_hardlinks", "protected_symlinks"] {
            let path = Path::new("/proc/sys/fs").join(name);
            let value = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
            if value == "1" {
                continue;
            }
            if let Err(error) = fs::write(&path, "1") {
                skip(&format!("fs.{name} is {value:?} and cannot be set ({error})"));
                return None;
            }
            before.0.push((path, value));
        }
        Some(before)
    }
}

impl Drop for Protections {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            let _ = fs::write(path, value);
        }
    }
}

/// A pod whose volume looks as kubelet leaves it for `fsGroup: 2000`.
fn pod_with_a_group() -> Pod {
    let pod = Pod::new().run_as(Identity { user: 65_532, group: 65_532, supplementary: Some(SHARED) });
    let volume = pod.volume();
    chown(&volume, Some(0), Some(SHARED)).expect("the group is set");
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o2775)).expect("the mode is set");
    pod
}

/// The paths of these that `www-data` can open by itself.
fn readable_by_the_web_server(paths: &[PathBuf]) -> Vec<String> {
    let mut command = Command::new("setpriv");
    clean(&mut command).args(["--reuid", "www-data", "--regid", "www-data", "--clear-groups", "sh", "-c"]);
    // A folder counts when it lists, a file when it opens.
    let script = r#"for path; do
        if [ -d "$path" ]; then ls "$path"; else cat "$path"; fi >&2 && echo "OPEN $path"
    done"#;
    command.args([script, "sh"]);
    let run = command.args(paths).run();
    run.stdout.lines().filter_map(|line| line.strip_prefix("OPEN ")).map(str::to_owned).collect()
}

/// Everything below `.longshore` but the generations: the live one is the site, and one that was just replaced is kept for
/// readers on their way, under a name of 128 random bits in a folder that does not list.
fn hidden(volume: &Path) -> Vec<PathBuf> {
    let (state, trees) = (volume.join(".longshore"), volume.join(".longshore/trees"));
    let paths = listing(&state).into_keys().map(|path| state.join(path));
    paths.filter(|path| !path.starts_with(&trees) || *path == trees).collect()
}

#[track_caller]
fn assert_hidden(nginx: &Nginx, volume: &Path, when: &str) {
    let paths = hidden(volume);
    for part in ["journal/00000000000000000001.json", "lock", "objects", "manifests", "staging", "trees"] {
        assert!(paths.contains(&volume.join(".longshore").join(part)), "{when}: {part} is looked for: {paths:?}");
    }
    for path in &paths {
        let target = format!("/{}", path.strip_prefix(volume).expect("it lies below").display());
        for target in [target.clone(), format!("{target}/")] {
            let answer = nginx.get(&target);
            assert!(matches!(answer.status, 403 | 404), "{when}: {target}: {answer}");
        }
    }
    let open = readable_by_the_web_server(&paths);
    assert_eq!(open, Vec::<String>::new(), "{when}: www-data opens what is ours");
}

#[test]
fn another_user_serves_the_site_and_sees_nothing_of_our_state() {
    let (program, _setpriv, _root) = (need!("nginx"), need!("setpriv"), need!("root"));
    let Some(_protections) = Protections::on() else { return };
    let pod = pod_with_a_group();
    let volume = pod.volume();
    let seed = [("index.html", "page"), ("assets/a.css", "a"), ("assets/deep/b.css", "b")];
    pod.fill(pod.folder("seed", &seed)).expect(0);
    let nginx = Nginx::start(&program, &volume);
    for (path, page) in seed {
        assert_eq!(nginx.get(&format!("/{path}")).expect(200).text(), page);
    }
    assert_hidden(&nginx, &volume, "after a fill");

    let served = pod.serve();
    served.put("/site/index.html", "patched").expect(200);
    served.put("/site/", tar(&[("index.html", b"deployed"), ("assets/a.css", b"a")])).expect(200);
    served.rollback(&json!({})).expect(200);
    served.delete("/site/assets/a.css").expect(200);
    assert_eq!(nginx.get("/").expect(200).text(), "page");

    // While an upload is under way, its bytes are on the disk and nobody else's yet.
    let mut upload = connect(served.listen);
    let head = format!(
        "PUT /site/slow.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 900000\r\n\r\n"
    );
    std::io::Write::write_all(&mut upload, head.as_bytes()).expect("the head is sent");
    std::io::Write::write_all(&mut upload, &[b'x'; 600_000]).expect("a part is sent");
    std::thread::sleep(Duration::from_millis(500));
    assert_hidden(&nginx, &volume, "during an upload");
    drop(upload);
    assert_hidden(&nginx, &volume, "after uploads");

    // What was replaced goes when its readers had their time, not with the next upload.
    let live = fs::canonicalize(volume.join("..data")).expect("it resolves");
    eventually("replaced generations are gone", Duration::from_secs(40), || {
        let left = fs::read_dir(volume.join(".longshore/trees")).expect("it lists").flatten();
        left.map(|entry| entry.path()).all(|path| path == live).then_some(())
    });
    assert_eq!(nginx.get("/").expect(200).text(), "page");
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let (_setpriv, _root) = (need!("setpriv"), need!("root"));
    let pod = pod_with_a_group();
    let volume = pod.volume();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a")])).expect(0);
    let served = pod.serve();
    served.put("/site/new/page.html", "new").expect(201);
    let live = fs::canonicalize(volume.join("..data")).expect("it resolves");
    for path in listing(&live).into_keys() {
        let path = live.join(path);
        let about = fs::symlink_metadata(&path).expect("it is there");
        // The next user of the group publishes into these folders, and removes them.
        let expected = if about.is_dir() { 0o775 } else { 0o644 };
        assert_eq!(about.mode() & 0o777, expected, "{}", path.display());
    }
    let mode = |path: &str| fs::metadata(volume.join(path)).expect("it is there").mode() & 0o777;
    assert_eq!(mode(".longshore") & 0o007, 0o001, "walked through by others, not listed");
    assert_eq!(mode(".longshore/trees") & 0o007, 0o001, "walked through by others, not listed");
    for closed in ["objects", "manifests", "journal", "staging", "lock"] {
        assert_eq!(mode(&format!(".longshore/{closed}")) & 0o007, 0, "{closed} is closed to others");
        assert_eq!(mode(&format!(".longshore/{closed}")) & 0o060, 0o060, "{closed} is the group's to write");
    }
}

#[test]
fn a_new_random_user_of_the_same_group_goes_on_publishing() {
    let (program, _setpriv, _root) = (need!("nginx"), need!("setpriv"), need!("root"));
    let Some(_protections) = Protections::on() else { return };
    let pod = pod_with_a_group();
    let seed = pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a"), ("assets/b.css", "b")]);
    pod.fill(&seed).expect(0);
    let served = pod.serve();
    served.put("/site/assets/a.css", "A").expect(200);
    served.put("/site/news.html", "news").expect(201);
    served.terminate().expect(0);
    let nginx = Nginx::start(&program, &pod.volume());

    // OpenShift gives each start of a namespace's pod a user out of a range.
    for user in [1_000_650_000, 1_000_660_000] {
        let pod = pod_run_by(&pod, user);
        let page = format!("page of {user}");
        pod.fill().expect(0);
        let served = pod.serve();
        served.put("/site/index.html", page.clone()).expect(200);
        assert_eq!(nginx.get("/").expect(200).text(), page);
        let deploy: [(&str, &[u8]); 4] =
            [("index.html", b"deployed"), ("assets/a.css", b"A"), ("assets/b.css", b"b"), ("news.html", b"news")];
        served.put("/site/", tar(&deploy)).expect(200);
        served.put("/site/assets/b.css", "B").expect(200);
        served.delete("/site/news.html").expect(200);
        assert_eq!(nginx.get("/").expect(200).text(), "deployed");
        assert_eq!(nginx.get("/assets/a.css").expect(200).text(), "A");
        nginx.get("/news.html").expect(404);
        served.rollback(&json!({})).expect(200);
        assert_eq!(nginx.get("/assets/b.css").expect(200).text(), "b");
        served.terminate().expect(0);
    }
    assert_hidden(&nginx, &pod.volume(), "after three users");
    let (files, log) = (contents(&pod.volume()), pod.causes());
    assert!(files.len() >= 3 && log.len() >= 11, "{log:?}");
}

/// The same pod's volume, with containers run by another user of the group.
struct OtherUser<'a> {
    pod: &'a Pod,
    identity: Identity,
}

fn pod_run_by(pod: &Pod, user: u32) -> OtherUser<'_> {
    OtherUser { pod, identity: Identity { user, group: 0, supplementary: Some(SHARED) } }
}

impl OtherUser<'_> {
    fn fill(&self) -> crate::run::Run {
        let (volume, seed) = (self.pod.volume(), self.pod.path("seed"));
        self.pod.command_as(self.identity, &["fill", "--volume", text(&volume), "--from", text(&seed)]).run()
    }

    fn serve(&self) -> crate::served::Served {
        let token_file = self.pod.token_file();
        let mut served = self.pod.launch_as(Some(self.identity), &["--token-file", text(&token_file)], &[]);
        served.wait_until_ready();
        served
    }
}

#[test]
fn an_executable_keeps_its_bit_and_every_user_may_read() {
    let pod = Pod::new();
    let seed = pod.folder("seed", &[("run.sh", "#!/bin/sh\n"), ("index.html", "page")]);
    fs::set_permissions(seed.join("run.sh"), fs::Permissions::from_mode(0o700)).expect("its mode is set");
    fs::set_permissions(seed.join("index.html"), fs::Permissions::from_mode(0o600)).expect("its mode is set");
    pod.fill(&seed).expect(0);
    let mode = |name: &str| fs::metadata(pod.volume().join(name)).expect("it is there").mode() & 0o7777;
    assert_eq!((mode("run.sh"), mode("index.html")), (0o755, 0o644));
}

/// As kubelet does for `fsGroup` when it mounts a volume.
fn give_to_the_group(volume: &Path) {
    let command = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).arg(volume).run().expect(0);
    };
    command("chgrp", &["-R", "2000"]);
    command("chmod", &["-R", "g+rwX"]);
    Command::new("find").arg(volume).args(["-type", "d", "-exec", "chmod", "g+s", "{}", "+"]).run().expect(0);
}

/// The user of the pod that comes next.
const NEXT: Identity = Identity { user: 1_000_650_000, group: 65_533, supplementary: None };

#[test]
fn another_user_without_a_shared_group_is_told_the_cure_in_one_line() {
    let (_setpriv, _root) = (need!("setpriv"), need!("root"));
    let Some(_protections) = Protections::on() else { return };
    let pod = Pod::new().run_as(Identity { user: 65_532, group: 65_532, supplementary: None });
    let volume = pod.volume();
    chown(&volume, Some(65_532), Some(65_532)).expect("the owner is set");
    let seed = pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a")]);
    pod.fill(&seed).expect(0);
    let before = listing(&volume);
    let command = |identity, verb, rest: &[&str]| {
        let arguments = [&[verb, "--volume", text(&volume)][..], rest].concat();
        pod.command_as(identity, &arguments).run()
    };
    let token_file = pod.token_file();
    let fill = ["--from", text(&seed), "--when", "always"];
    let serve = ["--token-file", text(&token_file), "--listen", "127.0.0.1:0", "--probes", "127.0.0.1:0"];
    for (verb, rest) in [("fill", &fill[..]), ("serve", &serve[..])] {
        let run = command(NEXT, verb, rest).expect(6);
        let hint = run.stderr.lines().last().expect("something is said");
        let cure = format!("`chown -R 1000650000 {}`", volume.display());
        for part in ["hint: ", "user 65532 ", "user 1000650000:", "fsGroup", &cure] {
            assert!(hint.contains(part), "{part:?} in {hint:?}");
        }
    }
    assert_unchanged(&before, &listing(&volume), "a user who may not");

    // Each of the two cures is one.
    give_to_the_group(&volume);
    let with_group = Identity { supplementary: Some(SHARED), ..NEXT };
    command(with_group, "fill", &fill).expect(0);
    let served = pod.launch_as(Some(with_group), &["--token-file", text(&token_file)], &[]);
    served.put("/site/index.html", "the next user's").expect(200);
    served.terminate().expect(0);
    Command::new("chown").args(["-R", "1000650000"]).arg(&volume).run().expect(0);
    command(NEXT, "fill", &fill).expect(0);
    assert_eq!(contents(&volume)["index.html"], b"page");
}

#[test]
fn an_upload_to_another_users_volume_is_told_the_cure() {
    let (_setpriv, _root) = (need!("setpriv"), need!("root"));
    let pod = Pod::new().run_as(NEXT);
    let served = pod.serve();
    let answer = served.put("/site/index.html", "page").expect(500);
    assert_eq!(answer.problem(), "volume-not-writable");
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    for part in ["belongs to user 0 ", "user 1000650000:", "fsGroup", "`chown -R 1000650000 "] {
        assert!(detail.contains(part), "{part:?} in {detail:?}");
    }
    assert!(!detail.contains('\n'), "{detail}");
}

#[test]
fn the_next_user_goes_on_with_an_upload() {
    let (_setpriv, _root) = (need!("setpriv"), need!("root"));
    let Some(_protections) = Protections::on() else { return };
    let pod = pod_with_a_group();
    let served = pod.serve();
    let in_site = [("upload-length", "6"), ("upload-metadata", "path YS50eHQ=")];
    let uploads = [begin(&served, &in_site), begin(&served, &[("upload-length", "6")])];
    for upload in &uploads {
        piece(&served, upload, 0, "abc", &[]).expect(204);
    }
    served.kill();
    let served = pod_run_by(&pod, 1_000_650_000).serve();
    for upload in &uploads {
        let last = piece(&served, upload, 3, "def", &[]).expect(204);
        assert_eq!(last.header("etag"), format!("\"{}\"", hex(b"abcdef")));
    }
    assert_eq!(contents(&pod.volume())["a.txt"], b"abcdef");
    // Of another user's object, too.
    let deploy = json!({"manifest": {"b.txt": {"digest": hex(b"abcdef"), "size": 6}}});
    served.call("POST", "/v1/releases", deploy.to_string()).expect(201);
    assert_eq!(contents(&pod.volume())["b.txt"], b"abcdef");
}

/// A server of the pod's own user that dies in the middle of an upload, just after a deploy.
fn die_at_work(pod: &Pod) {
    let served = pod.serve();
    served.put("/site/", tar(&[("index.html", b"deployed"), ("more/b.css", b"b")])).expect(200);
    let mut upload = connect(served.listen);
    let head = format!(
        "PUT /site/slow.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 900000\r\n\r\n"
    );
    std::io::Write::write_all(&mut upload, head.as_bytes()).expect("the head is sent");
    std::io::Write::write_all(&mut upload, &[b'x'; 100_000]).expect("a part is sent");
    eventually("the upload is on its way", Duration::from_secs(10), || {
        (!staging_leftovers(&pod.volume()).is_empty()).then_some(())
    });
    served.kill();
}

#[test]
fn the_next_user_removes_what_the_last_one_left() {
    let (_setpriv, _root) = (need!("setpriv"), need!("root"));
    let Some(_protections) = Protections::on() else { return };
    let pod = pod_with_a_group();
    let volume = pod.volume();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a")])).expect(0);
    die_at_work(&pod);
    let generations = || fs::read_dir(volume.join(".longshore/trees")).expect("it lists").count();
    assert!(generations() >= 2 && !staging_leftovers(&volume).is_empty(), "there is something to sweep");

    let next = pod_run_by(&pod, NEXT.user);
    let served = next.serve();
    assert_eq!(staging_leftovers(&volume), Vec::<PathBuf>::new());
    served.rollback(&json!({})).expect(200);
    assert_eq!(contents(&volume)["index.html"], b"page");
    eventually("replaced generations are gone", Duration::from_secs(40), || (generations() == 1).then_some(()));
    served.terminate().expect(0);
}

#[test]
fn what_the_last_user_closed_to_all_others_stays_and_harms_nothing() {
    let (_setpriv, _root) = (need!("setpriv"), need!("root"));
    let pod = pod_with_a_group();
    let volume = pod.volume();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("assets/a.css", "a")])).expect(0);
    die_at_work(&pod);
    let left = staging_leftovers(&volume).pop().expect("an upload");
    let staging = left.parent().expect("its folder");
    let live = fs::canonicalize(volume.join("..data")).expect("it resolves");
    let trees = fs::read_dir(volume.join(".longshore/trees")).expect("it lists").flatten();
    let old = trees.map(|entry| entry.path()).find(|tree| *tree != live).expect("it was replaced a moment ago");
    for folder in [staging, &old] {
        fs::create_dir(folder.join("closed")).expect("made");
        fs::write(folder.join("closed/file"), "x").expect("written");
        fs::set_permissions(folder.join("closed"), fs::Permissions::from_mode(0o700)).expect("closed");
        chown(folder.join("closed"), Some(65_532), Some(65_532)).expect("given away");
    }
    let next = pod_run_by(&pod, NEXT.user);
    next.fill().expect(0);
    let served = next.serve();
    served.put("/site/index.html", "next").expect(200);
    served.put("/site/", tar(&[("index.html", b"deployed again"), ("b.css", b"b")])).expect(200);
    eventually("the second generation is gone", Duration::from_secs(40), || {
        served.log().contains("it is another user's").then_some(())
    });
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(served.log().matches("it is another user's").count(), 1, "said once: {}", served.log());
    assert_eq!(contents(&volume)["index.html"], b"deployed again");
    assert!(old.join("closed/file").exists() && staging.join("closed/file").exists());
    served.terminate().expect(0);
}
