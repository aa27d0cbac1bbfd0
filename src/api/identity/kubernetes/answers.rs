//! What the API server said, kept for a moment: for one request after the other, and for many at once.
//!
//! A token is kept as its SHA-256. However many tokens come, the number of answers is bounded, and so is that of questions
//! at once. Anybody can make up tokens: they push out and delay each other, but nobody whom the cluster knew when it was
//! asked before.

use std::{
    fmt,
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use tokio::sync::{Mutex, Semaphore};

use crate::{
    api::rights::Scope,
    digest::{Digest, Hasher},
};

/// For how long somebody is let in without asking again.
const LET_IN: Duration = Duration::from_secs(60);
/// For how long somebody is not: they may just have been given a role.
const KEPT_OUT: Duration = Duration::from_secs(10);
/// For how long nobody is asked after an answer that did not come.
pub(super) const AWAY: Duration = Duration::from_secs(1);
/// Time for both questions, and for one's turn to ask.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most answers that are kept, of those whom the cluster knows, and of others.
const MOST: NonZeroUsize = NonZeroUsize::new(4_096).expect("more than none");
/// The most callers who are asked about at once, likewise.
const AT_ONCE: usize = 16;

/// Questions under way.
pub(super) type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What was said of a token and a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is this user's, who may.
    May(String),
    /// It is this user's, who may not.
    MayNot(String),
    /// It is nobody's, for this reason.
    Nobody(String),
    /// Nothing.
    Away,
}

/// The answers.
pub(super) struct Answers {
    slots: std::sync::Mutex<Slots>,
    turns: Semaphore,
    turns_of_known: Semaphore,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// One answer, and until when it counts. Whoever has the lock asks; the others wait for what comes of it.
type Slot = Mutex<Option<(Instant, Answer)>>;

struct Slots {
    /// Of those whom the cluster knew when it was asked last.
    known: LruCache<Digest, Arc<Slot>>,
    others: LruCache<Digest, Arc<Slot>>,
}

impl Answers {
    pub(super) fn new(now: Box<dyn Fn() -> Instant + Send + Sync>) -> Self {
        let slots = Slots { known: LruCache::new(MOST), others: LruCache::new(MOST) };
        let [turns, turns_of_known] = [AT_ONCE; 2].map(Semaphore::new);
        Self { slots: std::sync::Mutex::new(slots), turns, turns_of_known, now }
    }

    /// What was said of this token and scope, or else is said when `ask` is called.
    pub(super) async fn get(&self, token: &str, scope: Scope, ask: impl FnOnce() -> Asking) -> Answer {
        let key = key(token, scope);
        let (slot, turns) = self.slot(key);
        let mut kept = slot.lock().await;
        match &*kept {
            Some((until, answer)) if (self.now)() < *until => return answer.clone(),
            _ => {}
        }
        // From before it is asked: what changes meanwhile may not be in the answer.
        let began = (self.now)();
        let asked = async {
            let _turn = turns.acquire().await.ok()?;
            Some(ask().await)
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten().unwrap_or(Answer::Away);
        let until = match answer {
            Answer::May(_) => began + LET_IN,
            Answer::MayNot(_) | Answer::Nobody(_) => began + KEPT_OUT,
            Answer::Away => (self.now)() + AWAY,
        };
        self.sort(key, &slot, &answer);
        *kept = Some((until, answer.clone()));
        answer
    }

    /// Where the answer is kept, and whose turn to ask it is.
    fn slot(&self, key: Digest) -> (Arc<Slot>, &Semaphore) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.known.get(&key) {
            Some(slot) => (Arc::clone(slot), &self.turns_of_known),
            None => (Arc::clone(slots.others.get_or_insert(key, Arc::default)), &self.turns),
        }
    }

    /// Puts an answer where it belongs now.
    fn sort(&self, key: Digest, slot: &Arc<Slot>, answer: &Answer) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Slots { known, others } = &mut *slots;
        let (to, from) = match answer {
            Answer::May(_) | Answer::MayNot(_) => (known, others),
            Answer::Nobody(_) => (others, known),
            Answer::Away => return,
        };
        from.pop(&key);
        to.put(key, Arc::clone(slot));
    }
}

/// What an answer is kept by.
fn key(token: &str, scope: Scope) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(scope.as_str().as_bytes());
    // No scope has one in its name.
    hasher.update(b"\0");
    hasher.update(token.as_bytes());
    hasher.finish()
}

impl fmt::Debug for Answers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex as Lock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;

    /// Answers with a clock of the tests' own, and how often somebody was asked.
    #[derive(Clone)]
    struct Place {
        answers: Arc<Answers>,
        now: Arc<Lock<Instant>>,
        asked: Arc<AtomicUsize>,
    }

    impl Place {
        fn new() -> Self {
            let now = Arc::new(Lock::new(Instant::now()));
            let clock = now.clone();
            let answers = Arc::new(Answers::new(Box::new(move || *clock.lock().expect("a lock"))));
            Self { answers, now, asked: Arc::default() }
        }

        fn passes(&self, time: Duration) {
            *self.now.lock().expect("a lock") += time;
        }

        async fn ask(&self, token: &str, scope: Scope, answer: Answer) -> Answer {
            let asked = self.asked.clone();
            let asking = || {
                Box::pin(async move {
                    asked.fetch_add(1, SeqCst);
                    tokio::task::yield_now().await;
                    answer
                }) as Asking
            };
            self.answers.get(token, scope, asking).await
        }

        fn asked(&self) -> usize {
            self.asked.load(SeqCst)
        }
    }

    fn may() -> Answer {
        Answer::May("somebody".to_owned())
    }

    fn nobody() -> Answer {
        Answer::Nobody("it was taken back".to_owned())
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_a_minute_at_most() {
        let place = Place::new();
        assert_eq!(place.ask("a", Scope::Read, may()).await, may());
        place.passes(LET_IN - Duration::from_millis(1));
        assert_eq!(place.ask("a", Scope::Read, nobody()).await, may());
        place.passes(Duration::from_millis(1));
        assert_eq!(place.ask("a", Scope::Read, nobody()).await, nobody());
        assert_eq!(place.asked(), 2);
        assert!(LET_IN <= Duration::from_secs(60) && KEPT_OUT < LET_IN);
    }

    #[tokio::test]
    async fn a_refusal_is_kept_for_less_and_silence_for_a_moment() {
        for (answer, time) in
            [(nobody(), KEPT_OUT), (Answer::MayNot("somebody".to_owned()), KEPT_OUT), (Answer::Away, AWAY)]
        {
            let place = Place::new();
            for _ in 0..3 {
                assert_eq!(place.ask("a", Scope::Read, answer.clone()).await, answer);
            }
            assert_eq!(place.asked(), 1);
            place.passes(time);
            assert_eq!(place.ask("a", Scope::Read, may()).await, may());
        }
    }

    #[tokio::test]
    async fn other_scopes_and_tokens_are_asked_about_by_themselves() {
        let place = Place::new();
        for scope in Scope::ALL {
            for token in ["a", "b"] {
                place.ask(token, scope, may()).await;
                place.ask(token, scope, may()).await;
            }
        }
        assert_eq!(place.asked(), 8);
    }

    #[tokio::test]
    async fn many_at_once_are_one_question_and_many_tokens_are_bounded() {
        let place = Place::new();
        let all = (0..50).map(|_| {
            let place = place.clone();
            tokio::spawn(async move { place.ask("a", Scope::Read, may()).await })
        });
        for one in all.collect::<Vec<_>>() {
            assert_eq!(one.await.expect("no panic"), may());
        }
        assert_eq!(place.asked(), 1);
        for number in 0..MOST.get() + 100 {
            place.ask(&number.to_string(), Scope::Read, nobody()).await;
        }
        assert_eq!(place.answers.slots.lock().expect("a lock").others.len(), MOST.get());
    }

    #[tokio::test]
    async fn strangers_neither_push_out_nor_delay_who_is_known() {
        let place = Place::new();
        assert_eq!(place.ask("a", Scope::Read, may()).await, may());
        for number in 0..=MOST.get() {
            place.ask(&number.to_string(), Scope::Read, nobody()).await;
        }
        assert_eq!(place.ask("a", Scope::Read, nobody()).await, may(), "it is kept");
        let hanging = (0..AT_ONCE).map(|number| {
            let (place, token) = (place.clone(), format!("hanging {number}"));
            let ask = || Box::pin(std::future::pending()) as Asking;
            tokio::spawn(async move { place.answers.get(&token, Scope::Read, ask).await })
        });
        let hanging: Vec<_> = hanging.collect();
        while place.answers.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        place.passes(LET_IN);
        assert_eq!(place.ask("a", Scope::Read, may()).await, may(), "it is its turn");
        // Whom the cluster knows no more is a stranger again.
        place.passes(LET_IN);
        assert_eq!(place.ask("a", Scope::Read, nobody()).await, nobody());
        assert_eq!(place.answers.slots.lock().expect("a lock").known.len(), 0);
        hanging.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
