//! Whether a web server, as another user, can read the site: modes on the way there, and of what it serves.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::Findings;
use crate::disk::{Directory, Kind, Stat};

const OTHERS_WALK: u32 = 0o001;
const OTHERS_READ: u32 = 0o004;

/// Directories above the volume.
pub(super) fn parents(path: &Path, findings: &mut Findings) {
    let Ok(path) = std::path::absolute(path) else { return };
    for parent in path.ancestors().skip(1) {
        if let Ok(stat) = Stat::of(parent)
            && stat.kind == Kind::Directory
        {
            walked_through(parent, &stat, findings);
        }
    }
}

fn walked_through(place: &Path, stat: &Stat, findings: &mut Findings) {
    if stat.mode & OTHERS_WALK == 0 {
        let place = place.display();
        let what =
            format!("{place} has mode {:04o}: other users, as a web server is one, cannot walk through", stat.mode);
        findings.trouble("403", what, format!("`chmod o+x {place}`"));
    }
}

/// The root, and all that is served below.
pub(super) fn examine(root: &Directory, findings: &mut Findings) {
    for name in ["", ".longshore", ".longshore/trees"] {
        let stat = if name.is_empty() { root.own_stat() } else { root.stat(name) };
        if let Ok(stat) = stat {
            walked_through(&root.path().join(name), &stat, findings);
        }
    }
    let mut closed = Closed::default();
    match root.directory(".longshore/trees") {
        Ok(trees) => closed.look(&trees, true),
        // Plain files at the root, or no site yet.
        Err(_) => return,
    }
    closed.look(root, true);
    if let Some(first) = &closed.first {
        let what = format!(
            "{} files and folders of the site are closed to other users, such as {}",
            closed.count,
            first.display()
        );
        findings.trouble("403", what, format!("`chmod o+rX` on them, or publish them again ({})", first.display()));
    }
}

/// What other users cannot read.
#[derive(Default)]
struct Closed {
    count: u64,
    first: Option<PathBuf>,
}

impl Closed {
    fn look(&mut self, folder: &Directory, is_root: bool) {
        // What we cannot list ourselves is told elsewhere.
        for name in folder.list().unwrap_or_default() {
            if is_root && (name == ".longshore" || name == "lost+found") {
                continue;
            }
            self.look_at(folder, &name);
        }
    }

    fn look_at(&mut self, folder: &Directory, name: &OsStr) {
        let Ok(stat) = folder.stat(name) else { return };
        let wanted = match stat.kind {
            Kind::Directory => OTHERS_READ | OTHERS_WALK,
            Kind::File => OTHERS_READ,
            Kind::Link | Kind::Special => return,
        };
        if stat.mode & wanted != wanted {
            self.count += 1;
            self.first.get_or_insert_with(|| folder.path().join(name));
        }
        if stat.kind == Kind::Directory
            && let Ok(below) = folder.directory(name)
        {
            self.look(&below, false);
        }
    }
}
