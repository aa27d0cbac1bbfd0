//! A FAKE of a network that fails on the way to the server: a TCP proxy that counts what clients send, cuts every
//! connection at given points, and leads to another server when the first one is gone.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

/// The proxy.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    server: Mutex<SocketAddr>,
    sent: AtomicU64,
    /// The counts of sent bytes at which all connections are cut, in order.
    cuts: Vec<u64>,
    done: AtomicUsize,
    over: AtomicBool,
}

impl Gate {
    pub(crate) fn start(server: SocketAddr, cuts: Vec<u64>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let inner = Arc::new(Inner {
            server: Mutex::new(server),
            sent: AtomicU64::new(0),
            cuts,
            done: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let passing = Arc::clone(&inner);
        // Ends when the gate is dropped, by the connection that its drop makes.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if passing.over.load(SeqCst) {
                    return;
                }
                let server = *passing.server.lock().expect("no holder panicked");
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let passing = Arc::clone(&passing);
                std::thread::spawn(move || passing.carry(&client, &upstream));
            }
        });
        Self { address, inner }
    }

    /// Leads to this server from now on.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        *self.inner.server.lock().expect("no holder panicked") = server;
    }

    /// Bytes that clients have sent.
    pub(crate) fn sent(&self) -> u64 {
        self.inner.sent.load(SeqCst)
    }

    /// How often it has cut.
    pub(crate) fn cuts(&self) -> usize {
        self.inner.done.load(SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.inner.over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Inner {
    /// Carries one connection both ways until either side ends it, or it is cut.
    fn carry(&self, client: &TcpStream, upstream: &TcpStream) {
        let close = || {
            let _ = client.shutdown(Shutdown::Both);
            let _ = upstream.shutdown(Shutdown::Both);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut from, mut to) = (upstream, client);
                let _ = std::io::copy(&mut from, &mut to);
                close();
            });
            let (mut from, mut to) = (client, upstream);
            let mut piece = vec![0; 65_536];
            while let Ok(count @ 1..) = from.read(&mut piece) {
                let sent = self.sent.fetch_add(count as u64, SeqCst) + count as u64;
                let done = self.done.load(SeqCst);
                if self.cuts.get(done).is_some_and(|cut| sent >= *cut) {
                    self.done.store(done + 1, SeqCst);
                    break;
                }
                if to.write_all(&piece[..count]).is_err() {
                    break;
                }
            }
            close();
        });
    }
}
