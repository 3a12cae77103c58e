//! Wakes the probe's thread while it rests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;

/// How long the thread rests at most.
const REST: Duration = Duration::from_secs(1);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct ProbeWaker {
    /// Something has arrived since the last tick.
    arrived: AtomicBool,
    resting: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl ProbeWaker {
    /// The thread on which this is called is the one that rests.
    pub(super) fn is_this_thread(&self) {
        *self.thread.lock() = Some(std::thread::current());
    }

    /// An arrival has come, whatever became of it.
    pub(super) fn arrived(&self) {
        self.arrived.store(true, Ordering::SeqCst);
        // Either this sees the rest, or the rest sees the arrival.
        if self.resting.swap(false, Ordering::SeqCst)
            && let Some(thread) = &*self.thread.lock()
        {
            thread.unpark();
        }
    }

    /// Whether something has arrived since this was asked last.
    pub(super) fn take_arrived(&self) -> bool {
        self.arrived.swap(false, Ordering::SeqCst)
    }

    /// Rests until the next arrival, or for a second.
    pub(super) fn rest(&self) {
        self.resting.store(true, Ordering::SeqCst);
        if !self.arrived.load(Ordering::SeqCst) {
            std::thread::park_timeout(REST);
        }
        self.resting.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock;

    #[test]
    fn a_thread_at_rest_is_woken_by_an_arrival_and_one_that_has_just_come_keeps_it_awake() {
        let waker = Arc::new(ProbeWaker::default());
        let resting = Arc::clone(&waker);
        let began = clock::now();
        let thread = std::thread::spawn(move || {
            resting.is_this_thread();
            resting.rest();
        });
        while !waker.resting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        waker.arrived();
        thread.join().unwrap();
        waker.rest();
        assert!(began.elapsed() < REST, "it neither slept on nor fell asleep again");
        assert!(waker.take_arrived());
    }
}
