//! A server's message, on its way to the one agent it is for; and the session's turn at its server.

use std::time::Duration;

use super::slot::SlotState;
use super::{NotSent, Sessions, additions, table};
use crate::clock;
use crate::core::pacing::Class;
use crate::core::session::{Answer, FromServer, Route, ServerVerdict, Turn};
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::opamp::field_set::FieldSet;
use crate::opamp::server::ServerScan;
use crate::opamp::splice;
use crate::telemetry::events::edge::SendKind;
use crate::telemetry::events::sessions as events;
use crate::telemetry::events::sessions::{OfferDrop, ReplySource};
use crate::telemetry::events::store;

/// What became of a server's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It went to its agent, is kept for it, or was an acknowledgement already given.
    Done,
    /// No session has this uid.
    Unknown,
    /// The server did not take the agent's message and wants peace for this long, if it said so.
    Unavailable(Option<Duration>),
}

/// A server's message, dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// What became of it.
    pub delivered: Delivered,
    /// What it says about the server as an answer; `None` if it was none.
    pub answer: Option<Answer>,
}

/// What came of a session's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitUse {
    /// There was nothing to do: the turn costs the server nothing.
    Idle,
    /// Messages went to the server or a question to the agent.
    Used,
    /// The link had no room: the session wants another turn.
    Again,
}

/// A server's message, and where it came from.
struct Message<'a> {
    from: Route,
    scan: &'a ServerScan<'a>,
    /// Flags that are taken out.
    strip: u64,
    /// For how long the agent has been waiting for a reply.
    waited: Option<Duration>,
}

impl Message<'_> {
    const fn flags(&self) -> u64 {
        self.scan.flags & !self.strip
    }
}

impl Sessions {
    /// A message for `uid` that came on `from`.
    pub fn from_server(&self, uid: InstanceUid, from: Route, scan: &ServerScan<'_>) -> Delivery {
        let wrong = is_on(Breach::R7WrongAgent).then(|| table::another(&self.table, uid)).flatten();
        let uid = wrong.unwrap_or(uid);
        let unknown = || {
            let answer = self.echoes.lock().heard(uid, from, clock::now());
            Delivery { delivered: Delivered::Unknown, answer }
        };
        let Some(slot) = self.find(uid) else { return unknown() };
        let mut slot = slot.lock(&self.tally);
        if slot.removed {
            return unknown();
        }
        let now = clock::now();
        let waited = slot.session.waited(now, &self.policy);
        let ServerVerdict { then, strip, answer } = slot.session.from_server(scan, from, now);
        if scan.reports_full_state_wanted() {
            store::FullStateWanted { uid }.emit();
        }
        let message = Message { from, scan, strip, waited };
        let delivered = self.carry_out(&mut slot, &message, then);
        self.finish(uid, slot);
        Delivery { delivered, answer }
    }

    fn carry_out(
        &self,
        slot: &mut SlotState,
        message: &Message<'_>,
        then: FromServer,
    ) -> Delivered {
        match then {
            FromServer::Reply => self.deliver(slot, message, SendKind::Reply),
            FromServer::Push => self.deliver(slot, message, SendKind::Push),
            FromServer::Keep(reply) => {
                self.keep(slot, &message.scan.without_flags(message.strip));
                if reply {
                    events::Replied { source: ReplySource::Server, after: message.waited }.emit();
                    slot.wake();
                }
            }
            FromServer::Swallow => events::AcknowledgementSwallowed.emit(),
            FromServer::TooLate => {
                let (uid, reason) = (slot.session.uid(), OfferDrop::SessionEnded);
                // Should it come back before the server has been told, the server must find out.
                slot.session.offer_may_be_lost();
                events::OfferDropped { uid, reason }.emit();
            }
            FromServer::Former => {
                let (uid, reason) = (slot.session.uid(), OfferDrop::FormerServer);
                if !message.scan.is_empty_ack() {
                    events::OfferDropped { uid, reason }.emit();
                }
            }
            FromServer::Unavailable { retry_after, acknowledge } => {
                if acknowledge {
                    self.acknowledge_in_its_place(slot);
                }
                return Delivered::Unavailable(retry_after);
            }
        }
        Delivered::Done
    }

    fn deliver(&self, slot: &mut SlotState, message: &Message<'_>, kind: SendKind) {
        let scan = message.scan;
        let server_hello = self.server_hello_for(slot, Some(message.from));
        let mut bytes = Vec::with_capacity(scan.bytes.len() + 64);
        let with = additions(server_hello.as_ref(), 0);
        let hello_sent = splice::to_agent(scan, slot.session.uid(), &with, &mut bytes);
        if message.flags() != scan.flags {
            splice::set_flags(message.flags(), &mut bytes);
        }
        slot.session.hello_sent |=
            hello_sent && server_hello.is_some_and(|g| g.capabilities.is_some());
        slot.renamed |= scan.new_instance_uid().is_some();
        // A question that is lost is asked again; an offer has to be found missing.
        if !scan.without_flags(u64::MAX).is_empty_ack() {
            slot.session.content_written(clock::now());
        }
        if kind == SendKind::Reply {
            events::Replied { source: ReplySource::Server, after: message.waited }.emit();
        }
        self.put(slot, kind, &bytes);
    }

    /// The session's turn at its server has come: one message goes, at most. If more waits, the
    /// session stands in the queue again.
    pub fn turn(&self, uid: InstanceUid, class: Class) -> PermitUse {
        let Some(slot) = self.find(uid) else { return PermitUse::Idle };
        let mut slot = slot.lock(&self.tally);
        slot.session.queued.remove(class);
        let Some(route) = self.uplink.route(uid) else { return PermitUse::Idle };
        let taken = match self.take_turn(&mut slot, route, class) {
            Ok(taken) => taken,
            Err(NotSent::Full) => {
                slot.session.queued.insert(class);
                PermitUse::Again
            }
            // The link's return brings every session its turn.
            Err(NotSent::Down | NotSent::Stale) => PermitUse::Idle,
        };
        self.finish(uid, slot);
        taken
    }

    fn take_turn(
        &self,
        slot: &mut SlotState,
        route: Route,
        class: Class,
    ) -> Result<PermitUse, NotSent> {
        let state_lost = class == Class::Announce && self.uplink.state_lost(route);
        let uid = slot.session.uid();
        let turn = slot.session.turn(class, route, state_lost, clock::now());
        if !matches!(turn, Turn::Nothing | Turn::AskAgent(_)) {
            self.leave_old_server(slot, route);
        }
        let number = slot.session.next_number();
        match turn {
            Turn::Nothing | Turn::Announce => return self.send_announce(slot, route, turn),
            Turn::AskAgent(flags) => self.ask_agent(slot, flags),
            Turn::Report(parts) => return self.report_kept(slot, route, parts),
            Turn::Disconnect if slot.session.is_gone() => return Ok(PermitUse::Idle),
            Turn::Disconnect => {
                let mut write = |out: &mut Vec<u8>| splice::disconnect(uid, number, out);
                self.uplink.send(uid, route, &mut write)?;
                slot.session.sent(route, clock::now());
                slot.session.gone();
            }
            Turn::OneShot => self.send_pending(slot, route)?,
        }
        Ok(PermitUse::Used)
    }

    /// Sends parts of the agent's state from the content store (R2, R4), or what of them has not had to
    /// go from there. If nothing goes, the turn is the agent's, which is asked.
    fn report_kept(
        &self,
        slot: &mut SlotState,
        route: Route,
        parts: FieldSet,
    ) -> Result<PermitUse, NotSent> {
        let uid = slot.session.uid();
        let (number, capabilities) = (slot.session.next_number(), slot.session.capabilities());
        let mut message = Vec::new();
        splice::announce(uid, capabilities, number, &mut message);
        let missing = slot.contents.append(parts, &mut message);
        let mut goes = Turn::Report(parts);
        if !missing.is_empty() {
            goes = slot.session.lacks(missing, parts, route);
            store::ContentMissing { uid }.emit();
        }
        let Turn::Report(parts) = goes else {
            self.send_announce(slot, route, goes)?;
            return Ok(PermitUse::Used);
        };
        self.uplink.send(uid, route, &mut |out| out.extend_from_slice(&message))?;
        slot.session.sent(route, clock::now());
        slot.session.parts_sent(parts);
        store::ReportFromStore { uid, bytes: message.len() }.emit();
        Ok(PermitUse::Used)
    }

    /// Tells the server of the agent, and nothing more, if that is the session's turn.
    fn send_announce(
        &self,
        slot: &mut SlotState,
        route: Route,
        turn: Turn,
    ) -> Result<PermitUse, NotSent> {
        if turn != Turn::Announce {
            return Ok(PermitUse::Idle);
        }
        let uid = slot.session.uid();
        let (number, capabilities) = (slot.session.next_number(), slot.session.capabilities());
        let mut write = |out: &mut Vec<u8>| splice::announce(uid, capabilities, number, out);
        self.uplink.send(uid, route, &mut write)?;
        self.uplink.announced(uid, route.link.server);
        slot.session.announce_sent(route, clock::now());
        Ok(PermitUse::Used)
    }

    /// Sends the first of what waited.
    fn send_pending(&self, slot: &mut SlotState, route: Route) -> Result<(), NotSent> {
        let uid = slot.session.uid();
        let number = slot.session.next_number();
        let capabilities = slot.session.capabilities();
        let Some(fields) = slot.session.first_pending() else { return Ok(()) };
        let mut write = |out: &mut Vec<u8>| {
            out.extend_from_slice(fields);
            splice::set_sequence_num(number, out);
            splice::set_capabilities(capabilities, out);
        };
        self.uplink.send(uid, route, &mut write)?;
        slot.session.pending_sent(route, clock::now());
        Ok(())
    }

    /// After a failover or failback the server the agent came from, if it still lives, is told
    /// that the agent is no longer its.
    pub(super) fn leave_old_server(&self, slot: &mut SlotState, route: Route) {
        let Some(old) = slot.session.leave_server(route) else { return };
        let (uid, number) = (slot.session.uid(), slot.session.next_number());
        let mut write = |out: &mut Vec<u8>| splice::disconnect(uid, number, out);
        // Not sent means not there: a server that lost its links has lost its agents too.
        if self.uplink.send(uid, old, &mut write).is_ok() {
            self.uplink.orphaned(old, 1);
            slot.session.told_old_server();
        }
    }
}
