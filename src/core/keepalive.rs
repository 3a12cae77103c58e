//! The deadlines of an agent's open connection: when it is pinged, when it counts as dead, how long a message
//! and a Close may take.
//!
//! ```text
//!             silent for ping_interval            silent for ping_timeout more
//!   Quiet ─────────────────────────────► Pinged ───────────────────────────────► over
//!     ▲                                    │
//!     └──────── a byte arrived ────────────┘
//!
//!   Either, while a message is incomplete for message_timeout ──► Closing
//!   Either, when one side closes ────────────────────────────────► Closing ──► over, after close_timeout
//! ```
//!
//! The caller tells what happened ([`AgentKeepAlive::heard`], [`AgentKeepAlive::closing`]) and asks at
//! [`AgentKeepAlive::deadline`] what is overdue. It knows frames and sockets; this module knows time alone.

use std::time::{Duration, Instant};

/// How long each thing may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAliveTimes {
    /// Silence after which the agent is pinged.
    pub ping_interval: Duration,
    /// Silence after the ping after which the connection counts as dead.
    pub ping_timeout: Duration,
    /// From the first byte of a message to its last.
    pub message_timeout: Duration,
    /// From a Close to its answer.
    pub close_timeout: Duration,
}

/// See the module's text.
#[derive(Debug, Clone, Copy)]
pub struct AgentKeepAlive {
    /// When the last byte arrived.
    heard: Instant,
    /// When the ping went out that is still unanswered.
    pinged: Option<Instant>,
    /// When the incomplete message began.
    message_since: Option<Instant>,
    /// When the first Close was said.
    closing_since: Option<Instant>,
}

/// What a deadline has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// The agent has been silent: ping it. It counts as pinged.
    Ping {
        /// For how long it has been silent.
        silent: Duration,
    },
    /// The ping stayed unanswered: the connection is over.
    Pong,
    /// The message stayed incomplete: close the connection.
    Message,
    /// The Close stayed unanswered: the connection is over.
    Close,
}

impl AgentKeepAlive {
    /// For a connection that has just been opened.
    pub const fn new(now: Instant) -> Self {
        Self { heard: now, pinged: None, message_since: None, closing_since: None }
    }

    /// Bytes arrived. `complete`: they end a message, or are between two.
    pub fn heard(&mut self, complete: bool, now: Instant) {
        self.heard = now;
        self.pinged = None;
        if complete {
            self.message_since = None;
        } else {
            self.message_since.get_or_insert(now);
        }
    }

    /// One side closes; from now on only the other side's Close is awaited.
    pub const fn closing(&mut self, now: Instant) {
        self.closing_since = Some(now);
    }

    /// When to ask what is overdue, at the latest. `reply_due`: when the session owes the agent a reply; it
    /// counts while the connection is open.
    pub fn deadline(&self, times: &KeepAliveTimes, reply_due: Option<Instant>) -> Instant {
        if let Some(since) = self.closing_since {
            return since + times.close_timeout;
        }
        let silence = match self.pinged {
            Some(at) => at + times.ping_timeout,
            None => self.heard + times.ping_interval,
        };
        let message = self.message_since.map(|since| since + times.message_timeout);
        [message, reply_due].into_iter().flatten().fold(silence, Instant::min)
    }

    /// What is overdue; empty: the deadline has moved on.
    pub fn overdue(&mut self, times: &KeepAliveTimes, now: Instant) -> Option<Overdue> {
        if let Some(since) = self.closing_since {
            return (since + times.close_timeout <= now).then_some(Overdue::Close);
        }
        if self.message_since.is_some_and(|since| since + times.message_timeout <= now) {
            return Some(Overdue::Message);
        }
        match self.pinged {
            Some(at) => (at + times.ping_timeout <= now).then_some(Overdue::Pong),
            None if self.heard + times.ping_interval <= now => {
                self.pinged = Some(now);
                Some(Overdue::Ping { silent: now.saturating_duration_since(self.heard) })
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TIMES: KeepAliveTimes = KeepAliveTimes {
        ping_interval: Duration::from_secs(30),
        ping_timeout: Duration::from_secs(20),
        message_timeout: Duration::from_secs(60),
        close_timeout: Duration::from_secs(2),
    };

    /// Lets time pass from deadline to deadline; says what became overdue and after how many seconds.
    fn until_overdue(
        alive: &mut AgentKeepAlive,
        start: Instant,
        mut now: Instant,
    ) -> (Overdue, u64) {
        loop {
            now = now.max(alive.deadline(&TIMES, None));
            if let Some(overdue) = alive.overdue(&TIMES, now) {
                return (overdue, (now - start).as_secs());
            }
        }
    }

    #[test]
    fn a_silent_agent_is_pinged_once_and_then_counts_as_dead() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        let ping = Overdue::Ping { silent: SECOND * 30 };
        assert_eq!(until_overdue(&mut alive, start, start), (ping, 30));
        assert_eq!(alive.overdue(&TIMES, start + SECOND * 30), None, "once");
        assert_eq!(until_overdue(&mut alive, start, start), (Overdue::Pong, 50));
    }

    #[test]
    fn any_byte_answers_a_ping() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        until_overdue(&mut alive, start, start);
        alive.heard(true, start + SECOND * 49);
        let ping = Overdue::Ping { silent: SECOND * 30 };
        assert_eq!(until_overdue(&mut alive, start, start), (ping, 79));
    }

    #[test]
    fn a_message_in_drips_is_overdue_from_its_first_byte() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        for second in 1..61 {
            alive.heard(false, start + SECOND * second);
            assert_eq!(alive.overdue(&TIMES, start + SECOND * second), None);
        }
        assert_eq!(until_overdue(&mut alive, start, start), (Overdue::Message, 61));
        alive.heard(true, start + SECOND * 61);
        alive.heard(false, start + SECOND * 62);
        assert_eq!(alive.overdue(&TIMES, start + SECOND * 63), None, "the next message");
    }

    #[test]
    fn a_close_is_awaited_for_a_while_and_alone() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        alive.heard(false, start);
        alive.closing(start + SECOND * 5);
        assert_eq!(alive.deadline(&TIMES, Some(start + SECOND * 6)), start + SECOND * 7);
        assert_eq!(until_overdue(&mut alive, start, start), (Overdue::Close, 7));
    }

    #[test]
    fn a_reply_that_is_due_moves_the_deadline() {
        let start = crate::clock::now();
        let alive = AgentKeepAlive::new(start);
        assert_eq!(alive.deadline(&TIMES, Some(start + SECOND)), start + SECOND);
        assert_eq!(alive.deadline(&TIMES, Some(start + SECOND * 99)), start + SECOND * 30);
    }
}
