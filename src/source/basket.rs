//! A taker for tests: it keeps every file in memory.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Mutex,
};

use super::{Cause, Error, Item, Progress, Reading, Summary};
use crate::path::SitePath;

/// Called before a file is read.
type Before = Box<dyn Fn(&Item) + Sync>;

/// What was handed over.
#[derive(Default)]
pub(super) struct Basket {
    files: Mutex<BTreeMap<SitePath, (bool, Vec<u8>)>>,
    /// Counts.
    pub(super) progress: Progress,
    /// Called before each file.
    before: Option<Before>,
}

impl Basket {
    /// A basket that calls `before` each file.
    pub(super) fn with(before: impl Fn(&Item) + Sync + 'static) -> Self {
        Self { before: Some(Box::new(before)), ..Self::default() }
    }

    /// Lets `read` fill the basket.
    pub(super) fn fill(&self, read: impl FnOnce(&Reading<'_>) -> Result<Summary, Error>) -> Result<Summary, Error> {
        let sink = |item: &Item, content: &mut dyn Read| -> Result<(), Cause> {
            if let Some(before) = &self.before {
                before(item);
            }
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            self.files.lock().expect("no panic").insert(item.path.clone(), (item.executable, bytes));
            Ok(())
        };
        let forget = |path: &SitePath| drop(self.files.lock().expect("no panic").remove(path));
        let scratch = || -> io::Result<_> { tempfile::tempfile() };
        read(&Reading {
            sink: &sink,
            forget: &forget,
            scratch: &scratch,
            progress: &self.progress,
            is_one_of_many: false,
        })
    }

    /// The names and contents, with `*` behind those of executable files.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let files = self.files.lock().expect("no panic");
        let name = |path: &SitePath, executable: bool| format!("{path}{}", if executable { "*" } else { "" });
        files
            .iter()
            .map(|(path, (executable, bytes))| (name(path, *executable), String::from_utf8_lossy(bytes).into_owned()))
            .collect()
    }
}

/// Names and contents to compare with.
pub(super) fn expected<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
    files.map(|(name, content)| (name.into(), content.into())).into()
}
