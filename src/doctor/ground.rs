//! The ground a volume stands on: the kind of file system, what is free, what it can do.

use bytesize::ByteSize;

use super::Findings;
use crate::disk::{Abilities, Directory, FileSystem, Staging};

/// Below this share of the whole, space counts as low; above [`ENOUGH`] it never does.
const LOW: u64 = 20;
const ENOUGH: u64 = 1 << 30;
/// And inodes.
const ENOUGH_INODES: u64 = 10_000;
/// Where staging directories lie, from the volume's root.
const STAGING: &str = ".longshore/staging";

pub(super) fn examine(root: &Directory, findings: &mut Findings) {
    if let (Some(mount), Some(kind)) =
        (findings.answer("disk", root.mount()), findings.answer("disk", root.file_system()))
    {
        if mount.is_read_only {
            let cure = "mount it without `readOnly: true` for Longshore (the application may keep it), or, when the \
                        file system turned itself read-only, look at the node's kernel log";
            findings.trouble("read-only", format!("{} is mounted read-only", root.path().display()), cure);
        }
        let durable = match (kind, &*mount.kind) {
            (_, "tmpfs") => "it lies in memory and is gone with it",
            (FileSystem::Local, _) => "few files are synced one by one, many by one syncfs",
            (FileSystem::Network, _) => "each file is synced, and its close is checked",
            (FileSystem::Other, _) => "each file is synced by itself",
        };
        findings.note("disk", format!("{}: {durable}", mount.kind));
        if let Some(room) = findings.answer("space", root.room()) {
            let free = ByteSize(room.bytes).to_string();
            if room.bytes < ENOUGH && room.bytes < mount.bytes / LOW {
                findings.trouble(
                    "space",
                    format!("{free} free of {}", ByteSize(mount.bytes)),
                    "make the volume larger",
                );
            } else {
                findings.note("space", format!("{free} free"));
            }
            if let Some(inodes) =
                mount.inodes.filter(|inodes| room.inodes < ENOUGH_INODES && room.inodes < inodes / LOW)
            {
                let what = format!("{} inodes free of {inodes}", room.inodes);
                findings.trouble("inodes", what, "use a volume with more inodes, or keep fewer releases");
            }
        }
    }
    abilities(root, findings);
}

/// Tried where it leaves nothing, and only where we may write.
fn abilities(root: &Directory, findings: &mut Findings) {
    let staging = root.directory(STAGING).and_then(|staging| staging.check_writable().map(|()| staging));
    let Ok(staging) = staging else {
        findings.note("unknown", "links: they are tried only where Longshore has written and may write");
        return;
    };
    let tried = Staging::create(&staging, 0o700).and_then(|staging| staging.try_abilities());
    if let Some(abilities) = findings.answer("links", tried) {
        tell(abilities, findings);
    }
}

fn tell(abilities: Abilities, findings: &mut Findings) {
    for sentence in (Abilities { symlinks: true, ..abilities }).missing() {
        findings.note("links", sentence);
    }
    if !abilities.symlinks {
        let cure = "an empty volume with --layout files, or another kind of volume";
        findings.trouble("links", "there are no symbolic links: the layouts docroot and link cannot work", cure);
    } else if abilities.reflinks {
        findings.note("links", "releases share blocks by reflinks");
    }
}
