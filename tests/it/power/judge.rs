//! The oracle: what was acknowledged is there, what was not may be there whole, and never a mix.

use std::{collections::BTreeSet, fmt, path::Path};

use super::load::Acknowledged;
use crate::stored::{Entry, Site, difference, entries, shown};

/// What must never be.
#[derive(Debug, Clone)]
pub(crate) enum Violation {
    /// A mix, or bytes that are not those of their digest.
    Torn(String),
    /// Acknowledged and gone.
    Lost(String),
    /// A start that does not bring everything in order, or does not end.
    Stuck(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn(what) => write!(out, "torn: {what}"),
            Self::Lost(what) => write!(out, "lost: {what}"),
            Self::Stuck(what) => write!(out, "not recovered: {what}"),
        }
    }
}

/// How a volume shows a release, and what it promises.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) flags: &'static [&'static str],
    /// The document root in the volume.
    root: &'static str,
    /// Whether a whole release is shown at once, rather than one file after the other.
    is_atomic: bool,
}

pub(crate) const LAYOUTS: [Layout; 3] = [
    Layout { flags: &[], root: "", is_atomic: true },
    Layout { flags: &["--link", "html"], root: "html", is_atomic: true },
    Layout { flags: &["--layout", "files"], root: "", is_atomic: false },
];

impl Layout {
    fn shown(&self, volume: &Path) -> Result<Site, Violation> {
        let root = volume.join(self.root);
        if !root.exists() {
            return Ok(Site::new());
        }
        shown(&root).map_err(Violation::Torn)
    }
}

/// Judges a volume after a cut, before anybody recovers it; tells whether the cut left something undone.
pub(crate) fn judge_cut(volume: &Path, layout: &Layout, acknowledged: &[Acknowledged]) -> Result<bool, Violation> {
    let entries = entries(volume).map_err(Violation::Torn)?;
    let shown = layout.shown(volume)?;
    let newest = judge_claims(&entries, acknowledged)?;
    let is_amid = !crate::listing::staging_leftovers(volume).is_empty();
    if !layout.is_atomic {
        judge_files(&entries[(newest as usize).saturating_sub(1)..], newest == 0, &shown)?;
        return Ok(is_amid);
    }
    let seq = which(&entries, &shown)?;
    if seq < newest {
        return Err(Violation::Lost(format!("entry {newest} was acknowledged, and {seq} is shown")));
    }
    Ok(is_amid || seq != entries.len() as u64)
}

/// Judges a volume after recovery: it shows the head and nothing is left over.
pub(crate) fn judge_recovered(volume: &Path, layout: &Layout, acknowledged: &[Acknowledged]) -> Result<(), Violation> {
    let entries = entries(volume).map_err(Violation::Torn)?;
    judge_claims(&entries, acknowledged)?;
    let shown = layout.shown(volume)?;
    if let Some(head) = entries.last()
        && shown != head.site
    {
        return Err(Violation::Stuck(format!("the head is not shown: {}", difference(&shown, &head.site))));
    }
    let staged = crate::listing::staging_leftovers(volume);
    if !staged.is_empty() {
        return Err(Violation::Stuck(format!("left over: {staged:?}")));
    }
    let mut dangling = crate::listing::visible(volume);
    dangling.retain(|path| std::fs::metadata(path).is_err());
    if !dangling.is_empty() || volume.join("..data_tmp").is_symlink() {
        return Err(Violation::Stuck(format!("left over: links that lead nowhere: {dangling:?}, or ..data_tmp")));
    }
    Ok(())
}

/// Looks for all that was acknowledged; gives the newest entry of it, 0 when there is none.
fn judge_claims(entries: &[Entry], acknowledged: &[Acknowledged]) -> Result<u64, Violation> {
    let mut newest = 0;
    for Acknowledged { claim, seq, release } in acknowledged {
        let entry = match seq {
            Some(seq) => entries.get(*seq as usize - 1),
            // Nobody said which: one of them.
            None => entries.iter().find(|entry| claim.is_broken_by(&entry.release, &entry.site).is_none()),
        };
        let lost = |what: String| Err(Violation::Lost(format!("entry {seq:?}, acknowledged as {release:?}: {what}")));
        let Some(entry) = entry else { return lost("it is not in the journal".into()) };
        if release.as_ref().is_some_and(|release| *release != entry.release) {
            return lost(format!("it names another release, {}", entry.release));
        }
        if let Some(what) = claim.is_broken_by(&entry.release, &entry.site) {
            return lost(what);
        }
        newest = newest.max(entry.seq);
    }
    Ok(newest)
}

/// Each file by itself is that of one of `entries`, the newest that was acknowledged and those after it; `from_nothing`
/// when none was.
fn judge_files(entries: &[Entry], from_nothing: bool, shown: &Site) -> Result<(), Violation> {
    let paths: BTreeSet<_> = shown.keys().chain(entries.iter().flat_map(|entry| entry.site.keys())).collect();
    for path in paths {
        let is = shown.get(path);
        let could_be = entries.iter().any(|entry| entry.site.get(path) == is) || from_nothing && is.is_none();
        if !could_be {
            return Err(Violation::Torn(format!("{path} is {is:?}, which is of no release that it could be of")));
        }
    }
    Ok(())
}

/// The newest entry that is shown; 0 before the first.
fn which(entries: &[Entry], shown: &Site) -> Result<u64, Violation> {
    match entries.iter().rev().find(|entry| entry.site == *shown) {
        Some(entry) => Ok(entry.seq),
        None if shown.is_empty() => Ok(0),
        None => {
            let nearest = entries.iter().rev().map(|entry| difference(shown, &entry.site)).min_by_key(String::len);
            let nearest = nearest.unwrap_or_else(|| "the journal has none".into());
            Err(Violation::Torn(format!("what is shown is no release; compared with the nearest one: {nearest}")))
        }
    }
}
