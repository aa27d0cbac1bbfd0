//! Who may hold the memory that unpacking takes: a zstd window, a zip's directory. Clients may send many archives at once,
//! and decide how slowly, so that place is given in two ways: to a few whose bytes still come, and to a few whose bytes
//! are all here, which only the processor makes wait.

use std::sync::{Condvar, Mutex, PoisonError};

/// For archives that still come; whoever finds no place has its bytes put on the disk first.
pub(super) static COMING: Places = Places::new(2);
/// For archives that are all here.
pub(super) static HERE: Places = Places::new(2);

pub(super) struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place, until it is dropped.
pub(super) struct Place<'a>(&'a Places);

impl Places {
    const fn new(all: usize) -> Self {
        Self { free: Mutex::new(all), freed: Condvar::new() }
    }

    /// One, if there is one now.
    pub(super) fn get(&self) -> Option<Place<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Place(self))
    }

    /// One, when there is one.
    pub(super) fn wait(&self) -> Place<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_goes_to_who_waits_for_it() {
        let places = Places::new(1);
        let held = places.get().expect("one is free");
        assert!(places.get().is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(places.wait()));
            assert!(!waiting.is_finished());
            drop(held);
            waiting.join().expect("it got it");
        });
        assert!(places.get().is_some());
    }
}
