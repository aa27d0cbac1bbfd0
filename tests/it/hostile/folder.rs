//! Inputs as a folder on a disk, as far as one can hold them.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::inputs::{Entry, Kind};

/// Makes `root` anew, with the entries and a harmless file; otherwise why it cannot be.
pub(super) fn make(root: &Path, entries: &[Entry]) -> Result<(), &'static str> {
    let _ = fs::remove_dir_all(root);
    fs::create_dir(root).expect("a folder is made");
    fs::write(root.join("good.html"), "good").expect("a file is written");
    entries.iter().try_for_each(|entry| put(root, entry))
}

fn put(root: &Path, entry: &Entry) -> Result<(), &'static str> {
    let name = match &entry.kind {
        Kind::Folder(_) => entry.name.strip_suffix(b"/").unwrap_or(&entry.name),
        _ => &entry.name,
    };
    let path = place(root, name)?;
    if fs::symlink_metadata(&path).is_ok() {
        let is_again = matches!(entry.kind, Kind::Folder(_)) && path.is_dir() && !path.is_symlink();
        return if is_again { Ok(()) } else { Err("a folder has each name once") };
    }
    match &entry.kind {
        Kind::File(mode) => {
            fs::write(&path, &entry.bytes).map_err(|_| "the disk takes no such name")?;
            // Without a reader's permission the seed is the operator's mistake; the tests run as root, or skip it.
            if mode & 0o400 == 0 && !rustix::process::geteuid().is_root() {
                return Err("only root reads it");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("its mode is set");
        }
        Kind::Folder(_) => fs::create_dir(&path).map_err(|_| "the disk takes no such name")?,
        Kind::Symlink(target) => symlink(OsStr::from_bytes(target), &path).expect("a link is made"),
        Kind::Link(_) => return Err("a hard link is a plain file there"),
        Kind::Special(b's') => drop(UnixListener::bind(&path).map_err(|_| "no socket here")?),
        Kind::Special(letter) => {
            let (kind, device) = match letter {
                b'3' => (FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
                b'4' => (FileType::BlockDevice, rustix::fs::makedev(7, 0)),
                b'6' => (FileType::Fifo, 0),
                _ => return Err("a disk has no such kind"),
            };
            mknodat(CWD, &path, kind, Mode::from_raw_mode(0o644), device).map_err(|_| "only root makes devices")?;
        }
    }
    Ok(())
}

/// Where the entry would lie, with its folders made.
fn place(root: &Path, name: &[u8]) -> Result<PathBuf, &'static str> {
    if name.contains(&0) || name.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return Err("a disk has no such name");
    }
    let mut path = root.to_path_buf();
    let parts: Vec<_> = name.split(|byte| *byte == b'/').collect();
    for part in &parts[..parts.len() - 1] {
        path.push(OsStr::from_bytes(part));
        match fs::symlink_metadata(&path) {
            Ok(about) if about.is_dir() => {}
            // Not through it: whoever packs this would write to the canary.
            Ok(_) => return Err("a folder has each name once"),
            Err(_) => fs::create_dir(&path).map_err(|_| "the disk takes no such name")?,
        }
    }
    path.push(OsStr::from_bytes(parts[parts.len() - 1]));
    Ok(path)
}
