//! Whether a link is still alive: a ping after a silence, and the end of the link when a silence
//! follows the ping, too.
//!
//! ```text
//!            silent for `interval`             silent for `timeout`
//!   Quiet ──────────────────────────► Pinged ──────────────────────► dead
//!     ▲                                 │
//!     └────────── anything heard ───────┘
//! ```
//!
//! Whatever the server sends counts as a sign of life: a server that is busy sending may answer a
//! ping late.

use std::time::{Duration, Instant};

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    interval: Duration,
    timeout: Duration,
    heard: Instant,
    pinged: Option<Instant>,
}

/// A timer that fires this late tells of its own node. Tasks of a node that is merely busy wait for less.
const OWN_STALL: Duration = Duration::from_millis(500);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAliveStep {
    /// Look again then.
    Wait(Instant),
    /// Send a ping, and look again at once.
    Ping,
    /// The server is gone.
    Dead,
}

impl KeepAlive {
    /// A link that has just come up. `interval`: silence before a ping; `timeout`: silence after it.
    pub const fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self { interval, timeout, heard: now, pinged: None }
    }

    /// When the sign of life was asked for that has yet to come.
    pub const fn pinged_at(&self) -> Option<Instant> {
        self.pinged
    }

    /// The server has sent something.
    pub const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    /// The caller meant to look at `due`, and looks now. A caller that is late has been stopped itself
    /// (a machine without processor time, a paused virtual machine), and what came meanwhile is yet to be
    /// read. The silence is counted from now on, because it may have been the caller's own.
    pub fn woken(&mut self, due: Instant, now: Instant) {
        if now.saturating_duration_since(due) > OWN_STALL {
            self.heard(now);
        }
    }

    /// What is due now.
    pub fn next(&mut self, now: Instant) -> KeepAliveStep {
        if let Some(pinged) = self.pinged {
            let deadline = pinged + self.timeout;
            return if now < deadline {
                KeepAliveStep::Wait(deadline)
            } else {
                KeepAliveStep::Dead
            };
        }
        let due = self.heard + self.interval;
        if now < due {
            return KeepAliveStep::Wait(due);
        }
        self.pinged = Some(now);
        KeepAliveStep::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_ping_follows_silence_and_the_end_follows_the_ping() {
        let start = crate::clock::now();
        let at = |second| start + SECOND * second;
        let mut alive = KeepAlive::new(SECOND * 20, SECOND * 5, start);
        assert_eq!(alive.next(at(0)), KeepAliveStep::Wait(at(20)));
        alive.heard(at(10));
        assert_eq!(alive.next(at(20)), KeepAliveStep::Wait(at(30)));
        assert_eq!(alive.next(at(31)), KeepAliveStep::Ping);
        assert_eq!(alive.next(at(31)), KeepAliveStep::Wait(at(36)), "one ping");
        alive.heard(at(33));
        assert_eq!(alive.next(at(36)), KeepAliveStep::Wait(at(53)), "it lives");
        assert_eq!(alive.next(at(53)), KeepAliveStep::Ping);
        assert_eq!(alive.next(at(57)), KeepAliveStep::Wait(at(58)));
        assert_eq!(alive.next(at(58)), KeepAliveStep::Dead);
    }

    #[test]
    fn a_silence_that_a_stopped_node_has_slept_through_is_not_the_peers() {
        let start = crate::clock::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut alive = KeepAlive::new(SECOND, SECOND * 2, start);
        assert_eq!(alive.next(at(1_000)), KeepAliveStep::Ping);
        alive.woken(at(3_000), at(3_400));
        assert_eq!(alive.next(at(3_400)), KeepAliveStep::Dead, "the timer was nearly on time");
        alive.woken(at(3_000), at(60_000));
        assert_eq!(alive.next(at(60_000)), KeepAliveStep::Wait(at(61_000)));
        assert_eq!(alive.next(at(61_000)), KeepAliveStep::Ping);
        assert_eq!(alive.next(at(63_000)), KeepAliveStep::Dead, "it is silent after all");
    }
}
