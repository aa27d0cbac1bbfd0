//! What is wrong on a volume, a line each.

use std::fmt;

use super::super::Divergence;
use crate::{digest::Digest, disk::Holding, manifest::File, volume::Fault};

/// Places that a line names.
const NAMED: usize = 3;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An entry of the journal.
    Entry {
        /// Its number.
        seq: u64,
        /// In what way.
        fault: Lost,
    },
    /// The journal lacks what the volume has shown.
    Diverged(Box<Divergence>),
    /// A node of a manifest or of times.
    Node {
        /// Which.
        digest: Digest,
        /// Whether it is one of times.
        of_times: bool,
        /// In what way.
        fault: Lost,
        /// What needs it.
        needs: Needs,
    },
    /// The bytes of a file.
    Object {
        /// Which.
        digest: Digest,
        /// How many, where that is known.
        size: Option<u64>,
        /// In what way.
        fault: Lost,
        /// What needs it.
        needs: Needs,
    },
    /// A file that is shown.
    File {
        /// Where.
        path: String,
        /// What it should be.
        file: File,
        /// And its modification time.
        mtime: i64,
        /// What it is.
        fault: Fault,
    },
    /// A folder that is shown; the site's root has the path "".
    Folder {
        /// Where.
        path: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Something in what is shown that the release does not have.
    Extra(String),
    /// A link at the volume's root.
    Link {
        /// Its name.
        name: String,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// How something is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It is not there.
    Missing,
    /// It is not what it was: in what way.
    Damaged(String),
}

/// What needs something that is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The first of them.
    pub places: Vec<Place>,
    /// How many there are.
    pub count: u64,
    /// Whether there may be more: what would name them is lost, too.
    pub is_partial: bool,
}

/// A path in a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of a file; of a folder with `/` at its end.
    pub path: String,
    /// The release id.
    pub release: Digest,
    /// The numbers of its entries.
    pub entries: Vec<u64>,
}

impl Needs {
    /// Places that are kept, for whoever looks for another copy there.
    pub(super) const KEPT: usize = 1_000;

    pub(super) fn add(&mut self, place: Place) {
        self.count += 1;
        if self.places.len() < Self::KEPT {
            self.places.push(place);
        }
    }
}

impl Finding {
    /// Whether it is about something that releases need, rather than about what is shown now.
    #[must_use]
    pub fn is_of_store(&self) -> bool {
        matches!(self, Self::Entry { .. } | Self::Node { .. } | Self::Object { .. })
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Missing => "missing",
            Self::Damaged(_) => "damaged",
        })
    }
}

impl Lost {
    /// How it is lost, when it is.
    pub(super) fn of<T>(held: Holding<T>) -> Option<Self> {
        match held {
            Holding::Whole(_) => None,
            Holding::Missing => Some(Self::Missing),
            Holding::Damaged(why) => Some(Self::Damaged(why)),
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Damaged(why) => format!(" ({why})"),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.places.is_empty() {
            return out.write_str(match self.is_partial {
                false => "nothing needs it",
                true => "nothing that can be read needs it",
            });
        }
        for (index, Place { path, release, entries }) in self.places.iter().take(NAMED).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let plural = if entries.len() == 1 { "entry" } else { "entries" };
            let entries: Vec<_> = entries.iter().map(u64::to_string).collect();
            write!(out, "{comma}{path} of release {release} ({plural} {})", entries.join(", "))?;
        }
        match self.count.saturating_sub(NAMED as u64) {
            0 => Ok(()),
            more => write!(out, " and {} more", grouped(more)),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { seq, fault } => write!(out, "{fault} journal entry {seq}{}", fault.why()),
            Self::Diverged(divergence) => write!(out, "diverged: {divergence}"),
            Self::Node { digest, of_times, fault, needs } => {
                let what = if *of_times { "times" } else { "manifest" };
                write!(out, "{fault} {what} node {digest}{}: {needs}", fault.why())
            }
            Self::Object { digest, size, fault, needs } => {
                write!(out, "{fault} object {digest}")?;
                if let Some(size) = size {
                    let plural = if *size == 1 { "" } else { "s" };
                    write!(out, " ({} byte{plural})", grouped(*size))?;
                }
                write!(out, ": {needs}")?;
                match fault {
                    Lost::Missing => Ok(()),
                    Lost::Damaged(why) => write!(out, "; {why}"),
                }
            }
            Self::File { path, fault: Fault::Missing, .. } => write!(out, "missing file {path}"),
            Self::File { path, file, mtime, fault } => {
                write!(out, "damaged file {path}: {fault}")?;
                match fault {
                    Fault::Time(_) => write!(out, ", not {mtime}"),
                    Fault::Mode(_) => write!(out, ", not {}", if file.executable { "0755" } else { "0644" }),
                    _ => Ok(()),
                }
            }
            Self::Folder { path, fault: Fault::Missing } => write!(out, "missing folder {path}/"),
            Self::Folder { path, fault: fault @ Fault::Mode(_) } => {
                write!(out, "damaged folder {path}/: {fault}, not 0755")
            }
            Self::Folder { path, fault } => write!(out, "damaged folder {path}/: {fault}"),
            Self::Extra(path) => write!(out, "foreign {path}: the release does not have it"),
            Self::Link { name, fault: Fault::Missing } => write!(out, "missing link {name}"),
            Self::Link { name, fault } => write!(out, "damaged link {name}: {fault}"),
        }
    }
}

/// A number as people read it: 3,210.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let texts = [0, 7, 999, 1_000, 3_210, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1,000", "3,210", "1,234,567"]);
    }

    #[test]
    fn a_line_names_what_is_lost_and_what_needs_it() {
        let (digest, release) = (Digest::of("lost"), Digest::of("release"));
        let mut needs = Needs::default();
        for path in ["a", "b", "c", "d", "e"] {
            needs.add(Place { path: path.into(), release, entries: vec![3, 4] });
        }
        let of = format!("of release {release} (entries 3, 4)");
        let finding = Finding::Object { digest, size: Some(3_210), fault: Lost::Missing, needs };
        let line = format!("missing object {digest} (3,210 bytes): a {of}, b {of}, c {of} and 2 more");
        assert_eq!(finding.to_string(), line);
        let fault = Lost::Damaged("it has 2 bytes, not 1".into());
        let finding = Finding::Object { digest, size: Some(1), fault, needs: Needs::default() };
        let line = format!("damaged object {digest} (1 byte): nothing needs it; it has 2 bytes, not 1");
        assert_eq!(finding.to_string(), line);
    }
}
