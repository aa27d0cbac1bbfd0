use std::sync::Arc;

use object_store::{PutPayload, memory::InMemory};
use tokio::runtime::Runtime;

use super::*;
use crate::source::{
    Kind, Location,
    basket::{Basket, expected},
};

struct Fixture {
    runtime: Runtime,
    store: Arc<InMemory>,
}

impl Fixture {
    fn new(objects: &[(&str, &[u8])]) -> Self {
        let fixture = Self { runtime: Runtime::new().expect("a runtime"), store: Arc::new(InMemory::new()) };
        for (key, content) in objects {
            fixture.put(key, content);
        }
        fixture
    }

    fn put(&self, key: &str, content: &[u8]) {
        let key = Path::parse(key).expect("a key");
        let put = self.store.put(&key, PutPayload::from(content.to_vec()));
        self.runtime.block_on(put).expect("memory");
    }

    fn bucket(&self, location: &str) -> Bucket {
        let Ok(Location::Bucket(location)) = location.parse() else { panic!("{location}") };
        let connection = Connection { store: Arc::clone(&self.store) as _, ambient: None };
        let patience = Patience { total: Duration::from_secs(1), stall: Duration::from_secs(1) };
        Bucket::new(connection, &location, self.runtime.handle(), patience).expect("a prefix")
    }
}

#[test]
fn reads_the_keys_below_a_prefix_only() {
    let names = ["a b.html", "ü/日本.css", "a+b", "100%", "%41", "deep/er/x"];
    let fixture = Fixture::new(&[("site2/no", b"no"), ("no", b"no")]);
    for name in names {
        fixture.put(&format!("site/{name}"), name.as_bytes());
    }
    let basket = Basket::default();
    let summary = basket.fill(|reading| fixture.bucket("s3://b/site").read(reading)).expect("it is plain");
    assert_eq!(basket.files(), expected(names.map(|name| (name, name))));
    assert_eq!(summary.files, 6);
    let basket = Basket::default();
    basket.fill(|reading| fixture.bucket("s3://b").read(reading)).expect("it is plain");
    assert_eq!(basket.files().len(), 8);
}

#[test]
fn tells_empty() {
    let fixture = Fixture::new(&[("site2/x", b"1")]);
    assert_eq!(fixture.bucket("s3://b/site/").mark().expect_err("no key").kind(), Kind::Empty);
}

#[test]
fn marks_change_with_the_content() {
    let fixture = Fixture::new(&[("x", b"1")]);
    let mark = || fixture.bucket("s3://b").mark().expect("a mark");
    let before = mark();
    assert_eq!(before, mark());
    fixture.put("x", b"2");
    assert_ne!(before, mark());
}

#[test]
fn refuses_keys_that_a_site_cannot_have() {
    for key in [".longshore/x", "a\\b", "..data"] {
        let fixture = Fixture::new(&[("index.html", b"1"), (key, b"1")]);
        let error = Basket::default().fill(|reading| fixture.bucket("s3://b").read(reading)).expect_err(key);
        assert_eq!(error.kind(), Kind::Refused);
        let cause = std::error::Error::source(&error).expect("the rule").to_string();
        assert!(cause.contains(&format!("{key:?}")), "{cause}");
    }
}

#[test]
fn passes_over_marks_of_folders() {
    let fixture = Fixture::new(&[("site", b""), ("site/a", b""), ("site/a/b", b"1"), ("site/empty", b"")]);
    let basket = Basket::default();
    basket.fill(|reading| fixture.bucket("s3://b/site").read(reading)).expect("it is plain");
    assert_eq!(basket.files(), expected([("a/b", "1"), ("empty", "")]));
    fixture.put("site/a", b"a file");
    let error = fixture.bucket("s3://b/site").mark().expect_err("both");
    assert!(error.to_string().contains("both a file and a folder"), "{error}");
}

#[test]
fn reads_again_what_changed_meanwhile() {
    let fixture = Arc::new(Fixture::new(&[("a", b"old"), ("b", b"old"), ("gone", b"x")]));
    let once = std::sync::Once::new();
    let changing = Arc::clone(&fixture);
    let change = move |_: &Item| {
        once.call_once(|| {
            changing.put("a", b"newer");
            changing.put("c", b"new");
            let gone = Path::from("gone");
            changing.runtime.block_on(changing.store.delete(&gone)).expect("it is there");
        });
    };
    let basket = Basket::with(change);
    basket.fill(|reading| fixture.bucket("s3://b").read(reading)).expect("it came to rest");
    assert_eq!(basket.files(), expected([("a", "newer"), ("b", "old"), ("c", "new")]));
}

#[test]
fn reads_an_archive_or_a_prefix_of_its_name() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "index.html", &b"hi"[..]).expect("memory");
    let fixture = Fixture::new(&[("site.tar", &tar.into_inner().expect("memory")), ("x.zip/a", b"1")]);
    let basket = Basket::default();
    basket.fill(|reading| fixture.bucket("s3://b/site.tar").read(reading)).expect("an archive");
    assert_eq!(basket.files(), expected([("index.html", "hi")]));
    assert!(basket.progress.fetched() > 1024);
    let basket = Basket::default();
    basket.fill(|reading| fixture.bucket("s3://b/x.zip").read(reading)).expect("a prefix");
    assert_eq!(basket.files(), expected([("a", "1")]));
    fixture.bucket("s3://b/site.tar").mark().expect("a mark");
}
