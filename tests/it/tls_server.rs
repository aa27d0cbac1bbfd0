//! TLS on the upload port, spoken to by curl, openssl, and a client that keeps its connection.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{
    authority::{Authority, Signed},
    http::{connect, raw, read_answer_from},
    limits::metric,
    part::need,
    pod::{Pod, TOKEN, text},
    run::{Run, Runs as _, clean, eventually},
    served::Served,
};

/// The promise is 10 s; the rest is for a busy machine.
const RENEWED: Duration = Duration::from_secs(20);

/// A pod with an authority and a certificate of it, mounted as a Secret is.
struct Secure {
    pod: Pod,
    authority: Authority,
}

impl Secure {
    fn new() -> Self {
        let (pod, authority) = (Pod::new(), Authority::new());
        pod.fill(pod.folder("seed", &[("index.html", "page")])).expect(0);
        authority.write(&pod.path("ca.pem"));
        authority.month().mount(&pod.path("tls"));
        Self { pod, authority }
    }

    fn flags(&self, more: &[&str]) -> Vec<String> {
        let (certificate, key) = (self.pod.path("tls/tls.crt"), self.pod.path("tls/tls.key"));
        let flags = ["--tls-cert", text(&certificate), "--tls-key", text(&key)];
        flags.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
    }

    fn serve(&self, more: &[&str]) -> Served {
        let flags = self.flags(more);
        self.pod.serve_with(&flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// curl with these arguments; `path` is where.
    fn curl(&self, served: &Served, path: &str, arguments: &[&str]) -> Run {
        let (authority, url) = (self.pod.path("ca.pem"), format!("https://{}{path}", served.listen));
        let mut command = Command::new("curl");
        clean(&mut command).args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"]);
        command.args(["--cacert", text(&authority), "--write-out", "%{stderr} status=%{http_code} "]);
        command.args(arguments).arg(url).stdin(Stdio::null()).run()
    }

    fn get(&self, served: &Served, arguments: &[&str]) -> Run {
        let token = format!("Authorization: Bearer {TOKEN}");
        self.curl(served, "/site/index.html", &[&["--header", &token], arguments].concat())
    }

    /// Writes a client's certificate and key; the arguments of curl for them.
    fn client(&self, name: &str, signed: &Signed) -> [String; 4] {
        let (certificate, key) = (self.pod.path(&format!("{name}.crt")), self.pod.path(&format!("{name}.key")));
        fs::write(&certificate, &signed.certificate).expect("it is written");
        fs::write(&key, &signed.key).expect("it is written");
        ["--cert".into(), text(&certificate).into(), "--key".into(), text(&key).into()]
    }

    /// A connection that stays.
    fn keep(&self, address: SocketAddr) -> Kept {
        let mut roots = RootCertStore::empty();
        let pem = fs::read(self.pod.path("ca.pem")).expect("it is there");
        roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        Kept(StreamOwned::new(connection, connect(address)))
    }
}

struct Kept(StreamOwned<ClientConnection, std::net::TcpStream>);

impl Kept {
    #[track_caller]
    fn get(&mut self) {
        let request =
            format!("GET /site/index.html HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        self.0.write_all(request.as_bytes()).expect("it is sent");
        read_answer_from(&mut self.0).expect("an answer").expect(200);
    }

    fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().expect("one")[0].to_vec()
    }
}

/// What a new connection is greeted with.
fn shown(secure: &Secure, served: &Served) -> Vec<u8> {
    let mut kept = secure.keep(served.listen);
    kept.get();
    kept.certificate()
}

fn reloads(served: &Served, outcome: &str) -> f64 {
    metric(served, &format!("longshore_certificate_reloads_total{{outcome={outcome:?}}}"))
}

fn der(signed: &Signed) -> Vec<u8> {
    CertificateDer::from_pem_slice(signed.certificate.as_bytes()).expect("PEM").to_vec()
}

#[test]
fn a_certificate_is_renewed_while_connections_are_open() {
    let secure = Secure::new();
    let served = secure.serve(&[]);
    let mut kept = secure.keep(served.listen);
    kept.get();
    let old = kept.certificate();
    let end = SystemTime::now() + Duration::from_secs(60 * 86_400);
    let next = secure.authority.sign(end);
    next.mount(&secure.pod.path("tls"));
    eventually("the new certificate is shown", RENEWED, || {
        kept.get();
        (shown(&secure, &served) == der(&next)).then_some(())
    });
    kept.get();
    assert!(kept.certificate() == old && reloads(&served, "taken") == 1.0 && reloads(&served, "refused") == 0.0);
    let seconds = end.duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs_f64();
    let told = metric(&served, "longshore_certificate_expiry_timestamp_seconds");
    assert!((told - seconds).abs() < 2.0, "{told} {seconds}");

    // A pair that is none, a file that is gone, half a renewal: what is in use stays, and each is said once.
    let wrong = Signed { certificate: secure.authority.month().certificate, key: next.key.clone() };
    wrong.mount(&secure.pod.path("tls"));
    eventually("it is refused", RENEWED, || (reloads(&served, "refused") == 1.0).then_some(()));
    std::thread::sleep(Duration::from_secs(5));
    assert!(served.log().contains("does not fit"), "{}", served.log());
    assert_eq!((reloads(&served, "refused"), shown(&secure, &served)), (1.0, der(&next)));
    fs::remove_file(secure.pod.path("tls/..data")).expect("it is removed");
    eventually("it is missed", RENEWED, || (reloads(&served, "refused") == 2.0).then_some(()));
    assert_eq!(shown(&secure, &served), der(&next));
    let last = secure.authority.month();
    last.mount(&secure.pod.path("tls"));
    eventually("the last one is shown", RENEWED, || (shown(&secure, &served) == der(&last)).then_some(()));
    assert!(!served.log().contains("PRIVATE KEY"));
}

#[test]
fn files_that_make_no_pair_are_told_at_start() {
    let secure = Secure::new();
    let path = |name: &str| secure.pod.path(name);
    let (other, rubbish, gone) = (secure.authority.month(), path("rubbish.pem"), path("gone.pem"));
    fs::write(path("other.key"), &other.key).expect("it is written");
    fs::write(&rubbish, "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n").expect("it is written");
    Authority::until(SystemTime::now() - Duration::from_secs(60)).write(&path("expired.pem"));
    let (certificate, key) = (path("tls/tls.crt"), path("tls/tls.key"));
    let (certificate, key) = (text(&certificate), text(&key));
    let (other, expired) = (path("other.key"), path("expired.pem"));
    for (flags, why) in [
        (vec!["--tls-cert", text(&gone), "--tls-key", key], "cannot read"),
        (vec!["--tls-cert", certificate, "--tls-key", text(&gone)], "gone.pem"),
        (vec!["--tls-cert", certificate, "--tls-key", text(&other)], "other.key: it does not fit"),
        (vec!["--tls-cert", certificate, "--tls-key", certificate], "it has no private key"),
        (vec!["--tls-cert", text(&rubbish), "--tls-key", key], "rubbish.pem"),
        (vec!["--tls-cert", key, "--tls-key", key], "it has no certificate"),
        (vec!["--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", key], "it has no certificate"),
        (
            vec!["--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", text(&expired)],
            "no authority in it is valid now",
        ),
        (vec!["--tls-cert", certificate], "--tls-key is missing"),
    ] {
        let token_file = secure.pod.token_file();
        let flags = [&["--token-file", text(&token_file)], &flags[..]].concat();
        let run = secure.pod.serve_command(None, &flags, &secure.pod.addresses_file()).run().expect(2);
        assert!(run.stderr.contains(why), "{flags:?}: {}", run.stderr);
    }
}

#[test]
fn a_client_needs_a_certificate_and_a_token() {
    need!("curl");
    let secure = Secure::new();
    let clients = Authority::new();
    let file = secure.pod.path("clients.pem");
    clients.write(&file);
    let served = secure.serve(&["--tls-client-ca", text(&file)]);
    let with = |name: &str, signed: &Signed| {
        let arguments = secure.client(name, signed);
        secure.get(&served, &arguments.each_ref().map(String::as_str))
    };
    let good = clients.month();
    assert_eq!(with("good", &good).expect(0).stdout, "page");
    let arguments = secure.client("good", &good);
    let run = secure.curl(&served, "/site/index.html", &arguments.each_ref().map(String::as_str));
    assert!(run.expect(0).stderr.contains("status=401"), "a certificate is no token");
    let is_refused = |run: Run| {
        assert_ne!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("status=000"), "{}", run.stderr);
    };
    is_refused(secure.get(&served, &[]));
    is_refused(with("stranger", &Authority::new().month()));
    is_refused(with("late", &clients.sign(SystemTime::now() - Duration::from_secs(60))));

    // Other authorities, while it runs; one that has ended is none.
    let next = Authority::until(SystemTime::now() + Duration::from_secs(15));
    Authority::until(SystemTime::now() - Duration::from_secs(60)).write(&file);
    eventually("it is refused", RENEWED, || (reloads(&served, "refused") == 1.0).then_some(()));
    assert_eq!(with("good", &good).expect(0).stdout, "page");
    next.write(&file);
    let short = next.month();
    eventually("the next one counts", RENEWED, || (reloads(&served, "taken") == 1.0).then_some(()));
    is_refused(with("good", &good));
    eventually("an authority ends by itself", RENEWED + Duration::from_secs(15), || {
        (with("short", &short).code != Some(0)).then_some(())
    });
    eventually("the log says so", RENEWED, || served.log().contains("has expired").then_some(()));
    clients.write(&file);
    eventually("others get in", RENEWED, || (with("good", &good).code == Some(0)).then_some(()));
}

#[test]
fn curl_uploads_over_tls_and_the_door_is_the_same() {
    need!("curl");
    let secure = Secure::new();
    let served = secure.serve(&[]);
    let token = format!("Authorization: Bearer {TOKEN}");
    std::thread::scope(|scope| {
        for number in 0..20 {
            let (secure, served, token) = (&secure, &served, &token);
            scope.spawn(move || {
                let file = secure.pod.path(&format!("{number}.bin"));
                fs::write(&file, vec![b'0' + number; 300_000]).expect("it is written");
                let path = format!("/site/many/{number}.bin");
                let run = secure.curl(served, &path, &["--header", token, "--upload-file", text(&file)]).expect(0);
                assert!(run.stderr.contains("status=201"), "{}", run.stderr);
                let run = secure.curl(served, &path, &["--header", token]).expect(0);
                assert!(run.stdout.len() == 300_000 && run.stdout.bytes().all(|byte| byte == b'0' + number));
            });
        }
    });
    // Our own page is at https here.
    let put = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let run = secure.curl(&served, "/site/a", &["--request", "PUT", "--header", &token, "--header", &origin]);
        run.expect(0).stderr
    };
    assert!(put(&format!("https://{}", served.listen)).contains("status=201"));
    assert!(put("https://evil.example").contains("status=403"));
    // Who forgot the s is told.
    let answer = raw(served.listen, b"GET /site/ HTTP/1.1\r\nHost: x\r\n\r\n").expect("an answer").expect(400);
    assert!(answer.text().contains("https://"), "{answer}");
    let rubbish = raw(served.listen, b"\x00\x01\x02\x03rubbish");
    assert!(rubbish.is_none_or(|answer| answer.status == 0));
}

#[test]
fn old_versions_are_refused() {
    need!("openssl");
    let secure = Secure::new();
    let served = secure.serve(&[]);
    let try_version = |version: &str| {
        let authority = secure.pod.path("ca.pem");
        let mut command = Command::new("openssl");
        let address = served.listen.to_string();
        clean(&mut command).args([
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            text(&authority),
            "-verify_return_error",
        ]);
        // Without this, it is this openssl that refuses.
        command.args([version, "-cipher", "DEFAULT@SECLEVEL=0"]).stdin(Stdio::null()).run()
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let run = try_version(version).expect(0);
        assert!(run.stdout.contains("Verify return code: 0 (ok)"), "{version}: {}", run.stdout);
    }
    for version in ["-tls1", "-tls1_1"] {
        let run = try_version(version);
        assert_ne!(run.code, Some(0), "{version}");
        // It was asked, and it is the server that says no.
        assert!(run.stderr.contains("SSL alert number"), "{version}: {}", run.stderr);
    }
}

#[test]
fn a_handshake_that_never_ends_is_closed() {
    let secure = Secure::new();
    let served = secure.serve(&[]);
    let start = Instant::now();
    let mut quiet = connect(served.listen);
    let mut half = connect(served.listen);
    half.write_all(&[22, 3, 1, 2, 0, 1]).expect("it is sent");
    let mut slow = connect(served.listen);
    slow.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    let mut bytes = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3].into_iter().chain(std::iter::repeat(7));
    let mut buffer = [0; 100];
    // A byte a second.
    while slow.write_all(&[bytes.next().expect("no end")]).is_ok() && start.elapsed() < Duration::from_secs(40) {
        match slow.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => break,
        }
    }
    for socket in [&mut quiet, &mut half] {
        assert!(!matches!(socket.read(&mut buffer), Ok(1..)), "nothing is said");
    }
    let took = start.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(30), "{took:?}");
    eventually("they are counted", Duration::from_secs(10), || {
        let closed = metric(&served, "longshore_closed_connections_total{reason=\"handshake\"}");
        (closed == 3.0 && metric(&served, "longshore_connections") == 0.0).then_some(())
    });
    assert_eq!(served.terminate().code, Some(0));
}

#[test]
fn a_certificate_that_ends_soon_is_worth_a_warning() {
    need!("curl");
    let secure = Secure::new();
    // Less than a tenth of its time, which began a day ago, is left.
    secure.authority.sign(SystemTime::now() + Duration::from_secs(7_000)).mount(&secure.pod.path("tls"));
    let (flags, token) = (secure.flags(&["--no-auth"]), format!("Authorization: Bearer {TOKEN}"));
    let mut served = secure.pod.launch(&flags.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    served.wait_until_ready();
    eventually("it is said", RENEWED, || served.log().contains("expires soon").then_some(()));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(served.log().matches("expires soon").count(), 1, "once");
    let run = secure.curl(&served, "/site/index.html", &["--header", &token]).expect(0);
    assert_eq!(run.stdout, "page");
}
