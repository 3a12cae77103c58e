//! An agent's message, from its bytes to the link and the reply.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::seat::Seat;
use super::slot::{Locked, Slot, SlotState};
use super::{NotSent, Presence, Sessions, additions};
use crate::clock;
use crate::core::session::{Arrival, Reply, ReportVerdict, Route};
use crate::ident::{ConnectionId, InstanceUid, UidError};
use crate::opamp::agent::AgentScan;
use crate::opamp::fields::ScanError;
use crate::opamp::{header, splice};
use crate::telemetry::events::sessions as events;
use crate::telemetry::events::sessions::{CustomDrop, EndReason, HeartbeatRoute, ReplySource};
use crate::websocket;

/// About how long an acknowledgement is: a hint for the frame's header.
const ACKNOWLEDGEMENT_BYTES: usize = 32;

/// Why an agent's message was not taken. The agent's fault, but for the last.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The bytes are no `AgentToServer`.
    #[error("not an AgentToServer message: {0}")]
    Malformed(#[from] ScanError),
    /// Who speaks?
    #[error(transparent)]
    Uid(#[from] UidError),
    /// Another live agent uses the uid (R10): the agent is to be given a fresh one.
    #[error("instance_uid {uid} is in use by another agent")]
    Cloned {
        /// The uid that two agents use.
        uid: InstanceUid,
        /// The one for this agent.
        fresh: InstanceUid,
    },
    /// The table is full. The gateway's limit; retrying helps.
    #[error("too many agents")]
    Full,
}

/// A plain-HTTP request whose reply is awaited.
pub struct Waiting {
    sessions: Arc<Sessions>,
    slot: Arc<Slot>,
}

impl Sessions {
    /// A message on a WebSocket. An immediate reply is appended to `out` as a frame; anything
    /// later comes through the seat, which the first message takes.
    ///
    /// # Errors
    /// The message was not taken, and why. The seat is as before.
    pub fn receive(
        self: &Arc<Self>,
        seat: &mut Option<Seat>,
        connection: ConnectionId,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let scan = AgentScan::parse(header::strip(bytes))?;
        let uid = InstanceUid::from_wire(scan.uid)?;
        if seat.as_ref().is_none_or(|seat| seat.uid != uid) {
            // Also when the agent goes on under another uid: dropping the old seat ends or
            // suspends the session of the old one.
            *seat = Some(self.take_seat(uid, connection)?);
        }
        let Some(seat) = seat else { return Err(Rejected::Full) };
        let mut slot = seat.slot.lock(&self.tally);
        if !matches!(slot.session.presence(), Presence::Connected { connection: c } if c == connection)
        {
            // Replaced a moment ago: what a stale connection still says is not taken, its task
            // will find out. An agent that spoke after it left starts anew with its next message.
            return Ok(());
        }
        if self.take_report(&mut slot, &scan) == Reply::Now {
            let frame = websocket::begin_message(None, ACKNOWLEDGEMENT_BYTES, out);
            self.write_acknowledgement(&mut slot, 0, out);
            websocket::finish_message(frame, out);
            events::Replied { source: ReplySource::Local, after: None }.emit();
        }
        if slot.session.has_offers() {
            self.flush_offers(&mut slot);
        }
        self.finish(uid, slot);
        Ok(())
    }

    /// A message in a plain-HTTP request. The reply comes from [`Waiting`].
    ///
    /// # Errors
    /// The message was not taken, and why.
    pub fn receive_http(self: &Arc<Self>, bytes: &[u8]) -> Result<Waiting, Rejected> {
        let scan = AgentScan::parse(bytes)?;
        let uid = InstanceUid::from_wire(scan.uid)?;
        let slot = loop {
            let slot = self.find_or_open(uid).ok_or(Rejected::Full)?;
            if !slot.peek().removed {
                break slot;
            }
        };
        let mut locked = slot.lock(&self.tally);
        let was = locked.session.presence();
        if let Arrival::Replaces(_) = locked.session.poll(clock::now()) {
            self.displace(&mut locked);
        } else if !matches!(was, Presence::Polling { .. }) {
            events::SessionResumed { uid }.emit();
        }
        // A local answer is a reply that is there already.
        let _ = self.take_report(&mut locked, &scan);
        self.finish(uid, locked);
        Ok(Waiting { sessions: Arc::clone(self), slot })
    }

    /// Sends the message on or not; says whether the agent is answered at once.
    fn take_report(&self, slot: &mut Locked<'_>, scan: &AgentScan<'_>) -> Reply {
        let now = clock::now();
        let uid = slot.session.uid();
        let route = self.uplink.route(uid);
        let expected = slot.session.numbers().0;
        let ReportVerdict { send, gap, new_process: _ } =
            slot.session.report(scan, route, now, &self.policy);
        if gap && let Some(last) = expected {
            let (expected, received) = (last.next().0, scan.sequence_num.0);
            events::GapDetected { uid, expected, received }.emit();
        }
        if scan.is_heartbeat() {
            let route = if send { HeartbeatRoute::Forwarded } else { HeartbeatRoute::Local };
            events::Heartbeat { route }.emit();
        }
        let sent = send && self.forward(slot, scan, route).is_ok();
        if scan.disconnects() {
            events::SessionEnded { uid, reason: EndReason::AgentDisconnect }.emit();
        }
        slot.session.owe_reply(sent && !scan.disconnects(), now, &self.policy)
    }

    fn forward(
        &self,
        slot: &mut SlotState,
        scan: &AgentScan<'_>,
        route: Option<Route>,
    ) -> Result<(), NotSent> {
        let uid = slot.session.uid();
        let taken = route.ok_or(NotSent::Down).and_then(|route| {
            if slot.session.must_queue(scan) {
                self.send_pending(slot, route)?;
            }
            let number = slot.session.next_number();
            let mut write = |out: &mut Vec<u8>| splice::forward(scan, number, out);
            self.uplink.send(uid, route, &mut write).map(|()| route)
        });
        match taken {
            Ok(route) => {
                slot.session.sent(route, Some(scan), clock::now());
                events::ReportForwarded { uid }.emit();
                Ok(())
            }
            Err(why) => {
                if !slot.session.not_sent(scan, &self.policy) {
                    events::CustomMessageDropped { uid, reason: CustomDrop::OverBudget }.emit();
                }
                Err(why)
            }
        }
    }

    fn take_seat(
        self: &Arc<Self>,
        uid: InstanceUid,
        connection: ConnectionId,
    ) -> Result<Seat, Rejected> {
        loop {
            let Some(slot) = self.find_or_open(uid) else {
                events::SessionRefused { uid }.emit();
                return Err(Rejected::Full);
            };
            let mut locked = slot.lock(&self.tally);
            if locked.removed {
                continue;
            }
            let known = locked.session.numbers().0.is_some();
            match locked.session.arrive(connection, clock::now()) {
                Arrival::Admitted if known => events::SessionResumed { uid }.emit(),
                Arrival::Admitted => {}
                Arrival::Replaces(_) => self.displace(&mut locked),
                Arrival::Cloned => return Err(Rejected::Cloned { uid, fresh: fresh_uid() }),
            }
            locked.renamed = false;
            drop(locked);
            return Ok(Seat { sessions: Arc::clone(self), slot, uid, connection });
        }
    }

    /// The old connection's task finds out when it wakes; what waited for it is void.
    fn displace(&self, slot: &mut SlotState) {
        events::ConnectionReplaced { uid: slot.session.uid() }.emit();
        let unread = std::mem::take(&mut slot.outbox);
        self.tally.outbox_taken(unread.len());
        slot.overflowed = false;
        if !unread.is_empty() {
            slot.session.content_written(clock::now());
        }
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }

    /// The end of every change: put down what follows from it, then act without the lock.
    pub(super) fn finish(&self, uid: InstanceUid, mut slot: Locked<'_>) {
        let enlist = self.settle(&mut slot);
        let removed = slot.removed;
        drop(slot);
        self.conclude(uid, removed, enlist);
    }
}

impl Waiting {
    /// The reply: everything that waits for the agent, in one `ServerToAgent`. `expired`: the
    /// agent has waited long enough and is answered in the server's place.
    pub fn poll_reply(&self, context: &Context<'_>, expired: bool) -> Poll<Vec<u8>> {
        let mut slot = self.slot.lock(&self.sessions.tally);
        if expired {
            slot.session.reply_overdue(clock::now());
        }
        if slot.session.owed() > 0 {
            if !slot.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                slot.waker = Some(context.waker().clone());
            }
            return Poll::Pending;
        }
        slot.waker = None;
        Poll::Ready(self.write_reply(&mut slot))
    }

    /// When the agent has waited long enough.
    pub fn reply_due(&self) -> Option<Instant> {
        self.slot.peek().session.reply_due()
    }

    fn write_reply(&self, slot: &mut SlotState) -> Vec<u8> {
        let mut message = Vec::new();
        let uid = slot.session.uid();
        let greeting = self.sessions.greeting_for(slot, slot.session.sent_on());
        let with = additions(greeting.as_ref(), 0);
        match slot.session.offers_mut() {
            Some(offers) => {
                if !offers.take(uid, &with, &mut message) {
                    *slot.session.offers_mut() = None;
                }
                slot.session.content_written(clock::now());
            }
            None => splice::acknowledge(uid, &with, &mut message),
        }
        slot.session.greeted |= greeting.is_some_and(|g| g.capabilities.is_some());
        message
    }
}

/// A uid for an agent whose own is somebody else's: a UUID of version 7, as the specification
/// recommends (RFC 9562, section 5.7).
fn fresh_uid() -> InstanceUid {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let millis = since.as_millis() & 0xffff_ffff_ffff;
    let random: u128 = rand::random::<u128>() & ((1 << 80) - 1);
    let bits = (millis << 80) | random;
    let versioned = (bits & !(0xf << 76)) | (0x7 << 76);
    let marked = (versioned & !(0x3 << 62)) | (0x2 << 62);
    InstanceUid::from_bytes(marked.to_be_bytes())
}
