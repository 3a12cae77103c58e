//! The table of sessions: where agents' connections and servers' links meet. Rank 4: sockets and the wire below
//! OpAMP messages are left to others, WebSocket framing apart, because what waits for an agent waits as the frames
//! that its task will write.
//!
//! Every decision is `core::session`'s. Each event becomes one call of a session's entry, under the session's
//! lock; its effects come back through `carrier` and are carried out in the order in which they come.
//!
//! # Order of locks
//! A thread takes locks in this order, and holds at most one of each kind:
//! a shard of the table → a session's entry → one of: an outbox, the store, a link's queue, a pacer, the
//! deadlines, the late replies, the farewells, the uids given, the budget for questions, the lists of absent sessions.
//! A connection's task takes its outbox alone to look for what waits, and gives
//! it back before it calls a session. The locks of the last group guard plain values: their holder
//! gives them back before it calls another part.

mod absent_sessions;
mod agents;
mod answer;
mod attachment;
mod attachment_port;
mod backlog;
mod carrier;
mod contents;
mod counters;
mod deadlines;
mod drain;
mod entry;
#[cfg(test)]
pub(crate) mod fake_uplink;
mod fresh_uid;
mod fronts;
mod given_uids;
mod held_back;
mod homes;
mod joined;
mod limits;
mod loopback;
mod notes;
mod outbox;
pub mod params;
mod request;
mod room;
mod servers;
mod shortage;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod uplink;
mod view;
mod ways;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

pub use crate::core::session::{
    Answer, Delivered, Delivery, NotSent, PermitUse, Polled, Probe, ServerHello, SessionInfo,
};
pub use agents::{Rejected, SpokenMessage, receive_spoken};
pub use answer::{AnswerBytes, UnwrittenBytes};
pub use attachment::Attachment;
pub use drain::{LeftUndone, is_connected};
pub use given_uids::given_to;
pub use held_back::{tell_agent, tell_server_again};
pub use limits::{half_of_all, silence_max};
pub use outbox::Outgoing;
pub use request::{RequestAnswer, Waiting};
pub use room::is_short_of_room;
#[cfg(test)]
pub(crate) use tests::fleet_of_one;
pub use uplink::{SharedLink, Uplink};
pub use view::{AgentCounts, AgentHere, AgentsSeen, ConnectionInfo};
pub use ways::Ways;

use crate::clock;
use crate::core::session::{
    Farewells, LateReplies, Moment, Policy, QuestionBudget, Session, succeed,
};
use crate::ident::InstanceUid;
use crate::opamp::digest::{DigestKey, Digester};
use crate::opamp::offers::OffersLimits;
use crate::store::ContentStore;
use crate::telemetry::events::sessions as events;
use attachment_port::AttachmentEnd;
use carrier::{Carrier, EventContext, FollowUp, Surroundings};
use counters::Counters;
use deadlines::Deadlines;
use entry::{EntryState, LockedEntry, SessionEntry};
use fronts::Fronts;
use given_uids::GivenUids;
use homes::Homes;
use loopback::Loopback;
use params::SessionsParams;
use table::Table;

/// One-shot messages of one agent that may wait for its server, and their bytes.
const ONE_SHOTS_MAX: usize = 64;
const ONE_SHOT_BYTES_MAX: usize = 256 << 10;

/// The table. One for a process; shared by every connection and link.
pub struct Sessions {
    table: Table,
    uplink: Arc<dyn Uplink>,
    policy: Policy,
    params: SessionsParams,
    deadlines: Deadlines,
    counters: Counters,
    stopping: AtomicBool,
    /// The node drains: see `drain`.
    draining: AtomicBool,
    unacknowledged: AtomicUsize,
    digester: Digester,
    store: ContentStore,
    ended: EndedSessions,
    question_budget: Mutex<QuestionBudget>,
    /// See [`Sessions::excuse_absence`].
    excused: Mutex<Option<Instant>>,
    /// See [`Sessions::join_fleet`].
    joined: OnceLock<Joined>,
}

/// What is remembered of agents that have no session: any more, or yet.
#[derive(Default)]
struct EndedSessions {
    late_replies: Mutex<LateReplies>,
    farewells: Mutex<Farewells>,
    given: GivenUids,
}

/// What a node has beside its table once it is one of a fleet. Without it the node is alone, and its agents'
/// connections stand directly at their sessions.
struct Joined {
    /// To the other nodes.
    ways: Arc<dyn Ways>,
    /// From this node's fronts to its homes, and back.
    loopback: Loopback,
    fronts: Fronts,
    homes: Homes,
}

/// The table of a node that is one of a fleet: see `joined`.
#[derive(Clone, Copy)]
pub struct InFleet<'a> {
    sessions: &'a Sessions,
    joined: &'a Joined,
}

impl Sessions {
    /// An empty table whose messages go to `uplink`. `digest_key`: what digests of reports depend on beside the
    /// reports; a secret, and the same for all nodes that share sessions.
    pub fn new(params: SessionsParams, digest_key: DigestKey, uplink: Arc<dyn Uplink>) -> Self {
        let policy = Policy {
            grace_period: params.grace_period,
            reply_wait: params.reply_wait,
            heartbeat_forward_interval: params.heartbeat_forward_interval,
            poll_timeout: params.poll_timeout,
            one_shots_max: ONE_SHOTS_MAX,
            one_shot_bytes_max: ONE_SHOT_BYTES_MAX,
            offers: OffersLimits {
                bytes_max: params.outbox_bytes_max,
                custom_messages_max: params.custom_messages_max,
            },
        };
        let digester = Digester { key: digest_key, volatile: params.volatile.clone() };
        let store = ContentStore::new(params.store.clone());
        Self {
            table: table::empty(),
            uplink,
            policy,
            params,
            deadlines: Deadlines::default(),
            counters: Counters::default(),
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            unacknowledged: AtomicUsize::new(0),
            digester,
            store,
            ended: EndedSessions::default(),
            question_budget: Mutex::new(QuestionBudget::new(clock::now())),
            excused: Mutex::default(),
            joined: OnceLock::new(),
        }
    }

    /// How many agents are connected here or poll, and how many sessions belong to agents that are away or leave. In a
    /// fleet a connection counts where it ends, and an agent that polls where its session is.
    pub fn count(&self) -> (i64, i64) {
        let connected = match self.joined.get() {
            Some(joined) => joined.fronts.connected() + self.counters.polling(),
            None => self.counters.connected(),
        };
        (connected, self.counters.absent())
    }

    /// Whether as many agents are connected as there may be sessions: the table has no place for one more.
    pub fn is_full_of_connected(&self) -> bool {
        self.count().0 >= i64::from(self.params.sessions_max)
    }

    /// Whether this agent has a session here, or a connection, or polls here for one elsewhere: it takes no new place.
    pub fn has(&self, uid: InstanceUid) -> bool {
        let joined = self.joined.get();
        self.table.contains_key(&uid) || joined.is_some_and(|joined| joined.fronts.has(uid))
    }

    /// Tells every connection to close. Their tasks are woken.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(fleet) = self.in_fleet() {
            return fleet.fronts().stop();
        }
        for entry in &self.table {
            entry
                .value()
                .lock(&self.counters)
                .close_connection(&self.counters, AttachmentEnd::Stopping);
        }
    }

    fn find(&self, uid: InstanceUid) -> Option<Arc<SessionEntry>> {
        self.table.get(&uid).map(|entry| Arc::clone(&entry))
    }

    fn find_or_open(&self, uid: InstanceUid) -> Result<Arc<SessionEntry>, Rejected> {
        if let Some(entry) = self.find(uid) {
            return Ok(entry);
        }
        // The bound may be passed by as many as there are threads here at one instant.
        let max = self.params.sessions_max as usize;
        if self.table.len() >= max && !room::make_place(self) {
            events::SessionRefused { uid }.emit();
            return Err(Rejected::Full);
        }
        let entry = self.table.entry(uid).or_insert_with(|| {
            self.counters.opened();
            events::SessionOpened { uid }.emit();
            let now = clock::now();
            let late = self.ended.late_replies.lock().take(uid, now);
            if let Some(joined) = self.joined.get() {
                joined.homes.shards.joined(uid);
            }
            let mut session = Session::new(uid, late, now);
            if let Some(farewell) = self.ended.farewells.lock().take(uid, now) {
                succeed(&mut session, farewell, now);
            }
            Arc::new(SessionEntry::new(session))
        });
        Ok(Arc::clone(&entry))
    }

    /// Does something with an agent's session, which is there or made.
    fn enter<T>(
        &self,
        uid: InstanceUid,
        act: impl FnOnce(&mut LockedEntry<'_>) -> T,
    ) -> Result<(Arc<SessionEntry>, T), Rejected> {
        loop {
            let entry = self.find_or_open(uid)?;
            let mut locked = entry.lock(&self.counters);
            if locked.is_over() {
                // It has just gone from the table; the next one found will be another.
                continue;
            }
            let brought = given_uids::bring_kept(self, &mut locked);
            let done = act(&mut locked);
            drop(locked);
            if let Some(follow_up) = brought {
                self.follow_up(uid, follow_up);
            }
            return Ok((entry, done));
        }
    }

    /// Calls one entry of a session that is in the table. `None`: there is none.
    fn with<T>(
        &self,
        uid: InstanceUid,
        event: impl FnOnce(&mut Session, &Moment<'_>, &mut Carrier<'_>) -> T,
    ) -> Option<T> {
        let entry = self.find(uid)?;
        self.run(&entry, None, event)
    }

    /// Calls one entry of this session and carries its effects out. `out`: where a reply goes that is written
    /// at once. `None`: the session is over.
    fn run<T>(
        &self,
        entry: &SessionEntry,
        out: Option<&mut Vec<u8>>,
        event: impl FnOnce(&mut Session, &Moment<'_>, &mut Carrier<'_>) -> T,
    ) -> Option<T> {
        let mut locked = entry.lock(&self.counters);
        if locked.is_over() {
            return None;
        }
        let uid = locked.session.uid();
        let context = EventContext { out, ..EventContext::default() };
        let (done, follow_up) = self.apply(&mut locked, context, event);
        if let Some(fleet) = self.in_fleet() {
            fleet.homes().note_told(&mut locked);
        }
        drop(locked);
        self.follow_up(uid, follow_up);
        Some(done)
    }

    /// Calls one entry of a locked session. What it returns besides follows after the lock is given back.
    fn apply<T>(
        &self,
        locked: &mut LockedEntry<'_>,
        context: EventContext<'_>,
        event: impl FnOnce(&mut Session, &Moment<'_>, &mut Carrier<'_>) -> T,
    ) -> (T, FollowUp) {
        // In a fleet an agent that goes comes back through another front, and its session stays.
        let drains = self.draining.load(Ordering::Relaxed) && self.joined.get().is_none();
        let moment = Moment { now: clock::now(), policy: &self.policy, drains };
        let EntryState { session, contents, outbox, far, noted } = &mut **locked;
        let around = Surroundings { contents, outbox, far: far.as_deref_mut(), noted };
        let mut carrier = Carrier::new(self, (session.uid(), moment.now), around, context);
        let done = event(session, &moment, &mut carrier);
        let follow_up = carrier.into_follow_up();
        if follow_up.is_over
            && let Some(far) = locked.far.take()
        {
            self.counters.outbox_changed(far.unwritten_bytes(), 0);
        }
        (done, follow_up)
    }

    /// Does what has to wait until the session's lock is free.
    fn follow_up(&self, uid: InstanceUid, follow_up: FollowUp) {
        room::carry_out(self, uid, follow_up);
        room::make_room(self);
    }
}
