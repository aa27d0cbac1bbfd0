//! What clients do, and when: the cases that proptest makes up.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*};

/// Two that lie below others, two that cannot be together, and one that keeps the site from being small.
const PATHS: [&str; 6] = ["a", "a/x", "b", "d/c", "d/e", "k"];
const FOLDERS: [&str; 3] = ["", "a/", "d/"];
/// Names of an archive's files.
const NAMES: [&str; 3] = ["c", "e", "x"];

/// A content by its number: the first [`SHARED`] are the same in all cases and known to the server, the others are new
/// in each.
pub(super) type Content = u8;
pub(super) const SHARED: Content = 3;
pub(super) const CONTENTS: Content = 6;

/// Files by path: the content, and whether it is executable.
pub(super) type Files = BTreeMap<&'static str, (Content, bool)>;

#[derive(Clone, Debug)]
pub(super) struct Case {
    /// What is live at the beginning.
    pub(super) start: Files,
    /// What each client does, in its order.
    pub(super) clients: Vec<Vec<Step>>,
    /// Who acts in each round, a bit for each client; those of one round act at once. After that, one after the other.
    pub(super) rounds: Vec<u8>,
}

/// A header of a write. The tags are those that the client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    Match,
    MatchAny,
    NoneMatch,
    NoneMatchAny,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    Before,
    /// The release that the client saw last, by the first digits of its id.
    Seen,
    /// The entry that the case began with, by its number.
    Start,
    /// None that there is.
    Nowhere,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// What is live?
    Look,
    /// One object each, or all in one archive.
    Send {
        contents: BTreeSet<Content>,
        at_once: bool,
    },
    Deploy(Deploy),
    Put {
        path: &'static str,
        content: Content,
        condition: Condition,
    },
    Delete {
        path: &'static str,
        condition: Condition,
    },
    DeleteFolder {
        folder: &'static str,
        condition: Condition,
    },
    /// A PATCH, or with `clears` a PUT, of an archive.
    Archive {
        folder: &'static str,
        clears: bool,
        files: Files,
        condition: Condition,
    },
    RollBack {
        to: To,
        parent: bool,
        condition: Condition,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Deploy {
    /// Whether it is the changes to the release that the client saw, not all that there is to be.
    pub(super) base: bool,
    pub(super) set: Files,
    pub(super) remove: Option<&'static str>,
    pub(super) parent: bool,
    pub(super) condition: Condition,
    /// Whether it may remove as much as it likes.
    pub(super) meant: bool,
}

fn path() -> impl Strategy<Value = &'static str> {
    (0..PATHS.len()).prop_map(|n| PATHS[n])
}

fn files(names: &'static [&'static str]) -> impl Strategy<Value = Files> {
    // Most are known to the server: else most deploys would only be told what is missing.
    let content = prop_oneof![3 => 0..SHARED, 1 => SHARED..CONTENTS];
    let file = (0..names.len(), content, prop::bool::weighted(0.2));
    vec(file, 1..=4).prop_map(|files| files.into_iter().map(|(n, content, x)| (names[n], (content, x))).collect())
}

fn condition() -> impl Strategy<Value = Condition> {
    use Condition::*;
    prop_oneof![4 => Just(None), 2 => Just(Match), 1 => Just(MatchAny), 1 => Just(NoneMatch), 1 => Just(NoneMatchAny)]
}

fn deploy() -> impl Strategy<Value = Deploy> {
    let parent = prop::bool::weighted(0.6);
    let seldom = prop_oneof![4 => Just(Condition::None), 1 => condition()];
    let parts = (any::<bool>(), files(&PATHS), option::of(path()), parent, seldom, prop::bool::weighted(0.7));
    parts.prop_map(|(base, mut set, remove, parent, condition, meant)| {
        let remove = remove.filter(|_| base);
        if base && set.len() > 3 {
            set.clear();
        }
        Deploy { base, set, remove, parent, condition, meant }
    })
}

/// What a client does in one go: a request, or a whole deploy.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let contents = || prop::collection::btree_set(0..CONTENTS, 1..=3);
    let to = prop_oneof![3 => Just(To::Before), 2 => Just(To::Seen), 2 => Just(To::Start), 1 => Just(To::Nowhere)];
    let folder = || (0..FOLDERS.len()).prop_map(|n| FOLDERS[n]);
    let one = prop_oneof![
        2 => Just(Step::Look),
        1 => (contents(), any::<bool>()).prop_map(|(contents, at_once)| Step::Send { contents, at_once }),
        5 => deploy().prop_map(Step::Deploy),
        3 => (path(), 0..CONTENTS, condition())
            .prop_map(|(path, content, condition)| Step::Put { path, content, condition }),
        2 => (path(), condition()).prop_map(|(path, condition)| Step::Delete { path, condition }),
        1 => (1..FOLDERS.len(), condition())
            .prop_map(|(n, condition)| Step::DeleteFolder { folder: FOLDERS[n], condition }),
        2 => (folder(), any::<bool>(), files(&NAMES), condition())
            .prop_map(|(folder, clears, files, condition)| Step::Archive { folder, clears, files, condition }),
        1 => (to, any::<bool>(), condition()).prop_map(|(to, parent, condition)| Step::RollBack { to, parent, condition }),
    ];
    prop_oneof![
        5 => one.prop_map(|step| vec![step]),
        // It asks, sends what is missing, and asks again.
        1 => (deploy(), any::<bool>()).prop_map(|(deploy, at_once)| {
            let contents = deploy.set.values().map(|(content, _)| *content).collect();
            let send = (!deploy.set.is_empty()).then_some(Step::Send { contents, at_once });
            [Step::Deploy(deploy.clone())].into_iter().chain(send).chain([Step::Deploy(deploy)]).collect()
        }),
    ]
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let program = || vec(steps(), 1..=2).prop_map(|steps| steps.concat());
    let clients = prop_oneof![3 => vec(program(), 2), 1 => vec(program(), 3)];
    // Two at once most of the time.
    let rounds = vec(prop_oneof![1 => 1..=7_u8, 2 => Just(3_u8), 1 => Just(7_u8)], 0..=4);
    (files(&["b", "d/c", "d/e", "k"]), clients, rounds).prop_map(|(mut start, clients, rounds)| {
        start.values_mut().for_each(|(content, _)| *content %= SHARED);
        Case { start, clients, rounds }
    })
}
