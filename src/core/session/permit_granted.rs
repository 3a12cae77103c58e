//! The entries for the pacer's permits: with each, one message goes. What it says is decided now, so the
//! newest state wins. If more waits, the session stands in the queue again.

use super::custom_states::custom_sent;
use super::former_home::is_held_back;
use super::liveness::send_sign_of_life;
use super::parts::says_something;
use super::reading_less;
use super::server_message::store_offer;
use super::wanted::{
    announcement_due, announcement_waits, awaits_first_word, wanted_permits, wants_to_ask,
};
use super::work::{Work, part, route as route_of, want_introduction};
use super::{Moment, NotSent, Note, Port, Presence, Route, Session, ToAgent, ToServer};
use crate::core::pacing::Class;
use crate::mutation::{Breach, is_on};
use crate::opamp::field_set::FieldSet;
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, REPORT_FULL_STATE, ServerScan};
use crate::opamp::splice::{self, Additions};

/// What came of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitUse {
    /// There was nothing to do: the permit is free for another.
    Idle,
    /// A message went to the server or a question to the agent.
    Used,
    /// The link was full: the session stays in the queue.
    Again,
}

impl Session {
    /// The pacer grants the session a permit, on a link that is up.
    pub fn permit_granted<P: Port>(
        &mut self,
        class: Class,
        moment: &Moment<'_>,
        port: &mut P,
    ) -> PermitUse {
        self.permits.dequeued(class);
        let mut work = Work::of(self, moment, port);
        let Some(route) = route_of(&work) else { return PermitUse::Idle };
        let used = match use_permit(&mut work, class, route) {
            Ok(used) => used,
            Err(NotSent::Full) => {
                work.session.permits.stays_queued(class);
                PermitUse::Again
            }
            // The link's return brings every session a permit.
            Err(NotSent::Down | NotSent::Stale) => PermitUse::Idle,
        };
        work.finish();
        used
    }

    /// The pacer passes the session over, because its link is down: [`Session::link_up`] follows.
    pub const fn permit_skipped(&mut self, class: Class) {
        self.permits.dequeued(class);
    }

    /// A link came back that the session's messages take, or the session belongs to another server now. It
    /// stands in the queue for all that it has to say there. Returns whether it joins the queue with this.
    pub fn link_up<P: Port>(&mut self, moment: &Moment<'_>, port: &mut P) -> bool {
        let mut work = Work::of(self, moment, port);
        let route = route_of(&work);
        if let Some(route) = route
            && work.session.outstanding.is_introduced(Some(route))
        {
            // The server remembers the agent: what was on its way over another wire is all that it lacks.
            work.note_route(route);
        }
        let mut wanted = wanted_permits(work.session, work.now(), work.port);
        want_introduction(&work, &mut wanted);
        let joins = !wanted.minus(work.session.permits.queued()).is_empty();
        work.enqueue(wanted);
        joins
    }
}

fn use_permit<P: Port>(
    work: &mut Work<'_, P>,
    class: Class,
    route: Route,
) -> Result<PermitUse, NotSent> {
    if class != Class::Ask && is_held_back(work.session, work.now()) {
        return Ok(PermitUse::Idle);
    }
    let state_lost = class == Class::Announce && work.port.state_lost(route);
    work.note_route(route);
    let attendance = work.session.attendance;
    match class {
        Class::Ask
            if attendance.is_there()
                && wants_to_ask(work.session)
                && !awaits_first_word(work.session, work.port) =>
        {
            ask_agent(work);
            Ok(PermitUse::Used)
        }
        Class::Urgent if work.session.has_one_shots() => send_one_shot(work, route),
        Class::Urgent if attendance.presence() == Presence::Disconnecting => {
            send_goodbye(work, route)
        }
        Class::Change | Class::FullState | Class::Announce if !attendance.has_left() => {
            send_state(work, class, route, state_lost)
        }
        Class::Liveness if send_sign_of_life(work, route)? => Ok(PermitUse::Used),
        _ => Ok(PermitUse::Idle),
    }
}

/// What waits in one class may go with another's permit: a change introduces the agent. If it would pass
/// for the whole state, the whole state goes: a server that has lost the agent would take it for all that there
/// is.
fn send_state<P: Port>(
    work: &mut Work<'_, P>,
    class: Class,
    route: Route,
    state_lost: bool,
) -> Result<PermitUse, NotSent> {
    let session = &mut *work.session;
    let introduces = session.needs_introduction(Some(route));
    // What has introduced it may have been refused: then an announcement is due, and nothing acked.
    let again = session.permits.announce_due() && session.replica.acked_nothing();
    if introduces && state_lost || (introduces || again) && session.replica.passes_for_all() {
        session.replica.ask_for_all();
    }
    let pending = session.replica.pending();
    if says_something(pending) {
        work.leave_former_server(route);
        return send_stored(work, route, pending);
    }
    let waits = announcement_waits(work.session, route, work.now(), work.port);
    let announces =
        announcement_due(work.session) && !waits || work.session.needs_introduction(Some(route));
    if class != Class::Announce || !announces {
        return Ok(PermitUse::Idle);
    }
    work.leave_former_server(route);
    work.send_announce(route)?;
    Ok(PermitUse::Used)
}

/// Whether the server is to hear now that the agent is there.
fn announce_pending<P: Port>(work: &Work<'_, P>, route: Route) -> bool {
    let session = &*work.session;
    session.needs_introduction(Some(route))
        || session.permits.announce_due()
            && !announcement_waits(session, route, work.now(), work.port)
}

/// Sends parts of the agent's state from the store (R2, R4).
fn send_stored<P: Port>(
    work: &mut Work<'_, P>,
    route: Route,
    parts: FieldSet,
) -> Result<PermitUse, NotSent> {
    let (uid, number) = (work.session.uid, work.session.numbers.next());
    let mut message = Vec::new();
    splice::announce(uid, work.session.capabilities, number, &mut message);
    let missing = work.port.append_stored(parts, &mut message);
    let mut sent = parts;
    if !missing.is_empty() {
        work.port.note(Note::ContentMissing);
        sent = parts.minus(missing);
        if !lack(work, missing, sent, route) {
            if announce_pending(work, route) {
                work.send_announce(route)?;
            }
            return Ok(PermitUse::Used);
        }
    }
    work.send(route, &ToServer::Stored(&message))?;
    work.session.replica.parts_sent(sent);
    work.port.note(Note::ReportFromStore(message.len()));
    Ok(PermitUse::Used)
}

/// The store lacks these parts: the agent is asked, and its answer uses a permit that is reserved for it.
/// Returns whether the rest goes now. It does if it says something; of a whole state, however, only if
/// the agent is away, for the answer of one that is there will be whole.
fn lack<P: Port>(work: &mut Work<'_, P>, missing: FieldSet, rest: FieldSet, route: Route) -> bool {
    let whole = work.session.replica.full_pending();
    work.session.replica.lose(missing);
    work.session.questions.want();
    work.session.permits.reserve_for_answer();
    let announces = announce_pending(work, route);
    says_something(rest) && (announces || !whole || !work.session.attendance.is_there())
}

/// Sends the first of the one-shot messages that wait.
fn send_one_shot<P: Port>(work: &mut Work<'_, P>, route: Route) -> Result<PermitUse, NotSent> {
    work.leave_former_server(route);
    let Session { capabilities, numbers, cold, .. } = &*work.session;
    let first = cold.as_ref().and_then(|cold| cold.one_shots.first());
    let Some(fields) = first else { return Ok(PermitUse::Idle) };
    let (capabilities, number) = (*capabilities, numbers.next());
    work.port.send(route, &ToServer::OneShot { fields, capabilities, number })?;
    if let Some(message) = reading_less::one_went(work) {
        custom_sent(work, &message);
    }
    work.note_sent(route);
    if is_on(Breach::R3RepeatsNumber) {
        work.session.numbers.give_back();
    }
    Ok(PermitUse::Used)
}

/// Tells the server that the agent has left. If the agent left while it moved to another server, the
/// former one has been told, and to this one the agent is unknown.
fn send_goodbye<P: Port>(work: &mut Work<'_, P>, route: Route) -> Result<PermitUse, NotSent> {
    work.leave_former_server(route);
    if work.session.attendance.is_gone() {
        return Ok(PermitUse::Idle);
    }
    let number = work.session.numbers.next();
    work.send(route, &ToServer::Disconnect { number })?;
    part(work);
    Ok(PermitUse::Used)
}

/// Asks the agent for its full state, or its component map, on the gateway's own account.
fn ask_agent<P: Port>(work: &mut Work<'_, P>) {
    let now = work.now();
    let mut flags = 0;
    if work.session.questions.ask(now) {
        flags |= REPORT_FULL_STATE;
        work.port.note(Note::FullStateAsked);
    }
    if let Some(cold) = &mut work.session.cold
        && cold.map.ask(now)
    {
        flags |= REPORT_AVAILABLE_COMPONENTS;
    }
    if work.session.attendance.is_connected() {
        work.acknowledge(ToAgent::Push(0), flags);
        return;
    }
    let mut message = Vec::new();
    let with = Additions { flags, ..Additions::default() };
    splice::acknowledge(work.session.uid, &with, &mut message);
    if let Ok(scan) = ServerScan::parse(&message) {
        store_offer(work, &scan);
    }
}
