//! What a hook gets: one shape for both events and both kinds of hook.

use std::ffi::OsString;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    depot::{Counts, Notice},
    digest::Digest,
    entry::Cause,
};

/// What happened, or is to happen.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    event: &'static str,
    op: Uuid,
    seq: u64,
    release: Digest,
    parent: Option<Digest>,
    cause: Cause,
    by: &'a str,
    message: Option<&'a str>,
    at: DateTime<Utc>,
    /// Files set, files removed, and bytes of those set; null when the parent is not kept any more.
    changed: Option<u64>,
    removed: Option<u64>,
    bytes: Option<u64>,
    site: Site,
    tree: String,
    tree_in_volume: String,
    #[serde(skip)]
    notice: &'a Notice,
}

#[derive(Debug, Serialize)]
struct Site {
    files: u64,
    bytes: u64,
}

impl<'a> Message<'a> {
    pub(super) fn new(event: &'static str, notice: &'a Notice) -> Self {
        let Notice { entry, counts, site, tree, tree_in_volume } = notice;
        let of = |number: fn(&Counts) -> u64| counts.as_ref().map(number);
        Self {
            event,
            op: entry.op,
            seq: entry.seq,
            release: entry.release,
            parent: entry.parent,
            cause: entry.cause,
            by: &entry.by,
            message: entry.message.as_deref(),
            at: entry.at,
            changed: of(|counts| counts.changed),
            removed: of(|counts| counts.removed),
            bytes: of(|counts| counts.bytes),
            site: Site { files: site.files, bytes: site.bytes },
            tree: tree.to_string_lossy().into(),
            tree_in_volume: tree_in_volume.to_string_lossy().into(),
            notice,
        }
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("it has nothing that JSON lacks")
    }

    /// The environment of a program: what a script wants without reading JSON.
    pub(super) fn variables(&self) -> Vec<(&'static str, OsString)> {
        let Notice { tree, tree_in_volume, .. } = self.notice;
        let mut variables: Vec<(&str, OsString)> = vec![
            ("LONGSHORE_EVENT", self.event.into()),
            ("LONGSHORE_OP", self.op.to_string().into()),
            ("LONGSHORE_SEQ", self.seq.to_string().into()),
            ("LONGSHORE_RELEASE", self.release.to_string().into()),
            ("LONGSHORE_CAUSE", self.cause.as_str().into()),
            ("LONGSHORE_TREE", tree.into()),
            ("LONGSHORE_TREE_IN_VOLUME", tree_in_volume.into()),
        ];
        variables.extend(self.parent.map(|parent| ("LONGSHORE_PARENT", parent.to_string().into())));
        // No variable can hold a zero byte.
        variables.extend((!self.by.contains('\0')).then(|| ("LONGSHORE_BY", self.by.into())));
        variables
    }
}
