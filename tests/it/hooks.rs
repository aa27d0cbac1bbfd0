//! `--post-publish`: whoever listens there is told of what is live, until they take it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{pod::Pod, run::eventually, served::Served};

/// A hook that notes what it is told, and answers as it is bidden; with 0, never.
struct Hook {
    address: SocketAddr,
    answer: Arc<AtomicU16>,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    fn start(answer: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (answer, told) = (Arc::new(AtomicU16::new(answer)), Arc::new(Mutex::new(Vec::new())));
        let (answers, tells) = (answer.clone(), told.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (answers, tells) = (answers.clone(), tells.clone());
                std::thread::spawn(move || hear(&socket, &answers, &tells));
            }
        });
        Self { address, answer, told }
    }

    fn seqs(&self) -> Vec<u64> {
        self.told.lock().expect("no panic").iter().map(|told| told["seq"].as_u64().expect("a number")).collect()
    }

    fn serve(&self, pod: &Pod) -> Served {
        let url = format!("http://me:hidden@{}/told?key=hidden", self.address);
        pod.serve_with(&["--post-publish", &url, "--post-publish-timeout", "1s"])
    }

    fn soon(&self, what: &str, is: impl Fn(&[u64]) -> bool) {
        eventually(what, Duration::from_secs(60), || is(&self.seqs()).then_some(()));
    }
}

fn hear(mut socket: &TcpStream, answers: &AtomicU16, told: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(socket);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if length == 0 || reader.read_exact(&mut body).is_err() {
        return;
    }
    told.lock().expect("no panic").push(serde_json::from_slice(&body).expect("JSON"));
    match answers.load(Ordering::SeqCst) {
        0 => std::thread::sleep(Duration::from_secs(20)),
        status => {
            let more = if status == 302 { "location: /elsewhere\r\n" } else { "" };
            let _ = write!(socket, "HTTP/1.1 {status} Said\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n");
        }
    }
}

#[test]
fn each_release_that_stays_is_told_once_with_its_tree() {
    let pod = Pod::new();
    let hook = Hook::start(204);
    let served = hook.serve(&pod);
    let answer = served.put("/site/index.html", "one").expect(201).json();
    hook.soon("it is told", |seqs| seqs == [1]);
    let told = hook.told.lock().expect("no panic")[0].clone();
    assert_eq!((&told["event"], &told["release"]), (&"post-publish".into(), &answer["release"]));
    let page = std::path::Path::new(told["tree"].as_str().expect("a path")).join("index.html");
    assert_eq!(std::fs::read_to_string(page).expect("it is there"), "one");
    let page = pod.volume().join(told["tree_in_volume"].as_str().expect("a path")).join("index.html");
    assert_eq!(std::fs::read_to_string(page).expect("it is there"), "one");
    served.put("/site/index.html", "two").expect(200);
    hook.soon("the next is told", |seqs| seqs == [1, 2]);
    // Nor after a restart.
    served.terminate();
    let served = hook.serve(&pod);
    served.put("/site/index.html", "three").expect(200);
    hook.soon("the third is told", |seqs| seqs.len() > 2);
    assert_eq!(hook.seqs(), [1, 2, 3]);
}

#[test]
fn a_hook_that_refuses_is_told_again_and_of_the_newest_also_after_a_kill() {
    let pod = Pod::new();
    for answer in [500, 302, 0] {
        let hook = Hook::start(answer);
        let served = hook.serve(&pod);
        served.put("/site/index.html", format!("first {answer}"));
        hook.soon("it is told twice", |seqs| seqs.len() >= 2);
        let log = served.log();
        assert!(log.contains("was not told") && !log.contains("hidden"), "{log}");
        let newest = served.put("/site/index.html", format!("second {answer}")).expect(200).json()["seq"].as_u64();
        served.kill();
        hook.answer.store(200, Ordering::SeqCst);
        let before = hook.seqs().len();
        let _served = hook.serve(&pod);
        hook.soon("the newest is told", |seqs| seqs.len() > before && seqs.last().copied() == newest);
    }
}

#[test]
fn a_disk_that_does_not_tell_what_was_told_is_named_once() {
    let (pod, hook) = (Pod::new(), Hook::start(200));
    pod.serve().put("/site/index.html", "page").expect(201);
    std::fs::create_dir(pod.volume().join(".longshore/told")).expect("something is in its place");
    let served = hook.serve(&pod);
    eventually("it is said", Duration::from_secs(60), || {
        served.log().contains("cannot find out whether a release is to be told").then_some(())
    });
    std::fs::remove_dir(pod.volume().join(".longshore/told")).expect("it is taken away");
    hook.soon("then it is told", |seqs| seqs == [1]);
    assert_eq!(served.log().matches("cannot find out").count(), 1, "said once:\n{}", served.log());
}
