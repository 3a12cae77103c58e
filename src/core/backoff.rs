//! How long to wait before dialling a server again.
//!
//! A link that is accepted and closed at once counts as a failure: only one that held for
//! `stable_after` starts over from the first wait. Without that rule a server that accepts and
//! closes is dialled thousands of times a second (docs/FIELD-NOTES.md, section 3).
//!
//! ```text
//!            failed / lost early: wait x 1.5, at most max
//!          ┌───────────┐
//!          ▼           │
//!  first ──► Waiting ──┴─► up ── held stable_after, then lost ──► first
//! ```

use std::time::{Duration, Instant};

/// The rule; the state is [`Backoff`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The first wait.
    pub initial: Duration,
    /// The longest wait of our own making.
    pub max: Duration,
    /// How long a link must hold to count as a success.
    pub stable_after: Duration,
}

/// A server's own wish is obeyed up to this length: after an absurd `Retry-After` the server is dialled
/// again before an operator has to restart the gateway.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Where one link stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A dial failed, or the server refused. `jitter` is uniform in 0..1; `retry_after` is what
    /// the server asked for. Returns how long to wait.
    pub fn failed(&mut self, rule: Rule, jitter: f64, retry_after: Option<Duration>) -> Duration {
        let wait = self.wait(rule, jitter);
        self.failures = self.failures.saturating_add(1);
        wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }

    /// An established link is gone. Returns how long to wait before dialling again.
    pub fn lost(&mut self, rule: Rule, jitter: f64, up_since: Instant, now: Instant) -> Duration {
        if now.saturating_duration_since(up_since) >= rule.stable_after {
            self.failures = 0;
        }
        self.failed(rule, jitter, None)
    }

    /// initial x 1.5^failures, at most max, then ±50 %: links that were lost together come back
    /// apart.
    fn wait(self, rule: Rule, jitter: f64) -> Duration {
        let exponent = i32::try_from(self.failures.min(64)).unwrap_or(64);
        let seconds = rule.initial.as_secs_f64() * 1.5_f64.powi(exponent);
        let capped = seconds.min(rule.max.as_secs_f64());
        Duration::from_secs_f64(capped * (0.5 + jitter.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        initial: Duration::from_millis(500),
        max: Duration::from_secs(30),
        stable_after: Duration::from_secs(10),
    };

    #[test]
    fn grows_by_half_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> =
            (0..14).map(|_| backoff.failed(RULE, 0.5, None).as_millis()).collect();
        assert_eq!(waits[..4], [500, 750, 1125, 1687]);
        assert_eq!(waits[13], 30_000);
    }

    #[test]
    fn accept_and_close_counts_as_a_failure() {
        let start = crate::clock::now();
        let mut backoff = Backoff::default();
        let mut waited = Duration::ZERO;
        for _ in 0..8 {
            waited += backoff.lost(RULE, 0.5, start, start);
        }
        assert!(waited > Duration::from_secs(24), "{waited:?}");
    }

    #[test]
    fn a_link_that_held_starts_over() {
        let start = crate::clock::now();
        let mut backoff = Backoff { failures: 9 };
        let wait = backoff.lost(RULE, 0.5, start, start + RULE.stable_after);
        assert_eq!(wait, RULE.initial);
    }

    #[test]
    fn the_server_is_obeyed_within_reason() {
        let mut backoff = Backoff::default();
        let asked = Some(Duration::from_secs(7));
        assert_eq!(backoff.failed(RULE, 0.5, asked), Duration::from_secs(7));
        let absurd = Some(Duration::from_secs(1 << 40));
        assert_eq!(backoff.failed(RULE, 0.5, absurd), RETRY_AFTER_MAX);
    }

    #[test]
    fn jitter_stays_within_half_either_way() {
        for jitter in [0.0, 0.25, 1.0, 7.0] {
            let wait = Backoff::default().failed(RULE, jitter, None);
            assert!((250..=750).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
