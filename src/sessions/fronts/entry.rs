//! One agent's connection at its front: the attachment's state, the outbox, and what the shell notes beside them.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::core::attachment::{AgentAbout, FrontAttachment};
use crate::core::node_link::{AgentConnection, Handle};
use crate::core::ownership::Home;
use crate::ident::InstanceUid;
use crate::sessions::outbox::Outbox;

/// See the module's text. Its lock is held for microseconds.
#[derive(Debug)]
pub(in crate::sessions) struct FrontEntry {
    pub(super) handle: Handle,
    pub(super) transport: AgentConnection,
    pub(in crate::sessions) outbox: Outbox,
    state: Mutex<FrontState>,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct FrontState {
    pub(super) front: FrontAttachment,
    /// The last change of its shard's home that it has been told of.
    pub(super) change: u32,
    pub(super) written: WrittenNumbers,
    /// The deadline that the list of deadlines has of it.
    pub(super) noted: Option<Instant>,
    /// When the agent last said more than a heartbeat.
    pub(super) active: Option<Instant>,
    /// Another live agent has the uid: the one that this agent was given.
    pub(super) fresh: Option<InstanceUid>,
    /// The connection closes because the node drains.
    pub(super) drains: bool,
    /// The last ping that a home asked for and that is unanswered, and when it was sent.
    pub(super) asked: Option<(u32, Instant)>,
    /// What it adds to the sums of all connections.
    pub(super) counted: FrontContribution,
}

/// How long a connection that drains stays open for the answer to a ping.
const LINGER: Duration = Duration::from_secs(2);

impl FrontState {
    /// Until when a connection that drains stays open, though all is written: a ping that followed it is unanswered.
    pub(super) fn lingers_until(&self) -> Option<Instant> {
        self.asked.map(|(_, at)| at + LINGER)
    }
}

/// How far the numbered messages for the agent are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct WrittenNumbers {
    /// The last one in the outbox.
    pub(super) queued: u64,
    /// The last one that the connection's task has taken.
    pub(super) taken: u64,
    /// The last one of which the home was told.
    pub(super) told: u64,
}

impl WrittenNumbers {
    /// The task has taken all that was in the outbox.
    pub(super) const fn take(&mut self) {
        self.taken = self.queued;
    }

    /// What the task took is written. The number to tell, if it is new.
    pub(super) fn confirm(&mut self) -> Option<u64> {
        let is_new = self.taken > self.told;
        self.told = self.taken;
        is_new.then_some(self.taken)
    }
}

/// What one connection adds to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FrontContribution {
    pub(super) is_open: bool,
    pub(super) held_bytes: usize,
}

impl FrontEntry {
    /// For a connection whose agent says its first message now. `home`: of its shard, after this change.
    pub(super) fn new(
        handle: Handle,
        transport: AgentConnection,
        (home, change): (Option<Home>, u32),
    ) -> Self {
        // Agents are not authenticated, and the kind of their client is not told from the first request's head yet.
        let about = AgentAbout { transport, client: 0, identity: Box::default() };
        let state = FrontState {
            front: FrontAttachment::new(handle, about, home),
            change,
            written: WrittenNumbers::default(),
            noted: None,
            active: None,
            fresh: None,
            drains: false,
            asked: None,
            counted: FrontContribution::default(),
        };
        Self { handle, transport, outbox: Outbox::default(), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, FrontState> {
        self.state.lock()
    }

    /// The agent.
    pub(in crate::sessions) const fn uid(&self) -> InstanceUid {
        self.handle.uid
    }

    /// How it is connected.
    pub(in crate::sessions) const fn transport(&self) -> AgentConnection {
        self.transport
    }

    /// Whether it is open, whether its home has it, and how many bytes it holds.
    pub(in crate::sessions) fn figures(&self) -> (bool, bool, usize) {
        let state = self.lock();
        let front = &state.front;
        (front.is_open(), front.is_attached(), front.held_bytes())
    }

    /// When the connection's task has to look again.
    pub(in crate::sessions) fn look_due(&self) -> Option<Instant> {
        if self.outbox.lingers() {
            return self.lock().lingers_until();
        }
        self.outbox.reply_due_at()
    }

    pub(super) fn is_request(&self) -> bool {
        self.transport == AgentConnection::PlainHttp
    }
}
