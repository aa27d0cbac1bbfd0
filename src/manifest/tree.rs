//! Reading a tree: one path, all paths, or what two trees differ in.

use std::marker::PhantomData;

use super::{
    Error, Nodes,
    node::{self, Directory, Item, Leaf, Row},
};
use crate::{digest::Digest, path::SitePath};

/// A tree of leaves, by the digest of its root.
#[derive(Clone)]
pub struct Tree<'a, L> {
    nodes: &'a dyn Nodes,
    root: Digest,
    leaves: PhantomData<L>,
}

impl<'a, L: Leaf> Tree<'a, L> {
    /// The tree `root`, whose nodes are in `nodes`.
    #[must_use]
    pub fn new(nodes: &'a dyn Nodes, root: Digest) -> Self {
        Self { nodes, root, leaves: PhantomData }
    }

    /// The entries of `folder`, or of the root; none when there is no such folder.
    ///
    /// # Errors
    /// When a node cannot be read.
    pub fn folder(&self, folder: Option<&SitePath>) -> Result<Option<Directory<L>>, Error> {
        self.root_of(folder)?.map(|root| read(self.nodes, &root)).transpose()
    }

    /// The node of `folder`, or the root.
    fn root_of(&self, folder: Option<&SitePath>) -> Result<Option<Digest>, Error> {
        let mut at = self.root;
        for name in folder.iter().flat_map(|folder| folder.components()) {
            match node::find::<L>(self.nodes, &at, &format!("{name}/"))? {
                Some(Item::Folder(digest, _)) => at = digest,
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// What `key`, a file's name or a folder's and `/`, names in `folder`.
    fn item(&self, folder: Option<&SitePath>, key: &str) -> Result<Option<Item<L>>, Error> {
        let Some(root) = self.root_of(folder)? else { return Ok(None) };
        node::find(self.nodes, &root, key)
    }

    /// What lies at `path`.
    ///
    /// # Errors
    /// When a node cannot be read.
    pub fn find(&self, path: &SitePath) -> Result<Option<L>, Error> {
        Ok(match self.item(path.parent().as_ref(), path.name())? {
            Some(Item::Leaf(leaf)) => Some(leaf),
            _ => None,
        })
    }

    /// Whether `path` is a folder.
    ///
    /// # Errors
    /// When a node cannot be read.
    pub fn is_folder(&self, path: &SitePath) -> Result<bool, Error> {
        Ok(self.item(path.parent().as_ref(), &format!("{}/", path.name()))?.is_some())
    }

    /// What all leaves add up to.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn total(&self) -> Result<L::Total, Error> {
        use super::node::Total as _;
        let bytes = self.nodes.node(&self.root).map_err(|source| Error::Node { digest: self.root, source })?;
        let mut sum = L::Total::default();
        // However large the directory is: its parts say what is in them.
        node::rows::<L>(&self.root, &bytes, &mut |_, row| {
            sum = sum.add(match row {
                Row::Part(_, total, _) | Row::Entry(_, Item::Folder(_, total)) => total,
                Row::Entry(_, Item::Leaf(leaf)) => leaf.total(),
            });
            Ok(())
        })?;
        Ok(sum)
    }

    /// What the leaves of `folder` add up to; nothing when there is no such folder.
    ///
    /// # Errors
    /// When a node cannot be read.
    pub fn total_of(&self, folder: &SitePath) -> Result<L::Total, Error> {
        Ok(match self.item(folder.parent().as_ref(), &format!("{}/", folder.name()))? {
            Some(Item::Folder(_, total)) => total,
            _ => L::Total::default(),
        })
    }

    /// Calls `visit` for every path in which `self` and `other` differ, with what is there and what is there in `other`.
    ///
    /// # Errors
    /// When a node cannot be read; or `visit`'s own.
    pub fn compare<E: From<Error>>(
        &self,
        other: &Self,
        visit: &mut dyn FnMut(SitePath, Option<L>, Option<L>) -> Result<(), E>,
    ) -> Result<(), E> {
        compare(self.nodes, Some(self.root), Some(other.root), "", visit)
    }

    /// Calls `visit` for every path, as if each were new.
    ///
    /// # Errors
    /// As [`Tree::compare`].
    pub fn each<E: From<Error>>(
        &self,
        visit: &mut dyn FnMut(SitePath, Option<L>, Option<L>) -> Result<(), E>,
    ) -> Result<(), E> {
        compare(self.nodes, None, Some(self.root), "", visit)
    }
}

fn read<L: Leaf>(nodes: &dyn Nodes, digest: &Digest) -> Result<Directory<L>, Error> {
    node::decode(nodes, digest, &mut |_| {})
}

fn compare<L: Leaf, E: From<Error>>(
    nodes: &dyn Nodes,
    old: Option<Digest>,
    new: Option<Digest>,
    path: &str,
    visit: &mut dyn FnMut(SitePath, Option<L>, Option<L>) -> Result<(), E>,
) -> Result<(), E> {
    if old == new {
        return Ok(());
    }
    let directory = |digest: Option<Digest>| digest.map_or(Ok(Directory::new()), |digest| read::<L>(nodes, &digest));
    let (old, mut new) = (directory(old)?, directory(new)?);
    let mut step = |key: &str, old: Option<Item<L>>, new: Option<Item<L>>| -> Result<(), E> {
        let here = format!("{path}{key}");
        let folder = |item: Option<Item<L>>| match item {
            Some(Item::Folder(digest, _)) => Some(digest),
            _ => None,
        };
        let leaf = |item: Option<Item<L>>| match item {
            Some(Item::Leaf(leaf)) => Some(leaf),
            _ => None,
        };
        match key.ends_with('/') {
            true => compare(nodes, folder(old), folder(new), &here, visit),
            false if old != new => visit(here.parse().map_err(Error::from)?, leaf(old), leaf(new)),
            false => Ok(()),
        }
    };
    for (key, item) in old {
        let other = new.remove(&key);
        step(&key, Some(item), other)?;
    }
    for (key, item) in new {
        step(&key, None, Some(item))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{
        super::{Edits, File, Sum, memory::Memory},
        *,
    };

    fn file(text: &str) -> File {
        File { digest: Digest::of(text), size: text.len() as u64, executable: false }
    }

    fn path(text: &str) -> SitePath {
        text.parse().expect(text)
    }

    fn build(memory: &Memory, files: &BTreeMap<SitePath, File>) -> Digest {
        let mut edits = Edits::default();
        files.iter().for_each(|(path, file)| edits.set(path, *file));
        memory.keep(edits.apply(memory, None).expect("it can be built"))
    }

    fn listed(memory: &Memory, root: Digest) -> BTreeMap<SitePath, File> {
        let mut files = BTreeMap::new();
        Tree::<File>::new(memory, root)
            .each::<Error>(&mut |path, _, file| {
                files.extend(file.map(|file| (path, file)));
                Ok(())
            })
            .expect("it can be read");
        files
    }

    #[test]
    fn the_form_is_for_good() {
        let memory = Memory::default();
        let files = [("index.html", "hi"), ("a/b c.txt", "there"), ("a/tool", "x")];
        let mut files: BTreeMap<_, _> = files.map(|(name, text)| (path(name), file(text))).into();
        files.get_mut(&path("a/tool")).expect("it is there").executable = true;
        let root = build(&memory, &files);
        let text = String::from_utf8(memory.node(&root).expect("there").to_vec()).expect("text");
        let folder = Digest::of(format!(
            "longshore-manifest 1\nfile {} 5 b c.txt\nexec {} 1 tool\n",
            Digest::of("there"),
            Digest::of("x")
        ));
        let hi = Digest::of("hi");
        assert_eq!(text, format!("longshore-manifest 1\ndir {folder} 2 6 a/\nfile {hi} 2 index.html\n"));
        assert_eq!(root, Digest::of(text));
    }

    #[test]
    fn a_large_directory_is_split_and_one_change_rewrites_one_part() {
        let memory = Memory::default();
        let files: BTreeMap<_, _> = (0..20_000).map(|n| (path(&format!("f{n:05}")), file(&n.to_string()))).collect();
        let root = build(&memory, &files);
        assert_eq!(Tree::<File>::new(&memory, root).total().expect("read").files, 20_000);
        let tree = Tree::<File>::new(&memory, root);
        for (path, file) in files.iter().step_by(97) {
            assert_eq!(tree.find(path).expect("read").as_ref(), Some(file), "{path}");
        }
        for absent in ["a", "f00000a", "f12345/x", "f19999z", "z"] {
            assert_eq!(tree.find(&path(absent)).expect("read"), None, "{absent}");
        }
        assert!(!tree.is_folder(&path("f12345")).expect("read"));
        let mut edits = Edits::default();
        edits.set(&path("f12345"), file("new"));
        let edited = edits.apply(&memory, Some(&root)).expect("it can be edited");
        assert!(edited.nodes.len() <= 3, "{} nodes for one change", edited.nodes.len());
        let next = memory.keep(edited);
        let mut changed = Vec::new();
        let (old, new) = (Tree::<File>::new(&memory, root), Tree::new(&memory, next));
        old.compare::<Error>(&new, &mut |path, _, _| {
            changed.push(path);
            Ok(())
        })
        .expect("both can be read");
        assert_eq!(changed, [path("f12345")]);
    }

    #[test]
    fn a_file_and_a_folder_never_share_a_name() {
        let memory = Memory::default();
        let root = build(&memory, &[(path("a"), file("x")), (path("b/c"), file("y"))].into());
        let attempt = |name: &str| {
            let mut edits = Edits::default();
            edits.set(&path(name), file("z"));
            edits.apply(&memory, Some(&root))
        };
        assert!(matches!(attempt("a/x"), Err(Error::IsFile(at)) if at == "a"));
        assert!(matches!(attempt("b"), Err(Error::IsFolder(at)) if at == "b"));
        let mut edits = Edits::default();
        edits.remove(&path("a"));
        edits.set(&path("a/x"), file("z"));
        assert!(edits.apply(&memory, Some(&root)).is_ok(), "the old one goes first");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// However a set of files came about, its release id is the same, and comparing finds just what changed.
        #[test]
        fn history_leaves_no_trace(
            first in prop::collection::btree_map("[a-c]/[a-d]{1,2}", "[xy]", 0..400),
            second in prop::collection::btree_map("[a-c]/[a-d]{1,2}", "[xy]", 0..400),
        ) {
            let memory = Memory::default();
            let files = |set: BTreeMap<String, String>| -> BTreeMap<_, _> {
                set.iter().map(|(name, text)| (path(name), file(text))).collect()
            };
            let (first, second) = (files(first), files(second));
            let (old, direct) = (build(&memory, &first), build(&memory, &second));
            let mut edits = Edits::default();
            first.keys().for_each(|path| edits.remove(path));
            second.iter().for_each(|(path, file)| edits.set(path, *file));
            let edited = memory.keep(edits.apply(&memory, Some(&old)).expect("it can be edited"));
            prop_assert_eq!(edited, direct);
            prop_assert_eq!(&listed(&memory, edited), &second);
            let total = Tree::<File>::new(&memory, edited).total().expect("read");
            prop_assert_eq!(total, Sum { files: second.len() as u64, bytes: second.values().map(|f| f.size).sum() });
            let mut replayed = first.clone();
            let (old, new) = (Tree::<File>::new(&memory, old), Tree::new(&memory, edited));
            old.compare::<Error>(&new, &mut |path, was, is| {
                assert_eq!(replayed.get(&path), was.as_ref());
                match is {
                    Some(file) => drop(replayed.insert(path, file)),
                    None => drop(replayed.remove(&path)),
                }
                Ok(())
            }).expect("both can be read");
            prop_assert_eq!(replayed, second);
        }
    }
}
