//! What a token may do: some of four scopes, perhaps in one folder only.

use crate::{depot::Author, path::SitePath, telemetry::Way};

/// A kind of request. Each operation of the table of routes names the one that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reading what is live, and the history.
    Read,
    /// Writing files, archives, objects, uploads, releases.
    Upload,
    /// Going back.
    Rollback,
    /// Locking, looking at the source, and all of the others.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Upload, Self::Rollback, Self::Admin];

    /// Its word in token files and in the OpenAPI document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Upload => "upload",
            Self::Rollback => "rollback",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Upload => 2,
            Self::Rollback => 4,
            Self::Admin => 8,
        }
    }
}

/// Some scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// All that there are.
    pub const ALL: Self = Self(u8::MAX);
    /// None at all.
    pub const NONE: Self = Self(0);

    /// Reads `read,upload`; none when a word is none of the four, or there is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let known = |word: &str| Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
        let bits = text.split(',').try_fold(0, |bits, word| known(word).map(|scope| bits | scope.bit()))?;
        Some(Self(bits))
    }

    /// These, and `scope`.
    #[must_use]
    pub const fn and(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Whether `scope` is among them; `admin` has all.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }
}

/// Who sent a good token, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name that the token's line gives, or `token:` and the first 8 digits of the token's SHA-256: it stays the same for a
    /// token wherever its line stands, and says nothing of use about it.
    pub name: String,
    /// What they may do.
    pub scopes: Scopes,
    /// The folder that they do not reach out of.
    pub within: Option<SitePath>,
    /// How they are known.
    pub way: Way,
}

impl Grant {
    /// Somebody who may do everything.
    #[must_use]
    pub fn whole(name: &str) -> Self {
        Self { name: name.into(), scopes: Scopes::ALL, within: None, way: Way::None }
    }

    /// As the author of a change.
    #[must_use]
    pub fn author(&self) -> Author {
        Author { name: self.name.clone(), within: self.within.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_what_they_say() {
        let has = |text: &str| Scopes::parse(text).map(|scopes| Scope::ALL.map(|scope| scopes.has(scope)));
        assert_eq!(has("read"), Some([true, false, false, false]));
        assert_eq!(has("upload,rollback"), Some([false, true, true, false]));
        assert_eq!(has("admin"), Some([true; 4]));
        for wrong in ["", "write", "read,", "read upload", "Read", "read,,upload"] {
            assert_eq!(has(wrong), None, "{wrong:?}");
        }
    }
}
