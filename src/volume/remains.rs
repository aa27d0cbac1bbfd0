//! The files that a volume shows, whatever any manifest says of them.

use super::{Error, Layout, Lingering, Volume, home::HOME, survey::is_the_file_systems};
use crate::{
    disk::{Directory, Kind},
    path::SitePath,
};

/// What lies in the live tree.
#[derive(Debug, Default)]
pub struct Remains {
    /// Plain files that a site can have.
    pub files: Vec<SitePath>,
    /// Everything else, but for folders.
    pub others: Vec<String>,
}

impl Volume {
    /// What lies in the live `tree`, but for what only lingers there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remains(&self, tree: &Directory, lingering: &Lingering) -> Result<Remains, Error> {
        let mut remains = Remains::default();
        self.gather(tree, "", lingering, &mut remains)?;
        Ok(remains)
    }

    fn gather(
        &self,
        directory: &Directory,
        above: &str,
        lingering: &Lingering,
        into: &mut Remains,
    ) -> Result<(), Error> {
        let is_root = above.is_empty() && self.layout() == &Layout::Files;
        for name in directory.list()? {
            let is_removed = name.as_encoded_bytes().starts_with(b".nfs");
            if is_removed || is_root && (is_the_file_systems(&name) || name == HOME) {
                continue;
            }
            let path = format!("{above}{}", name.to_string_lossy());
            match (directory.stat(&name)?.kind, path.parse::<SitePath>()) {
                (Kind::Directory, _) => {
                    self.gather(&directory.directory(&name)?, &format!("{path}/"), lingering, into)?
                }
                (Kind::File, Ok(path)) if name.to_str().is_some() => {
                    if !lingering.files().any(|(lingers, _)| *lingers == path) {
                        into.files.push(path);
                    }
                }
                _ => into.others.push(path),
            }
        }
        Ok(())
    }
}
