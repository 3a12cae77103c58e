//! An agent's message, from its bytes to the link and the reply.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::attachment::Attachment;
use super::contents::with_space;
use super::drain::is_settled;
use super::slot::{Locked, Slot, SlotState};
use super::{Presence, Sessions, additions};
use crate::clock;
use crate::core::pacing::Permit;
use crate::core::session::{Arrival, Carry, EndReason, Policy, Reply, ReportVerdict, Route, Says};
use crate::ident::{ConnectionId, InstanceUid, UidError};
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;
use crate::opamp::fields::ScanError;
use crate::opamp::splice::Additions;
use crate::opamp::{header, splice};
use crate::telemetry::events::sessions as events;
use crate::telemetry::events::sessions::{CustomDrop, HeartbeatRoute, OfferDrop, ReplySource};
use crate::websocket;

/// One-shot messages of all agents that may wait for their servers, in bytes.
const PENDING_TOTAL_BYTES_MAX: usize = 64 << 20;

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

/// What became of an agent's message on its way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forwarding {
    /// It went.
    Sent,
    /// Its session waits for its turn.
    Queued {
        /// The server may yet answer while the agent waits.
        soon: bool,
    },
    /// There was nothing to send.
    Nothing,
}

/// A plain-HTTP request whose reply is awaited.
pub struct Waiting {
    sessions: Arc<Sessions>,
    slot: Arc<Slot>,
    request: u32,
    reply_due: Option<Instant>,
}

impl Sessions {
    /// A message on a WebSocket. An immediate reply is appended to `out` as a frame; anything
    /// later comes through the seat, which the first message takes.
    ///
    /// # Errors
    /// The message was not taken, and why. The seat is as before.
    pub fn receive(
        self: &Arc<Self>,
        attachment: &mut Option<Attachment>,
        connection: ConnectionId,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let scan = AgentScan::parse(header::strip(bytes))?;
        let uid = InstanceUid::from_wire(scan.uid)?;
        if attachment.as_ref().is_none_or(|attachment| attachment.uid != uid) {
            let taken = self.attach(uid, connection)?;
            if let Some(old) = attachment.replace(taken) {
                old.hand_over(out);
            }
        }
        let Some(attachment) = attachment else { return Err(Rejected::Full) };
        let mut slot = attachment.slot.lock(&self.tally);
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
        if scan.disconnects() {
            self.say_farewell(&mut slot, out);
        } else {
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
        let (slot, (request, reply_due)) = self.enter(uid, |mut slot| {
            let was = slot.session.presence();
            if let Arrival::Replaces(_) = slot.session.poll(clock::now()) {
                events::ConnectionReplaced { uid }.emit();
            } else if !matches!(was, Presence::Polling { .. }) {
                self.note_arrival(&slot, was);
            }
            if slot.vacate() {
                slot.session.offer_may_be_lost();
            }
            // An answer of the gateway's own is there already.
            let _ = self.take_report(&mut slot, &scan);
            let waits = (slot.session.request(), slot.session.reply_due());
            self.finish(uid, slot);
            waits
        })?;
        Ok(Waiting { sessions: Arc::clone(self), slot, request, reply_due })
    }

    /// Does something with an agent's session, which is there or made.
    fn enter<T>(
        &self,
        uid: InstanceUid,
        act: impl FnOnce(Locked<'_>) -> T,
    ) -> Result<(Arc<Slot>, T), Rejected> {
        loop {
            let slot = self.find_or_open(uid)?;
            let locked = slot.lock(&self.tally);
            if locked.removed {
                // It has just gone from the table; the next one found will not have.
                continue;
            }
            let done = act(locked);
            return Ok((slot, done));
        }
    }

    fn note_arrival(&self, slot: &SlotState, was: Presence) {
        let uid = slot.session.uid();
        if slot.session.numbers().0.is_none() {
            return;
        }
        if was == Presence::Disconnecting {
            // Its end has been counted.
            events::SessionOpened { uid }.emit();
        } else {
            events::SessionResumed { uid }.emit();
        }
    }

    /// Sends the message on or not; says whether the agent is answered at once.
    fn take_report(&self, slot: &mut Locked<'_>, scan: &AgentScan<'_>) -> Reply {
        let now = clock::now();
        let uid = slot.session.uid();
        let route = self.uplink.route(uid);
        let expected = slot.session.numbers().0;
        let ReportVerdict { says, gap, new_process, restart_dropped } =
            slot.session.report(scan, route, now, &self.policy);
        if new_process {
            slot.contents.clear();
        }
        if restart_dropped {
            events::OfferDropped { uid, reason: OfferDrop::NewProcess }.emit();
        }
        if gap && let Some(last) = expected {
            let (expected, received) = (last.next().0, scan.sequence_num.0);
            events::GapDetected { uid, expected, received }.emit();
        }
        let taken = match says {
            Says::Alive { goes_on } => self.take_heartbeat(slot, scan, route.filter(|_| goes_on)),
            Says::Something => self.take_news(slot, scan, route),
        };
        if scan.disconnects() {
            events::SessionEnded { uid, reason: EndReason::AgentDisconnect }.emit();
        }
        let awaited = !scan.disconnects()
            && matches!(taken, Forwarding::Sent | Forwarding::Queued { soon: true });
        slot.session.owe_reply(awaited, now, &self.policy)
    }

    /// A heartbeat goes on if there is a route for it (R9).
    fn take_heartbeat(
        &self,
        slot: &mut SlotState,
        scan: &AgentScan<'_>,
        route: Option<Route>,
    ) -> Forwarding {
        let taken = match route {
            None => Forwarding::Nothing,
            Some(_) => self.forward(slot, scan, (route, Carry::Whole)),
        };
        let sent = taken == Forwarding::Sent;
        if route.is_some() && !sent {
            slot.session.announce_later();
        }
        let route = if sent { HeartbeatRoute::Forwarded } else { HeartbeatRoute::Local };
        events::Heartbeat { route }.emit();
        // Of a touch that waits, the agent need not hear.
        if sent { taken } else { Forwarding::Nothing }
    }

    /// Sends on what the server does not have of a report (R1, R2), or has it wait for its turn.
    fn take_news(
        &self,
        slot: &mut SlotState,
        scan: &AgentScan<'_>,
        route: Option<Route>,
    ) -> Forwarding {
        let news = with_space(|space| {
            let news = slot.session.news(scan, &self.digester, &mut space.digest);
            slot.contents.keep(&self.store, scan, news.to_keep(), space);
            news
        });
        let carry = slot.session.learn(scan, &news, route);
        if carry == Carry::Nothing {
            events::ReportSuppressed { bytes: scan.bytes.len() }.emit();
            return Forwarding::Nothing;
        }
        let taken = self.forward(slot, scan, (route, carry));
        match taken {
            Forwarding::Sent => slot.session.report_sent(scan, carry),
            Forwarding::Queued { .. } | Forwarding::Nothing => slot.session.news_lost(&news),
        }
        taken
    }

    /// Sends a message in this form, if its server has time for it now.
    fn forward(
        &self,
        slot: &mut SlotState,
        scan: &AgentScan<'_>,
        (route, carry): (Option<Route>, Carry),
    ) -> Forwarding {
        let uid = slot.session.uid();
        if is_on(Breach::DrainDropsGoodbye) && self.is_draining() && scan.disconnects() {
            slot.session.gone();
            return Forwarding::Nothing;
        }
        let sent = route.ok_or(Forwarding::Queued { soon: false }).and_then(|route| {
            if slot.session.must_queue(scan) {
                return Err(Forwarding::Queued { soon: true });
            }
            if !slot.session.takes_turn(scan)
                && let Permit::Wait { soon } = self.uplink.admit(uid, route)
            {
                return Err(Forwarding::Queued { soon });
            }
            self.leave_old_server(slot, route);
            let number = slot.session.next_number();
            let mut write = |out: &mut Vec<u8>| match carry {
                Carry::Fields(keep) => splice::forward_fields(scan, keep, number, out),
                Carry::Whole | Carry::Nothing => splice::forward(scan, number, out),
            };
            let sent = self.uplink.send(uid, route, &mut write);
            sent.map(|()| route).map_err(|_| Forwarding::Queued { soon: false })
        });
        match sent {
            Ok(route) => {
                slot.session.sent(route, clock::now());
                if scan.disconnects() {
                    slot.session.gone();
                }
                events::ReportForwarded { uid }.emit();
                Forwarding::Sent
            }
            Err(queued) => {
                let room = PENDING_TOTAL_BYTES_MAX.saturating_sub(self.tally.server_bytes());
                let pending_bytes_max = self.policy.pending_bytes_max.min(room);
                if !slot.session.not_sent(scan, &Policy { pending_bytes_max, ..self.policy }) {
                    events::CustomMessageDropped { uid, reason: CustomDrop::OverBudget }.emit();
                }
                queued
            }
        }
    }

    fn attach(
        self: &Arc<Self>,
        uid: InstanceUid,
        connection: ConnectionId,
    ) -> Result<Attachment, Rejected> {
        let (slot, cloned) = self.enter(uid, |mut slot| {
            let was = slot.session.presence();
            match slot.session.arrive(connection, clock::now()) {
                Arrival::Admitted => self.note_arrival(&slot, was),
                Arrival::Replaces(_) => events::ConnectionReplaced { uid }.emit(),
                Arrival::Cloned => return true,
            }
            if slot.vacate() {
                // An offer may have been among it.
                slot.session.offer_may_be_lost();
            }
            slot.renamed = false;
            false
        })?;
        if cloned {
            return Err(Rejected::Cloned { uid, fresh: fresh_uid() });
        }
        Ok(Attachment { sessions: Arc::clone(self), slot, uid, connection })
    }
}

impl Waiting {
    /// The reply: everything that waits for the agent, in one `ServerToAgent`. `expired`: the
    /// agent has waited long enough and is answered in the server's place.
    pub fn poll_reply(&self, context: &Context<'_>, expired: bool) -> Poll<Vec<u8>> {
        let mut slot = self.slot.lock(&self.sessions.tally);
        if !slot.session.is_answered_by(self.request) {
            // What waits for the agent is for its newer request or connection.
            let mut message = Vec::new();
            splice::acknowledge(slot.session.uid(), &Additions::default(), &mut message);
            return Poll::Ready(message);
        }
        if expired && slot.session.waive_replies() > 0 {
            events::Replied { source: ReplySource::Local, after: None }.emit();
        }
        if slot.session.owed() > 0 {
            slot.wake_next(context.waker());
            return Poll::Pending;
        }
        slot.waker = None;
        Poll::Ready(self.write_reply(&mut slot))
    }

    /// After the reply: whether the server has heard and answered all that the agent said.
    pub fn is_settled(&self) -> bool {
        is_settled(&self.slot.lock(&self.sessions.tally))
    }

    /// After the reply: the agent's next request goes to another node.
    pub fn release_drained(&self) {
        let slot = self.slot.lock(&self.sessions.tally);
        if slot.session.is_answered_by(self.request) {
            self.sessions.release_drained(slot);
        }
    }

    /// When the agent has waited long enough; `None` if its reply is there.
    pub const fn reply_due(&self) -> Option<Instant> {
        self.reply_due
    }

    fn write_reply(&self, slot: &mut SlotState) -> Vec<u8> {
        let mut message = Vec::new();
        if !slot.session.has_offers() {
            self.sessions.write_acknowledgement(slot, 0, &mut message);
            return message;
        }
        let server_hello = self.sessions.server_hello_for(slot, slot.session.sent_on());
        slot.session.take_offer(&additions(server_hello.as_ref(), 0), clock::now(), &mut message);
        slot.session.hello_sent |= server_hello.is_some_and(|g| g.capabilities.is_some());
        message
    }
}

impl Drop for Waiting {
    /// The agent may have given up: nothing must keep its task.
    fn drop(&mut self) {
        let mut slot = self.slot.lock(&self.sessions.tally);
        if slot.session.is_answered_by(self.request) {
            slot.waker = None;
        }
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
