//! For what a session has to stand in its server's queue, and what of it has to wait.

use std::time::Instant;

use super::former_home::{former_home, is_held_back};
use super::parts::says_something;
use super::{ClassSet, FullState, Port, Presence, Route, Session};
use crate::core::pacing::Class;

/// The classes in which the session has to stand in its server's queue.
pub(super) fn wanted_permits<P: Port>(session: &Session, now: Instant, port: &P) -> ClassSet {
    let mut wanted = ClassSet::EMPTY;
    if session.attendance.is_gone() {
        return wanted;
    }
    if session.attendance.is_there() && wants_to_ask(session) && !awaits_first_word(session, port) {
        wanted.insert(Class::Ask);
    }
    if is_held_back(session, now) {
        return wanted;
    }
    let leaves = session.attendance.presence() == Presence::Disconnecting;
    if leaves || session.has_one_shots() {
        wanted.insert(Class::Urgent);
    }
    if !leaves && session.replica.full_pending() {
        wanted.insert(Class::FullState);
    } else if !leaves && says_something(session.replica.pending()) {
        wanted.insert(Class::Change);
    }
    if !leaves && announcement_due(session) {
        let route = port.route().map(|route| session.outstanding.through(route));
        if !route.is_some_and(|route| announcement_waits(session, route, now, port)) {
            wanted.insert(Class::Announce);
        }
    }
    wanted
}

/// Whether the gateway has something to ask the agent itself.
pub(super) fn wants_to_ask(session: &Session) -> bool {
    session.questions.full_state() == FullState::Wanted
        || session.cold.as_ref().is_some_and(|cold| cold.map.is_wanted())
}

/// Whether the agent's WebSocket awaits the first word of a server that has yet to say what it can. A question before it
/// would be the first message to the agent, and lack that ("ServerToAgent.capabilities").
pub(super) fn awaits_first_word<P: Port>(session: &Session, port: &P) -> bool {
    let awaits = session.replies.owed() > 0 && session.attendance.is_connected();
    let server = session.outstanding.route().or_else(|| port.route()).map(Route::server);
    awaits
        && !session.greeting.is_told()
        && server.is_some_and(|server| !port.server_hello(server).has_spoken())
}

/// Whether the server is to hear that the agent is there, or of its capabilities alone.
pub(super) fn announcement_due(session: &Session) -> bool {
    session.permits.announce_due() || capabilities_pending(session)
}

/// Whether the server is to get the agent's capabilities alone: an announcement has them, as every
/// message does.
fn capabilities_pending(session: &Session) -> bool {
    let pending = session.replica.pending();
    !pending.is_empty() && !says_something(pending) && !session.has_one_shots()
}

/// Whether an announcement has to wait, because another message of the agent's is under way. A server that is polled
/// gets one announcement of an agent after the other, however slow its answers are: what it has for the agent comes
/// with the answer to either. What says something goes on at once.
pub(super) fn announcement_waits<P: Port>(
    session: &Session,
    route: Route,
    now: Instant,
    port: &P,
) -> bool {
    if !port.is_polled(route) {
        return false;
    }
    let here = session.outstanding.unanswered() > 0 && session.outstanding.is_on_wire(route);
    here || former_home(session).is_some_and(|former| former.awaits_answer(now))
}
