//! A real rsync daemon on loopback, behind a proxy that counts.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::data::Site;
use crate::{
    listing::contents,
    nginx::free_port,
    pod::{Pod, text},
    proxy::CountingProxy,
    run::{Runs as _, clean, eventually},
};

pub(super) struct Rsync {
    program: PathBuf,
    daemon: Child,
    proxy: CountingProxy,
    pod: Pod,
}

fn write(folder: &Path, site: &Site) {
    for (path, bytes) in site {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().expect("it has one")).expect("a folder is made");
        fs::write(&file, bytes).expect("a file is written");
    }
}

impl Rsync {
    /// A daemon that has `site`.
    pub(super) fn serve(program: &Path, site: &Site) -> Self {
        let pod = Pod::in_memory();
        let (there, config) = (pod.path("there"), pod.path("rsyncd.conf"));
        write(&there, site);
        let lines = format!(
            "use chroot = no\nlog file = /dev/null\n[site]\npath = {}\nread only = no\nuid = {}\ngid = {}\n",
            there.display(),
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        fs::write(&config, lines).expect("a file is written");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut daemon = Command::new(program);
        clean(&mut daemon).args(["--daemon", "--no-detach", "--address=127.0.0.1"]);
        daemon.args([format!("--port={}", address.port()), format!("--config={}", config.display())]);
        let daemon = daemon.stdin(Stdio::null()).spawn().expect("rsync starts");
        eventually("rsync listens", Duration::from_secs(30), || TcpStream::connect(address).ok());
        let proxy = CountingProxy::start(address);
        Self { program: program.into(), daemon, proxy, pod }
    }

    /// `rsync -rcz` of `site`: the bytes that were sent, and those that came back.
    pub(super) fn copy(&self, site: &Site) -> [u64; 2] {
        let here = self.pod.path("here");
        write(&here, site);
        let to = format!("rsync://{}/site/", self.proxy.address);
        let mut copy = Command::new(&self.program);
        clean(&mut copy).args(["-rcz", &format!("{}/", text(&here)), &to]).run().expect(0);
        assert_eq!(contents(&self.pod.path("there")), *site);
        self.proxy.counted()
    }
}

impl Drop for Rsync {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
