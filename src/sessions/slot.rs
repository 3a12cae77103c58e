//! One session's place in the table: the state machine, and what waits for the agent's task.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::{Mutex, MutexGuard};

use super::contents::Contents;
use crate::core::session::{Presence, Session};

/// A session and its lock. The lock is held for microseconds, never across an await.
#[derive(Debug)]
pub(super) struct Slot {
    state: Mutex<SlotState>,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct SlotState {
    pub(super) session: Session,
    /// The bytes of what it reported.
    pub(super) contents: Contents,
    /// Encoded WebSocket frames for the agent's present connection.
    pub(super) outbox: Vec<u8>,
    /// The task to wake: the agent's connection, or its waiting request.
    pub(super) waker: Option<Waker>,
    /// The outbox went over its bound: the connection must close.
    pub(super) overflowed: bool,
    /// The agent was told to use another uid.
    pub(super) renamed: bool,
    /// The agent goes to another node: its connection closes when what waits for it is written.
    pub(super) draining: bool,
    /// Taken out of the table: whoever still finds it must look again.
    pub(super) removed: bool,
}

impl Slot {
    pub(super) fn new(session: Session) -> Self {
        Self {
            state: Mutex::new(SlotState {
                session,
                contents: Contents::default(),
                outbox: Vec::new(),
                waker: None,
                overflowed: false,
                renamed: false,
                draining: false,
                removed: false,
            }),
        }
    }

    pub(super) fn lock<'a>(&'a self, tally: &'a Tally) -> Locked<'a> {
        let state = self.state.lock();
        let before = Share::of(&state);
        Locked { state, before, tally }
    }

    /// Without the counting: for readers.
    pub(super) fn peek(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }
}

impl SlotState {
    /// Bytes that wait for the agent, whether it is there or not.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.outbox.len() + self.session.offers_bytes()
    }

    /// Wakes whoever waits for something to be said to the agent.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Has `waker` woken by the next [`Self::wake`].
    pub(super) fn wake_next(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// What waited in vain for a connection that is no longer the agent's; its task or request is
    /// woken to find out. Returns whether anything did.
    pub(super) fn vacate(&mut self) -> bool {
        self.overflowed = false;
        self.draining = false;
        self.wake();
        !std::mem::take(&mut self.outbox).is_empty()
    }
}

/// How a session counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Connected,
    Absent,
    Over,
}

impl Standing {
    const fn of(presence: Presence) -> Self {
        match presence {
            Presence::Connected { .. } | Presence::Polling { .. } => Self::Connected,
            Presence::Absent { .. } | Presence::Disconnecting => Self::Absent,
            Presence::Gone => Self::Over,
        }
    }
}

/// Sums over all sessions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    connected: AtomicI64,
    absent: AtomicI64,
    agent_bytes: AtomicUsize,
    server_bytes: AtomicUsize,
}

impl Tally {
    pub(super) fn connected(&self) -> i64 {
        self.connected.load(Ordering::Relaxed)
    }

    pub(super) fn absent(&self) -> i64 {
        self.absent.load(Ordering::Relaxed)
    }

    /// Bytes that wait for agents.
    pub(super) fn agent_bytes(&self) -> usize {
        self.agent_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of one-shot messages that wait for servers.
    pub(super) fn server_bytes(&self) -> usize {
        self.server_bytes.load(Ordering::Relaxed)
    }

    fn add(&self, standing: Standing, n: i64) {
        match standing {
            Standing::Connected => self.connected.fetch_add(n, Ordering::Relaxed),
            Standing::Absent => self.absent.fetch_add(n, Ordering::Relaxed),
            Standing::Over => return,
        };
    }

    /// A new session, which counts as lingering until its agent arrives.
    pub(super) fn opened(&self) {
        self.add(Standing::Absent, 1);
    }
}

/// What one session adds to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    standing: Standing,
    agent_bytes: usize,
    server_bytes: usize,
}

impl Share {
    fn of(state: &SlotState) -> Self {
        Self {
            standing: Standing::of(state.session.presence()),
            agent_bytes: state.waiting_bytes(),
            server_bytes: state.session.pending().1,
        }
    }
}

/// A locked slot that keeps the sums right, whichever way the session changed.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, SlotState>,
    before: Share,
    tally: &'a Tally,
}

impl std::ops::Deref for Locked<'_> {
    type Target = SlotState;

    fn deref(&self) -> &SlotState {
        &self.state
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut SlotState {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let (before, after) = (self.before, Share::of(&self.state));
        if after.standing != before.standing {
            self.tally.add(before.standing, -1);
            self.tally.add(after.standing, 1);
        }
        adjust(&self.tally.agent_bytes, before.agent_bytes, after.agent_bytes);
        adjust(&self.tally.server_bytes, before.server_bytes, after.server_bytes);
    }
}

fn adjust(sum: &AtomicUsize, before: usize, after: usize) {
    match after.cmp(&before) {
        std::cmp::Ordering::Greater => sum.fetch_add(after - before, Ordering::Relaxed),
        std::cmp::Ordering::Less => sum.fetch_sub(before - after, Ordering::Relaxed),
        std::cmp::Ordering::Equal => return,
    };
}
