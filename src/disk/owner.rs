//! Who keeps us from writing, and the one line that cures it.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{Error, Stat};

impl Error {
    /// One line that cures a refusal: it names whose files these are, and who we are.
    #[must_use]
    pub fn cure(&self) -> Option<String> {
        if !self.is_denied() {
            return None;
        }
        if self.source.raw_os_error() == Some(Errno::ROFS.raw_os_error()) {
            return Some("it is mounted read-only: mount the volume without `readOnly` for this container".into());
        }
        let (place, stat) = nearest(&self.path)?;
        Some(Owner { place, uid: stat.uid }.cure(rustix::process::geteuid().as_raw()))
    }
}

/// A directory and the user it belongs to.
struct Owner {
    place: PathBuf,
    uid: u32,
}

impl Owner {
    fn cure(&self, us: u32) -> String {
        let (place, owner) = (self.place.display(), self.uid);
        if us == 0 {
            return format!(
                "{place} belongs to user {owner} and refuses user 0, since a file server squashes root or the container \
                 drops its capabilities: run as user {owner} (securityContext.runAsUser)"
            );
        }
        if us == owner {
            return format!("{place} is user {us}'s own and closed by its mode: `chmod -R u+rwX {place}`");
        }
        format!(
            "{place} belongs to user {owner} and this is user {us}: give the Pod an fsGroup \
             (spec.securityContext.fsGroup: 65532), or `chown -R {us} {place}` as root"
        )
    }
}

/// The directory that a refusal is about: the volume's root when it happened below `.longshore`, else the nearest that
/// tells its owner.
fn nearest(path: &Path) -> Option<(PathBuf, Stat)> {
    let told = |path: &Path| Some((path.to_owned(), Stat::of(path).ok()?));
    let found = path.ancestors().find_map(told)?;
    let Some(root) = path.ancestors().find(|path| path.ends_with(".longshore")).and_then(Path::parent) else {
        return Some(found);
    };
    // What is to be cured is the whole volume, but whose it is tells what lies nearest.
    Some((root.to_owned(), found.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, errno: Errno) -> Error {
        Error { call: "openat2", path: path.into(), source: errno.into() }
    }

    #[test]
    fn both_users_and_the_volume_are_named() {
        let owner = Owner { place: "/v".into(), uid: 1_000 };
        let cure = owner.cure(65_532);
        for part in ["/v belongs to user 1000", "this is user 65532", "fsGroup", "`chown -R 65532 /v`"] {
            assert!(cure.contains(part), "{part}: {cure}");
        }
        assert!(owner.cure(0).contains("run as user 1000"), "{}", owner.cure(0));
        assert!(owner.cure(1_000).contains("chmod -R u+rwX /v"), "{}", owner.cure(1_000));
    }

    #[test]
    fn the_root_above_our_state_is_what_is_cured() {
        let scratch = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(scratch.path().join(".longshore/staging")).expect("made");
        let path = scratch.path().join(".longshore/staging/absent/lock");
        assert_eq!(nearest(&path).expect("found").0, scratch.path());
        assert!(refusal(&path, Errno::ROFS).cure().expect("one").contains("readOnly"));
        assert_eq!(refusal(&path, Errno::IO).cure(), None);
    }
}
