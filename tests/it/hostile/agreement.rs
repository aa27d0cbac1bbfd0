//! What is taken is what others unpack: GNU tar, zip, Python's tarfile and zipfile agree on every path and byte, also of
//! archives in which bytes were changed.
//!
//! Declared differences: we refuse what they take (links, special files, what two readers could read differently), and a
//! zip's names are UTF-8 for us also where that is not said, as for Info-ZIP, where Python reads code page 437.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{
    listing::contents,
    part::part,
    pod::{Pod, text},
    power::random::Random,
    run::Runs as _,
    uploads::hex,
};

const PACK: &str = include_str!("pack.py");
const READ: &str = include_str!("read.py");
/// Archives with changed bytes, of each archive that was packed.
const CHANGED: usize = 60;

/// Paths and the digests of what they hold.
type Site = BTreeMap<String, String>;

fn digests(root: &Path) -> Site {
    contents(root).into_iter().map(|(path, bytes)| (path, hex(&bytes))).collect()
}

/// Python, asked what is in an archive.
struct Python {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["-I", "-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let (questions, answers) =
            (child.stdin.take().expect("it is piped"), child.stdout.take().expect("it is piped"));
        Self { child, questions, answers: BufReader::new(answers) }
    }

    fn read(&mut self, archive: &Path) -> Result<Site, String> {
        writeln!(self.questions, "{}", text(archive)).expect("Python listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Python answers");
        let answer: Value = serde_json::from_str(&line).expect("a line of JSON");
        let Some(files) = answer["files"].as_object() else { return Err(answer["error"].to_string()) };
        Ok(files.iter().map(|(path, sum)| (path.clone(), sum.as_str().unwrap_or_default().to_owned())).collect())
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What GNU tar or unzip makes of an archive.
fn unpack(archive: &Path, into: &Path) -> Result<Site, String> {
    let _ = fs::remove_dir_all(into);
    fs::create_dir(into).expect("a folder is made");
    let run = if archive.extension().is_some_and(|ending| ending == "zip") {
        Command::new("unzip").env("LC_ALL", "C.UTF-8").args(["-qqV", text(archive), "-d", text(into)]).run()
    } else {
        Command::new("tar").args(["--no-same-owner", "-xf", text(archive), "-C", text(into)]).run()
    };
    let files = || all_files(into);
    if run.code == Some(0) { Ok(files()) } else { Err(run.stderr) }
}

/// As [`contents`], of a folder that is no volume.
fn all_files(root: &Path) -> Site {
    digests(root)
}

/// A folder of files with names, sizes and modes that a site may have.
fn seed(pod: &Pod, random: &mut Random) -> PathBuf {
    let letters: Vec<char> = "abcXYZ019 ._-+%&=@~'\"()[]{}!#$^*?<>|;:,üé日本🚢e\u{301}ñ".chars().collect();
    let folder = pod.folder("seed", &[("index.html", "page")]);
    for number in 0..40 {
        let levels = 1 + random.below(4);
        let mut path = folder.clone();
        for level in 0..levels {
            let most = if random.below(6) == 0 { 60 } else { 8 };
            let length = 1 + random.below(most);
            let name: String = (0..length).map(|_| letters[random.below(letters.len())]).collect();
            // Each path is another one, and none is reserved.
            path.push(format!("n{number}{level}{name}"));
        }
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder is made");
        let size = [0, 1, 511, 512, 513, 5_000, 70_000][random.below(7)];
        let bytes: Vec<u8> = (0..size).map(|_| b'a' + (random.next() % 7) as u8).collect();
        fs::write(path, bytes).expect("a file is written");
    }
    folder
}

/// Packs the folder in every way that is here.
fn pack(pod: &Pod, seed: &Path, python: &Path) -> Vec<PathBuf> {
    let out = pod.folder("packed", &[]);
    Command::new(python).args(["-I", "-c", PACK, text(seed), text(&out)]).run().expect(0);
    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        let archive = out.join(format!("tar-{format}.tar"));
        let run = Command::new("tar").args(["--format", format, "-cf", text(&archive), "-C", text(seed), "."]).run();
        // A name may be too long for a format: then the archive lacks it.
        if run.code != Some(0) {
            let _ = fs::remove_file(&archive);
        }
    }
    let mut zip = Command::new("zip");
    zip.current_dir(seed).args(["-q", "-r", text(&out.join("zip.zip")), "."]).run().expect(0);
    let mut archives: Vec<_> = fs::read_dir(&out).expect("it lists").flatten().map(|entry| entry.path()).collect();
    archives.sort();
    archives
}

/// Python's names where a zip does not say that they are UTF-8: those of code page 437.
fn is_declared(ours: &Site, archive: &Path) -> bool {
    archive.ends_with("zip.zip") && !ours.keys().all(|path| path.is_ascii())
}

#[test]
#[expect(clippy::print_stderr, reason = "the counts are shown with `--nocapture`, and with a failure")]
fn others_unpack_the_same_paths_and_bytes() {
    let parts = ["python3", "tar", "zip", "unzip"].map(part);
    let [Some(python), Some(_), Some(_), Some(_)] = parts else { return };
    // The same each time, unless others are to be tried: a pipeline is no place for new findings.
    let number = if std::env::var_os("TORTURE_SEED").is_some() { Random::seed() } else { 6 };
    eprintln!("TORTURE_SEED={number}");
    let mut random = Random::new(number);
    let pod = Pod::in_memory();
    let served = pod.serve();
    let mut asked = Python::start(&python);
    let (mut whole, mut taken, mut refused) = (0, 0, 0);
    let seed = seed(&pod, &mut random);
    let expected = all_files(&seed);
    for archive in pack(&pod, &seed, &python) {
        let name = archive.file_name().expect("it has one").to_str().expect("text").to_owned();
        let bytes = fs::read(&archive).expect("it reads");
        served.put("/site/?max-delete=all", bytes.clone()).expect(200);
        assert_eq!(digests(&pod.volume()), expected, "{name}, seed {number}");
        differing(&format!("{name}, not"), number, &expected, &unpack(&archive, &pod.path("unpacked")));
        if !is_declared(&expected, &archive) {
            assert_eq!(asked.read(&archive).expect(&name), expected, "{name} by Python");
        }
        whole += 1;
        for _ in 0..CHANGED {
            let changed = change(&bytes, name.ends_with(".tar"), &mut random);
            let answer = served.put("/site/?max-delete=all", changed.clone());
            if answer.status != 200 {
                assert!((400..500).contains(&answer.status), "{name}, seed {number}: {answer}");
                refused += 1;
                continue;
            }
            taken += 1;
            let ours = digests(&pod.volume());
            let ending = archive.extension().expect("it has one").to_str().expect("text");
            let file = pod.path(&format!("changed.{ending}"));
            fs::write(&file, changed).expect("it is written");
            differing(&name, number, &ours, &unpack(&file, &pod.path("unpacked")));
            if !is_declared(&ours, &archive) {
                differing(&format!("{name} by Python"), number, &ours, &asked.read(&file));
            }
        }
    }
    eprintln!(
        "{whole} archives agree; of those with changed bytes {taken} were taken and agree, {refused} were refused"
    );
    assert!(whole >= 9 && taken > 0 && refused > 0);
}

/// Fails with what differs alone.
#[track_caller]
fn differing(name: &str, seed: u64, ours: &Site, theirs: &Result<Site, String>) {
    let theirs = theirs.as_ref().unwrap_or_else(|error| panic!("{name} changed, seed {seed}: taken, and {error}"));
    let only = |one: &Site, other: &Site| -> Vec<String> {
        one.iter().filter(|(path, sum)| other.get(*path) != Some(sum)).map(|(path, _)| path.clone()).collect()
    };
    let (ours_only, theirs_only) = (only(ours, theirs), only(theirs, ours));
    assert!(
        ours_only.is_empty() && theirs_only.is_empty(),
        "{name} changed, seed {seed}: {ours_only:?}, {theirs_only:?}"
    );
}

/// The archive with a byte or a piece of it changed; a tar's header has its checksum made right again.
fn change(bytes: &[u8], is_tar: bool, random: &mut Random) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let headers: Vec<usize> = (0..bytes.len() / 512)
        .map(|block| block * 512)
        .filter(|at| is_tar && bytes[at + 257..].starts_with(b"ustar"))
        .collect();
    let at = if headers.is_empty() || random.below(3) == 0 {
        random.below(bytes.len())
    } else {
        headers[random.below(headers.len())] + random.below(512)
    };
    changed[at] = match random.below(4) {
        0 => 0,
        1 => b'0' + (random.next() % 10) as u8,
        2 => changed[at] ^ (1 << random.below(8)),
        _ => random.next() as u8,
    };
    if let Some(&header) = headers.iter().find(|header| (**header..**header + 512).contains(&at)) {
        changed[header + 148..header + 156].fill(b' ');
        let sum: u32 = changed[header..header + 512].iter().map(|byte| u32::from(*byte)).sum();
        changed[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    changed
}
