//! A few threads that read while one tells them what.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

/// Threads that read: a disk has more than one request at a time then, and two processors hash.
const READERS: usize = 4;
/// Jobs that wait: enough that nobody does, and memory does not grow with the site.
const WAITING: usize = 256;

/// Does each job that `produce` hands on, on a few threads, and collects what they have to say. The first error ends it.
pub(super) fn each<J: Send, R: Send, E: Send>(
    produce: impl FnOnce(&mut dyn FnMut(J)) -> Result<(), E>,
    work: impl Fn(J) -> Result<Option<R>, E> + Sync,
) -> Result<Vec<R>, E> {
    let (sender, receiver) = mpsc::sync_channel::<J>(WAITING);
    let (receiver, found) = (Mutex::new(receiver), Mutex::new(Ok(Vec::new())));
    let stop = AtomicBool::new(false);
    let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    let read = || {
        while let Some(job) = next() {
            // After an error the rest is only taken away, so that whoever produces it never waits.
            if stop.load(Ordering::Relaxed) {
                continue;
            }
            match (work(job), &mut *found.lock().unwrap_or_else(PoisonError::into_inner)) {
                (Ok(said), Ok(list)) => list.extend(said),
                (Err(error), found) => {
                    stop.store(true, Ordering::Relaxed);
                    *found = Err(error);
                }
                (Ok(_), Err(_)) => {}
            }
        }
    };
    let produced = std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(read);
        }
        // The last sender goes with the closure, and then the threads end.
        let sender = sender;
        produce(&mut |job| drop(sender.send(job)))
    });
    produced?;
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_job_is_done_once() {
        let sum = AtomicU64::new(0);
        let odd = each(
            |give| {
                (0..10_000).for_each(give);
                Ok::<_, ()>(())
            },
            |number: u64| {
                sum.fetch_add(number, Ordering::Relaxed);
                Ok((number % 1_000 == 1).then_some(number))
            },
        );
        assert_eq!((odd.map(|odd| odd.len()), sum.into_inner()), (Ok(10), 49_995_000));
    }

    #[test]
    fn an_error_ends_it() {
        let failed = each(
            |give| {
                (0..10_000).for_each(give);
                Ok(())
            },
            |number: u64| if number == 5_000 { Err("five thousand") } else { Ok(None::<()>) },
        );
        assert_eq!(failed, Err("five thousand"));
    }
}
