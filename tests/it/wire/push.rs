//! A client that deploys a folder.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::data::Site;
use crate::{
    archive::tar,
    http::{Answer, call},
    pod::TOKEN,
    proxy::CountingProxy,
    uploads::hex,
};

pub(super) struct Push {
    url: String,
    /// The release that it made, and the digests in it.
    known: Option<(String, BTreeMap<String, String>)>,
    requests: u64,
}

impl Push {
    pub(super) fn new(proxy: &CountingProxy) -> Self {
        Self { url: format!("http://{}", proxy.address), known: None, requests: 0 }
    }

    /// Requests since this was asked last.
    pub(super) fn requests(&mut self) -> u64 {
        std::mem::take(&mut self.requests)
    }

    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// Makes `site` live: asks, sends what is missing, asks again.
    pub(super) fn push(&mut self, site: &Site) -> Answer {
        let digests: BTreeMap<String, String> = site.iter().map(|(path, bytes)| (path.clone(), hex(bytes))).collect();
        let line = |path: &String| (path.clone(), json!({ "digest": digests[path], "size": site[path].len() }));
        let body = match &self.known {
            None => json!({ "manifest": digests.keys().map(line).collect::<Map<_, _>>() }),
            Some((release, before)) => {
                let set: Map<_, _> =
                    digests.keys().filter(|path| before.get(*path) != digests.get(*path)).map(line).collect();
                let remove: Vec<_> = before.keys().filter(|path| !digests.contains_key(*path)).collect();
                json!({ "base": release, "parent": release, "set": set, "remove": remove })
            }
        };
        let body = zstd::encode_all(body.to_string().as_bytes(), 10).expect("memory takes it");
        let mut answer = self.post("/v1/releases", &[("content-encoding", "zstd")], body.clone());
        if answer.status == 409 {
            let missing = answer.json()["missing"].clone();
            let missing: Vec<&str> = missing.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            let sources: BTreeMap<&str, &[u8]> =
                digests.iter().map(|(path, digest)| (&**digest, &*site[path])).collect();
            let objects: Vec<(&str, &[u8])> = missing.into_iter().map(|digest| (digest, sources[digest])).collect();
            let objects = zstd::encode_all(&*tar(&objects), 10).expect("memory takes it");
            self.post("/v1/objects", &[], objects).expect(200);
            answer = self.post("/v1/releases", &[("content-encoding", "zstd")], body);
        }
        if answer.status < 300 {
            self.known = Some((answer.json()["release"].as_str().expect("an id").to_owned(), digests));
        }
        answer
    }

    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        self.requests += 1;
        let token = format!("Bearer {TOKEN}");
        call("POST", &format!("{}{path}", self.url), &[&[("authorization", &*token)], headers].concat(), body)
    }
}
