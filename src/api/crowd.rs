//! Who is connected: so many in all, and so many of each client.
//!
//! A place costs nothing to take, so somebody will take them all. Whoever waits for nothing but its client's next words can
//! be sent away without harm, and is, the longest first, when somebody else wants the place; a running request never. Who
//! has just come, or was just answered, gets a moment to speak.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::telemetry::Closed;

/// For how long nobody is sent away.
pub(super) const COURTESY: Duration = Duration::from_secs(1);
/// Bytes of all who wait that may be kept, beyond what each may say anyway.
const HEARD: usize = 32 * 1_024 * 1_024;
/// What each may say, however much the others do: a request with a token and some more.
const HEARD_OF_EACH: usize = 8 * 1_024;
/// What is counted of one at most: more is not kept of anybody before a request, as of a refused body that still comes.
const HEARD_OF_ONE: usize = 64 * 1_024;
/// The turn of somebody who does not wait.
const BUSY: u64 = 0;

/// Somebody at an address: an IPv4 address, or an IPv6 network of 64 bits, which is what one household has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Client(IpAddr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
            v4 => v4,
        })
    }
}

/// All places.
#[derive(Debug, Clone)]
pub(super) struct Crowd(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: usize,
    each: usize,
    courtesy: Duration,
    state: Mutex<State>,
    /// Told when a place may be free.
    moved: Notify,
    /// Bytes that came from all who wait, since they do.
    heard: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Of those, the ones that were told to leave.
    leaving: usize,
    clients: HashMap<Client, usize>,
    /// Who waits for its client, by turn.
    waiting: BTreeMap<u64, Waiting>,
    turns: u64,
}

#[derive(Debug)]
struct Waiting {
    client: Client,
    since: Instant,
    leave: Arc<Notify>,
}

impl State {
    fn wait(&mut self, client: Client, leave: &Arc<Notify>) -> u64 {
        self.turns += 1;
        self.waiting.insert(self.turns, Waiting { client, since: Instant::now(), leave: Arc::clone(leave) });
        self.turns
    }

    fn forget(&mut self, client: Client) {
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

    fn send_away(&mut self, turn: u64) {
        if let Some(Waiting { client, leave, .. }) = self.waiting.remove(&turn) {
            self.leaving += 1;
            self.forget(client);
            leave.notify_one();
        }
    }
}

impl Crowd {
    /// Places for so many in all, of whom so many may be one client's; nobody is sent away for this long.
    pub(super) fn new(all: usize, each: usize, courtesy: Duration) -> Self {
        Self(Arc::new(Shared {
            all,
            each,
            courtesy,
            state: Mutex::default(),
            moved: Notify::new(),
            heard: AtomicUsize::new(0),
        }))
    }

    /// Returns when there is a place, which it makes if it can.
    ///
    /// Only for one at a time, who then takes it. Safe to drop at any point.
    pub(super) async fn room(&self) {
        loop {
            let next = {
                let mut state = self.0.state();
                if state.taken < self.0.all {
                    return;
                }
                let first =
                    state.waiting.first_key_value().map(|(turn, waiting)| (*turn, waiting.since + self.0.courtesy));
                match first {
                    // One leaves already.
                    _ if state.leaving > 0 => None,
                    Some((turn, from)) if from <= Instant::now() => {
                        state.send_away(turn);
                        None
                    }
                    Some((_, from)) => Some(from),
                    None => None,
                }
            };
            let moved = self.0.moved.notified();
            match next {
                Some(from) => drop(timeout_at(from, moved).await),
                None => moved.await,
            }
        }
    }

    /// Sends away who has waited longest, whoever has just come.
    pub(super) fn shrink(&self) {
        let mut state = self.0.state();
        if let Some((&turn, _)) = state.waiting.first_key_value() {
            state.send_away(turn);
        }
    }

    /// A place for somebody at this address; none when the client has all that one may have, and all are in use.
    pub(super) fn seat(&self, address: IpAddr) -> Option<Seat> {
        let client = Client::from(address);
        let mut state = self.0.state();
        if state.clients.get(&client).is_some_and(|count| *count >= self.0.each) {
            let mut own = state.waiting.iter().filter(|(_, waiting)| waiting.client == client);
            let (&turn, _) = own.next().filter(|(_, waiting)| waiting.since + self.0.courtesy <= Instant::now())?;
            state.send_away(turn);
        }
        state.taken += 1;
        *state.clients.entry(client).or_default() += 1;
        let leave = Arc::new(Notify::new());
        let turn = state.wait(client, &leave).into();
        let (shared, blame) = (Arc::clone(&self.0), Arc::default());
        Some(Seat { shared, client, leave, turn, heard: AtomicUsize::new(0), blame })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    shared: Arc<Shared>,
    client: Client,
    leave: Arc<Notify>,
    turn: AtomicU64,
    /// Its part of what was heard.
    heard: AtomicUsize,
    /// Why the connection will end, once somebody knows.
    pub(super) blame: Arc<OnceLock<Closed>>,
}

impl Seat {
    /// A request is here. False when it was too late: the place is somebody else's, and nothing may be begun.
    pub(super) fn is_busy(&self) -> bool {
        let mut state = self.shared.state();
        let turn = self.turn.swap(BUSY, Ordering::Relaxed);
        let may = turn == BUSY || state.waiting.remove(&turn).is_some();
        if may {
            self.forget_heard();
        } else {
            self.turn.store(turn, Ordering::Relaxed);
        }
        may
    }

    /// So many bytes came. False when all who wait have said too much, and this one is not of those who said little.
    pub(super) fn hears(&self, bytes: usize) -> bool {
        if self.turn.load(Ordering::Relaxed) == BUSY {
            return true;
        }
        let own = self.heard.load(Ordering::Relaxed);
        let more = bytes.min(HEARD_OF_ONE.saturating_sub(own));
        // Nobody else writes it: whoever reads a connection also answers on it.
        self.heard.store(own + more, Ordering::Relaxed);
        let all = self.shared.heard.fetch_add(more, Ordering::Relaxed) + more;
        own + more <= HEARD_OF_EACH || all <= HEARD
    }

    fn forget_heard(&self) {
        self.shared.heard.fetch_sub(self.heard.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// It was answered.
    pub(super) fn waits(&self) {
        let mut state = self.shared.state();
        if self.turn.load(Ordering::Relaxed) == BUSY {
            self.turn.store(state.wait(self.client, &self.leave), Ordering::Relaxed);
            drop(state);
            self.shared.moved.notify_one();
        }
    }

    /// Returns when the place is wanted for somebody else.
    pub(super) async fn leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.forget_heard();
        let mut state = self.shared.state();
        let turn = self.turn.load(Ordering::Relaxed);
        state.taken -= 1;
        if turn == BUSY || state.waiting.remove(&turn).is_some() {
            state.forget(self.client);
        } else {
            state.leaving -= 1;
        }
        drop(state);
        self.shared.moved.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let client = |text| Client::from(address(text));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1:2:3"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
    }

    #[tokio::test]
    async fn who_waits_longest_makes_room_and_who_is_busy_never() {
        let crowd = Crowd::new(3, 3, SHORT);
        let seats: Vec<_> = (0..3).map(|_| crowd.seat(address("10.0.0.1")).expect("a place")).collect();
        assert!(seats[0].is_busy());
        let start = Instant::now();
        let leaving = async {
            seats[1].leave().await;
            assert!(start.elapsed() >= SHORT);
            assert!(!seats[1].is_busy(), "too late");
        };
        tokio::select! {
            () = leaving => {}
            () = crowd.room() => panic!("nobody has left"),
        }
        drop(seats);
        crowd.room().await;
        let state = crowd.0.state();
        assert_eq!((state.taken, state.leaving, state.clients.len(), state.waiting.len()), (0, 0, 0, 0));
    }

    #[tokio::test]
    async fn all_who_wait_may_say_so_much_and_each_a_little() {
        let crowd = Crowd::new(1_000, 1_000, SHORT);
        let seats: Vec<_> = (0..1_000).map(|_| crowd.seat(address("10.0.0.1")).expect("a place")).collect();
        let heard = seats.iter().take_while(|seat| seat.hears(HEARD_OF_ONE)).count();
        assert_eq!(heard, HEARD / HEARD_OF_ONE);
        let [quiet, .., last] = &seats[heard + 1..] else { panic!("more are there") };
        assert!(quiet.hears(HEARD_OF_EACH) && !quiet.hears(1));
        assert!(last.is_busy() && last.hears(HEARD_OF_ONE), "a body is another's affair");
        // Whoever makes a request, or leaves, has said nothing any more.
        assert!(seats[0].is_busy());
        drop(seats);
        assert_eq!(crowd.0.heard.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn one_client_has_its_share_and_makes_room_for_itself() {
        let crowd = Crowd::new(10, 2, SHORT);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let seats = [crowd.seat(one).expect("a place"), crowd.seat(one).expect("a place")];
        assert!(seats[0].is_busy());
        assert!(crowd.seat(one).is_none(), "a moment to speak");
        assert!(crowd.seat(other).is_some());
        tokio::time::sleep(SHORT).await;
        let third = crowd.seat(one).expect("in the place of the second");
        seats[1].leave().await;
        assert!(third.is_busy() && crowd.seat(one).is_none(), "both are busy");
        seats[0].waits();
        tokio::time::sleep(SHORT).await;
        assert!(crowd.seat(one).is_some());
    }

    #[tokio::test]
    async fn room_comes_when_the_last_busy_one_is_answered() {
        let crowd = Crowd::new(1, 1, SHORT);
        let seat = crowd.seat(address("10.0.0.1")).expect("a place");
        assert!(seat.is_busy());
        let (start, waiting) = (Instant::now(), crowd.clone());
        let room = tokio::spawn(async move { waiting.room().await });
        tokio::time::sleep(SHORT * 5).await;
        seat.waits();
        seat.leave().await;
        drop(seat);
        room.await.expect("there is room");
        assert!(start.elapsed() >= SHORT * 6);
    }
}
