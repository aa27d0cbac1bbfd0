//! A client that reads without a pause while a hundred releases are published notices nothing but newer pages.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use crate::{
    archive::{gzip, tar},
    http::try_call,
    listing::contents,
    nginx::Nginx,
    part::need,
    pod::Pod,
};

const FILES: [&str; 8] = [
    "index.html",
    "about.html",
    "assets/app.js",
    "assets/style.css",
    "assets/pictures/ship.svg",
    "news/index.html",
    "news/2026/november.html",
    "big.txt",
];

/// A file as a publication left it: its number in the first and in the last line, its length of its own.
fn page(file: usize, number: u32) -> Vec<u8> {
    let filler = if FILES[file] == "big.txt" { 200_000 } else { 300 };
    let middle = "~".repeat(filler + (number as usize * 37 + file * 11) % 5_000);
    format!("{} {number}\n{middle}\n{number} end\n", FILES[file]).into_bytes()
}

/// The number that a body says it is of, if every byte of it is as published then.
fn number_of(file: usize, body: &[u8]) -> Option<u32> {
    let line = body.split(|&byte| byte == b'\n').next()?;
    let number = std::str::from_utf8(line).ok()?.strip_prefix(FILES[file])?.trim().parse().ok()?;
    (body == page(file, number)).then_some(number)
}

fn whole_site(number: u32) -> Vec<u8> {
    let pages: Vec<_> = (0..FILES.len()).map(|file| page(file, number)).collect();
    let files: Vec<_> = FILES.into_iter().zip(pages.iter().map(Vec::as_slice)).collect();
    let archive = tar(&files);
    if number.is_multiple_of(4) { gzip(&archive) } else { archive }
}

/// What has been acknowledged: no reader may see less of a file afterwards.
struct Floors([AtomicU32; FILES.len()]);

impl Floors {
    fn raise(&self, file: usize, number: u32) {
        self.0[file].store(number, SeqCst);
    }

    fn of(&self, file: usize) -> u32 {
        self.0[file].load(SeqCst)
    }
}

#[test]
fn a_reader_over_nginx_sees_100_publishes_without_an_error_a_mix_or_a_torn_file() {
    let program = need!("nginx");
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/", whole_site(0)).expect(200);
    let nginx = Nginx::start(&program, &pod.volume());
    let floors = Floors(std::array::from_fn(|_| AtomicU32::new(0)));
    let (over, started, passes) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));

    // One pass over the site: each file whole, and none older than what was acknowledged before its request.
    let pass = |what: &str| {
        for (file, name) in FILES.into_iter().enumerate() {
            let floor = floors.of(file);
            let answer = try_call("GET", &nginx.url(&format!("/{}", name)), &[], "")
                .unwrap_or_else(|error| panic!("{what}: {}: a torn answer: {error:?}", name));
            assert_eq!(answer.status, 200, "{what}: {}: {answer}", name);
            let number = number_of(file, &answer.body);
            let number = number.unwrap_or_else(|| panic!("{what}: {} is of no release: {answer}", name));
            let newest = started.load(SeqCst);
            assert!((floor..=newest).contains(&number), "{what}: {} is of {number}, not {floor}..={newest}", name);
        }
        passes.fetch_add(1, SeqCst);
    };

    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(SeqCst) {
                        pass("while publishing");
                    }
                })
            })
            .collect();
        // Opens follow each other within microseconds, so that they meet even a gap that a web server's would miss.
        let opener = scope.spawn(|| {
            let mut opens = 0_u64;
            while !over.load(SeqCst) {
                for name in FILES {
                    let opened = fs::File::open(pod.volume().join(name));
                    opened.unwrap_or_else(|error| panic!("{name} was not there for a moment: {error}"));
                    opens += 1;
                }
            }
            opens
        });
        // Whatever fails in here, the readers must end, or the test hangs.
        let _stop = Stop(&over);
        let mut expected: BTreeMap<usize, u32> = (0..FILES.len()).map(|file| (file, 0)).collect();
        for number in 1..=100 {
            started.store(number, SeqCst);
            let changed = if number % 2 == 0 {
                served.put("/site/", whole_site(number)).expect(200);
                0..FILES.len()
            } else {
                let file = number as usize / 2 % FILES.len();
                served.put(&format!("/site/{}", FILES[file]), page(file, number)).expect(200);
                file..file + 1
            };
            for file in changed {
                floors.raise(file, number);
                expected.insert(file, number);
            }
            if number % 10 == 0 {
                // A pass that begins after the answer, with nothing published meanwhile, is of one release only.
                for (file, number) in &expected {
                    let answer = nginx.get(&format!("/{}", FILES[*file])).expect(200);
                    assert_eq!(number_of(*file, &answer.body), Some(*number), "{}", FILES[*file]);
                }
            }
            assert!(readers.iter().all(|reader| !reader.is_finished()), "a reader gave up before publish {number}");
        }
        over.store(true, SeqCst);
        for reader in readers {
            reader.join().expect("a reader saw nothing wrong");
        }
        let opens = opener.join().expect("every open found its file");
        assert!(opens > 10_000, "the opens must meet the publishes: {opens}");
    });
    let passes = passes.load(SeqCst);
    assert!(passes >= 20, "the readers must meet the publishes: {passes} passes");
    assert_eq!(pod.journal().len(), 101);
}

/// Sets a flag when dropped, by a panic too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_reader_of_the_volume_sees_one_whole_release_through_one_generation() {
    let pod = Pod::new();
    let served = pod.serve();
    served.put("/site/", whole_site(0)).expect(200);
    let over = AtomicBool::new(false);
    let passes = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut passes = 0;
            while !over.load(SeqCst) {
                // A process that holds the generation open, as one inside a directory does: what it reads is of one
                // release, even when another has been published.
                let Ok(generation) = fs::canonicalize(pod.volume().join("..data")) else { continue };
                let numbers: Option<Vec<_>> = (0..FILES.len())
                    .map(|file| {
                        let body = fs::read(generation.join(FILES[file])).ok()?;
                        let number = number_of(file, &body);
                        Some(number.unwrap_or_else(|| panic!("{} is torn: {} bytes", FILES[file], body.len())))
                    })
                    .collect();
                // An old generation may be swept from under a slow reader; what was read is checked all the same.
                let Some(numbers) = numbers else { continue };
                assert!(numbers.iter().all(|number| *number == numbers[0]), "a mix in one generation: {numbers:?}");
                passes += 1;
            }
            passes
        });
        let _stop = Stop(&over);
        for number in 1..=30 {
            served.put("/site/", whole_site(number)).expect(200);
        }
        std::thread::sleep(Duration::from_millis(100));
        over.store(true, SeqCst);
        reader.join().expect("the reader saw nothing wrong")
    });
    assert!(passes >= 10, "{passes} passes");
    let site = contents(&pod.volume());
    assert!((0..FILES.len()).all(|file| number_of(file, &site[FILES[file]]) == Some(30)));
}
