//! What the volume shows, against the release that it should show.

use std::{collections::HashMap, thread, time::Duration};

use super::{Depot, Error, Lost, State, Verified, crew, finding::Finding};
use crate::{
    digest::Digest,
    disk::{self, Directory, Stat},
    manifest::{File, Release, Time, Tree},
    path::SitePath,
    store::Room,
    volume::{Fault, inspect_file, inspect_folder},
};

/// Looks at something that differs, while others may be publishing.
const LOOKS: usize = 40;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);

/// What a volume shows and should show, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::depot) struct Moment {
    /// The live generation.
    pub(in crate::depot) live: String,
    /// What it is known to show.
    pub(in crate::depot) shown: Option<Release>,
    /// The journal's head.
    pub(in crate::depot) head: Option<Release>,
}

impl Moment {
    /// The release that is to be shown; where somebody is publishing, or died while he was, one of two.
    fn releases(&self) -> Vec<Release> {
        let mut releases: Vec<_> = self.shown.into_iter().chain(self.head).collect();
        releases.dedup();
        releases
    }
}

impl Depot {
    /// What is shown now; none when nothing is. A head that cannot be read is told of elsewhere.
    pub(in crate::depot) fn moment(&self, state: &State) -> Result<Option<Moment>, Error> {
        let Some(live) = self.volume.live()? else { return Ok(None) };
        let shown = self.volume.shown(&state.home)?.map(|shown| shown.release());
        // A journal that lacks what is shown says nothing of it.
        let head = match self.is_diverged() {
            false => state.store.journal().head().ok().flatten().map(|head| head.entry.release()),
            true => shown,
        };
        Ok(Some(Moment { live, shown, head }))
    }

    /// Reads each file that is shown; what was read as an object of the same inode is not read twice.
    pub(super) fn read_shown(
        &self,
        state: &State,
        lost: &HashMap<(Room, Digest), Lost>,
        verified: &mut Verified,
    ) -> Result<Vec<Finding>, Error> {
        let Some(moment) = self.moment(state)? else {
            let link = |name: &str| vec![Finding::Link { name: name.into(), fault: Fault::Missing }];
            return Ok(self.volume.layout().data().map(link).unwrap_or_default());
        };
        let Some(release) = moment.releases().first().copied() else { return Ok(Vec::new()) };
        let lingering = state.home.lingering()?;
        let mut findings = Vec::new();
        let Some(tree) = self.volume.tree(&state.home, &moment.live)? else {
            return Ok(vec![Finding::Folder { path: String::new(), fault: Fault::Missing }]);
        };
        let mut files = 0;
        let produce = |give: &mut dyn FnMut((String, File, i64))| {
            let mut ahead = vec![release.root()];
            while let Some(unread) = ahead.pop() {
                // A node that cannot be read was found already.
                let Ok((folder, below)) = unread.read(state.store.nodes()) else { continue };
                ahead.extend(below);
                let path = folder.path.as_ref().map(SitePath::as_str);
                if let Some(fault) = self.inspect_folder(&tree, path)? {
                    findings.push(Finding::Folder { path: path.unwrap_or_default().into(), fault });
                }
                findings.extend(self.volume.extras(&tree, &folder, &lingering)?.into_iter().map(Finding::Extra));
                files += folder.files.len() as u64;
                for (name, file, mtime) in &folder.files {
                    give((folder.below(name), *file, *mtime));
                }
            }
            Ok::<_, Error>(())
        };
        let read = |(path, file, mtime): (String, File, i64)| {
            let known = |stat: &Stat| {
                let object = state.store.place_of(Room::Objects, &file.digest).ok()??;
                let same = object.0.stat(&object.1).is_ok_and(|object| object.inode == stat.inode);
                same.then(|| !lost.contains_key(&(Room::Objects, file.digest)))
            };
            let fault = inspect_file(&tree, &path, &file, mtime, &known)?;
            Ok(fault.map(|fault| Finding::File { path, file, mtime, fault }))
        };
        let mut wrong = crew::each(produce, read)?;
        wrong.sort_by_key(ToString::to_string);
        findings.extend(wrong);
        verified.files = files;
        if let Ok(top) = self.volume.top(state.store.nodes(), release, &lingering) {
            let faults = self.volume.inspect_links(&tree, &top)?;
            findings.extend(faults.into_iter().map(|(name, fault)| Finding::Link { name, fault }));
            for name in self.volume.stray_links(&top)? {
                if disk::if_there(tree.stat(&name))?.is_none() {
                    let note = format!("the link {name} leads nowhere: somebody is publishing, or died while he was");
                    verified.notes.push(note);
                }
            }
            let strangers = self.volume.strangers(&top)?;
            verified.notes.extend(strangers.into_iter().map(|name| format!("not Longshore's: {name}")));
        }
        Ok(findings)
    }

    /// The root of plain files is the volume's, with a mode that is none of our business.
    fn inspect_folder(&self, tree: &Directory, path: Option<&str>) -> Result<Option<Fault>, disk::Error> {
        if path.is_none() && self.volume.layout().data().is_none() {
            return Ok(None);
        }
        inspect_folder(tree, path)
    }

    /// Those of the `findings` that are true also when nobody publishes meanwhile.
    pub(super) fn confirm_shown(&self, state: &State, findings: Vec<Finding>) -> Result<Vec<Finding>, Error> {
        let (mut confirmed, mut looks) = (Vec::new(), LOOKS);
        for finding in findings {
            if self.is_confirmed(state, &finding, &mut looks)? {
                confirmed.push(finding);
            }
        }
        Ok(confirmed)
    }

    fn is_confirmed(&self, state: &State, finding: &Finding, looks: &mut usize) -> Result<bool, Error> {
        loop {
            let before = self.moment(state)?;
            let mut is_wrong = true;
            for (moment, release) in
                before.iter().flat_map(|moment| moment.releases().into_iter().map(move |r| (moment, r)))
            {
                is_wrong = is_wrong && self.is_wrong(state, moment, release, finding)?;
            }
            let is_still = self.moment(state)? == before;
            let is_quiet = before.is_none_or(|moment| moment.shown == moment.head);
            if is_still && (is_quiet || !is_wrong) || *looks == 0 {
                return Ok(is_wrong);
            }
            *looks -= 1;
            thread::sleep(PAUSE);
        }
    }

    /// Whether the finding is one where `release` is to be shown.
    pub(in crate::depot) fn is_wrong(
        &self,
        state: &State,
        moment: &Moment,
        release: Release,
        finding: &Finding,
    ) -> Result<bool, Error> {
        let Some(tree) = self.volume.tree(&state.home, &moment.live)? else { return Ok(true) };
        let nodes = state.store.nodes();
        let files = Tree::<File>::new(nodes, release.manifest);
        // What cannot be read of the release proves nothing wrong.
        let file = |path: &SitePath| files.find(path).unwrap_or_default();
        let is_folder = |path: &SitePath| files.is_folder(path).unwrap_or_default();
        Ok(match finding {
            Finding::File { path, .. } => {
                let Ok(path) = path.parse::<SitePath>() else { return Ok(false) };
                let time = Tree::<Time>::new(nodes, release.times).find(&path).unwrap_or_default();
                let (Some(file), Some(mtime)) = (file(&path), time.and_then(|time| time.mtime)) else {
                    return Ok(false);
                };
                inspect_file(&tree, path.as_str(), &file, mtime, &|_| None)?.is_some()
            }
            Finding::Folder { path, .. } => match path.parse::<SitePath>() {
                Ok(path) => is_folder(&path) && inspect_folder(&tree, Some(path.as_str()))?.is_some(),
                Err(_) => self.inspect_folder(&tree, None)?.is_some(),
            },
            Finding::Extra(path) => {
                let is_there = disk::if_path(tree.stat(path))?.is_some();
                let is_named = path.parse().is_ok_and(|path| file(&path).is_some() || is_folder(&path));
                is_there && !is_named && !state.home.lingering()?.explains(path)
            }
            Finding::Link { name, .. } if self.volume.layout().data() == Some(name) => false,
            Finding::Link { name, .. } => {
                let top = self.volume.top(nodes, release, &state.home.lingering()?);
                let faults = top.map(|top| self.volume.inspect_links(&tree, &top)).unwrap_or(Ok(Vec::new()))?;
                faults.iter().any(|(other, _)| other == name)
            }
            _ => false,
        })
    }
}
