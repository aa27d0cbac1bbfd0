//! What came of a run, and what is found in it.

use std::{fs, path::Path};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use sha2::{Digest as _, Sha256};

use crate::{http::Answer, run::Run, uploads::hex};

/// Digits of a digest that may be told, as the name of a token without one.
const TOLD: usize = 8;

/// What must stand nowhere.
pub(super) struct Secret<'a> {
    pub(super) what: &'a str,
    pub(super) text: &'a str,
}

impl Secret<'_> {
    /// The secret, and what gives it away as well.
    fn forms(&self) -> Vec<(&'static str, String)> {
        let bytes = self.text.as_bytes();
        let digest = hex(bytes);
        let mut forms = vec![
            ("as it is", self.text.to_owned()),
            ("in hexadecimal digits", bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            ("percent-encoded", bytes.iter().map(|byte| format!("%{byte:02x}")).collect()),
            ("as a list of bytes", format!("{bytes:?}").trim_matches(['[', ']']).to_owned()),
            ("as its digest", digest[..=TOLD].to_owned()),
            ("backwards", self.text.chars().rev().collect()),
        ];
        // Wherever it begins within three bytes; the first and last letters depend on what stands around it.
        for before in 0..3 {
            let padded = [&b"\0\0"[..before], bytes].concat();
            let whole = padded.len() / 3 * 3;
            for engine in [BASE64_STANDARD, BASE64_URL_SAFE] {
                let text = engine.encode(&padded[..whole]);
                forms.push(("in base64", text[if before == 0 { 0 } else { 4 }..].to_owned()));
            }
        }
        forms.push(("as its digest in base64", BASE64_STANDARD.encode(&Sha256::digest(bytes)[..6])));
        forms
    }
}

/// Bytes, and where they stood.
#[derive(Default)]
pub(super) struct Evidence(Vec<(String, Vec<u8>)>);

impl Evidence {
    pub(super) fn add(&mut self, place: &str, text: &str) {
        self.0.push((place.into(), text.into()));
    }

    /// All of an answer.
    pub(super) fn heard(&mut self, place: &str, answer: &Answer) {
        self.add(place, &format!("{:?}", answer.headers));
        self.0.push((place.into(), answer.body.clone()));
    }

    /// What a program said on both its streams.
    pub(super) fn ran(&mut self, place: &str, run: &Run) {
        self.add(place, &run.stderr);
        self.add(place, &run.stdout);
    }

    /// All files below a folder, and their names.
    pub(super) fn add_folder(&mut self, place: &str, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder lists").flatten() {
            let path = entry.path();
            self.add(place, &path.to_string_lossy());
            match entry.file_type().expect("it has one") {
                kind if kind.is_dir() => self.add_folder(place, &path),
                kind if kind.is_file() => {
                    self.0.push((format!("{place}: {}", path.display()), fs::read(&path).expect("a file reads")));
                }
                _ => {}
            }
        }
    }

    /// Each secret that stands somewhere: what, in which form, where, and what stands around it. Case is passed over: it
    /// tells nothing of a secret's worth.
    pub(super) fn leaks(&self, secrets: &[Secret<'_>]) -> Vec<String> {
        let forms = secrets.iter().flat_map(|secret| secret.forms().into_iter().map(|form| (secret.what, form)));
        let forms: Vec<_> = forms.map(|(what, (form, text))| (what, form, text.to_ascii_lowercase())).collect();
        let mut leaks = Vec::new();
        for (place, bytes) in &self.0 {
            let lower = String::from_utf8_lossy(bytes).to_ascii_lowercase();
            for (what, form, text) in &forms {
                if let Some(at) = lower.find(text) {
                    let around: String = lower[..at].chars().rev().take(120).collect();
                    let around: String = around.chars().rev().chain(lower[at..].chars().take(120)).collect();
                    leaks.push(format!("{what}, {form}, in {place}: {around}"));
                }
            }
        }
        leaks
    }

    /// Words that must be there: who finds nothing in an empty heap has searched nothing.
    pub(super) fn assert_seen(&self, words: &[(&str, &str)]) {
        for (place, word) in words {
            let mut there = self.0.iter().filter(|(at, _)| at.starts_with(place));
            assert!(there.any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(word)), "no {word:?} in {place}");
        }
    }
}

#[test]
fn a_leak_is_found_in_every_form() {
    const PLANTED: [Secret<'static>; 1] = [Secret { what: "the secret", text: "Quay7-Hawser2Bollard9" }];
    let text = PLANTED[0].text;
    for leak in [
        format!("before {text} after"),
        format!("by={}", text.to_uppercase()),
        format!("authorization: Basic {}", BASE64_STANDARD.encode(format!("me:{text}"))),
        format!("authorization: Basic {}", BASE64_STANDARD.encode(format!("you:{text}!"))),
        format!("authorization: Basic {}", BASE64_STANDARD.encode(format!("m:{text}"))),
        format!("sha256:{}", hex(text.as_bytes())),
        format!("token:{}", &hex(text.as_bytes())[..9]),
        format!("{:?}", text.as_bytes()),
        text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
    ] {
        let mut evidence = Evidence::default();
        evidence.add("somewhere", &leak);
        assert!(!evidence.leaks(&PLANTED).is_empty(), "{leak}");
    }
    let mut evidence = Evidence::default();
    evidence.add("somewhere", &format!("token:{} {}", &hex(text.as_bytes())[..8], &text[1..]));
    assert_eq!(evidence.leaks(&PLANTED), Vec::<String>::new());
}
