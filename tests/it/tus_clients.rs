//! The real clients of tus: tus-js-client, which browsers use, and tuspy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    gate::Gate,
    part::need,
    pod::{Pod, TOKEN, text},
    run::{Log, Runs as _, clean, wait},
    served::Served,
    tus::tus,
    uploads::hex,
};

const MIB: u64 = 1024 * 1024;

fn seeded() -> (Pod, Served) {
    let pod = Pod::new();
    pod.fill(pod.folder("seed", &[("index.html", "seed")])).expect(0);
    let served = pod.serve();
    (pod, served)
}

/// A file of bytes that repeat nowhere.
fn file(pod: &Pod, size: u64) -> PathBuf {
    let path = pod.path("big");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut out = std::io::BufWriter::new(fs::File::create(&path).expect("it is made"));
    for _ in 0..size.div_ceil(8) {
        // splitmix64, by its reference.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        std::io::Write::write_all(&mut out, &(word ^ (word >> 31)).to_le_bytes()).expect("it is written");
    }
    drop(out);
    let made = fs::OpenOptions::new().write(true).open(&path).expect("it is opened");
    made.set_len(size).expect("it is cut");
    path
}

/// The SHA-256 of a file, as sha256sum has it.
fn sha256(file: &Path) -> String {
    let run = Command::new("sha256sum").arg(file).run();
    run.stdout.split(' ').next().expect("a digest").to_owned()
}

/// The command of a client: `MODE ENDPOINT TOKEN FILE CHUNK PATH`.
fn client(program: &Path, arguments: &[&str]) -> Command {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tus_clients");
    let is_node = program.file_name().is_some_and(|name| name == "node");
    let mut command = Command::new(program);
    clean(&mut command)
        .arg(format!("{folder}/client.{}", if is_node { "js" } else { "py" }))
        .args(arguments)
        .env("NODE_PATH", concat!(env!("CARGO_MANIFEST_DIR"), "/target/parts/node/node_modules"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a client to its end; gives what it says.
#[track_caller]
fn run(program: &Path, served: &Served, mode: &str, file: &Path, chunk: u64, path: &str) -> Value {
    let (endpoint, chunk) = (served.url("/v1/uploads"), chunk.to_string());
    let run = client(program, &[mode, &endpoint, TOKEN, text(file), &chunk, path]).run().expect(0);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

#[test]
fn tus_js_client_uploads_in_each_of_its_ways() {
    let node = need!("tus-js-client");
    let (pod, served) = seeded();
    let file = file(&pod, MIB + 7);
    let digest = sha256(&file);
    for (mode, chunk) in [
        ("plain", 0),
        ("plain", MIB / 4),
        ("creation", MIB / 2),
        ("override", MIB),
        ("deferred", MIB),
        ("resumed", MIB / 3),
    ] {
        let path = format!("{mode}-{chunk}.bin");
        let done = run(&node, &served, mode, &file, chunk, &path);
        let got = served.get(&format!("/site/{path}")).expect(200);
        assert_eq!(hex(&got.body), digest, "{mode} with {chunk}");
        assert_eq!(done["etag"], format!("\"{digest}\""), "{mode} with {chunk}: {done}");
    }
    let ended = run(&node, &served, "terminated", &file, MIB / 4, "never.bin");
    served.get("/site/never.bin").expect(404);
    let (_, upload) = ended["url"].as_str().and_then(|url| url.split_once("/v1/")).expect("its address");
    tus(&served, "HEAD", &format!("/v1/{upload}"), &[], "").expect(404);
}

#[test]
fn tuspy_uploads_with_checksums_and_goes_on() {
    let python = need!("tuspy");
    let (pod, served) = seeded();
    let file = file(&pod, MIB + 7);
    let digest = sha256(&file);
    for (mode, chunk) in [("plain", 2 * MIB), ("checksummed", MIB / 4), ("resumed", MIB / 3)] {
        run(&python, &served, mode, &file, chunk, mode);
        assert_eq!(hex(&served.get(&format!("/site/{mode}")).expect(200).body), digest, "{mode}");
    }
}

/// How often the network cuts the upload of 1 GiB; at every fourth cut the server is killed, too.
const CUTS: u64 = 20;
const SIZE: u64 = 1024 * MIB;
const CHUNK: u64 = 8 * MIB;

#[test]
#[expect(clippy::print_stdout, reason = "the figure is asked for")]
fn a_gibibyte_arrives_whole_over_twenty_cuts_and_five_kills() {
    let node = need!("tus-js-client");
    let (pod, mut served) = seeded();
    let file = file(&pod, SIZE);
    let digest = sha256(&file);
    // Anywhere in its twentieth of the way, other ones in each run; the seed is told when it fails.
    let seed = u64::from(std::process::id());
    let cuts = (0..CUTS).map(|index| {
        let part = SIZE / CUTS;
        index * part + (seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(7 * index as u32)) % part
    });
    let gate = Gate::start(served.listen, cuts.collect());
    let (endpoint, chunk) = (format!("http://{}/v1/uploads", gate.address), CHUNK.to_string());
    let mut command = client(&node, &["plain", &endpoint, TOKEN, text(&file), &chunk, "big.bin"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node starts");
    let (said, told) = (Log::of(child.stdout.take().expect("piped")), Log::of(child.stderr.take().expect("piped")));
    let (mut kills, mut most) = (0, 0);
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if start.elapsed() > Duration::from_secs(600) {
            let _ = wait(&mut child, Duration::ZERO);
            panic!("the upload did not end; seed {seed}, {} bytes sent, {} cuts", gate.sent(), gate.cuts());
        }
        if gate.cuts() as u64 / 4 > kills {
            kills += 1;
            most = most.max(served.peak_memory());
            served.signal(Signal::KILL);
            drop(served);
            served = pod.serve();
            gate.lead_to(served.listen);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "seed {seed}: {}\n{}", said.whole(), told.whole());
    assert_eq!((gate.cuts() as u64, kills), (CUTS, 5), "seed {seed}");
    let object = served.call("HEAD", "/site/big.bin", "").expect(200);
    assert_eq!(
        (object.header("etag"), object.header("content-length")),
        (&*format!("\"{digest}\""), &*SIZE.to_string())
    );
    let published = pod.volume().join("big.bin");
    assert_eq!(sha256(&published), digest, "seed {seed}");
    // Headers are some hundred bytes a request.
    let extra = gate.sent() - SIZE;
    let headers = (SIZE / CHUNK + 4 * CUTS) * 1_000;
    let most = most.max(served.peak_memory()) / MIB;
    println!(
        "1 GiB, {CUTS} cuts, {kills} kills: {extra} bytes sent again, headers included; at most {most} MiB of memory"
    );
    assert!(extra <= CUTS * CHUNK + headers, "seed {seed}: {extra} bytes were sent again");
}
