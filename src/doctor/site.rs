//! The site on the volume: whose content it is, whether journal and volume agree, whether somebody holds the lock.

use std::{path::Path, time::Duration};

use super::{Findings, chain};
use crate::{
    depot::{self, Depot, Layout, Options, SiteCondition},
    disk::Directory,
};

/// How long a lock may be held by somebody who is at work.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn examine(path: &Path, root: &Directory, findings: &mut Findings) {
    let depot = match Depot::open(path, Options::default()) {
        Ok(depot) => depot,
        Err(error) => return unreadable(&error, findings),
    };
    let condition = match depot.condition() {
        Ok(condition) => condition,
        Err(error) => {
            unreadable(&error, findings);
            None
        }
    };
    if let Some(condition) = condition {
        tell(condition, findings);
    }
    if let Some(names) = findings.answer("content", depot.in_the_way()).filter(|names| !names.is_empty()) {
        in_the_way(&names, condition, &depot, findings);
    }
    if findings.answer("lock", depot.is_locked(PATIENCE)) == Some(true) {
        let what = "another process has held the volume's lock for 2 s: it is at work, or was stopped while it was";
        let cure =
            "wait, or end that process (a stopped Pod on a dead node, a debugger): the kernel then frees the lock";
        findings.trouble("locked", what, cure);
    }
    if condition.is_none() && root.list().is_ok_and(|names| names.is_empty()) {
        findings.note("site", "the volume is empty: `fill` or the first upload begins the site");
    }
}

fn tell(condition: SiteCondition, findings: &mut Findings) {
    match condition {
        SiteCondition::Shown => findings.note("site", "the volume shows the newest release"),
        SiteCondition::NotShown => findings.trouble(
            "site",
            "the volume does not show the newest release yet",
            "start `longshore serve` or `fill`: either finishes it",
        ),
        SiteCondition::ChangedByHand => findings.trouble(
            "drift",
            "files of the site were changed by hand",
            "`longshore serve --adopt-changes` keeps the changes, the same upload sent again takes them back",
        ),
        SiteCondition::Diverged => findings.trouble(
            "divergence",
            "the volume has shown a release that the journal does not have: a snapshot was restored, or the journal was \
             emptied or swapped",
            "`longshore reconcile --keep volume` commits what is shown, `--keep store` shows what the journal has",
        ),
    }
}

fn in_the_way(names: &[String], condition: Option<SiteCondition>, depot: &Depot, findings: &mut Findings) {
    let names = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    if condition.is_some() && depot.layout() == &Layout::Docroot {
        let what = format!("{names} at the root is no link of ours and hides the release's own");
        findings.trouble(
            "shadowed",
            what,
            "move it away and start `longshore serve`, which makes the link; or keep it: an upload of that file or of the \
             whole site, or `serve --adopt-changes`, commits it (`adopt`)",
        );
    } else {
        let what = format!("the volume holds {names}, which Longshore did not put there: `fill` leaves it alone");
        let cure =
            "the first upload commits it as a release of its own (`adopt`) and goes on from there; or move it away";
        findings.trouble("foreign", what, cure);
    }
}

/// Why there are no answers about the site.
fn unreadable(error: &depot::Error, findings: &mut Findings) {
    let cure = match error.disk().and_then(crate::disk::Error::cure) {
        Some(cure) => cure,
        None if error.is_damaged() => "`longshore verify --repair`; for a damaged journal entry `longshore reconcile --keep volume`; or restore a snapshot"
            .into(),
        None => "use the version of Longshore that wrote it, or a newer one".into(),
    };
    findings.trouble("state", chain(error), cure);
}
