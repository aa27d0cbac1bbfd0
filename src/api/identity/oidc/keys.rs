//! The keys of an issuer, kept for a while, and asked for again rarely: however many requests name a key that is not
//! there, the issuer hears of it twice a minute at most.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::Key;

/// For how long keys are taken without asking again.
const FRESH: Duration = Duration::from_mins(10);
/// For how long they are taken while the issuer does not answer.
const KEPT: Duration = Duration::from_hours(6);
/// Time between two askings for a key that is not there.
const AGAIN: Duration = Duration::from_secs(30);
/// Time after an asking that came to nothing.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// An asking under way.
pub(super) type Fetching = Pin<Box<dyn Future<Output = Result<HashMap<String, Key>, String>> + Send>>;
/// Asks the issuer.
type Fetch = Box<dyn Fn() -> Fetching + Send + Sync>;
/// A clock.
type Clock = Box<dyn Fn() -> Instant + Send + Sync>;

/// The keys.
pub(super) struct Keys {
    known: ArcSwapOption<Known>,
    /// Whoever has it asks; the others wait for what comes of it.
    asked: Mutex<Asked>,
    fetch: Fetch,
    now: Clock,
}

struct Known {
    keys: HashMap<String, Key>,
    at: Instant,
}

/// What was asked.
#[derive(Default)]
struct Asked {
    /// When an asking came to nothing last; none once one did not.
    failed: Option<Instant>,
    /// When last for a key that was not there.
    for_another: Option<Instant>,
}

/// What is known of a key.
pub(super) enum Found {
    /// Here it is.
    Key(Key),
    /// The issuer has none of that name.
    Unknown,
    /// That cannot be told now; perhaps after this time.
    Away(Duration),
}

impl Keys {
    pub(super) fn new(fetch: Fetch, now: Clock) -> Self {
        Self { known: ArcSwapOption::empty(), asked: Mutex::default(), fetch, now }
    }

    /// The key of this name.
    pub(super) async fn find(self: Arc<Self>, name: String) -> Found {
        if let Some(key) = self.fresh(&name) {
            return Found::Key(key);
        }
        // In a task of its own: when whoever sent this request goes away, others still wait for the answer.
        let asking = tokio::spawn(async move { self.ask(&name).await });
        asking.await.unwrap_or(Found::Away(AFTER_FAILURE))
    }

    /// The key, when nobody needs to be asked.
    fn fresh(&self, name: &str) -> Option<Key> {
        self.younger(FRESH, name)
    }

    /// The key, when it may be taken though nobody answers.
    fn kept(&self, name: &str) -> Option<Key> {
        self.younger(KEPT, name)
    }

    fn younger(&self, time: Duration, name: &str) -> Option<Key> {
        let known = self.known.load();
        let known = known.as_ref().filter(|known| self.age(known) < time)?;
        known.keys.get(name).cloned()
    }

    fn age(&self, known: &Known) -> Duration {
        (self.now)().saturating_duration_since(known.at)
    }

    async fn ask(&self, name: &str) -> Found {
        let mut asked = match (self.asked.try_lock(), self.kept(name)) {
            (Ok(asked), _) => asked,
            // Somebody asks already, perhaps for long and in vain: that keeps nobody whose key is known.
            (Err(_), Some(key)) => return Found::Key(key),
            (Err(_), None) => self.asked.lock().await,
        };
        // Perhaps somebody else asked meanwhile.
        if let Some(key) = self.fresh(name) {
            return Found::Key(key);
        }
        if self.is_due(&asked) {
            self.refresh(&mut asked).await;
        }
        let waits = asked.failed.map(|at| AFTER_FAILURE.saturating_sub((self.now)().saturating_duration_since(at)));
        match (self.kept(name), waits) {
            (Some(key), _) => Found::Key(key),
            // It may have that key by now.
            (None, Some(after)) => Found::Away(after),
            (None, None) => Found::Unknown,
        }
    }

    /// Whether the issuer may be asked, for a key that is not there or since what is known is old.
    fn is_due(&self, asked: &Asked) -> bool {
        let since = |at: Option<Instant>, time| at.is_none_or(|at| (self.now)().saturating_duration_since(at) >= time);
        let is_fresh = self.known.load().as_ref().is_some_and(|known| self.age(known) < FRESH);
        since(asked.failed, AFTER_FAILURE) && (!is_fresh || since(asked.for_another, AGAIN))
    }

    async fn refresh(&self, asked: &mut Asked) {
        if self.known.load().as_ref().is_some_and(|known| self.age(known) < FRESH) {
            asked.for_another = Some((self.now)());
        }
        match (self.fetch)().await {
            Ok(keys) => {
                if asked.failed.take().is_some() {
                    tracing::info!("the OIDC issuer answers again");
                }
                self.known.store(Some(Arc::new(Known { keys, at: (self.now)() })));
            }
            Err(why) => {
                if asked.failed.is_none() {
                    tracing::warn!(why, "the OIDC issuer cannot be asked for its keys");
                }
                asked.failed = Some((self.now)());
            }
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex as Lock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use jsonwebtoken::{Algorithm, DecodingKey};

    use super::*;

    /// An issuer of the tests', with a clock of their own.
    #[derive(Clone)]
    struct Place {
        keys: Arc<Keys>,
        /// Nothing: it is away.
        names: Arc<Lock<Option<Vec<&'static str>>>>,
        now: Arc<Lock<Instant>>,
        asked: Arc<AtomicUsize>,
    }

    impl Place {
        fn new(names: &[&'static str]) -> Self {
            let (names, now) = (Arc::new(Lock::new(Some(names.to_vec()))), Arc::new(Lock::new(Instant::now())));
            let asked = Arc::new(AtomicUsize::new(0));
            let (has, count, clock) = (names.clone(), asked.clone(), now.clone());
            let fetch = move || {
                count.fetch_add(1, SeqCst);
                let names = has.lock().expect("a lock").clone();
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    let key = || Key { algorithm: Algorithm::EdDSA, key: DecodingKey::from_ed_der(b"") };
                    let names = names.ok_or_else(|| "it is away".to_owned())?;
                    Ok(names.into_iter().map(|name| (name.to_owned(), key())).collect())
                }) as Fetching
            };
            let clock = move || *clock.lock().expect("a lock");
            Self { keys: Arc::new(Keys::new(Box::new(fetch), Box::new(clock))), names, now, asked }
        }

        fn has(&self, names: Option<&[&'static str]>) {
            *self.names.lock().expect("a lock") = names.map(<[_]>::to_vec);
        }

        fn passes(&self, time: Duration) {
            *self.now.lock().expect("a lock") += time;
        }

        async fn find(&self, name: &str) -> &'static str {
            match Arc::clone(&self.keys).find(name.to_owned()).await {
                Found::Key(_) => "key",
                Found::Unknown => "unknown",
                Found::Away(_) => "away",
            }
        }

        fn asked(&self) -> usize {
            self.asked.load(SeqCst)
        }
    }

    #[tokio::test]
    async fn keys_are_kept_and_an_unknown_one_is_asked_for_twice_a_minute() {
        let place = Place::new(&["a"]);
        for _ in 0..10 {
            assert_eq!(place.find("a").await, "key");
        }
        assert_eq!(place.asked(), 1);
        // Rotated: found at once, by one more asking.
        place.has(Some(&["a", "b"]));
        assert_eq!((place.find("b").await, place.asked()), ("key", 2));
        for _ in 0..100 {
            assert_eq!(place.find("nobody's").await, "unknown");
        }
        assert_eq!(place.asked(), 2);
        place.passes(AGAIN);
        for _ in 0..100 {
            assert_eq!(place.find("nobody's").await, "unknown");
        }
        assert_eq!(place.asked(), 3);
    }

    #[tokio::test]
    async fn many_at_once_are_one_asking() {
        let place = Place::new(&["a"]);
        let all = (0..50).map(|_| {
            let place = place.clone();
            tokio::spawn(async move { place.find("a").await })
        });
        for one in all.collect::<Vec<_>>() {
            assert_eq!(one.await.expect("no panic"), "key");
        }
        assert_eq!(place.asked(), 1);
    }

    #[tokio::test]
    async fn whoever_goes_away_stops_no_asking() {
        let place = Place::new(&["a"]);
        // Polled once, then dropped.
        let mut gone = Box::pin(Arc::clone(&place.keys).find("a".to_owned()));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        assert_eq!((place.find("a").await, place.asked()), ("key", 1));
    }

    #[tokio::test]
    async fn a_slow_issuer_keeps_only_one_waiting() {
        let place = Place::new(&["a"]);
        assert_eq!(place.find("a").await, "key");
        place.passes(FRESH);
        // As long as somebody waits for its answer.
        let _asked = place.keys.asked.lock().await;
        let found = tokio::time::timeout(Duration::from_secs(10), place.find("a"));
        assert_eq!(found.await, Ok("key"));
    }

    #[tokio::test]
    async fn an_issuer_that_is_away_lets_nobody_new_in_and_known_keys_go_on_for_a_while() {
        let place = Place::new(&["a"]);
        place.has(None);
        for _ in 0..10 {
            assert_eq!(place.find("a").await, "away");
        }
        assert_eq!(place.asked(), 1, "it is left alone for a moment");
        place.has(Some(&["a"]));
        place.passes(AFTER_FAILURE);
        assert_eq!(place.find("a").await, "key");
        place.has(None);
        place.passes(FRESH);
        assert_eq!((place.find("a").await, place.find("b").await), ("key", "away"));
        place.passes(KEPT - FRESH);
        assert_eq!(place.find("a").await, "away", "not for ever");
        // A key that it does not publish any more is none when it answers.
        place.has(Some(&["b"]));
        place.passes(AFTER_FAILURE);
        assert_eq!((place.find("a").await, place.find("b").await), ("unknown", "key"));
    }
}
