//! When a server whose links are its agents' own is dialled to find out whether it is back.

use std::time::Instant;

use super::FailedDial;
use crate::core::backoff::{Backoff, Rule};

/// The schedule of these dials. Each failure moves the next one further away.
#[derive(Debug, Clone, Copy)]
pub(super) struct DialProbe {
    rule: Rule,
    backoff: Backoff,
    next: Instant,
}

impl DialProbe {
    /// The first one is due at once.
    pub(super) fn new(rule: Rule, now: Instant) -> Self {
        Self { rule, backoff: Backoff::default(), next: now }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next <= now
    }

    pub(super) fn answered(&mut self) {
        self.backoff = Backoff::default();
    }

    /// `jitter` is uniform in 0..1.
    pub(super) fn failed(&mut self, dial: FailedDial, jitter: f64, now: Instant) {
        let wait = self.backoff.failed(self.rule, jitter, dial.retry_after);
        self.next = now + wait;
    }
}
