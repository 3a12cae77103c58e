//! One session's place in the table: the state machine, its contents, and the way to its agent's connection.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::attachment_port::AttachmentEnd;
use super::attachment_port::AttachmentPort as _;
use super::contents::Contents;
use super::counters::{Contribution, Counters};
use super::homes::FarHome;
use super::outbox::Outbox;
use crate::core::session::{Presence, Session};

/// A session and its lock. The lock is held for microseconds, and given back before any await.
#[derive(Debug)]
pub(super) struct SessionEntry {
    state: Mutex<EntryState>,
}

/// What the lock guards. An idle agent's entry is all that the table holds of it, so each field here is paid for a
/// million times.
#[derive(Debug)]
pub(super) struct EntryState {
    pub(super) session: Session,
    /// The bytes of what the agent reported.
    pub(super) contents: Contents,
    /// Where bytes for the agent's present connection, or its waiting request, go.
    pub(super) outbox: Option<Arc<Outbox>>,
    /// In a fleet, the way to the front where the agent's connection ends.
    pub(super) far: Option<Box<FarHome>>,
    /// The deadline that the list of deadlines has of this session: it stands there once.
    pub(super) noted: Option<Instant>,
}

impl SessionEntry {
    pub(super) fn new(session: Session) -> Self {
        let contents = Contents::default();
        let state = EntryState { session, contents, outbox: None, far: None, noted: None };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn lock<'a>(&'a self, counters: &'a Counters) -> LockedEntry<'a> {
        let state = self.state.lock();
        let before = Contribution::of(state.session.figures());
        LockedEntry { state, before, counters }
    }

    /// For readers, who leave the sums as they are.
    pub(super) fn peek(&self) -> MutexGuard<'_, EntryState> {
        self.state.lock()
    }
}

impl EntryState {
    /// The session is over, and its entry has left the table: a thread that still finds it looks again.
    pub(super) fn is_over(&self) -> bool {
        self.session.figures().presence == Presence::Gone
    }

    /// Bytes that wait for the agent at its connection.
    pub(super) fn connection_bytes(&self) -> usize {
        let here = self.outbox.as_ref().map_or(0, |outbox| outbox.unread_bytes());
        here + self.far.as_ref().map_or(0, |far| far.unwritten_bytes())
    }

    /// The agent's connection is to close.
    pub(super) fn close_connection(&self, counters: &Counters, why: AttachmentEnd) {
        if let Some(outbox) = &self.outbox {
            outbox.close(counters, why);
        }
    }
}

/// A locked entry that keeps the sums right, whichever way the session changed.
pub(super) struct LockedEntry<'a> {
    state: MutexGuard<'a, EntryState>,
    before: Contribution,
    counters: &'a Counters,
}

impl std::ops::Deref for LockedEntry<'_> {
    type Target = EntryState;

    fn deref(&self) -> &EntryState {
        &self.state
    }
}

impl std::ops::DerefMut for LockedEntry<'_> {
    fn deref_mut(&mut self) -> &mut EntryState {
        &mut self.state
    }
}

impl Drop for LockedEntry<'_> {
    fn drop(&mut self) {
        let after = Contribution::of(self.state.session.figures());
        if after != self.before {
            self.counters.changed(self.state.session.uid(), self.before, after);
        }
    }
}
