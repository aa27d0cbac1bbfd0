//! Debian's nginx with its stock configuration, but for the port and the paths.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    http::{Answer, call, try_call},
    pod::{open_to_all, text},
    run::eventually,
};

/// A running nginx whose document root is a volume.
pub(crate) struct Nginx {
    program: PathBuf,
    root: TempDir,
    port: u16,
    child: Child,
}

impl Nginx {
    /// Starts `program` on a document root.
    pub(crate) fn start(program: &Path, document_root: &Path) -> Self {
        let root = TempDir::with_prefix("longshore-nginx-").expect("a temporary folder is made");
        // Its workers are another user, and keep temporary files here.
        open_to_all(root.path());
        let port = free_port();
        fs::write(root.path().join("nginx.conf"), configuration(root.path(), document_root, port))
            .expect("the configuration is written");
        let child = launch(program, root.path());
        let nginx = Self { program: program.into(), root, port, child };
        nginx.wait();
        nginx
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        call("GET", &self.url(path), &[], "")
    }

    /// SIGKILL to the workers and their master, and a new start.
    pub(crate) fn kill_and_start_again(&mut self) {
        let workers = self.workers();
        assert!(!workers.is_empty(), "nginx has workers");
        self.child.kill().expect("the master is killed");
        self.child.wait().expect("the master ends");
        for worker in workers {
            let _ = kill_process(worker, Signal::KILL);
        }
        eventually("the dead nginx lets go of its port", Duration::from_secs(10), || {
            try_call("GET", &self.url("/"), &[], "").is_err().then_some(())
        });
        self.child = launch(&self.program, self.root.path());
        self.wait();
    }

    fn workers(&self) -> Vec<Pid> {
        let master = self.child.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
    }

    fn wait(&self) {
        eventually("nginx answers", Duration::from_secs(15), || try_call("GET", &self.url("/"), &[], "").ok());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers on SIGTERM; killed outright it would leave them behind.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago, and that no other test was told.
pub(crate) fn free_port() -> u16 {
    use std::{collections::BTreeSet, sync::Mutex};
    static TOLD: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        if TOLD.lock().expect("nobody panics with it").insert(port) {
            return port;
        }
    }
}

fn launch(program: &Path, root: &Path) -> Child {
    let configuration = root.join("nginx.conf");
    let mut command = Command::new(program);
    command.args(["-p", text(root), "-c", text(&configuration), "-e", text(&root.join("error.log"))]);
    command.args(["-g", "daemon off;"]).stdin(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("nginx starts")
}

/// `/etc/nginx/nginx.conf` and `/etc/nginx/sites-available/default` of the package, in one.
fn configuration(root: &Path, document_root: &Path, port: u16) -> String {
    let (root, document_root) = (root.display(), document_root.display());
    let user = if rustix::process::geteuid().is_root() { "user www-data;" } else { "" };
    format!(
        "{user}
worker_processes auto;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log {root}/access.log;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    gzip on;
    server {{
        listen 127.0.0.1:{port} default_server;
        root {document_root};
        index index.html index.htm index.nginx-debian.html;
        server_name _;
        location / {{
            try_files $uri $uri/ =404;
        }}
    }}
}}
"
    )
}
