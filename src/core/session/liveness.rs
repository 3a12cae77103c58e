//! R9: how a session's signs of life reach its server: at once while they fit the server's budget, else in the order in which
//! agents joined the queue. What introduces an agent is no sign of life: it goes in any case.

use super::wanted::announcement_waits;
use super::work::{Work, permit};
use super::{ClassSet, NotSent, Port, Route};
use crate::core::pacing::{Class, Liveness, Permit};

/// What becomes of a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignOfLife {
    /// It goes on now.
    Goes,
    /// It goes with a permit.
    Waits,
    /// It stays here.
    Stays,
}

/// An agent is alive, and its server is to hear so on `route`.
pub(super) fn sign_of_life<P: Port>(work: &mut Work<'_, P>, route: Route) -> SignOfLife {
    let session = &*work.session;
    if !session.outstanding.is_introduced(Some(route)) {
        return SignOfLife::Goes;
    }
    if session.permits.queued().contains(Class::Liveness) {
        return SignOfLife::Stays;
    }
    match work.port.liveness(route, session.rhythm.offered()) {
        Liveness::Fits => SignOfLife::Goes,
        Liveness::Never => SignOfLife::Stays,
        Liveness::Waits => {
            let mut wanted = ClassSet::EMPTY;
            wanted.insert(Class::Liveness);
            work.enqueue(wanted);
            SignOfLife::Waits
        }
    }
}

/// Sends one heartbeat on in the agent's name, if the budget and the server have room for it. Returns whether it went.
pub(super) fn tell_alive<P: Port>(work: &mut Work<'_, P>, route: Route) -> bool {
    if sign_of_life(work, route) != SignOfLife::Goes {
        return false;
    }
    let waits = announcement_waits(work.session, route, work.now(), work.port)
        || permit(work, route) != Permit::Granted;
    let forwarded = !waits && {
        work.leave_former_server(route);
        work.send_announce(route).is_ok()
    };
    if !forwarded {
        work.session.permits.announce_later();
    }
    forwarded
}

/// The agent has said what its server has already, which stays here. Were such reports all that it says, its server would
/// take it for dead.
pub(super) fn note_suppressed<P: Port>(work: &mut Work<'_, P>, route: Route) {
    let interval = work.session.rhythm.report_interval(work.moment.policy);
    let outstanding = &work.session.outstanding;
    if outstanding.is_introduced(Some(route)) && !outstanding.heard_within(interval, work.now()) {
        tell_alive(work, route);
    }
}

/// The budget has room for the agent, which may have gone, or been heard of otherwise, while it waited. Returns whether
/// a message went.
pub(super) fn send_sign_of_life<P: Port>(
    work: &mut Work<'_, P>,
    route: Route,
) -> Result<bool, NotSent> {
    let now = work.now();
    let session = &*work.session;
    let interval = session.rhythm.forward_interval(work.moment.policy);
    if !session.attendance.is_there()
        || session.outstanding.heard_within(interval, now)
        || announcement_waits(session, route, now, work.port)
    {
        return Ok(false);
    }
    work.leave_former_server(route);
    work.send_announce(route)?;
    Ok(true)
}
