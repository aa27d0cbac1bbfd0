//! `--pre-publish`: who is asked before a release, and may keep it from being made.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    archive::tar,
    http::{Answer, call},
    listener::{Listener, Said},
    listing::{contents, staging_leftovers},
    pod::{Pod, TOKEN, text},
    run::eventually,
    served::{Served, to},
    tus::{begin, offset, piece},
};

const LAYOUTS: [&[&str]; 3] = [&[], &["--link", "html"], &["--layout", "files"]];

type Site = BTreeMap<String, Vec<u8>>;

fn site(files: &[(&str, &str)]) -> Site {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

fn serve(pod: &Pod, hook: &str, flags: &[&str]) -> Served {
    pod.serve_with(&[&["--pre-publish", hook], flags].concat())
}

/// A hook that says no as long as the switch is on.
fn switch() -> (Arc<AtomicBool>, Listener) {
    let vetoes = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&vetoes);
    let hook = Listener::start(move |_| {
        Some(if asked.load(Ordering::SeqCst) { (418, b"not today".to_vec()) } else { (204, Vec::new()) })
    });
    (vetoes, hook)
}

fn send(served: &Served, method: &str, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let token = format!("Bearer {TOKEN}");
    call(method, &served.url(path), &[("authorization", &token), ("content-type", kind)], body)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn deploy(served: &Served, page: &str) -> Answer {
    let digest = hex(page.as_bytes());
    let sent = served.put(&format!("/v1/objects/{digest}"), page.to_owned());
    assert!([200, 201].contains(&sent.status), "{sent}");
    let body = json!({ "manifest": { "index.html": { "digest": digest, "size": page.len() } } });
    send(served, "POST", "/v1/releases?max-delete=all", "application/json", body.to_string())
}

#[track_caller]
fn veto(answer: Answer) -> Value {
    let answer = answer.expect(422);
    assert_eq!(answer.problem(), "vetoed");
    answer.json()
}

/// Nothing lies where proposals are staged, and nothing half done anywhere.
#[track_caller]
fn assert_tidy(pod: &Pod) {
    let proposed = pod.volume().join(".longshore/proposed");
    let left: Vec<_> = fs::read_dir(&proposed).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
    assert!(
        staging_leftovers(&pod.volume()).iter().all(|path| !path.starts_with(pod.volume().join(".longshore/staging")))
    );
}

fn shown(pod: &Pod, flags: &[&str]) -> Site {
    contents(&if flags.contains(&"html") { pod.volume().join("html") } else { pod.volume() })
}

#[test]
fn each_kind_of_commit_is_vetoed_in_each_layout() {
    for flags in LAYOUTS {
        let pod = Pod::new();
        let (vetoes, hook) = switch();
        let served = serve(&pod, &hook.url(), flags);
        let first = tar(&[("index.html", b"one"), ("a/b.css", b"b"), ("a/c.css", b"c")]);
        served.put("/site/", first).expect(200);
        served.put("/site/index.html", "two").expect(200);
        let (before, journal) = (shown(&pod, flags), pod.journal());
        assert_eq!((before.len(), hook.told().len()), (3, 2), "{flags:?}");

        vetoes.store(true, Ordering::SeqCst);
        let form = "--x\r\ncontent-disposition: form-data; name=a; filename=form.txt\r\n\r\nform\r\n--x--\r\n";
        let archive = tar(&[("index.html", b"three")]);
        let mut asked = hook.told().len();
        let mut vetoed = |what: &str, answer: Answer| {
            let problem = veto(answer);
            assert_eq!((&problem["output"], &problem["hook_status"]), (&json!("not today"), &json!(418)), "{what}");
            asked += 1;
            assert_eq!(hook.told().len(), asked, "{what}: it was asked once");
            assert_eq!((shown(&pod, flags), pod.journal().len()), (before.clone(), journal.len()), "{what}");
            assert_tidy(&pod);
        };
        vetoed("a file changed", served.put("/site/index.html", "three"));
        vetoed("a new file", served.put("/site/new/file", "three"));
        vetoed("a file deleted", served.delete("/site/a/b.css"));
        vetoed("a folder deleted", served.delete("/site/a/"));
        vetoed("a site put", served.put("/site/?max-delete=all", archive.clone()));
        vetoed("a folder put", served.put("/site/a/?max-delete=all", archive.clone()));
        vetoed("an archive merged", served.patch("/site/", archive));
        vetoed("a form", send(&served, "POST", "/site/", "multipart/form-data; boundary=x", form));
        let place = format!("path {}", BASE64_STANDARD.encode("resumed.txt"));
        let upload = begin(&served, &[("upload-length", "5"), ("upload-metadata", &place)]);
        vetoed("an upload that can be resumed", piece(&served, &upload, 0, "three", &[]));
        vetoed("a deploy", deploy(&served, "three"));
        vetoed("a rollback", served.rollback(&to(1)));
        // Neither of these would make a release.
        served.rehearse("PUT", "/site/index.html", "three").expect(200);
        served.put("/site/index.html", "two").expect(200);
        assert_eq!(hook.told().len(), asked);

        vetoes.store(false, Ordering::SeqCst);
        deploy(&served, "three").expect(201);
        assert_eq!(shown(&pod, flags), site(&[("index.html", "three")]), "the object was not lost");
        served.rollback(&to(2)).expect(200);
        assert_eq!(shown(&pod, flags), before);
        piece(&served, &upload, offset(&served, &upload), "e", &[]).expect(204);
        assert_eq!(shown(&pod, flags)["resumed.txt"], b"three", "nor was the upload");
        assert_tidy(&pod);
        let log = served.log();
        assert!(!log.contains("hidden") && log.contains("vetoed"), "{log}");
        let metrics = call("GET", &format!("http://{}/metrics", served.probes), &[], "").text();
        for count in ["accepted\"} 5", "refused\"} 11"] {
            let line = format!("longshore_hooks_total{{hook=\"pre-publish\",outcome=\"{count}");
            assert!(metrics.contains(&line), "{line} in {metrics}");
        }
    }
}

#[test]
fn the_staged_tree_is_the_whole_new_release_while_the_old_one_is_live() {
    for flags in LAYOUTS {
        let pod = Pod::new();
        let (volume, root) = (pod.volume(), if flags.contains(&"html") { "html" } else { "" });
        let seen: Arc<Mutex<Vec<(Site, Site, Site)>>> = Arc::default();
        let notes = Arc::clone(&seen);
        let hook = Listener::start(move |message| {
            let tree = contents(Path::new(message["tree"].as_str().expect("a path")));
            let there = contents(&volume.join(message["tree_in_volume"].as_str().expect("a path")));
            for folder in ["..", "../.."] {
                let folder = Path::new(message["tree"].as_str().expect("a path")).join(folder);
                let mode = fs::metadata(&folder).expect("it is there").permissions().mode();
                assert_eq!(mode & 0o007, 0o001, "others walk through {}, and list nothing", folder.display());
            }
            let live = volume.join(root);
            let live = if live.exists() { contents(&live) } else { Site::new() };
            notes.lock().expect("no panic").push((tree, there, live));
            Some((200, Vec::new()))
        });
        let served = serve(&pod, &hook.url(), flags);
        let mut live = Site::new();
        let steps: [(&str, Site, &dyn Fn() -> Answer); 5] = [
            ("a first file", site(&[("index.html", "one")]), &|| served.put("/site/index.html", "one")),
            ("a file changed", site(&[("index.html", "two")]), &|| served.put("/site/index.html", "two")),
            ("twins", site(&[("index.html", "two"), ("a/x", "same"), ("b/y", "same")]), &|| {
                served.patch("/site/", tar(&[("a/x", b"same"), ("b/y", b"same")]))
            }),
            ("a file less", site(&[("index.html", "two"), ("b/y", "same")]), &|| served.delete("/site/a/x")),
            ("a rollback", site(&[("index.html", "one")]), &|| served.rollback(&to(1))),
        ];
        for (what, wanted, step) in steps {
            let answer = step();
            assert!(answer.status < 300, "{what}: {answer}");
            let (tree, there, old) = seen.lock().expect("no panic").pop().expect("it was asked");
            assert_eq!((&tree, &there, &old), (&wanted, &wanted, &live), "{what} {flags:?}");
            let message = hook.told().pop().expect("it was asked");
            let answer = answer.json();
            for member in ["seq", "release", "changed", "removed", "bytes"] {
                assert_eq!(message[member], answer[member], "{what}: {member}");
            }
            let bytes: usize = wanted.values().map(Vec::len).sum();
            assert_eq!(message["site"], json!({ "files": wanted.len(), "bytes": bytes }), "{what}");
            let released = served.releases()[0].clone();
            for member in ["by", "cause", "at", "parent"] {
                assert_eq!(message[member], released[member], "{what}: {member}");
            }
            assert_eq!(message["event"], json!("pre-publish"));
            assert!(!Path::new(message["tree"].as_str().expect("a path")).exists(), "{what}: it is gone");
            live = wanted;
            assert_eq!(shown(&pod, flags), live, "{what}");
        }
        assert_tidy(&pod);
    }
}

#[test]
fn no_answer_is_a_no() {
    let pod = Pod::new();
    let refused = {
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("http://me:hidden@{}/?hidden", port.local_addr().expect("an address"))
    };
    for (url, answer, status) in [
        (Some(refused), None, json!(null)),
        (None, None, json!(null)),
        (None, Some((302, b"elsewhere".to_vec())), json!(302)),
        (None, Some((500, vec![b'x'; 4 << 20])), json!(500)),
        (None, Some((400, vec![0xff, 0])), json!(400)),
    ] {
        let said = answer.clone();
        let hook = Listener::start(move |_: &Value| -> Said { said.clone() });
        let served = serve(&pod, &url.clone().unwrap_or_else(|| hook.url()), &["--pre-publish-timeout", "1s"]);
        let problem = veto(served.put("/site/index.html", "page"));
        assert_eq!(problem["hook_status"], status, "{problem}");
        let output = problem["output"].as_str().expect("text");
        let wanted = answer.map_or_else(Vec::new, |(_, body)| body);
        assert_eq!(output, String::from_utf8_lossy(&wanted[..wanted.len().min(16 << 10)]), "{status}");
        assert!(!problem.to_string().contains("hidden") && !served.log().contains("hidden"), "{problem}");
        assert_eq!((contents(&pod.volume()), pod.journal().len()), (Site::new(), 0));
        assert_eq!(hook.told().len(), usize::from(url.is_none()), "asked once, and nothing followed");
        assert_tidy(&pod);
    }
}

/// A hook that waits with its first answer until it is told to go on.
fn slow_once() -> (mpsc::Sender<()>, Listener) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(Some(wait));
    let hook = Listener::start(move |_| {
        let first = wait.lock().expect("no panic").take();
        if let Some(first) = first {
            let _ = first.recv_timeout(Duration::from_secs(60));
        }
        Some((200, Vec::new()))
    });
    (go, hook)
}

#[track_caller]
fn once_asked(hook: &Listener) {
    eventually("the hook is asked", Duration::from_secs(60), || (!hook.told().is_empty()).then_some(()));
}

#[test]
fn who_writes_while_a_hook_thinks_is_not_kept_and_the_first_begins_anew() {
    for flags in LAYOUTS {
        let pod = Pod::new();
        pod.serve_with(flags).put("/site/index.html", "old").expect(201);
        let (go, hook) = slow_once();
        let served = serve(&pod, &hook.url(), flags);
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| served.put("/site/slow", "slow"));
            once_asked(&hook);
            let quick = served.put("/site/quick", "quick").expect(201).json();
            assert_eq!(shown(&pod, flags), site(&[("index.html", "old"), ("quick", "quick")]));
            go.send(()).expect("it waits");
            slow.join().expect("it is answered").expect(201);
            let told = hook.told();
            assert_eq!(told.iter().map(|told| &told["seq"]).collect::<Vec<_>>(), [2, 2, 3], "asked again");
            assert_eq!((&told[2]["parent"], &told[2]["op"]), (&quick["release"], &told[0]["op"]));
        });
        assert_eq!(shown(&pod, flags), site(&[("index.html", "old"), ("quick", "quick"), ("slow", "slow")]));
        assert_eq!(pod.journal().len(), 3);
        assert_tidy(&pod);
    }
}

#[test]
fn what_was_decided_while_a_hook_thinks_holds() {
    let pod = Pod::new();
    for (decided, status) in [("published", 412), ("locked", 423)] {
        pod.serve().put("/site/index.html", format!("before it is {decided}"));
        let (go, hook) = slow_once();
        let served = serve(&pod, &hook.url(), &[]);
        let tag = format!("\"{}\"", pod.release());
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", &*token), ("if-match", &*tag)];
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| call("PATCH", &served.url("/site/"), &headers, tar(&[("slow", b"slow")])));
            once_asked(&hook);
            match status {
                412 => served.put("/site/index.html", "published meanwhile").expect(200),
                _ => served.call("PUT", "/v1/lock", "").expect(201),
            };
            go.send(()).expect("it waits");
            slow.join().expect("it is answered").expect(status);
        });
        assert!(!contents(&pod.volume()).contains_key("slow"), "{decided}");
        served.call("DELETE", "/v1/lock", "");
        assert_tidy(&pod);
    }
}

#[test]
fn who_is_overtaken_again_and_again_is_told() {
    let pod = Pod::new();
    let address = Arc::new(Mutex::new(None::<String>));
    let url = Arc::clone(&address);
    // Each time that it is asked about the slow one, another is quicker.
    let hook = Listener::start(move |message| {
        let url = url.lock().expect("no panic").clone();
        if message["message"] == json!("slow")
            && let Some(url) = url
        {
            let token = format!("Bearer {TOKEN}");
            call("PUT", &format!("{url}{}", message["seq"]), &[("authorization", &token)], "quick");
        }
        Some((200, Vec::new()))
    });
    let served = serve(&pod, &hook.url(), &[]);
    served.put("/site/index.html", "page").expect(201);
    *address.lock().expect("no panic") = Some(served.url("/site/quick-"));
    let body = json!({ "base": 1, "remove": ["index.html"], "message": "slow" }).to_string();
    let answer = send(&served, "POST", "/v1/releases?allow-empty=true&max-delete=all", "application/json", body);
    assert_eq!(answer.clone().expect(503).problem(), "overtaken");
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(hook.told().iter().filter(|told| told["message"] == json!("slow")).count(), 5);
    assert_eq!(pod.journal().len(), 6);
    assert_tidy(&pod);
}

#[test]
fn a_kill_while_a_hook_thinks_leaves_the_old_release_and_the_next_start_cleans() {
    for flags in LAYOUTS {
        let pod = Pod::new();
        pod.serve_with(flags).put("/site/index.html", "old").expect(201);
        let (_go, hook) = slow_once();
        let served = serve(&pod, &hook.url(), flags);
        let url = served.url("/site/index.html");
        let writing = std::thread::spawn(move || {
            crate::http::try_call("PUT", &url, &[("authorization", &format!("Bearer {TOKEN}"))], "new")
        });
        once_asked(&hook);
        let tree = hook.told()[0]["tree"].as_str().expect("a path").to_owned();
        assert_eq!(contents(Path::new(&tree)), site(&[("index.html", "new")]));
        served.kill();
        assert!(writing.join().expect("it ends").is_err());
        assert_eq!(shown(&pod, flags), site(&[("index.html", "old")]));
        assert!(Path::new(&tree).exists(), "nobody could clean");
        let served = serve(&pod, &hook.url(), flags);
        assert!(!Path::new(&tree).exists());
        assert_tidy(&pod);
        assert_eq!((shown(&pod, flags), pod.journal().len()), (site(&[("index.html", "old")]), 1));
        served.put("/site/index.html", "new").expect(200);
        assert_eq!(shown(&pod, flags), site(&[("index.html", "new")]));
    }
}

#[test]
fn a_program_gets_the_json_and_a_clean_environment_and_may_veto() {
    let pod = Pod::new();
    let noted = pod.path("noted");
    let script = format!(
        "cat > {0}.json; env > {0}.env; ls -R \"$LONGSHORE_TREE\" > {0}.ls; pwd; echo oops >&2; grep -q good \"$LONGSHORE_TREE/index.html\" || exit 3",
        text(&noted)
    );
    let program = pod.program("check", &script);
    let served = serve(&pod, text(&program), &[]);
    let problem = veto(served.put("/site/index.html", "bad"));
    assert_eq!((&problem["hook_status"], &problem["output"]), (&json!(3), &json!("/\noops\n")), "{problem}");
    assert_eq!(pod.journal().len(), 0);
    served.put("/site/index.html", "good").expect(201);
    served.put("/site/sub/page.html", "sub").expect(201);
    let read = |end: &str| fs::read_to_string(format!("{}.{end}", text(&noted))).expect("it was noted");
    let told: Value = serde_json::from_str(&read("json")).expect("JSON");
    let mut environment: BTreeMap<String, String> = BTreeMap::new();
    for line in read("env").lines() {
        let (name, value) = line.split_once('=').expect("a variable");
        environment.insert(name.into(), value.into());
    }
    // What a shell makes for itself.
    for own in ["PWD", "OLDPWD", "SHLVL", "_", "LLVM_PROFILE_FILE"] {
        environment.remove(own);
    }
    for (name, member) in [
        ("EVENT", "event"),
        ("OP", "op"),
        ("SEQ", "seq"),
        ("RELEASE", "release"),
        ("PARENT", "parent"),
        ("CAUSE", "cause"),
        ("BY", "by"),
        ("TREE", "tree"),
        ("TREE_IN_VOLUME", "tree_in_volume"),
    ] {
        let value = told[member].as_str().map_or_else(|| told[member].to_string(), str::to_owned);
        assert_eq!(environment.remove(&format!("LONGSHORE_{name}")), Some(value), "{member}");
    }
    assert_eq!(environment, BTreeMap::new(), "nothing else");
    assert!(read("ls").contains("page.html"));
    assert_tidy(&pod);
}

/// Whether a process is no more. One that its new parent has not reaped yet is dead as well.
fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

#[test]
fn a_program_that_is_late_dies_with_its_children_and_its_words_are_told() {
    let pod = Pod::new();
    let pids = pod.path("pids");
    let script = format!("echo started; sleep 600 & echo $! >> {0}; echo $$ >> {0}; sleep 600", text(&pids));
    let program = pod.program("late", &script);
    let served = serve(&pod, text(&program), &["--pre-publish-timeout", "2s"]);
    let problem = veto(served.put("/site/index.html", "page"));
    assert_eq!((&problem["hook_status"], &problem["output"]), (&json!(null), &json!("started\n")), "{problem}");
    assert_tidy(&pod);
    let pids = fs::read_to_string(&pids).expect("it noted them");
    assert_eq!(pids.lines().count(), 2);
    for pid in pids.lines() {
        eventually("it is gone", Duration::from_secs(20), || is_gone(pid).then_some(()));
    }
}

#[test]
fn a_program_does_not_outlive_the_server() {
    let pod = Pod::new();
    for hook in ["--pre-publish", "--post-publish"] {
        let pid = pod.path(hook);
        let program = pod.program("waits", &format!("echo $$ > {}; sleep 600", text(&pid)));
        let served = pod.serve_with(&[hook, text(&program), &format!("{hook}-timeout"), "600s", "--grace", "1s"]);
        let url = served.url("/site/index.html");
        let writing = std::thread::spawn(move || {
            crate::http::try_call("PUT", &url, &[("authorization", &format!("Bearer {TOKEN}"))], "page")
        });
        let started = || fs::read_to_string(&pid).ok().filter(|pid| pid.ends_with('\n'));
        let pid = eventually("it is asked", Duration::from_secs(60), started);
        served.terminate().expect(0);
        drop(writing.join().expect("it ends"));
        eventually("it is gone", Duration::from_secs(20), || is_gone(pid.trim()).then_some(()));
        assert_eq!(pod.journal().len(), usize::from(hook == "--post-publish"));
        assert_tidy(&pod);
    }
}

#[test]
fn a_program_says_as_much_as_it_likes_and_leaves_nobody_behind() {
    let pod = Pod::new();
    let pids = pod.path("pids");
    let script = format!("sleep 600 & echo $! > {}; head -c 8000000 /dev/zero | tr '\\0' x; exit 1", text(&pids));
    let program = pod.program("talks", &script);
    let served = serve(&pod, text(&program), &[]);
    let problem = veto(served.put("/site/index.html", "page"));
    let output = problem["output"].as_str().expect("text");
    assert_eq!((output.len(), output.trim_matches('x'), &problem["hook_status"]), (16 << 10, "", &json!(1)));
    let pid = fs::read_to_string(&pids).expect("it noted it").trim().to_owned();
    eventually("its child is gone", Duration::from_secs(20), || is_gone(&pid).then_some(()));
    assert!(served.peak_memory() < 128 << 20);
}

#[test]
fn a_hook_that_writes_to_what_it_reads_is_not_believed() {
    let pod = Pod::new();
    // As long as before, so that no size tells.
    let program = pod.program("writes", "printf evil > \"$LONGSHORE_TREE/index.html\"");
    let served = serve(&pod, text(&program), &[]);
    let problem = veto(served.put("/site/index.html", "good"));
    assert!(problem["detail"].as_str().expect("text").contains("index.html"), "{problem}");
    assert_eq!(pod.journal().len(), 0);
    assert_tidy(&pod);
}

#[test]
fn a_hook_that_writes_to_what_is_live_is_vetoed_and_told_of() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "good"), ("deep/a.html", "a")])).expect(0);
    for end in ["exit 0", "exit 1"] {
        let program = pod.program("writes", &format!("printf evil > \"$LONGSHORE_TREE/index.html\"; {end}"));
        let served = serve(&pod, text(&program), &[]);
        let problem = veto(served.put("/site/new.html", "new"));
        if end == "exit 0" {
            assert!(problem["detail"].as_str().expect("text").contains("index.html"), "{problem}");
        }
        served.get("/site/new.html").expect(404);
        let log = served.log();
        let said = log.lines().find(|line| line.contains("ERROR") && line.contains("index.html"));
        assert!(said.is_some_and(|line| !line.contains("deep/a.html")), "{log}");
        served.terminate().expect(0);
        // The way out that it tells.
        let served = pod.serve();
        served.put("/site/index.html", "good").expect(200);
        assert_eq!(served.get("/site/index.html").expect(200).text(), "good");
        assert_eq!(fs::read(pod.volume().join("index.html")).expect("it is read"), b"good");
    }
}

/// What waits to be published shares its bytes with the staged tree, so a veto that says so is not enough.
#[test]
fn what_a_hook_wrote_to_is_not_published_later_either() {
    let pod = Pod::new();
    let (evil, page) = (pod.path("evil"), "good");
    let script = format!(
        "test ! -e {} || {{ printf evil > \"$LONGSHORE_TREE/index.html\"; test ! -e {}; }}",
        text(&evil),
        text(&pod.path("says-no"))
    );
    let program = pod.program("writes", &script);
    let served = serve(&pod, text(&program), &[]);
    let place = format!("path {}", BASE64_STANDARD.encode("index.html"));
    for says_no in [false, true] {
        fs::write(&evil, "").expect("written");
        if says_no {
            fs::write(pod.path("says-no"), "").expect("written");
        }
        veto(deploy(&served, page));
        let upload = begin(&served, &[("upload-length", "4"), ("upload-metadata", &place)]);
        veto(piece(&served, &upload, 0, page, &[]));
        fs::remove_file(&evil).expect("removed");

        let digest = hex(page.as_bytes());
        call(
            "HEAD",
            &served.url(&format!("/v1/objects/{digest}")),
            &[("authorization", &format!("Bearer {TOKEN}"))],
            "",
        )
        .expect(404);
        assert_eq!(piece(&served, &upload, 3, "d", &[]).expect(422).problem(), "digest-mismatch");
        piece(&served, &upload, 0, page, &[]).expect(404);
        assert_eq!(pod.journal().len(), 0);
    }
    deploy(&served, page).expect(201);
    assert_eq!(served.get("/site/index.html").expect(200).text(), page);
    assert_tidy(&pod);
}

#[test]
fn a_followed_source_that_is_vetoed_is_asked_about_when_something_changes() {
    let pod = Pod::new();
    let (vetoes, hook) = switch();
    vetoes.store(true, Ordering::SeqCst);
    let pack = |page: &str| {
        fs::write(pod.path("next.tar"), tar(&[("index.html", page.as_bytes())])).expect("it is written");
        fs::rename(pod.path("next.tar"), pod.path("site.tar")).expect("it is renamed");
    };
    pack("one");
    let archive = pod.path("site.tar");
    let served = serve(&pod, &hook.url(), &["--from", text(&archive), "--every", "100ms"]);
    let asked = |count: usize| {
        eventually("it is asked", Duration::from_secs(60), || (hook.told().len() >= count).then_some(()));
        // Many a look later.
        let looks = || {
            let metrics = call("GET", &format!("http://{}/metrics", served.probes), &[], "").text();
            let line = "longshore_source_looks_total{outcome=\"unchanged\"} ";
            metrics.lines().find_map(|each| each.strip_prefix(line)?.parse::<u64>().ok()).unwrap_or_default()
        };
        let before = looks();
        eventually("it looks on", Duration::from_secs(60), || (looks() > before + 5).then_some(()));
        assert_eq!(hook.told().len(), count);
    };
    asked(1);
    assert_eq!(served.log().matches("not published").count(), 1, "{}", served.log());
    pack("two");
    asked(2);
    // Who asks is told.
    let answer = served.call("POST", "/v1/sync", "");
    assert_eq!(veto(answer)["output"], json!("not today"));
    asked(3);
    assert!(pod.journal().is_empty());
    vetoes.store(false, Ordering::SeqCst);
    pack("three");
    // The journal has it a moment before.
    let page = || fs::read(pod.volume().join("index.html")).ok();
    eventually("it is live", Duration::from_secs(60), || (page()? == b"three").then_some(()));
    assert_eq!(pod.journal().len(), 1);
    assert_eq!(hook.told()[3]["cause"], json!("seed"));
}

#[test]
fn a_followed_source_waits_for_a_hook_that_is_away() {
    let pod = Pod::new();
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("an address");
    drop(port);
    let seed = pod.folder("seed", &[("index.html", "seed")]);
    let served = serve(&pod, &format!("http://{address}/"), &["--from", text(&seed), "--every", "100ms"]);
    eventually("it complains", Duration::from_secs(60), || served.log().contains("not published").then_some(()));
    assert!(pod.journal().is_empty());
    // Somebody else may have taken the port meanwhile.
    let Ok(port) = TcpListener::bind(address) else { return };
    let hook = Listener::on(port, |_| Some((200, Vec::new())));
    eventually("it is live", Duration::from_secs(60), || (pod.journal().len() == 1).then_some(()));
    assert_eq!(hook.told().len(), 1);
    assert_eq!(served.log().matches("not published").count(), 1, "{}", served.log());
}

#[test]
fn what_is_shown_already_is_adopted_without_asking() {
    let pod = Pod::new();
    fs::write(pod.volume().join("found.html"), "found").expect("it is written");
    let (vetoes, hook) = switch();
    vetoes.store(true, Ordering::SeqCst);
    let served = serve(&pod, &hook.url(), &[]);
    veto(served.put("/site/index.html", "page"));
    assert_eq!((pod.causes(), hook.told().len()), (vec!["adopt".to_owned()], 1));
    assert_eq!(contents(&pod.volume()), site(&[("found.html", "found")]));
    assert_tidy(&pod);
}

#[test]
fn who_waits_for_a_hook_when_the_server_ends_is_told_to_come_again() {
    let pod = Pod::new();
    let asked = pod.path("asked");
    let program = pod.program("slow", &format!("touch {}; sleep 30", text(&asked)));
    let served = serve(&pod, text(&program), &["--grace", "4s"]);
    let url = served.url("/site/index.html");
    let waiting =
        std::thread::spawn(move || call("PUT", &url, &[("authorization", &format!("Bearer {TOKEN}"))], "page"));
    eventually("the hook is asked", Duration::from_secs(30), || asked.exists().then_some(()));
    served.terminate().expect(0);
    let answer = waiting.join().expect("an answer").expect(503);
    assert_eq!(answer.problem(), "restarting");
    assert_eq!(pod.journal().len(), 0);
}

#[test]
fn those_who_wait_for_a_hook_leave_threads_to_readers() {
    const WAITING: usize = 64;
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page"), ("other.html", "other")])).expect(0);
    let (go, asked) = (pod.path("go"), pod.path("asked"));
    let script = format!("echo x >> {}; while ! test -e {}; do sleep 0.1; done; exit 1", text(&asked), text(&go));
    let program = pod.program("slow", &script);
    let served = serve(&pod, text(&program), &["--pre-publish-timeout", "10m"]);
    let (url, token) = (served.url("/site/index.html"), format!("Bearer {TOKEN}"));
    std::thread::scope(|scope| {
        for _ in 0..WAITING {
            // Deletions take no place of --max-uploads.
            scope.spawn(|| call("DELETE", &url, &[("authorization", &token)], "").expect(422));
        }
        eventually("all of them wait", Duration::from_secs(80), || {
            let lines = fs::read_to_string(&asked).ok()?.lines().count();
            (lines == WAITING).then_some(())
        });
        assert_eq!(served.delete("/site/index.html").expect(503).problem(), "overloaded");
        served.get("/site/index.html").expect(200);
        fs::write(&go, "").expect("written");
    });
}
