//! A FAKE bucket: a real store takes few hostile keys, and whoever writes to a bucket may well run another.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use percent_encoding::percent_decode;

/// The bucket and the prefix that seeds come from.
pub(super) const FROM: &str = "s3://harbour/site";
const LISTED: &str = "site/";

/// Keys below the prefix, with their bytes.
pub(super) type Keys = Vec<(String, Vec<u8>)>;

pub(super) struct Bucket {
    address: SocketAddr,
    keys: Arc<Mutex<Keys>>,
    is_over: Arc<AtomicBool>,
}

impl Bucket {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (keys, is_over) = (Arc::<Mutex<Keys>>::default(), Arc::<AtomicBool>::default());
        let (known, ends) = (Arc::clone(&keys), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let known = Arc::clone(&known);
                std::thread::spawn(move || answer(socket, &known.lock().expect("no panic").clone()));
            }
        });
        Self { address, keys, is_over }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds from now on.
    pub(super) fn holds(&self, keys: Keys) {
        *self.keys.lock().expect("no panic") = keys;
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Whether a listing can say it: XML 1.0 has no way to write most control characters.
pub(super) fn can_list(key: &str) -> bool {
    key.chars()
        .all(|one| matches!(one, '\t' | '\n' | '\r') || !one.is_control() || ('\u{7f}'..='\u{9f}').contains(&one))
}

fn answer(mut socket: TcpStream, keys: &Keys) {
    let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read_exact(&mut byte).is_err() {
            return;
        }
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = percent_decode(path.trim_start_matches("/harbour/").as_bytes()).collect::<Vec<u8>>();
    let found = keys.iter().find(|(name, _)| [LISTED, name].concat().as_bytes() == key);
    let (status, kind, body) = match found {
        _ if query.contains("list-type=2") => ("200 OK", "application/xml", list(keys).into_bytes()),
        Some((_, bytes)) => ("200 OK", "application/octet-stream", bytes.clone()),
        None => ("404 Not Found", "application/xml", b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nETag: \"tag\"\r\n\
         Last-Modified: Mon, 06 Jan 2025 10:00:00 GMT\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if method == "HEAD" { &[][..] } else { &body };
    let _ = socket.write_all(&[head.as_bytes(), body].concat());
}

fn list(keys: &Keys) -> String {
    let contents: String = keys
        .iter()
        .map(|(key, bytes)| {
            let key: String = key.chars().map(escaped).collect();
            format!(
                "<Contents><Key>{LISTED}{key}</Key><LastModified>2025-01-06T10:00:00.000Z</LastModified>\
                 <ETag>\"tag\"</ETag><Size>{}</Size></Contents>",
                bytes.len()
            )
        })
        .collect();
    format!("<ListBucketResult><Name>harbour</Name><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")
}

fn escaped(one: char) -> String {
    match one {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '/' | '.' | '-' | '_' => one.into(),
        _ => format!("&#{};", u32::from(one)),
    }
}
