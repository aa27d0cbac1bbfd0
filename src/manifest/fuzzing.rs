//! Nodes from anywhere.

use super::{Edits, Error, File, Leaf, Nodes as _, Time, Tree, memory::Memory, node};
use crate::{digest::Digest, fuzzing::assert_legal};

/// So many nodes, of so many bytes, can name each other without taking for ever.
const MOST: (usize, usize) = (4, 2048);

/// Nodes with a line `%` between; `@0` to `@9` stand for the digests of those before. The last is the root.
pub(crate) fn node(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let digest = Digest::of(bytes);
        return node::rows::<File>(&digest, bytes, &mut |_, _| Ok(())).is_ok();
    };
    read::<File>(text) || read::<Time>(text)
}

fn read<L: Leaf>(text: &str) -> bool {
    let (memory, mut known) = (Memory::default(), Vec::<Digest>::new());
    for node in text.split("%\n").take(MOST.0) {
        let mut node = node.to_owned();
        for (index, digest) in known.iter().enumerate() {
            node = node.replace(&format!("@{index}"), &digest.to_string());
        }
        let digest = Digest::of(&node);
        memory.0.lock().expect("no panic").insert(digest, node.into_bytes().into());
        known.push(digest);
    }
    let Some(root) = known.pop() else { return false };
    let tree = Tree::<L>::new(&memory, root);
    let _ = tree.total();
    let Ok(directory) = node::decode::<L>(&memory, &root, &mut |_| {}) else { return false };
    let encoded = node::encode(&directory);
    if let [(digest, bytes)] = &encoded.nodes[..]
        && known.is_empty()
    {
        assert_eq!(bytes[..], *memory.node(&root).expect("it was put there"), "one form only");
        assert_eq!(*digest, root);
    }
    let again = Memory::default();
    again.0.lock().expect("no panic").extend(encoded.nodes.into_iter().map(|(digest, bytes)| (digest, bytes.into())));
    assert_eq!(node::decode::<L>(&again, &encoded.root, &mut |_| {}).expect("what was written"), directory);
    if text.len() <= MOST.1 {
        rebuild(&memory, &tree);
    }
    true
}

/// A tree that can be read whole can be built from its leaves, and then has one form.
fn rebuild<L: Leaf>(memory: &Memory, tree: &Tree<'_, L>) {
    let mut edits = Edits::default();
    let whole = tree.each::<Error>(&mut |path, _, leaf| {
        assert_legal(&path);
        edits.set(&path, leaf.expect("each path is new"));
        Ok(())
    });
    if whole.is_ok()
        && let Ok(built) = edits.apply(memory, None)
    {
        let root = memory.keep(built);
        let again = edits.apply(memory, Some(&root)).expect("what was built");
        assert_eq!(again.root, root, "setting what is there changes nothing");
    }
}
