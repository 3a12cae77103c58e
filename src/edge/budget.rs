//! A bound on bytes that many connections share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in use, and their bound.
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

/// One connection's share of a [`Budget`]. A number instead of a guard that borrows, because a connection has
/// it for life; its owner sets it to zero at the end.
#[derive(Debug, Default)]
pub(super) struct BudgetShare(usize);

impl BudgetShare {
    /// The connection now holds `bytes`. `false`: that exceeds the bound; it must drop them.
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

/// The same for what is handed on before it is used: given back when it is dropped.
#[derive(Debug)]
pub(super) struct HeldBytes {
    share: BudgetShare,
    budget: Arc<Budget>,
}

impl HeldBytes {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { share: BudgetShare::default(), budget: Arc::clone(budget) }
    }

    /// See [`BudgetShare::set`].
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        self.share.set(bytes, &self.budget)
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.share.set(0, &self.budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_are_given_back() {
        let budget = Budget::new(100);
        let (mut a, mut b) = (BudgetShare::default(), BudgetShare::default());
        assert!(a.set(60, &budget));
        assert!(!b.set(41, &budget));
        assert!(b.set(0, &budget));
        assert!(b.set(40, &budget));
        a.set(0, &budget);
        assert_eq!(budget.used(), 40);
    }
}
