//! Sums over all sessions: how many there are, and how many bytes wait. Each session's entry says
//! what it adds.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::absent_sessions::AbsentSessions;
use super::shortage::Shortage;
use crate::core::session::{Presence, SessionFigures};
use crate::ident::InstanceUid;

/// How a session counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryStatus {
    Connected,
    Polling,
    Absent,
    Over,
}

impl EntryStatus {
    const fn of(presence: Presence) -> Self {
        match presence {
            Presence::Connected { .. } => Self::Connected,
            Presence::Polling { .. } => Self::Polling,
            Presence::Absent { .. } | Presence::Disconnecting => Self::Absent,
            Presence::Gone => Self::Over,
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Counters {
    connected: AtomicI64,
    polling: AtomicI64,
    absent: AtomicI64,
    agent_bytes: AtomicUsize,
    absent_bytes: AtomicUsize,
    copied_bytes: AtomicUsize,
    server_bytes: AtomicUsize,
    pub(super) absent_sessions: AbsentSessions,
    pub(super) shortage: Shortage,
}

impl Counters {
    /// Sessions whose agents have a connection, or poll.
    pub(super) fn connected(&self) -> i64 {
        self.connected.load(Ordering::Relaxed) + self.polling()
    }

    /// Sessions whose agents poll.
    pub(super) fn polling(&self) -> i64 {
        self.polling.load(Ordering::Relaxed)
    }

    pub(super) fn absent(&self) -> i64 {
        self.absent.load(Ordering::Relaxed)
    }

    /// Bytes that wait for agents: what is stored for them, what waits at their connections, and what their sockets
    /// have yet to take.
    pub(super) fn agent_bytes(&self) -> usize {
        self.agent_bytes.load(Ordering::Relaxed)
    }

    /// Of these, the bytes that are stored for agents that are away.
    pub(super) fn absent_bytes(&self) -> usize {
        self.absent_bytes.load(Ordering::Relaxed)
    }

    /// The bytes of agents that are there, with the copies of what they have yet to confirm. They go before those of
    /// agents that are away.
    pub(super) fn present_bytes(&self) -> usize {
        self.agent_bytes().saturating_sub(self.absent_bytes()) + self.copied_bytes()
    }

    /// Bytes of copies of what agents have yet to confirm.
    pub(super) fn copied_bytes(&self) -> usize {
        self.copied_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of one-shot messages that wait for servers.
    pub(super) fn server_bytes(&self) -> usize {
        self.server_bytes.load(Ordering::Relaxed)
    }

    /// A new session, which counts as absent until its agent's connection is there.
    pub(super) fn opened(&self) {
        self.add(EntryStatus::Absent, 1);
    }

    /// What waits at one agent's connection has changed from `before` bytes to `after`.
    pub(super) fn outbox_changed(&self, before: usize, after: usize) {
        adjust(&self.agent_bytes, before, after);
    }

    /// What the session of `uid` adds to the sums has changed.
    pub(super) fn changed(&self, uid: InstanceUid, before: Contribution, after: Contribution) {
        if after.status != before.status {
            self.add(before.status, -1);
            self.add(after.status, 1);
            if after.status == EntryStatus::Absent {
                self.absent_sessions.went_away(uid);
            }
            if before.status == EntryStatus::Absent {
                self.absent_sessions.is_no_longer_away(uid);
            }
        }
        let stores = after.absent_bytes() > 0;
        if stores != (before.absent_bytes() > 0) {
            self.absent_sessions.stores_offers(uid, stores);
        }
        adjust(&self.agent_bytes, before.agent_bytes, after.agent_bytes);
        adjust(&self.absent_bytes, before.absent_bytes(), after.absent_bytes());
        adjust(&self.copied_bytes, before.copied_bytes, after.copied_bytes);
        adjust(&self.server_bytes, before.server_bytes, after.server_bytes);
    }

    fn add(&self, status: EntryStatus, count: i64) {
        match status {
            EntryStatus::Connected => self.connected.fetch_add(count, Ordering::Relaxed),
            EntryStatus::Polling => self.polling.fetch_add(count, Ordering::Relaxed),
            EntryStatus::Absent => self.absent.fetch_add(count, Ordering::Relaxed),
            EntryStatus::Over => return,
        };
    }
}

/// What one session adds to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contribution {
    status: EntryStatus,
    agent_bytes: usize,
    copied_bytes: usize,
    server_bytes: usize,
}

impl Contribution {
    pub(super) const fn of(figures: SessionFigures) -> Self {
        let SessionFigures { presence, agent_bytes, copied_bytes, server_bytes, .. } = figures;
        Self { status: EntryStatus::of(presence), agent_bytes, copied_bytes, server_bytes }
    }

    /// Bytes that are stored for the agent while it is away.
    pub(super) const fn absent_bytes(self) -> usize {
        if matches!(self.status, EntryStatus::Absent) { self.agent_bytes } else { 0 }
    }
}

fn adjust(sum: &AtomicUsize, before: usize, after: usize) {
    match after.cmp(&before) {
        std::cmp::Ordering::Greater => sum.fetch_add(after - before, Ordering::Relaxed),
        std::cmp::Ordering::Less => sum.fetch_sub(before - after, Ordering::Relaxed),
        std::cmp::Ordering::Equal => return,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_adds_is_taken_back_with_its_end() {
        let counters = Counters::default();
        let figures = |presence, agent_bytes, server_bytes| {
            Contribution::of(SessionFigures {
                presence,
                agent_bytes,
                copied_bytes: agent_bytes / 2,
                server_bytes,
                drains: false,
                is_answered: true,
                is_told: true,
                is_unheard: false,
            })
        };
        counters.opened();
        let absent = figures(Presence::Absent { until: crate::clock::now() }, 0, 0);
        let there = figures(Presence::Polling { heard: crate::clock::now(), waits: false }, 20, 3);
        let uid = InstanceUid::from_bytes([1; 16]);
        counters.changed(uid, absent, there);
        counters.outbox_changed(0, 5);
        assert_eq!((counters.connected(), counters.absent()), (1, 0));
        assert_eq!((counters.agent_bytes(), counters.server_bytes()), (25, 3));
        assert_eq!(counters.copied_bytes(), 10);
        counters.changed(uid, there, figures(Presence::Gone, 0, 0));
        counters.outbox_changed(5, 0);
        assert_eq!((counters.connected(), counters.absent()), (0, 0));
        assert_eq!((counters.agent_bytes(), counters.server_bytes()), (0, 0));
        assert_eq!(counters.copied_bytes(), 0);
    }
}
