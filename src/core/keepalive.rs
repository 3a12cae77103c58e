//! The deadlines of an agent's open connection: when it is pinged, when it counts as dead, how slowly a message may
//! come or go, how long a Close may take.
//!
//! ```text
//!             silent for ping_interval            silent for ping_timeout more
//!   Quiet ─────────────────────────────► Pinged ───────────────────────────────► over
//!     ▲                                    │
//!     └──────── a byte arrived ────────────┘
//!
//!   Either, while a message is incomplete and too slow ──────────► Closing
//!   Either, while bytes for the agent stay unread ───────────────► over
//!   Either, when one side closes ────────────────────────────────► Closing ──► over, after close_timeout
//! ```
//!
//! How slow is too slow, `core::progress` says. While bytes for the agent wait at its socket, its messages stay unread:
//! then it is judged by what it reads. The caller tells what happened ([`AgentKeepAlive::heard`],
//! [`AgentKeepAlive::blocked`], [`AgentKeepAlive::wrote`], [`AgentKeepAlive::closing`]) and asks at
//! [`AgentKeepAlive::deadline`] what is overdue. It knows frames and sockets; this module knows time alone.

use std::time::{Duration, Instant};

use super::progress::TransferProgress;

/// While bytes for all agents are short of room, an agent that reads nothing for so long is given up.
pub const UNREAD_PATIENCE_WHEN_SHORT: Duration = Duration::from_secs(10);

/// How long each thing may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAliveTimes {
    /// Silence after which the agent is pinged.
    pub ping_interval: Duration,
    /// Silence after the ping after which the connection counts as dead.
    pub ping_timeout: Duration,
    /// For how long a message may stand still that is on its way here.
    pub message_timeout: Duration,
    /// From a Close to its answer.
    pub close_timeout: Duration,
}

impl KeepAliveTimes {
    /// For how long bytes may stand still that are on their way to an agent: as long as its silence may last.
    fn unread_timeout(&self) -> Duration {
        self.ping_interval + self.ping_timeout
    }
}

/// What came with one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardBytes {
    /// How many bytes.
    pub bytes: usize,
    /// A message has ended with one of them.
    pub ended_one: bool,
    /// The last of them ended a message, or is between two.
    pub is_between: bool,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct AgentKeepAlive {
    /// When the last byte arrived.
    heard: Instant,
    /// When the ping went out that is still unanswered.
    pinged: Option<Instant>,
    /// What is under way, if anything is: of an idle agent nothing.
    under_way: Option<Box<UnderWay>>,
    /// When the first Close was said.
    closing_since: Option<Instant>,
}

/// What is under way on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct UnderWay {
    /// How the incomplete message comes in.
    message: Option<TransferProgress>,
    /// How the bytes for the agent go out, while its socket takes no more.
    unread: Option<Unread>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unread {
    progress: TransferProgress,
    /// When to look next whether it is in others' way.
    look_due: Instant,
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
    /// The agent reads too slowly: the connection is over.
    Unread,
    /// The Close stayed unanswered: the connection is over.
    Close,
}

impl AgentKeepAlive {
    /// For a connection that has just been opened.
    pub const fn new(now: Instant) -> Self {
        Self { heard: now, pinged: None, under_way: None, closing_since: None }
    }

    /// The agent lives.
    pub const fn lives(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    /// Bytes arrived.
    pub fn heard(&mut self, heard: HeardBytes, times: &KeepAliveTimes, now: Instant) {
        self.lives(now);
        if heard.ended_one || heard.is_between {
            self.set_message(None);
        }
        if !heard.is_between {
            let mut message =
                self.message().unwrap_or_else(|| TransferProgress::new(times.message_timeout, now));
            message.moved(heard.bytes, times.message_timeout, now);
            self.set_message(Some(message));
        }
    }

    /// What is on its way here stays unread by the gateway's own choice.
    pub fn holds_back(&mut self, now: Instant) {
        self.lives(now);
        self.set_message(None);
    }

    /// The agent's socket takes no more for now.
    pub fn blocked(&mut self, times: &KeepAliveTimes, now: Instant) {
        if !self.is_blocked() {
            let progress = TransferProgress::new(times.unread_timeout(), now);
            let unread = Unread { progress, look_due: now + UNREAD_PATIENCE_WHEN_SHORT };
            self.under_way.get_or_insert_default().unread = Some(unread);
        }
    }

    /// The agent's socket took bytes, after it had taken no more. `all`: nothing waits any more.
    pub fn wrote(&mut self, bytes: usize, all: bool, times: &KeepAliveTimes, now: Instant) {
        self.lives(now);
        let Some(under_way) = &mut self.under_way else { return };
        if let Some(unread) = &mut under_way.unread {
            unread.progress.moved(bytes, times.unread_timeout(), now);
            unread.look_due = now + UNREAD_PATIENCE_WHEN_SHORT;
        }
        if all {
            under_way.unread = None;
            // What was on its way here meanwhile stayed unread.
            let message =
                under_way.message.map(|_| TransferProgress::new(times.message_timeout, now));
            self.set_message(message);
        }
    }

    /// Whether bytes for the agent wait at its socket.
    pub fn is_blocked(&self) -> bool {
        self.unread().is_some()
    }

    fn message(&self) -> Option<TransferProgress> {
        self.under_way.as_ref()?.message
    }

    fn unread(&self) -> Option<Unread> {
        self.under_way.as_ref()?.unread
    }

    fn set_message(&mut self, message: Option<TransferProgress>) {
        if message.is_some() || self.under_way.is_some() {
            self.under_way.get_or_insert_default().message = message;
            self.under_way.take_if(|under_way| **under_way == UnderWay::default());
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
        if let Some(unread) = self.unread() {
            let unread = unread.progress.due().min(unread.look_due);
            return reply_due.map_or(unread, |due| unread.min(due));
        }
        let silence = match self.pinged {
            Some(at) => at + times.ping_timeout,
            None => self.heard + times.ping_interval,
        };
        let message = self.message().map(|message| message.due());
        [message, reply_due].into_iter().flatten().fold(silence, Instant::min)
    }

    /// What is overdue; empty: the deadline has moved on. `is_short`: bytes for all agents are short of room.
    pub fn overdue(
        &mut self,
        times: &KeepAliveTimes,
        is_short: impl FnOnce() -> bool,
        now: Instant,
    ) -> Option<Overdue> {
        if let Some(since) = self.closing_since {
            return (since + times.close_timeout <= now).then_some(Overdue::Close);
        }
        if let Some(unread) = self.under_way.as_mut().and_then(|it| it.unread.as_mut()) {
            let looks = unread.look_due <= now;
            if unread.progress.due() <= now || looks && is_short() {
                return Some(Overdue::Unread);
            }
            if looks {
                unread.look_due = now + UNREAD_PATIENCE_WHEN_SHORT;
            }
            return None;
        }
        if self.message().is_some_and(|message| message.due() <= now) {
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
    const WHOLE: HeardBytes = HeardBytes { bytes: 50, ended_one: true, is_between: true };
    const DRIP: HeardBytes = HeardBytes { bytes: 1, ended_one: false, is_between: false };

    fn overdue(alive: &mut AgentKeepAlive, now: Instant) -> Option<Overdue> {
        alive.overdue(&TIMES, || false, now)
    }

    /// Lets time pass from deadline to deadline; says what became overdue and after how many seconds.
    fn until_overdue(
        alive: &mut AgentKeepAlive,
        start: Instant,
        mut now: Instant,
    ) -> (Overdue, u64) {
        loop {
            now = now.max(alive.deadline(&TIMES, None));
            if let Some(overdue) = overdue(alive, now) {
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
        assert_eq!(overdue(&mut alive, start + SECOND * 30), None, "once");
        assert_eq!(until_overdue(&mut alive, start, start), (Overdue::Pong, 50));
    }

    #[test]
    fn any_byte_answers_a_ping() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        until_overdue(&mut alive, start, start);
        alive.heard(WHOLE, &TIMES, start + SECOND * 49);
        let ping = Overdue::Ping { silent: SECOND * 30 };
        assert_eq!(until_overdue(&mut alive, start, start), (ping, 79));
    }

    #[test]
    fn a_message_in_drips_is_overdue_from_its_first_byte() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        for second in 1..61 {
            alive.heard(DRIP, &TIMES, start + SECOND * second);
            assert_eq!(overdue(&mut alive, start + SECOND * second), None);
        }
        assert_eq!(until_overdue(&mut alive, start, start), (Overdue::Message, 61));
        alive.heard(WHOLE, &TIMES, start + SECOND * 61);
        alive.heard(DRIP, &TIMES, start + SECOND * 62);
        assert_eq!(overdue(&mut alive, start + SECOND * 63), None, "the next message");
    }

    /// 24 MB at 250 KB/s.
    #[test]
    fn a_large_message_that_comes_steadily_is_waited_for() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        for second in 1..=98 {
            let now = start + SECOND * second;
            alive.heard(HeardBytes { bytes: 250 << 10, ..DRIP }, &TIMES, now);
            assert_eq!(overdue(&mut alive, now), None);
        }
        assert_eq!(
            until_overdue(&mut alive, start, start),
            (Overdue::Ping { silent: SECOND * 30 }, 128)
        );
    }

    /// Each read ends in the midst of a message, and each brings the end of one.
    #[test]
    fn reads_that_never_end_between_two_messages_are_not_one_message() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        for second in 1..=600 {
            let now = start + SECOND * second;
            alive.heard(HeardBytes { ended_one: true, ..DRIP }, &TIMES, now);
            assert_eq!(overdue(&mut alive, now), None, "{second}");
        }
    }

    #[test]
    fn an_agent_that_reads_is_alive_and_one_that_does_not_is_given_up() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        alive.blocked(&TIMES, start);
        for second in 1..=98 {
            let now = start + SECOND * second;
            alive.wrote(250 << 10, false, &TIMES, now);
            assert_eq!(overdue(&mut alive, now), None, "{second}");
        }
        let mut stuck = alive.clone();
        assert_eq!(until_overdue(&mut stuck, start, start), (Overdue::Unread, 148));
        alive.wrote(1, true, &TIMES, start + SECOND * 99);
        assert!(!alive.is_blocked());
        let ping = Overdue::Ping { silent: SECOND * 30 };
        assert_eq!(until_overdue(&mut alive, start, start), (ping, 129));
    }

    #[test]
    fn while_room_is_short_one_that_reads_nothing_is_given_up_soon() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        alive.blocked(&TIMES, start);
        let mut now = start + SECOND * 9;
        alive.wrote(1, false, &TIMES, now);
        assert_eq!(alive.overdue(&TIMES, || true, start + SECOND * 18), None);
        now = alive.deadline(&TIMES, None);
        assert_eq!(now, start + SECOND * 19);
        assert_eq!(alive.overdue(&TIMES, || false, now), None, "there is room");
        now = alive.deadline(&TIMES, None);
        assert_eq!(alive.overdue(&TIMES, || true, now), Some(Overdue::Unread));
        assert_eq!(now, start + SECOND * 29);
    }

    #[test]
    fn a_close_is_awaited_for_a_while_and_alone() {
        let start = crate::clock::now();
        let mut alive = AgentKeepAlive::new(start);
        alive.heard(DRIP, &TIMES, start);
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
