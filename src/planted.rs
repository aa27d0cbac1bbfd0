//! Mistakes planted on purpose: the tests must be seen to catch each of them, or they prove nothing.
//!
//! Only a build with the feature `planted` can make one, chosen by the variable `PLANTED_MISTAKE`, and a release build
//! refuses the feature. In any other build each check is a constant that says no, and nothing of a mistake is in the
//! program.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` makes mistakes on purpose: it is for the tests, never for a release build");

/// One way of breaking the durable recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// `drop-syncfs`: `syncfs` does nothing.
    DropSyncfs,
    /// `drop-directory-fsync`: the `fsync` of a directory does nothing.
    DropDirectoryFsync,
    /// `acknowledge-early`: the caller is answered before the entry is in the journal.
    AcknowledgeEarly,
    /// `flip-before-manifest`: the new release is shown before its entry is in the journal.
    FlipBeforeManifest,
    /// `retry-failed-fsync`: a sync that failed is tried again, and its success believed.
    RetryFailedFsync,
    /// `let-climb`: `..` passes for the name of a folder. For the fuzzer to find.
    LetClimb,
    /// `tell-token`: what a client sends as its token goes to the log.
    TellToken,
}

#[cfg(not(feature = "planted"))]
impl Mistake {
    /// Whether this process makes it: never.
    #[must_use]
    pub const fn is_made(self) -> bool {
        false
    }
}

#[cfg(feature = "planted")]
impl Mistake {
    const NAMES: [(&str, Self); 7] = [
        ("drop-syncfs", Self::DropSyncfs),
        ("drop-directory-fsync", Self::DropDirectoryFsync),
        ("acknowledge-early", Self::AcknowledgeEarly),
        ("flip-before-manifest", Self::FlipBeforeManifest),
        ("retry-failed-fsync", Self::RetryFailedFsync),
        ("let-climb", Self::LetClimb),
        ("tell-token", Self::TellToken),
    ];

    /// Whether this process makes it.
    ///
    /// # Panics
    /// When `PLANTED_MISTAKE` names none: a test that plants nothing would prove nothing.
    #[must_use]
    pub fn is_made(self) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<Mistake>> = std::sync::OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| {
            let name = std::env::var("PLANTED_MISTAKE").ok()?;
            let found = Self::NAMES.iter().find(|(known, _)| *known == name);
            Some(found.unwrap_or_else(|| panic!("PLANTED_MISTAKE: there is no {name:?}")).1)
        });
        *chosen == Some(self)
    }
}

/// Does `sync`, which the mistake `dropped` would leave out, and which [`Mistake::RetryFailedFsync`] would do again.
///
/// # Errors
/// As `sync`.
pub fn sync<E>(dropped: Option<Mistake>, sync: impl Fn() -> Result<(), E>) -> Result<(), E> {
    if dropped.is_some_and(Mistake::is_made) {
        return Ok(());
    }
    sync().or_else(|error| if Mistake::RetryFailedFsync.is_made() { sync() } else { Err(error) })
}
