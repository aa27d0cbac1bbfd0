//! A fake source, store and hook that answers as the first part of the path says, and repeats in its answer all that it was
//! sent: the worst that somebody else's error page can do.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

pub(super) struct Echo {
    address: SocketAddr,
    archive: Arc<Mutex<Vec<u8>>>,
    heard: Arc<AtomicUsize>,
}

impl Echo {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (archive, heard) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (bytes, count) = (Arc::clone(&archive), Arc::clone(&heard));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let bytes = bytes.lock().expect("no panic").clone();
                std::thread::spawn(move || answer(&socket, &bytes));
            }
        });
        Self { address, archive, heard }
    }

    /// What `GET /200/…` gets.
    pub(super) fn archive(&self, bytes: Vec<u8>) {
        *self.archive.lock().expect("no panic") = bytes;
    }

    /// How often it was asked.
    pub(super) fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }

    pub(super) fn url(&self, user: &str, path: &str, query: &str) -> String {
        let (at, question) = (if user.is_empty() { "" } else { "@" }, if query.is_empty() { "" } else { "?" });
        format!("http://{user}{at}{}{path}{question}{query}", self.address)
    }
}

fn answer(mut socket: &TcpStream, archive: &[u8]) {
    let mut reader = BufReader::new(socket);
    let (mut head, mut line, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&std::mem::take(&mut line));
    }
    let mut sent = vec![0; length];
    let _ = reader.read_exact(&mut sent);
    let status = head.split('/').nth(1).and_then(|text| text.parse::<u16>().ok()).unwrap_or(403);
    let body = match status == 200 && head.starts_with("GET") {
        true => archive.to_vec(),
        false => format!("<Error><Code>Wrong</Code><Message>{head}</Message></Error>").into_bytes(),
    };
    let told = head.lines().next().unwrap_or_default();
    let start = format!(
        "HTTP/1.1 {status} Said {told}\r\nx-told: {told}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = socket.write_all(start.as_bytes()).and_then(|()| socket.write_all(&body));
}
