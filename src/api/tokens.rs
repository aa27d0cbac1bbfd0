//! Who may write: the tokens of a file, or of each file of a directory, that is read again when it changes.
//!
//! A token is kept only as its SHA-256, and a request's is compared as one, in constant time and with every token: how
//! long an answer takes tells neither a token's length nor how much of it was right. Nothing here prints a token.
//!
//! A file that goes missing or empty later means that nobody may write, not that the old tokens live on: taking the
//! Secret away must lock the door.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use subtle::ConstantTimeEq as _;

use super::{identity, rights::Grant};
use crate::{
    digest::{Digest, Hasher},
    planted::Mistake,
    telemetry::Metrics,
};

mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod watch;

pub use watch::Watch;

/// The tokens that are good now; clones share them.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    path: PathBuf,
    metrics: Arc<Metrics>,
    now: RwLock<Now>,
}

/// What the last reading found.
#[derive(Default)]
struct Now {
    tokens: Vec<Token>,
    state: State,
}

/// What was said last, so that it is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Unread,
    /// The file had these bytes.
    Read(Digest),
    /// It could not be read.
    Unreadable(io::ErrorKind),
}

/// One token, hashed.
struct Token {
    digest: Secret,
    grant: Grant,
}

/// A digest of a secret: still nothing to print, since a weak token could be found from it.
struct Secret(Digest);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

impl Tokens {
    /// Reads the file for the first time. It may be empty or missing: then nobody may write yet, which the log says.
    ///
    /// A missing one is no error, since a Secret may get its key after the Pod has started, and the application beside
    /// us must not wait for that.
    #[must_use]
    pub fn open(path: &Path, metrics: Arc<Metrics>) -> Self {
        let tokens = Self(Arc::new(Inner { path: path.to_owned(), metrics, now: RwLock::default() }));
        tokens.refresh();
        tokens
    }

    /// Keeps the tokens up to date until the value is dropped.
    ///
    /// # Errors
    /// When the thread for it cannot be started.
    pub fn watch(&self) -> io::Result<Watch> {
        Watch::start(self.clone(), watch::EVERY)
    }

    /// Who sends this value of `Authorization`: `Bearer`, in any case, then blanks and a token (RFC 6750, 2.1).
    #[must_use]
    pub fn check(&self, authorization: &[u8]) -> Option<Grant> {
        self.find(identity::token(authorization)?)
    }

    /// Who sends this token.
    #[must_use]
    pub fn find(&self, token: &[u8]) -> Option<Grant> {
        if Mistake::TellToken.is_made() {
            tracing::debug!(token = %String::from_utf8_lossy(token), "a token comes");
        }
        let digest = Digest::of(token);
        let now = self.0.now.read().unwrap_or_else(PoisonError::into_inner);
        // No early end: every token is looked at, whichever is right.
        let mut found = None;
        for token in &now.tokens {
            if bool::from(token.digest.0.as_bytes().ct_eq(digest.as_bytes())) {
                found = Some(&token.grant);
            }
        }
        found.cloned()
    }

    /// How many tokens are good now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).tokens.len()
    }

    /// Reads the file again.
    fn refresh(&self) {
        match file::read(&self.0.path) {
            Ok(files) => self.take(&files),
            Err(error) => self.lose(&error),
        }
    }

    /// Takes over what the files say now, and says so once.
    fn take(&self, files: &[(PathBuf, Vec<u8>)]) {
        let mut hasher = Hasher::new();
        for (file, bytes) in files {
            hasher.update(file.as_os_str().as_encoded_bytes());
            hasher.update(&bytes.len().to_le_bytes());
            hasher.update(bytes);
        }
        let state = State::Read(hasher.finish());
        if self.state() == state {
            return;
        }
        let mut tokens = Vec::new();
        for (file, bytes) in files {
            let (those, warnings) = file::parse(bytes);
            for warning in warnings {
                // The line's number, never its text.
                tracing::warn!(file = %file.display(), line = warning.line, "token file: {}", warning.why);
            }
            tokens.extend(those);
        }
        let path = self.0.path.display();
        match tokens.len() {
            0 => tracing::warn!(file = %path, "the token file has no token: nobody may write"),
            count => tracing::info!(file = %path, count, "tokens read"),
        }
        self.set(Now { tokens, state });
    }

    /// Locks the door, and says so once.
    fn lose(&self, error: &io::Error) {
        let state = State::Unreadable(error.kind());
        if self.state() == state {
            return;
        }
        tracing::warn!(file = %self.0.path.display(), %error, "the token file cannot be read: nobody may write");
        self.set(Now { tokens: Vec::new(), state });
    }

    fn state(&self) -> State {
        self.0.now.read().unwrap_or_else(PoisonError::into_inner).state
    }

    fn set(&self, now: Now) {
        self.0.metrics.tokens.set(i64::try_from(now.tokens.len()).unwrap_or(i64::MAX));
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tokens").field("path", &self.0.path).field("count", &self.count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

    use super::*;

    const TOKEN: &str = "6f1c0d5b9e7a42d3a8c4";

    fn tokens(content: &str) -> Tokens {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        std::fs::write(&path, content).expect("a file");
        Tokens::open(&path, Arc::new(Metrics::new()))
    }

    fn name(tokens: &Tokens, authorization: &str) -> Option<String> {
        tokens.check(authorization.as_bytes()).map(|grant| grant.name)
    }

    #[test]
    fn several_tokens_are_good_at_once() {
        let tokens = tokens(&format!("# ours\n\n{TOKEN} name=ci\r\n  another-token-of-ours  \n"));
        assert_eq!(name(&tokens, &format!("Bearer {TOKEN}")).as_deref(), Some("ci"));
        assert_eq!(name(&tokens, &format!("bEARER   {TOKEN} ")).as_deref(), Some("ci"));
        let digest = Digest::of("another-token-of-ours").to_string();
        assert_eq!(name(&tokens, "Bearer another-token-of-ours"), Some(format!("token:{}", &digest[..8])));
        assert_eq!((tokens.count(), tokens.0.metrics.tokens.get()), (2, 2));
    }

    #[test]
    fn everything_else_is_nobody() {
        let tokens = tokens(TOKEN);
        let longer = format!("Bearer {TOKEN}0");
        let wrong = [&longer, "", "Bearer", "Bearer ", TOKEN, "Basic 6f1c", &longer[..20], "Bearer # ours"];
        for wrong in wrong {
            assert_eq!(name(&tokens, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_file_lets_nobody_in() {
        for content in ["", "\n\n", "# nothing\n"] {
            let tokens = tokens(content);
            for sent in ["Bearer ", "Bearer", "", "Bearer # nothing"] {
                assert_eq!(name(&tokens, sent), None, "{content:?} {sent:?}");
            }
        }
    }

    #[test]
    fn two_headers_are_nobody() {
        let tokens = tokens(TOKEN);
        let value = HeaderValue::from_str(&format!("Bearer {TOKEN}")).expect("a value");
        let mut headers = HeaderMap::new();
        let grant = |headers: &HeaderMap| tokens.find(identity::bearer(headers)?);
        assert_eq!(grant(&headers), None);
        headers.append(AUTHORIZATION, value.clone());
        assert!(grant(&headers).is_some());
        headers.append(AUTHORIZATION, value);
        assert_eq!(grant(&headers), None);
    }

    #[test]
    fn a_missing_file_at_start_lets_nobody_in() {
        let tokens = Tokens::open(Path::new("/nowhere/token"), Arc::new(Metrics::new()));
        assert_eq!((tokens.count(), name(&tokens, "Bearer ")), (0, None));
    }

    #[test]
    fn nothing_prints_a_token() {
        let tokens = tokens(TOKEN);
        let now = tokens.0.now.read().expect("a lock");
        let printed = format!("{tokens:?} {:?}", now.tokens[0].digest);
        assert!(!printed.contains(TOKEN) && !printed.contains(&Digest::of(TOKEN).to_string()), "{printed}");
    }
}
