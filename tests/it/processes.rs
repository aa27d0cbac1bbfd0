//! Two processes on one volume, as in every rolling update, and one of them stopped where it hurts most.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    http::{Answer, try_call},
    journal::assert_well_formed,
    listing::contents,
    part::{need, skip},
    pod::{Pod, TOKEN, text},
    run::{clean, eventually},
    served::Served,
};

/// strace, attached to a server's threads.
struct Trace {
    strace: Child,
    output: PathBuf,
}

impl Trace {
    /// Attaches to every thread; a machine that forbids it skips the test.
    fn attach(pod: &Pod, served: &Served, name: &str, options: &[&str]) -> Option<Self> {
        let output = pod.path(name);
        let mut command = Command::new("strace");
        clean(&mut command).args(["-f", "-y", "-o", text(&output), "-e", "trace=linkat"]).args(options);
        command.args(["-p", &served.id().to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let strace = command.spawn().expect("strace starts");
        let mut trace = Self { strace, output };
        let start = Instant::now();
        while !all_threads_are_traced(served.id()) {
            if trace.strace.try_wait().expect("a child can be waited for").is_some() {
                skip("strace may not attach to a process here");
                return None;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "strace attaches");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(trace)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Ends the tracing; what was stopped stays so.
    fn detach(mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn all_threads_are_traced(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let mut traced = threads.map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    });
    traced.all(|traced| traced)
}

/// An upload, whose server may never answer, and how long it took.
fn put(served_url: &str, body: &str) -> (Option<Answer>, Duration) {
    let start = Instant::now();
    let token = format!("Bearer {TOKEN}");
    let answer = try_call("PUT", served_url, &[("authorization", &token)], body.to_owned());
    (answer.ok(), start.elapsed())
}

fn is_acknowledged(answer: Option<&Answer>) -> bool {
    answer.is_some_and(|answer| matches!(answer.status, 200 | 201))
}

#[test]
fn two_servers_on_one_volume_take_uploads_in_turn() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let servers = [pod.serve(), pod.serve()];
    for number in 0..20 {
        let served = &servers[number % 2];
        served.put(&format!("/site/{number}.txt"), format!("{number}")).expect(201);
        served.put("/site/index.html", format!("page {number}")).expect(200);
        // The other one shows it at once: what is live is the volume's, not a process's.
        let other = &servers[(number + 1) % 2];
        assert_eq!(other.get("/site/index.html").expect(200).text(), format!("page {number}"));
        assert_eq!(other.releases().len(), number * 2 + 3);
    }
    let site = contents(&pod.volume());
    assert_eq!(site.len(), 21);
    assert_eq!(site["index.html"], b"page 19");
    assert_well_formed(&pod);
}

#[test]
fn two_servers_on_one_volume_take_uploads_at_once() {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let servers = [pod.serve(), pod.serve()];
    std::thread::scope(|scope| {
        for (name, served) in servers.iter().enumerate() {
            for lane in 0..2 {
                scope.spawn(move || {
                    for number in 0..10 {
                        served.put(&format!("/site/{name}/{lane}/{number}.txt"), "x").expect(201);
                    }
                });
            }
        }
    });
    assert_eq!(contents(&pod.volume()).len(), 41);
    assert_well_formed(&pod);
    assert_eq!(pod.journal().last().expect("a head").0["seq"].as_u64().map(|seq| seq > 1), Some(true));
}

/// A volume with two servers, of which the first was stopped between its entry in the journal and the flip.
struct Stopped {
    pod: Pod,
    stopped: Served,
    other: Served,
    trace: Trace,
}

/// Stops the first server there with an upload of `/site/stopped/page.html`, and does `then`; gives the upload's answer,
/// which `then` brings about.
fn stop_between_journal_and_flip<T>(then: impl FnOnce(Stopped) -> T) -> Option<(T, Option<Answer>)> {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
    let (stopped, other) = (pod.serve(), pod.serve());
    stopped.put("/site/first.txt", "first").expect(201);
    other.put("/site/second.txt", "second").expect(201);

    // That an entry comes into the journal by linkat is what the injection below stands on.
    let trace = Trace::attach(&pod, &stopped, "trace", &[])?;
    stopped.put("/site/traced.txt", "traced").expect(201);
    let entry = format!("{:020}.json", 4);
    let seen =
        eventually("strace writes", Duration::from_secs(10), || Some(trace.text()).filter(|text| !text.is_empty()));
    let into_journal = |line: &&str| line.contains("linkat(") && line.contains("journal") && line.contains(&entry);
    assert!(seen.lines().any(|line| into_journal(&line)), "no linkat of {entry} into the journal: {seen}");
    trace.detach();

    let (journal, entry) = (pod.volume().join(".longshore/journal"), format!("{:020}.json", 5));
    let full = journal.join(&entry);
    let in_state = format!("journal/{entry}");
    let in_volume = format!(".longshore/journal/{entry}");
    let paths = [text(&journal), text(&full), &entry, &in_state, &in_volume].map(|path| ["-P", path]).concat();
    let injection = ["-e", "inject=linkat:signal=SIGSTOP:when=1"];
    let trace = Trace::attach(&pod, &stopped, "injected", &[injection.as_slice(), &paths].concat())?;
    let url = stopped.url("/site/stopped/page.html");
    let upload = std::thread::spawn(move || put(&url, "of the stopped one").0);
    eventually("the server is stopped", Duration::from_secs(20), || {
        trace.text().contains("stopped by SIGSTOP").then_some(())
    });
    assert!(full.exists(), "its entry is in the journal");
    assert!(!pod.volume().join("stopped/page.html").exists(), "and not yet shown");

    let result = then(Stopped { pod, stopped, other, trace });
    Some((result, upload.join().expect("the upload ends")))
}

#[test]
fn a_server_stopped_between_journal_and_flip_undoes_nothing_when_it_goes_on() {
    let _strace = need!("strace");
    let done = stop_between_journal_and_flip(|Stopped { pod, stopped, other, trace }| {
        // Nobody hangs: each is answered, with success or with a request to come again.
        let uploads: Vec<_> =
            (0..3).map(|number| (format!("meanwhile-{number}.txt"), format!("text {number}"))).collect();
        let answers: Vec<_> = std::thread::scope(|scope| {
            let one = |(name, body): &(String, String)| put(&other.url(&format!("/site/{name}")), body);
            let threads: Vec<_> = uploads.iter().map(|upload| scope.spawn(move || one(upload))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
        });
        for (answer, took) in &answers {
            let answer = answer.as_ref().expect("an answer");
            assert!(*took < Duration::from_secs(60), "{took:?}: {answer}");
            assert!(matches!(answer.status, 201 | 503), "{answer}");
            if answer.status == 503 {
                answer.problem();
                assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer}");
            }
        }
        trace.detach();
        stopped.signal(Signal::CONT);
        // A flip back would be healed by the next write or look, within seconds: so look at once, and without a pause.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let there = uploads.iter().zip(&answers).filter(|(_, (answer, _))| is_acknowledged(answer.as_ref()));
            for ((name, body), _) in there {
                let seen = fs::read_to_string(pod.volume().join(name)).ok();
                assert_eq!(seen.as_ref(), Some(body), "{name} was acknowledged, and is undone");
            }
        }
        eventually("the other one takes uploads again", Duration::from_secs(60), || {
            is_acknowledged(put(&other.url("/site/last.txt"), "last").0.as_ref()).then_some(())
        });
        let acknowledged: Vec<_> = uploads
            .into_iter()
            .zip(answers)
            .filter_map(|(upload, (answer, _))| is_acknowledged(answer.as_ref()).then_some(upload))
            .chain([("last.txt".into(), "last".into())])
            .collect();
        (pod, stopped, other, acknowledged)
    });
    let Some(((pod, mut stopped, mut other, mut acknowledged), answer)) = done else { return };
    answer.expect("it is answered after it was stopped").expect(201);
    acknowledged.push(("stopped/page.html".into(), "of the stopped one".into()));
    for (name, body) in [("first.txt", "first"), ("second.txt", "second"), ("traced.txt", "traced")] {
        acknowledged.push((name.into(), body.into()));
    }
    // Long enough for a late flip to do its harm.
    std::thread::sleep(Duration::from_secs(1));
    let site = contents(&pod.volume());
    for (name, body) in &acknowledged {
        assert_eq!(site.get(name).map(Vec::as_slice), Some(body.as_bytes()), "{name} was acknowledged");
        for served in [&stopped, &other] {
            assert_eq!(served.get(&format!("/site/{name}")).expect(200).text(), *body);
        }
    }
    assert_well_formed(&pod);
    stopped.assert_running();
    other.assert_running();
    stopped.put("/site/end.txt", "end").expect(201);
}

#[test]
fn a_server_killed_between_journal_and_flip_leaves_the_other_one_going() {
    let _strace = need!("strace");
    let done = stop_between_journal_and_flip(|Stopped { pod, stopped, other, trace }| {
        stopped.kill();
        trace.detach();
        (pod, other)
    });
    let Some(((pod, other), answer)) = done else { return };
    assert!(answer.is_none(), "nobody was there to answer: {answer:?}");
    eventually("the other one goes on", Duration::from_secs(30), || {
        is_acknowledged(put(&other.url("/site/after.txt"), "after").0.as_ref()).then_some(())
    });
    let site = contents(&pod.volume());
    assert_eq!(site["after.txt"], b"after");
    assert_eq!(site["stopped/page.html"], b"of the stopped one", "what the journal says is shown");
    assert_eq!(site["second.txt"], b"second");
    assert_well_formed(&pod);
    assert_eq!(pod.serve().get("/site/stopped/page.html").expect(200).text(), "of the stopped one");
}

#[test]
fn a_server_alone_killed_between_journal_and_flip_shows_its_entry_when_it_starts_again() {
    let _strace = need!("strace");
    let done = stop_between_journal_and_flip(|Stopped { pod, stopped, other, trace }| {
        other.kill();
        stopped.kill();
        trace.detach();
        pod
    });
    let Some((pod, _)) = done else { return };
    pod.fill(pod.path("seed")).expect(0);
    assert_eq!(contents(&pod.volume())["stopped/page.html"], b"of the stopped one");
    assert_well_formed(&pod);
}
