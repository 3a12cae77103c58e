//! A bound on bytes that many connections share.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use, and how many may be.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// One connection's share; given back when dropped. Kept as a number, not as a guard that borrows,
/// because a connection holds it for life.
#[derive(Debug, Default)]
pub(super) struct Share(usize);

impl Share {
    /// The connection now holds `bytes`. `false`: that is more than there is; it must let go.
    pub(super) fn set(&mut self, bytes: usize, budget: &Budget) -> bool {
        if bytes == self.0 {
            return true;
        }
        if bytes < self.0 {
            budget.used.fetch_sub(self.0 - bytes, Ordering::Relaxed);
            self.0 = bytes;
            return true;
        }
        let before = budget.used.fetch_add(bytes - self.0, Ordering::Relaxed);
        let fits = before + (bytes - self.0) <= budget.bytes_max;
        self.0 = bytes;
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_are_given_back() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (Share::default(), Share::default());
        assert!(a.set(60, &budget));
        assert!(!b.set(41, &budget));
        assert!(b.set(0, &budget));
        assert!(b.set(40, &budget));
        a.set(0, &budget);
        assert_eq!(budget.used(), 40);
    }
}
