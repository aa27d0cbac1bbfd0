//! Work that takes much memory: one after the other, and on one thread. On many threads it would be held for as long as the
//! process lives, since an allocator keeps for each what it once had.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{LazyLock, mpsc},
    thread,
};

use super::Problem;

type Work = Box<dyn FnOnce() + Send>;

/// To the thread; none when there can be no more threads.
static QUEUE: LazyLock<Option<mpsc::Sender<Work>>> = LazyLock::new(|| {
    let (queue, works) = mpsc::channel::<Work>();
    let run = move || {
        for work in works {
            // One that panics fails its own request only; the panic was printed where it happened.
            drop(catch_unwind(AssertUnwindSafe(work)));
        }
    };
    thread::Builder::new().name("large".into()).spawn(run).ok().map(|_| queue)
});

/// What `work` gives, once it was its turn.
pub(super) fn in_turn<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let (tell, told) = mpsc::sync_channel(1);
    let work: Work = Box::new(move || drop(tell.send(work())));
    match &*QUEUE {
        Some(queue) => drop(queue.send(work)),
        None => work(),
    }
    told.recv().unwrap_or_else(|_| Err(Problem::panicked()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_one_after_the_other_and_a_panic_ends_none_but_its_own() {
        let name = || in_turn(|| Ok(thread::current().id()));
        let first = name().expect("it is done");
        assert!(in_turn::<()>(|| panic!("on purpose")).is_err());
        let names = thread::scope(|scope| {
            let asked: Vec<_> = (0..4).map(|_| scope.spawn(name)).collect();
            asked.into_iter().map(|one| one.join().expect("joined").expect("done")).collect::<Vec<_>>()
        });
        assert_eq!(names, [first; 4]);
    }
}
