//! A FAKE of a network that fails: a TCP proxy in front of a real server, which cuts its connections after so many bytes.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// A proxy that passes `allowance` bytes of answers in all, then cuts every connection, and each new one at once.
pub(crate) struct CuttingProxy {
    pub(crate) address: SocketAddr,
    passed: Arc<AtomicU64>,
    allowance: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl CuttingProxy {
    pub(crate) fn start(server: SocketAddr, allowance: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (passed, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let allowance = Arc::new(AtomicU64::new(allowance));
        let proxy =
            Self { address, passed: Arc::clone(&passed), allowance: Arc::clone(&allowance), over: Arc::clone(&over) };
        // Ends when the proxy is dropped, by the connection that its drop makes.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                if passed.load(SeqCst) >= allowance.load(SeqCst) {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let (passed, allowance) = (Arc::clone(&passed), Arc::clone(&allowance));
                std::thread::spawn(move || carry(&client, &upstream, &passed, &allowance));
            }
        });
        proxy
    }

    /// Bytes of answers that were passed on.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.load(SeqCst)
    }

    /// Whether the allowance is used up.
    pub(crate) fn has_cut(&self) -> bool {
        self.passed() >= self.allowance.load(SeqCst)
    }

    /// The network is well again.
    pub(crate) fn heal(&self) {
        self.allowance.store(u64::MAX, SeqCst);
    }

    /// Cuts everything from now on.
    pub(crate) fn cut(&self) {
        self.allowance.store(0, SeqCst);
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Carries one connection both ways until either side ends it or the allowance is used up.
fn carry(client: &TcpStream, upstream: &TcpStream, passed: &AtomicU64, allowance: &AtomicU64) {
    let close = || {
        let _ = client.shutdown(Shutdown::Both);
        let _ = upstream.shutdown(Shutdown::Both);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to) = (client, upstream);
            let _ = std::io::copy(&mut from, &mut to);
            close();
        });
        let (mut from, mut to) = (upstream, client);
        let mut piece = [0; 16_384];
        // A connection that is merely idle is cut with the others.
        let _ = from.set_read_timeout(Some(Duration::from_millis(100)));
        while passed.load(SeqCst) < allowance.load(SeqCst) {
            match from.read(&mut piece) {
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    passed.fetch_add(count as u64, SeqCst);
                    if to.write_all(&piece[..count]).is_err() {
                        break;
                    }
                }
            }
        }
        close();
    });
}

/// A proxy that counts what goes through it.
pub(crate) struct CountingProxy {
    pub(crate) address: SocketAddr,
    /// Bytes of clients, and bytes of the server.
    counted: Arc<[AtomicU64; 2]>,
    over: Arc<AtomicBool>,
}

impl CountingProxy {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (counted, over) = (Arc::<[AtomicU64; 2]>::default(), Arc::new(AtomicBool::new(false)));
        let proxy = Self { address, counted: Arc::clone(&counted), over: Arc::clone(&over) };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(SeqCst) {
                    return;
                }
                let upstream = TcpStream::connect(server).expect("the server accepts");
                for (from, to, direction) in [(&client, &upstream, 0), (&upstream, &client, 1)] {
                    let both =
                        (from.try_clone().expect("a socket is cloned"), to.try_clone().expect("a socket is cloned"));
                    let counted = Arc::clone(&counted);
                    std::thread::spawn(move || pass(both, &counted[direction]));
                }
            }
        });
        proxy
    }

    /// Bytes that clients sent and bytes that they got since this was asked last.
    pub(crate) fn counted(&self) -> [u64; 2] {
        [0, 1].map(|direction: usize| self.counted[direction].swap(0, SeqCst))
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Passes on what comes, to its end. A byte is counted before it is sent: whoever has it finds it counted.
fn pass((mut from, mut to): (TcpStream, TcpStream), counted: &AtomicU64) {
    let mut piece = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        counted.fetch_add(count as u64, SeqCst);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
