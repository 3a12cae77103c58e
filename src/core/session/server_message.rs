//! The entries for a server's words: a message for this agent, and the sign that a message of the agent's
//! came to nothing.

use std::time::{Duration, Instant};

use super::moved_here::{has_moved_lately, note_passed_on, take_rename};
use super::offer_size::is_refused;
use super::replica::Refused;
use super::server_asks::note_asks;
use super::uid_requests::gives_uid_to_another;
use super::work::Work;
use super::{
    Answer, CustomLoss, Moment, Note, OfferLoss, OfferSource, Peer, Port, Presence, Replier, Route,
    Session, ToAgent,
};
use crate::core::server::Keying;
use crate::ident::InstanceUid;
use crate::mutation::{Breach, is_on};
use crate::opamp::field_set::{FieldSet, server_field};
use crate::opamp::offers::Absorbed;
use crate::opamp::server::{ErrorKind, ServerScan};
use crate::opamp::splice;

/// What became of a server's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It went to its agent, waits for it, or was an acknowledgement already given.
    Done,
    /// There is no session with this uid.
    Unknown,
    /// The server refused the agent's message and wants a pause, of this length if it said so.
    Unavailable(Option<Duration>),
}

/// A server's message, dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// What became of it.
    pub delivered: Delivered,
    /// What it says about the server as an answer; `None` if it was none.
    pub answer: Option<Answer>,
    /// How the server knows its agents, if it has shown that.
    pub shows: Option<Keying>,
}

impl Delivery {
    /// Dealt with, and no more than that.
    pub const fn of(delivered: Delivered, answer: Option<Answer>) -> Self {
        Self { delivered, answer, shows: None }
    }
}

/// Bytes that the greeting adds to a server's message, about.
const GREETING_BYTES: usize = 64;

impl Session {
    /// A server's message for this agent came on `from`. A reply and a push look alike on the wire: while
    /// the server owes a reply, the first message counts as it.
    pub fn server_message<P: Port>(
        &mut self,
        scan: &ServerScan<'_>,
        from: Route,
        moment: &Moment<'_>,
        port: &mut P,
    ) -> Delivery {
        let mut work = Work::of(self, moment, port);
        let delivery = take_server_message(&mut work, scan, from);
        work.finish();
        delivery
    }

    /// A message that went out on `from` came to nothing outside of OpAMP: the connection broke, or a status
    /// of HTTP says so. `again`: what it said must be sent once more, with a permit. Returns what that is
    /// as an answer; `None` if none was awaited any more, and what was lost has been seen to. A late reply
    /// may have passed for the answer to this message: then it was the late one that is missing.
    pub fn message_lost<P: Port>(
        &mut self,
        from: Route,
        again: bool,
        moment: &Moment<'_>,
        port: &mut P,
    ) -> Option<Answer> {
        let awaited = self.outstanding.take_lost(from);
        if !awaited && !expects_late_reply(self, from, moment.now) {
            return None;
        }
        let more_unanswered = self.outstanding.unanswered() > 0;
        self.replica.refused(Refused { awaited: true, again, more_unanswered });
        if again {
            // It may have been an announcement.
            self.permits.announce_later();
        }
        let mut work = Work::of(self, moment, port);
        acknowledge_lost(&mut work);
        work.finish();
        Some(if awaited { Answer::SOME } else { Answer::ORPHAN })
    }

    /// A message that went out on `from` is refused by the server, outside of OpAMP. The agent is told as if
    /// the server had said so itself, which `refusal` does (OpAMP specification, "Bad Request"). Of a
    /// message that said nothing, and that may have been the gateway's own, the agent is told if it waits for
    /// the answer.
    pub fn message_refused<P: Port>(
        &mut self,
        refused: &RefusedMessage<'_>,
        moment: &Moment<'_>,
        port: &mut P,
    ) -> Option<Answer> {
        if refused.said_something || self.replies.owed() > 0 {
            return self.server_message(refused.refusal, refused.from, moment, port).answer;
        }
        self.message_lost(refused.from, false, moment, port)
    }
}

/// Whether an answer to an earlier session of this agent may still come on `from`, or may have come and passed for
/// another.
fn expects_late_reply(session: &Session, from: Route, now: Instant) -> bool {
    let late = session.cold.as_ref().and_then(|cold| cold.late_reply);
    late.is_some_and(|late| now < late.until && late.route.wire() == from.wire())
}

/// A message that a server refused outside of OpAMP.
#[derive(Debug, Clone, Copy)]
pub struct RefusedMessage<'a> {
    /// Where it went.
    pub from: Route,
    /// The refusal in OpAMP's words.
    pub refusal: &'a ServerScan<'a>,
    /// It said more than that the agent is there.
    pub said_something: bool,
}

/// A server's message on its way to the agent.
pub(super) struct ForAgent<'a> {
    /// The message, its flags cut down to what the agent must see; its bytes still have all of them.
    pub(super) scan: ServerScan<'a>,
    /// There were such flags.
    pub(super) stripped: bool,
    pub(super) from: Route,
    /// For how long the agent has been waiting for a reply.
    pub(super) waited: Option<Duration>,
}

fn take_server_message<P: Port>(
    work: &mut Work<'_, P>,
    scan: &ServerScan<'_>,
    from: Route,
) -> Delivery {
    if scan.reports_full_state_wanted() {
        work.port.note(Note::FullStateWanted);
    }
    if work.session.outstanding.leads_elsewhere(from) {
        // The agent has been moved away from this server: the present one decides.
        if !scan.is_empty_ack() {
            work.port.note(Note::OfferDropped(OfferLoss::FormerServer));
        }
        return Delivery::of(Delivered::Done, Some(Answer::ORPHAN));
    }
    if let Some(home) = from.peer() {
        note_passed_on(work, home);
        if has_newer_offer(work.session, home, scan) {
            work.offer_may_be_lost();
            work.port.note(Note::OfferDropped(OfferLoss::FormerHome));
            return Delivery::of(Delivered::Done, None);
        }
    }
    if has_moved_lately(work.session) && offers_something(scan) {
        let source = from.peer().map_or(OfferSource::Here, OfferSource::Former);
        work.session.cold_mut().offer_of = Some(source);
    }
    work.session.rhythm.offer(scan.offered_heartbeat_interval_s());
    let now = work.now();
    let waited = work.session.replies.waited(now, work.moment.policy.reply_wait);
    let answer = work.session.outstanding.take_answer(scan, from, now);
    let mut unavailable = None;
    if let Some(error) = scan.error() {
        let overloaded = error.kind == ErrorKind::Unavailable;
        let more_unanswered = work.session.outstanding.unanswered() > 0;
        let refused = Refused { awaited: answer.is_some(), again: overloaded, more_unanswered };
        work.session.replica.refused(refused);
        unavailable = overloaded.then_some(error.retry_after);
    }
    if let Some(retry_after) = unavailable {
        // It may have been an announcement that was refused. The agent is left alone: only
        // the gateway can act on it (docs/FIELD-NOTES.md).
        work.session.permits.announce_later();
        acknowledge_lost(work);
        return Delivery::of(Delivered::Unavailable(retry_after), answer);
    }
    if scan.new_instance_uid().is_some() && has_moved_lately(work.session) {
        // It still has the agent on the former home's link. The agent is innocent of that.
        take_rename(work);
        acknowledge_lost(work);
        return Delivery { delivered: Delivered::Done, answer, shows: Some(Keying::Exclusive) };
    }
    if scan.new_instance_uid().is_some() && gives_uid_to_another(work.session, now) {
        work.port.note(Note::OfferDropped(OfferLoss::FormerConnection));
        return Delivery::of(Delivered::Done, answer);
    }
    if let Some(given) = scan.new_instance_uid().and_then(|uid| InstanceUid::from_wire(uid).ok()) {
        work.port.note(Note::UidGiven(given));
    }
    let asks_again = answer.is_some_and(|answer| answer.introduction == Some(true));
    // It lives, and has forgotten the agent with a former home's link.
    let remembers = !work.session.replica.state().remembered.is_empty();
    let shows = (asks_again && remembers).then_some(Keying::Link);
    if answer.is_some() && work.session.outstanding.is_introduced(Some(from)) {
        work.session.replica.introduction_answered(scan.reports_full_state_wanted());
    }
    note_all_answered(work);
    let strip = note_asks(work, scan);
    let message = ForAgent { scan: scan.without_flags(strip), stripped: strip != 0, from, waited };
    deliver(work, &message);
    Delivery { delivered: Delivered::Done, answer, shows }
}

/// Whether a message brings something of which only the latest counts.
fn offers_something(scan: &ServerScan<'_>) -> bool {
    const OFFERS: FieldSet = FieldSet::of(&[
        server_field::REMOTE_CONFIG,
        server_field::CONNECTION_SETTINGS,
        server_field::PACKAGES_AVAILABLE,
        server_field::COMMAND,
    ]);
    !OFFERS.intersection(scan.present).is_empty()
}

/// Whether a later home's link has brought an offer, so that one of this former home's is past.
fn has_newer_offer(session: &Session, home: Peer, scan: &ServerScan<'_>) -> bool {
    let newer = match session.cold.as_ref().and_then(|cold| cold.offer_of) {
        None => false,
        Some(OfferSource::Here) => true,
        Some(OfferSource::Former(other)) => session.outstanding.former().is_older(home, other),
    };
    newer && offers_something(scan)
}

/// The server's reply will stay out: the agent, if it is owed one, gets the gateway's.
fn acknowledge_lost<P: Port>(work: &mut Work<'_, P>) {
    let owed = work.session.replies.take();
    if owed && work.session.attendance.is_connected() {
        work.acknowledge_owed(1, None);
    }
}

/// Once all is answered, all that was sent has arrived, unless late replies may have passed for answers.
fn note_all_answered<P: Port>(work: &mut Work<'_, P>) {
    let now = work.now();
    let session = &mut *work.session;
    if let Some(cold) = &mut session.cold {
        cold.late_reply.take_if(|late| late.until <= now);
        if cold.late_reply.is_some() {
            return;
        }
    }
    if session.outstanding.unanswered() == 0 {
        session.replica.all_answered();
    }
}

/// Brings a message to the agent: now, with its next poll, or never.
pub(super) fn deliver<P: Port>(work: &mut Work<'_, P>, message: &ForAgent<'_>) {
    let ForAgent { scan, waited, .. } = message;
    if is_refused(work.session, scan.bytes.len(), work.now()) {
        work.port.note(Note::OfferDropped(OfferLoss::TooLargeForAgent));
        return acknowledge_lost(work);
    }
    let is_reply = work.session.replies.take();
    let is_empty = scan.is_empty_ack() && !is_on(Breach::R5AnswersTwice);
    let has_offers = work.session.has_offers();
    match work.session.attendance.presence() {
        Presence::Connected { .. } if is_reply => {
            if write_through(work, message, ToAgent::Reply) {
                note_server_reply(work, *waited);
            } else {
                work.acknowledge_owed(1, *waited);
            }
        }
        Presence::Polling { .. } if is_reply => {
            store_offer(work, scan);
            note_server_reply(work, *waited);
        }
        _ if is_empty => work.port.note(Note::AcknowledgementSwallowed),
        Presence::Connected { .. } if !has_offers => {
            write_through(work, message, ToAgent::Push);
        }
        // Connected, and its first report is yet to be taken: what waited longer goes first.
        Presence::Connected { .. } | Presence::Polling { .. } | Presence::Absent { .. } => {
            store_offer(work, scan);
        }
        Presence::Disconnecting | Presence::Gone => {
            // Should it come back before the server has been told, the server must find out.
            work.offer_may_be_lost();
            work.port.note(Note::OfferDropped(OfferLoss::SessionEnded));
        }
    }
}

fn note_server_reply<P: Port>(work: &mut Work<'_, P>, after: Option<Duration>) {
    work.port.note(Note::Replied { by: Replier::Server, after });
}

/// Writes a server's message for the agent's WebSocket. `false`: there was no room for it.
fn write_through<P: Port>(
    work: &mut Work<'_, P>,
    message: &ForAgent<'_>,
    kind: fn(usize) -> ToAgent,
) -> bool {
    let ForAgent { scan, stripped, from, .. } = message;
    let uid = work.session.uid;
    if scan.new_instance_uid().is_some() {
        work.session.cold_mut().mailbox.set_renamed(true);
    }
    // A question that is lost is asked again; an offer goes again.
    let has_content = !scan.without_flags(u64::MAX).is_empty_ack();
    let kind = kind(scan.bytes.len() + GREETING_BYTES);
    let wrote = work.pass_on(kind, (*from, has_content), |with, out| {
        let gave = splice::to_agent(scan, uid, with, out);
        if *stripped {
            splice::set_flags(scan.flags, out);
        }
        gave
    });
    if has_content && !wrote {
        store_offer(work, scan);
    }
    wrote
}

/// Keeps a server's message for an agent that is away or polls, or whose connection has no room for it. What exceeds the
/// room is lost: once there is room, and the agent there, its state shows the server what the agent lacks.
pub(super) fn store_offer<P: Port>(work: &mut Work<'_, P>, scan: &ServerScan<'_>) {
    let free = work.port.free_bytes();
    let is_absent = matches!(work.session.attendance.presence(), Presence::Absent { .. });
    let free = if is_absent { free.for_absent } else { free.for_agents };
    if scan.bytes.len() > free {
        return drop_offer(work, scan.bytes.len(), OfferLoss::NoRoom);
    }
    let limits = work.moment.policy.offers;
    let absorbed = work.session.cold_mut().mailbox.absorb(scan, limits);
    note_dropped(work, absorbed);
    if !scan.is_empty_ack() {
        work.port.note(Note::OfferStored);
    }
}

/// An offer of this many bytes is dropped: there is no room. Were the server told at once, it would offer the same at once.
pub(super) fn drop_offer<P: Port>(work: &mut Work<'_, P>, bytes: usize, loss: OfferLoss) {
    work.session.cold_mut().mailbox.note_dropped(bytes);
    work.port.note(Note::OfferDropped(loss));
}

/// The mailbox had no room for some of what was to wait.
pub(super) fn note_dropped<P: Port>(work: &mut Work<'_, P>, dropped: Absorbed) {
    let Absorbed { dropped_custom, dropped_offers, .. } = dropped;
    for _ in 0..dropped_custom {
        work.port.note(Note::CustomDropped(CustomLoss::OverBudget));
    }
    for _ in 0..dropped_offers {
        drop_offer(work, 0, OfferLoss::OverBudget);
    }
}
