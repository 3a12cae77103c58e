//! An agent that is away gives way to agents that are there: its offers to their bytes, its place to a newcomer. And of
//! what was dropped, its server has to hear once it can be of use.

use super::server_message::drop_offer;
use super::work::{Work, part, route as route_of};
use super::{EndReason, Moment, Note, OfferLoss, Port, Presence, Session, ToServer};

/// Drops the offers that wait for an agent that is away. The server is sent the agent's state once the agent is back,
/// and offers again.
pub fn evict_offers<P: Port>(session: &mut Session, moment: &Moment<'_>, port: &mut P) {
    if !matches!(session.attendance.presence(), Presence::Absent { .. }) {
        return;
    }
    let mut work = Work::of(session, moment, port);
    let mailbox = work.session.cold.as_mut().map(|cold| &mut cold.mailbox);
    let bytes = mailbox.map_or(0, |mailbox| {
        let bytes = mailbox.bytes();
        if mailbox.drop_offers() { bytes } else { 0 }
    });
    if bytes > 0 {
        drop_offer(&mut work, bytes, OfferLoss::Evicted);
    }
    work.finish();
}

/// Ends the session of an agent that is away, because a newcomer needs its place. The server is told at once. `false`: it
/// cannot be, or the agent is there.
pub fn give_way<P: Port>(session: &mut Session, moment: &Moment<'_>, port: &mut P) -> bool {
    let is_absent = matches!(session.attendance.presence(), Presence::Absent { .. });
    if !is_absent || session.has_one_shots() || session.numbers.agent().is_none() {
        return false;
    }
    let mut work = Work::of(session, moment, port);
    let Some(route) = route_of(&work) else { return false };
    work.leave_former_server(route);
    let number = work.session.numbers.next();
    if work.send(route, &ToServer::Disconnect { number }).is_err() {
        return false;
    }
    work.port.note(Note::Ended(EndReason::GaveWay));
    part(&mut work);
    work.finish();
    true
}

/// If something was dropped that was for this agent, and the agent is there, and there is room now, its server is sent the
/// agent's state, sees what the agent lacks, and offers again.
pub(super) fn make_good_for_dropped<P: Port>(work: &mut Work<'_, P>) {
    let is_there = work.session.attendance.is_there();
    let cold = work.session.cold.as_mut();
    let Some(cold) = cold.filter(|cold| is_there && cold.mailbox.has_dropped()) else { return };
    if cold.mailbox.take_dropped(work.port.free_bytes().for_agents) {
        work.offer_may_be_lost();
    }
}
