//! A site as real ones are: pages, styles, scripts and pictures of about two kilobytes; the same each time.

use std::collections::BTreeMap;

pub(super) type Site = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Text, and three pictures or fonts in ten files.
    Mixed,
    Text,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Other content of the same size.
    Replaced,
    /// One word more.
    AWord,
}

const WORDS: &str = "the of and a to in is you that it he was for on are as with his they I at be this have from div \
                     class span href src function return const let var import export color margin padding flex grid";

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below one")
    }
}

fn body(random: &mut Random, size: usize, is_text: bool) -> Vec<u8> {
    let words: Vec<&str> = WORDS.split(' ').collect();
    let mut bytes = Vec::with_capacity(size + 16);
    while bytes.len() < size {
        match (is_text, random.below(10)) {
            (false, _) => bytes.extend(random.next().to_le_bytes()),
            (true, 0) => bytes.extend(format!("{:08x} ", random.next() as u32).bytes()),
            (true, _) => {
                bytes.extend(words[random.below(words.len())].bytes());
                bytes.push(b' ');
            }
        }
    }
    bytes.truncate(size);
    bytes
}

fn is_text(path: &str) -> bool {
    !path.ends_with(".webp")
}

pub(super) fn generated(files: usize, kind: Kind) -> Site {
    let mut random = Random(1);
    let mut file = |n: usize| {
        let end = match (kind, random.below(10)) {
            (Kind::Mixed, 0..3) => "webp",
            (_, 3) => "js",
            _ => "html",
        };
        let path = format!("s{:02}/t{}/p{n:05}.{end}", n % 20, n / 20 % 10);
        let size = 1_536 + random.below(1_024);
        let content = body(&mut random, size, is_text(&path));
        (path, content)
    };
    (0..files).map(&mut file).collect()
}

/// The site with every `step`-th file changed.
pub(super) fn changed(site: &Site, step: usize, change: Change) -> Site {
    let mut random = Random(2);
    let mut site = site.clone();
    for (path, content) in site.iter_mut().skip(step / 2).step_by(step) {
        match change {
            Change::Replaced => *content = body(&mut random, content.len(), is_text(path)),
            Change::AWord => drop(content.splice(700..700, format!("{:x} ", random.next()).into_bytes())),
        }
    }
    site
}
