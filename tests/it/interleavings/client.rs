//! A client: a connection of its own, what it saw last, and what it is told.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::TcpStream,
};

use serde_json::{Value, json};

use super::{
    model::{Current, File, Said, Site, bytes, site},
    script::{Condition, Step, To},
};
use crate::{
    archive::{Tar, tar},
    http::{Answer, connect, read_answer},
    pod::TOKEN,
    served::Served,
    uploads::hex,
};

/// The ids of all sites that were ever seen, and the contents of all digests.
#[derive(Default)]
pub(super) struct Book {
    sites: BTreeMap<String, Site>,
    ids: BTreeMap<Site, String>,
    bytes: BTreeMap<String, String>,
}

impl Book {
    pub(super) fn knows(&mut self, bytes: String) {
        self.bytes.insert(hex(bytes.as_bytes()), bytes);
    }

    pub(super) fn id(&self, site: &Site) -> &str {
        self.ids.get(site).expect("it was seen")
    }

    /// What a listing says is in a release: of one id always the same, and of the same always one id.
    fn learn(&mut self, id: &str, files: impl Iterator<Item = (String, Value)>) -> Site {
        let file = |line: &Value| {
            let bytes = self.bytes[line["digest"].as_str().expect("a digest")].clone();
            assert_eq!(line["size"], bytes.len(), "{line}");
            File { bytes, executable: line["executable"] == true }
        };
        let site: Site = files.map(|(path, line)| (path, file(&line))).collect();
        let before = self.sites.insert(id.to_owned(), site.clone());
        assert!(before.as_ref().is_none_or(|before| *before == site), "{id} was {before:?}, and is {site:?}");
        let other = self.ids.insert(site.clone(), id.to_owned());
        assert!(other.as_ref().is_none_or(|other| other == id), "{other:?} and {id} are {site:?}");
        site
    }
}

pub(super) struct Client {
    socket: TcpStream,
    /// What it saw last.
    pub(super) seen: Site,
}

/// A request, ready to be sent.
pub(super) type Request = Vec<u8>;

impl Client {
    pub(super) fn new(served: &Served, seen: Site) -> Self {
        let socket = connect(served.listen);
        socket.set_nodelay(true).expect("a socket takes options");
        Self { socket, seen }
    }

    /// The requests of a step; `start` is the number of the entry that the case began with.
    pub(super) fn requests(&self, case: u64, step: &Step, start: u64, book: &Book) -> Vec<Request> {
        let release = || book.id(&self.seen);
        let write = |method: &str, url: &str, condition: Condition, file: Option<&str>, body: Vec<u8>| {
            let tag = || match file.map(|path| self.seen.get(path)) {
                None => format!("\"{}\"", release()),
                Some(Some(file)) => format!("\"{}\"", hex(file.bytes.as_bytes())),
                Some(None) => "\"nothing\"".into(),
            };
            let header = match condition {
                Condition::None => String::new(),
                Condition::Match => format!("if-match: {}\r\n", tag()),
                Condition::MatchAny => "if-match: *\r\n".into(),
                Condition::NoneMatch => format!("if-none-match: {}\r\n", tag()),
                Condition::NoneMatchAny => "if-none-match: *\r\n".into(),
            };
            vec![request(method, url, &header, &body)]
        };
        match step {
            Step::Look => vec![request("GET", "/site/?list", "", b"")],
            Step::Send { contents, at_once } => {
                let named: Vec<_> =
                    contents.iter().map(|content| bytes(case, *content)).map(|b| (hex(b.as_bytes()), b)).collect();
                if *at_once {
                    let named: Vec<_> = named.iter().map(|(name, bytes)| (&**name, bytes.as_bytes())).collect();
                    vec![request("POST", "/v1/objects", "", &tar(&named))]
                } else {
                    let put = |(name, bytes): &(String, String)| {
                        request("PUT", &format!("/v1/objects/{name}"), "", bytes.as_bytes())
                    };
                    named.iter().map(put).collect()
                }
            }
            Step::Deploy(deploy) => {
                let set = manifest(&site(case, &deploy.set, ""));
                let mut body = match deploy.base {
                    true => json!({ "base": release(), "set": set, "remove": Vec::from_iter(deploy.remove) }),
                    false => json!({ "manifest": set }),
                };
                if deploy.parent {
                    body["parent"] = release().into();
                }
                let url = if deploy.meant { "/v1/releases?max-delete=all&allow-empty=true" } else { "/v1/releases" };
                write("POST", url, deploy.condition, None, body.to_string().into())
            }
            Step::Put { path, content, condition } => {
                write("PUT", &format!("/site/{path}"), *condition, Some(path), bytes(case, *content).into())
            }
            Step::Delete { path, condition } => {
                write("DELETE", &format!("/site/{path}"), *condition, Some(path), Vec::new())
            }
            Step::DeleteFolder { folder, condition } => {
                write("DELETE", &format!("/site/{folder}"), *condition, None, Vec::new())
            }
            Step::Archive { folder, clears, files, condition } => {
                let mut archive = Tar::new();
                for (path, File { bytes, executable }) in &site(case, files, "") {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    archive = archive.entry(tar::EntryType::Regular, path, "", mode, bytes.as_bytes());
                }
                let method = if *clears { "PUT" } else { "PATCH" };
                write(method, &format!("/site/{folder}"), *condition, None, archive.finish())
            }
            Step::RollBack { to, parent, condition } => {
                let mut body = match to {
                    To::Before => json!({}),
                    To::Seen => json!({ "to": release()[..12] }),
                    To::Start => json!({ "to": start }),
                    To::Nowhere => json!({ "to": u64::MAX }),
                };
                if *parent {
                    body["parent"] = release().into();
                }
                write("POST", "/v1/rollback", *condition, None, body.to_string().into())
            }
        }
    }

    /// What is live, and the number of its entry.
    pub(super) fn look(&mut self, served: &Served, book: &RefCell<Book>) -> (Site, Option<u64>) {
        let requests = ["/site/?list", "/v1/releases?limit=1"].map(|url| request("GET", url, "", b""));
        let answers = self.send(&requests);
        let site = match said(served, book, &answers) {
            Said::Live(site) => site,
            Said::Refused { status: 404, .. } => Site::new(),
            other => panic!("{other:?}"),
        };
        (site, answers[1].json()["releases"][0]["seq"].as_u64())
    }

    pub(super) fn send(&mut self, requests: &[Request]) -> Vec<Answer> {
        let ask = |request: &Request| {
            self.socket.write_all(request).expect("the server reads");
            read_answer(&mut self.socket).expect("the server answers")
        };
        requests.iter().map(ask).collect()
    }
}

fn request(method: &str, url: &str, header: &str, body: &[u8]) -> Request {
    let length = body.len();
    let head = format!(
        "{method} {url} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n{header}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn manifest(site: &Site) -> Value {
    let line = |file: &File| json!({ "digest": hex(file.bytes.as_bytes()), "size": file.bytes.len(), "executable": file.executable });
    site.iter().map(|(path, file)| (path.clone(), line(file))).collect()
}

/// The answers to a step, in the model's words.
pub(super) fn said(served: &Served, book: &RefCell<Book>, answers: &[Answer]) -> Said {
    let answer = &answers[0];
    let value = answer.json();
    let mut book = book.borrow_mut();
    if let Some(files) = value["files"].as_array() {
        let id = value["release"].as_str().expect("an id");
        assert_eq!(answer.header("etag"), format!("\"{id}\""));
        let named = files.iter().map(|line| (line["path"].as_str().expect("a path").to_owned(), line.clone()));
        return Said::Live(book.learn(id, named));
    }
    if answer.status < 300 && value["seq"].is_null() {
        return Said::Stored(answers.iter().map(|answer| answer.status).collect());
    }
    if answer.status < 300 {
        let id = value["release"].as_str().expect("an id");
        let tag = value["digest"].as_str().unwrap_or(id);
        assert_eq!(answer.header("etag"), format!("\"{tag}\""));
        let site = match book.sites.get(id) {
            Some(site) => site.clone(),
            None => {
                let whole = served.get(&format!("/v1/releases/{id}")).expect(200).json();
                let files = whole["manifest"].as_object().expect("a manifest").clone();
                book.learn(id, files.into_iter())
            }
        };
        let number = |name: &str| value[name].as_u64().expect("a number");
        let (seq, changed, removed, bytes) = (number("seq"), number("changed"), number("removed"), number("bytes"));
        return Said::Made { status: answer.status, seq, site, changed, removed, bytes };
    }
    let kind = answer.problem();
    let current = match value.get("current").map(|current| current.as_str()) {
        None => Current::Unsaid,
        Some(None) => Current::Nothing,
        Some(Some(id)) => match (book.sites.get(id), book.bytes.get(id)) {
            (Some(site), _) => Current::Site(site.clone()),
            (None, Some(bytes)) => Current::Bytes(bytes.clone()),
            (None, None) => panic!("{id} is nothing that ever was"),
        },
    };
    let missing: BTreeSet<String> = value["missing"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|digest| book.bytes[digest.as_str().expect("a digest")].clone())
        .collect();
    Said::Refused { status: answer.status, kind, current, missing }
}
