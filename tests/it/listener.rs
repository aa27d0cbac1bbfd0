//! A hook that listens: it notes what it is told, and answers as the test says.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;

/// A status and a body; none: no answer, for as long as anybody waits.
pub(crate) type Said = Option<(u16, Vec<u8>)>;

/// An HTTP server for the calls of one hook, one thread a call.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Listener {
    pub(crate) fn start(answer: impl Fn(&Value) -> Said + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), answer)
    }

    /// On a port that a hook was already sent to.
    pub(crate) fn on(listener: TcpListener, answer: impl Fn(&Value) -> Said + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("an address");
        let (answer, told) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
        let tells = Arc::clone(&told);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (answer, tells) = (Arc::clone(&answer), Arc::clone(&tells));
                std::thread::spawn(move || hear(&socket, &*answer, &tells));
            }
        });
        Self { address, told }
    }

    /// With what must never show in a log.
    pub(crate) fn url(&self) -> String {
        format!("http://me:hidden@{}/told?key=hidden", self.address)
    }

    pub(crate) fn told(&self) -> Vec<Value> {
        self.told.lock().expect("no panic").clone()
    }
}

fn hear(mut socket: &TcpStream, answer: &dyn Fn(&Value) -> Said, told: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(socket);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if length == 0 || reader.read_exact(&mut body).is_err() {
        return;
    }
    let message: Value = serde_json::from_slice(&body).expect("JSON");
    told.lock().expect("no panic").push(message.clone());
    match answer(&message) {
        None => std::thread::sleep(Duration::from_secs(20)),
        Some((status, body)) => {
            let more = if status == 302 { "location: /elsewhere\r\n" } else { "" };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} Said\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n");
            // Who has heard enough closes.
            let _ = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&body));
        }
    }
}
