//! The links at the root of a volume in the layout `docroot`, one for each name of the release.
//!
//! New names are linked before the flip (they dangle: a 404, as before), gone ones unlinked after it; each step can be
//! done again, and a start recomputes all of them. The other layouts have none.

use std::path::Path;

use super::{
    Error, Layout, Volume,
    home::{DATA, through_data},
};
use crate::disk::{self, Kind};

impl Volume {
    /// Whether the root has our links for just the names `top`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn links_are(&self, top: &[Box<str>]) -> Result<bool, Error> {
        let links = self.our_links()?;
        Ok(self.layout() != &Layout::Docroot || links.iter().map(|link| &**link).eq(top.iter().map(|name| &**name)))
    }

    /// Makes the root's links those of `top`, where a crash or somebody else left others.
    ///
    /// # Errors
    /// [`Error::InTheWay`] when one of the names is taken; when the disk refuses.
    pub fn mend_links(&self, top: &[Box<str>]) -> Result<(), Error> {
        let links = self.our_links()?;
        // All that can be linked, also when one of them cannot.
        let linked = self.link_all(top, &links);
        self.unlink_others(top, &links)?;
        self.root().sync()?;
        linked
    }

    /// Whether the root's entry `name` is our link through `..data`.
    pub(super) fn is_our_link(&self, name: &str) -> Result<bool, Error> {
        Ok(self.layout() == &Layout::Docroot
            && self.root().link_target(name)?.is_some_and(|target| target == Path::new(&through_data(name))))
    }

    /// The names of our links at the root, sorted.
    pub(super) fn our_links(&self) -> Result<Vec<String>, Error> {
        let mut links = Vec::new();
        if self.layout() == &Layout::Docroot {
            for name in self.root().list()? {
                if let Some(name) = name.to_str().filter(|name| *name != DATA)
                    && self.is_our_link(name)?
                {
                    links.push(name.into());
                }
            }
        }
        Ok(links)
    }

    /// Fails when something that is not ours lies where the one link or a link for one of `names` must be: after the
    /// entry it would be too late to say so.
    pub(super) fn check_free<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        // A link there is replaced, whatever it leads to; anything else would refuse the rename.
        if let Some(data) = self.layout().data()
            && disk::if_there(self.root().stat(data))?.is_some_and(|stat| stat.kind != Kind::Link)
            && !self.is_pending(data)?
        {
            return Err(Error::InTheWay { path: data.into() });
        }
        if self.layout() != &Layout::Docroot {
            return Ok(());
        }
        names.try_for_each(|name| match disk::if_there(self.root().stat(name))? {
            Some(_) if !self.is_our_link(name)? && !self.is_pending(name)? => {
                Err(Error::InTheWay { path: name.into() })
            }
            _ => Ok(()),
        })
    }

    pub(super) fn link_all(&self, top: &[Box<str>], links: &[String]) -> Result<(), Error> {
        let mut done = Ok(());
        if self.layout() == &Layout::Docroot {
            for name in top {
                if links.binary_search_by(|link| (**link).cmp(name)).is_err() {
                    done = done.and(self.link(name));
                }
            }
        }
        done
    }

    pub(super) fn unlink_others(&self, top: &[Box<str>], links: &[String]) -> Result<(), Error> {
        for gone in links.iter().filter(|link| top.binary_search_by(|name| (**name).cmp(link)).is_err()) {
            disk::if_there(self.root().unlink(gone))?;
        }
        Ok(())
    }

    /// Makes the root's link for `name`; never over anything.
    pub(super) fn link(&self, name: &str) -> Result<(), Error> {
        match self.root().symlink(through_data(name), name) {
            Err(error) if error.is_taken() && (self.is_our_link(name)? || self.is_pending(name)?) => Ok(()),
            Err(error) if error.is_taken() => Err(Error::InTheWay { path: name.into() }),
            done => Ok(done?),
        }
    }
}
