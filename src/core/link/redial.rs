//! When a WebSocket to a server is dialled: at the start, after a wait that grows with each failure,
//! and later than the moment until which the server has asked to be left alone.
//!
//! ```text
//!              the wait is over            opened
//!   Resting ─────────────────────► dial ─────────► up
//!     ▲ ▲                            │             │
//!     │ └──────── failed ────────────┘             │
//!     └─────────────────── lost ───────────────────┘
//!   released, from anywhere ──► the end
//! ```
//!
//! While its node holds still no link is dialled. That the link went down for this reason is no failure of the
//! server's: the next dial is due at once when the node may speak again.

use std::time::{Duration, Instant};

use crate::core::backoff::{Backoff, Rule};

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub struct Redial {
    rule: Rule,
    backoff: Backoff,
    until: Instant,
}

/// What the decision rests on besides the link's own past.
#[derive(Debug, Clone, Copy)]
pub struct RedialFacts {
    /// The link has served its purpose.
    pub released: bool,
    /// The node holds still.
    pub holds_still: bool,
    /// The server holds back dials for this long ([`crate::core::server::ServerState::held`]).
    pub held: Option<Duration>,
    /// Uniform in 0..1.
    pub jitter: f64,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedialStep {
    /// Look again then, or when the link is released.
    Wait(Instant),
    /// Dial, and report [`Redial::failed`] or, when the link has come up and gone, [`Redial::lost`].
    Dial,
    /// Look again when the node may speak, or when the link is released.
    HoldStill,
    /// The link ends.
    End,
}

impl Redial {
    /// The first dial is due at once.
    pub fn new(rule: Rule, now: Instant) -> Self {
        Self { rule, backoff: Backoff::default(), until: now }
    }

    /// What is due now. Links that wait for the same moment of a server's choice dial apart.
    pub fn next(&mut self, facts: RedialFacts, now: Instant) -> RedialStep {
        if facts.released {
            return RedialStep::End;
        }
        if facts.holds_still {
            return RedialStep::HoldStill;
        }
        if now < self.until {
            return RedialStep::Wait(self.until);
        }
        if let Some(held) = facts.held {
            self.until = now + held + self.rule.initial.mul_f64(facts.jitter);
            return RedialStep::Wait(self.until);
        }
        RedialStep::Dial
    }

    /// The dial failed. Returns the wait before the next one.
    pub fn failed(&mut self, jitter: f64, retry_after: Option<Duration>, now: Instant) -> Duration {
        let wait = self.backoff.failed(self.rule, jitter, retry_after);
        self.until = now + wait;
        wait
    }

    /// The link was up since then, and is lost.
    pub fn lost(&mut self, jitter: f64, up_since: Instant, now: Instant) {
        self.until = now + self.backoff.lost(self.rule, jitter, up_since, now);
    }

    /// The link, or its dial, was ended for a reason that has nothing to do with how the server is: the node has to hold
    /// still, or one message was wrong.
    pub const fn at_once(&mut self, now: Instant) {
        self.until = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RULE: Rule = Rule {
        initial: SECOND,
        max: Duration::from_secs(30),
        stable_after: Duration::from_secs(10),
    };

    fn facts(held: Option<Duration>) -> RedialFacts {
        RedialFacts { released: false, holds_still: false, held, jitter: 0.5 }
    }

    #[test]
    fn dials_follow_each_other_as_the_rule_says() {
        let start = crate::clock::now();
        let mut redial = Redial::new(RULE, start);
        assert_eq!(redial.next(facts(None), start), RedialStep::Dial);
        assert_eq!(redial.failed(0.5, None, start), SECOND);
        assert_eq!(redial.next(facts(None), start), RedialStep::Wait(start + SECOND));
        assert_eq!(redial.next(facts(None), start + SECOND), RedialStep::Dial);
        redial.lost(0.5, start + SECOND, start + SECOND * 2);
        let next = start + SECOND * 2 + SECOND.mul_f64(1.5);
        assert_eq!(redial.next(facts(None), start + SECOND * 2), RedialStep::Wait(next));
        redial.lost(0.5, start, start + SECOND * 10);
        let next = start + SECOND * 11;
        assert_eq!(redial.next(facts(None), start + SECOND * 10), RedialStep::Wait(next));
        let released = RedialFacts { released: true, ..facts(None) };
        assert_eq!(redial.next(released, start), RedialStep::End);
    }

    #[test]
    fn a_servers_wish_is_kept_and_links_come_apart_after_it() {
        let start = crate::clock::now();
        let mut redial = Redial::new(RULE, start);
        let due = start + SECOND * 7 + SECOND / 2;
        assert_eq!(redial.next(facts(Some(SECOND * 7)), start), RedialStep::Wait(due));
        assert_eq!(redial.next(facts(Some(SECOND)), start + SECOND * 6), RedialStep::Wait(due));
        assert_eq!(redial.next(facts(None), due), RedialStep::Dial);
    }

    #[test]
    fn a_node_that_holds_still_dials_when_it_may_speak_again() {
        let start = crate::clock::now();
        let still = RedialFacts { holds_still: true, ..facts(None) };
        let mut redial = Redial::new(RULE, start);
        assert_eq!(redial.next(still, start), RedialStep::HoldStill);
        redial.failed(0.5, None, start);
        redial.at_once(start);
        assert_eq!(redial.next(still, start), RedialStep::HoldStill);
        assert_eq!(redial.next(facts(None), start), RedialStep::Dial, "no wait is left of it");
        let released = RedialFacts { released: true, ..still };
        assert_eq!(redial.next(released, start), RedialStep::End);
    }
}
