//! Whether this process may write: as whom it runs, and whose the volume is.

use rustix::process::{getegid, geteuid};

use super::Findings;
use crate::disk::{self, Directory, Stat};

const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o002;
/// What the kernel shows for a user it has no number for, and what file servers make of root.
const NOBODY: u32 = 65_534;
/// Directories that every write goes through, from the volume's root.
const WRITTEN: [&str; 6] = [
    ".longshore",
    ".longshore/staging",
    ".longshore/objects",
    ".longshore/manifests",
    ".longshore/journal",
    ".longshore/trees",
];

pub(super) fn examine(root: &Directory, findings: &mut Findings) {
    let Some(stat) = findings.answer("owner", root.own_stat()) else { return };
    let us = geteuid().as_raw();
    findings.note(
        "user",
        format!("this is user {us}, group {}; the root belongs to user {}", getegid().as_raw(), stat.uid),
    );
    if let Some(error) = refusal(root) {
        let topic = topic(&error, us, &stat);
        let what = format!("{} cannot be written to", error.path.display());
        findings.trouble(topic, what, error.cure().unwrap_or_else(|| error.to_string()));
    }
    if stat.uid == NOBODY && us == 0 {
        let what = "the volume belongs to nobody (user 65534): a file server squashes root";
        findings.trouble("squashed root", what, "run Longshore as a user the server knows (securityContext.runAsUser)");
    }
    sticky(root, &stat, us, findings);
}

/// Why the first directory that cannot be written to cannot.
fn refusal(root: &Directory) -> Option<disk::Error> {
    if let Err(error) = root.check_writable() {
        return Some(error).filter(disk::Error::is_denied);
    }
    WRITTEN.iter().find_map(|name| {
        let written = root.directory(name).and_then(|directory| directory.check_writable());
        written.err().filter(disk::Error::is_denied)
    })
}

fn topic(error: &disk::Error, us: u32, root: &Stat) -> &'static str {
    match error.source.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem => "read-only",
        _ if us == 0 => "squashed root",
        _ if root.mode & SETGID == 0 => "fsGroup",
        _ => "not writable",
    }
}

/// In a sticky directory only an entry's owner may replace it; and in one that all may write to, links are followed only
/// when they belong to the follower or to the directory's owner.
fn sticky(root: &Directory, stat: &Stat, us: u32, findings: &mut Findings) {
    if stat.mode & STICKY == 0 {
        return;
    }
    let place = root.path().display();
    let cure = format!("`chmod -t {place}`");
    let theirs = root.stat("..data").ok().filter(|link| us != 0 && ![link.uid, stat.uid].contains(&us));
    if let Some(link) = theirs {
        let what = format!("{place} is sticky: user {us} cannot replace what user {} made there", link.uid);
        findings.trouble("sticky", what, cure.clone());
    }
    let links = root.stat("..data").map_or(us, |link| link.uid);
    if stat.mode & OTHERS_WRITE != 0 && links != stat.uid && protected_symlinks() != Some(false) {
        let what = format!(
            "{place} is sticky, open to all, and user {}'s, while its links are user {links}'s: with \
             fs.protected_symlinks, which is {}, a web server of another user cannot follow them",
            stat.uid,
            protected_symlinks().map_or("unknown", |_| "on")
        );
        findings.trouble("403", what, cure);
    }
}

fn protected_symlinks() -> Option<bool> {
    let value = Directory::open("/proc/sys/fs".as_ref()).ok()?.read("protected_symlinks").ok()?;
    Some(value.starts_with(b"1"))
}
