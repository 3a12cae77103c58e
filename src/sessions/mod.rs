//! The table of sessions: where agents' connections and servers' links meet. Rank 4: knows
//! neither sockets nor the wire below OpAMP messages (WebSocket framing apart, because what waits
//! for an agent waits as the frames its task will write).
//!
//! Every decision is `core::session`'s. What is here carries it out under the session's lock, in
//! this order: decide, hand to the link, answer the agent. The lock makes that order the order on
//! both wires.

mod agent_side;
mod attachment;
mod contents;
mod deadlines;
mod drain;
mod outbox;
pub mod params;
mod posts;
mod server_side;
mod slot;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod uplink;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

pub use crate::core::drain::AgentDrain;
pub use crate::core::session::Answer;
pub use agent_side::{Rejected, Waiting};
pub use attachment::Attachment;
pub use outbox::Outgoing;
pub use posts::{Polled, Probe};
pub use server_side::{Delivered, Delivery, PermitUse};
pub use uplink::{NotSent, ServerHello, Uplink};
pub use view::SessionInfo;

use crate::clock;
use crate::core::session::{ClassSet, Echoes, Policy, Presence, Route, Session};
use crate::ident::InstanceUid;
use crate::opamp::digest::{DigestKey, Digester};
use crate::opamp::offers::OffersLimits;
use crate::opamp::splice::Additions;
use crate::store::ContentStore;
use crate::telemetry::events::sessions as events;
use crate::telemetry::events::sessions::{CustomDrop, OfferDrop};
use deadlines::Deadlines;
use params::SessionsParams;
use slot::{Locked, Slot, SlotState, Tally};
use table::Table;

/// What follows from a change to a session. Whoever brings it about does it, and nobody twice.
enum Then {
    Nothing,
    Enqueue(ClassSet),
    Remove,
}

/// One-shot messages of one agent that may wait for its server, and their bytes.
const PENDING_MAX: usize = 64;
const PENDING_BYTES_MAX: usize = 256 << 10;

/// The table. One for a process; shared by every connection and link.
pub struct Sessions {
    table: Table,
    uplink: Arc<dyn Uplink>,
    policy: Policy,
    params: SessionsParams,
    deadlines: Deadlines,
    tally: Tally,
    stopping: AtomicBool,
    /// The node drains: see `drain`.
    draining: AtomicBool,
    unacknowledged: AtomicUsize,
    digester: Digester,
    store: ContentStore,
    /// A lock of its own, the last to be taken.
    echoes: Mutex<Echoes>,
    /// See [`Sessions::excuse_absence`].
    excused: Mutex<Option<Instant>>,
}

impl Sessions {
    /// An empty table whose messages go to `uplink`.
    pub fn new(params: SessionsParams, uplink: Arc<dyn Uplink>) -> Self {
        let policy = Policy {
            grace_period: params.grace_period,
            reply_wait: params.reply_wait,
            heartbeat_forward_interval: params.heartbeat_forward_interval,
            poll_timeout: params.poll_timeout,
            pending_max: PENDING_MAX,
            pending_bytes_max: PENDING_BYTES_MAX,
        };
        // One node: nobody else reads its digests, and nobody else can know its secret.
        let digester = Digester {
            key: DigestKey::derive(&table::secret()),
            volatile: params.volatile.clone(),
        };
        let store = ContentStore::new(params.store.clone());
        Self {
            table: table::empty(),
            uplink,
            policy,
            params,
            deadlines: Deadlines::default(),
            tally: Tally::default(),
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            unacknowledged: AtomicUsize::new(0),
            digester,
            store,
            echoes: Mutex::default(),
            excused: Mutex::default(),
        }
    }

    /// How many sessions there are: connected, and lingering or leaving.
    pub fn count(&self) -> (i64, i64) {
        (self.tally.connected(), self.tally.absent())
    }

    /// Whether as many agents are connected as there may be sessions: nobody has one who is not.
    pub fn is_full_of_connected(&self) -> bool {
        self.tally.connected() >= i64::from(self.params.sessions_max)
    }

    /// Tells every connection to close. They find out when they are woken.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        for entry in &self.table {
            entry.value().lock(&self.tally).wake();
        }
    }

    fn find(&self, uid: InstanceUid) -> Option<Arc<Slot>> {
        self.table.get(&uid).map(|slot| Arc::clone(&slot))
    }

    fn find_or_open(&self, uid: InstanceUid) -> Result<Arc<Slot>, Rejected> {
        if let Some(slot) = self.find(uid) {
            return Ok(slot);
        }
        // The bound may be passed by as many as there are threads here at one instant.
        if self.table.len() >= self.params.sessions_max as usize {
            events::SessionRefused { uid }.emit();
            return Err(Rejected::Full);
        }
        let slot = self.table.entry(uid).or_insert_with(|| {
            self.tally.opened();
            events::SessionOpened { uid }.emit();
            let now = clock::now();
            let mut session = Session::new(uid, now);
            if let Some(echo) = self.echoes.lock().take(uid, now) {
                session.expect_echoes(echo);
            }
            Arc::new(Slot::new(session))
        });
        Ok(Arc::clone(&slot))
    }

    /// The end of every change: what follows from it is put down, then done without the lock.
    fn finish(&self, uid: InstanceUid, mut slot: Locked<'_>) {
        let then = self.settle(uid, &mut slot);
        drop(slot);
        match then {
            Then::Nothing => {}
            Then::Enqueue(classes) => {
                classes.iter().for_each(|class| self.uplink.enqueue(uid, class))
            }
            Then::Remove => {
                // In this order: once its place is free, a new session may want a link.
                self.uplink.release(uid);
                self.table.remove_if(&uid, |_, slot| slot.peek().removed);
            }
        }
    }

    fn settle(&self, uid: InstanceUid, slot: &mut SlotState) -> Then {
        if slot.removed {
            return Then::Nothing;
        }
        let session = &mut slot.session;
        if matches!(session.presence(), Presence::Disconnecting | Presence::Gone)
            && session.drop_offers()
        {
            // Should the agent come back before the server has been told, the server must find out.
            session.offer_may_be_lost();
            events::OfferDropped { uid, reason: OfferDrop::SessionEnded }.emit();
        }
        if session.is_gone() {
            for _ in 0..session.drop_pending() {
                events::CustomMessageDropped { uid, reason: CustomDrop::SessionEnded }.emit();
            }
            self.echoes.lock().ended(session, clock::now());
            if let Some((route, messages)) = session.unanswered_on() {
                self.uplink.orphaned(route, messages);
            }
            slot.removed = true;
            return Then::Remove;
        }
        if session.look_at.is_none()
            && let Some(at) = session.deadline(&self.policy)
        {
            session.look_at = Some(at);
            self.deadlines.push(at, uid);
        }
        let wanted = session.wanted_turns();
        if wanted.is_empty() {
            return Then::Nothing;
        }
        session.queued = session.queued.union(wanted);
        Then::Enqueue(wanted)
    }

    /// What an agent's first reply on a connection carries besides.
    fn server_hello_for(&self, slot: &SlotState, route: Option<Route>) -> Option<Arc<ServerHello>> {
        if slot.session.hello_sent {
            return None;
        }
        // Nothing was sent yet: the server that it will be.
        let route = route.or_else(|| self.uplink.route(slot.session.uid()));
        route.map(|route| self.uplink.server_hello(route.link.server))
    }

    fn offers_limits(&self) -> OffersLimits {
        OffersLimits {
            bytes_max: self.params.outbox_bytes_max,
            custom_messages_max: self.params.custom_messages_max,
        }
    }
}

/// `ServerCapabilities_AcceptsStatus`: all that can be promised in the name of a server that has
/// not spoken yet.
const ACCEPTS_STATUS: u64 = 1;

/// The greeting as additions to a reply. A server that has not spoken yet does not count: the
/// agent is greeted again when it has.
fn additions<'a>(server_hello: Option<&'a Arc<ServerHello>>, flags: u64) -> Additions<'a> {
    server_hello.map_or_else(
        || Additions { flags, ..Additions::default() },
        |server_hello| Additions {
            flags,
            capabilities: Some(server_hello.capabilities.unwrap_or(ACCEPTS_STATUS)),
            custom_capabilities: server_hello.custom_capabilities.as_deref(),
        },
    )
}
