//! The entries for a session that has come from another home, with its record: how it goes on with its server, what
//! the former home passes on, and the end of the former home's link.

use std::time::Instant;

use super::former_home::{FormerHome, former_home, is_held_back};
use super::mailbox::Mailbox;
use super::work::{Work, want_introduction};
use super::{ClassSet, Memory, Moment, Peer, Port, Route, Session, SessionRecord, ToServer};
use crate::core::server::Keying;
use crate::ident::ServerId;
use crate::opamp::field_set::FieldSet;

/// How a session comes to this node.
#[derive(Debug, Clone, Copy)]
pub struct Move {
    /// The node that wrote its record.
    pub from: Peer,
    /// That node can be reached, so that it can say when its links end.
    pub is_linked: bool,
    /// How the server knows its agents that the session's last message went to.
    pub keying: Keying,
}

impl SessionRecord {
    /// The server that the session's last message went to.
    pub fn server(&self) -> Option<ServerId> {
        self.outstanding.last.map(|last| last.route.server())
    }
}

impl Session {
    /// Makes the session of a record that another node has written. [`Session::link_up`] comes next: it stands in
    /// its server's queue for all that it has to say.
    pub fn moved_here(record: SessionRecord, how: Move, now: Instant) -> Self {
        let mut session = Self::from_record(record);
        let spoke = session.outstanding.route().is_some();
        let relies = how.keying == Keying::Uid && how.is_linked;
        let knows_last = session.outstanding.taken_over(how.from, relies);
        let doubts_all = former_home(&session).is_some() || !knows_last;
        session.permits.leave_queues();
        let silent = spoke && matches!(how.keying, Keying::Exclusive | Keying::OwnLink);
        if silent && how.keying == Keying::Exclusive {
            // The former home's goodbye has the next one.
            session.numbers.use_next();
        }
        let unanswered = session.outstanding.unanswered();
        if silent || doubts_all || unanswered > 0 {
            let replica = session.replica.state();
            let mut former = if doubts_all {
                // Anything that it said may be under way.
                FormerHome::unknown(replica.reported, now)
            } else {
                FormerHome::new(how.from, (replica.in_flight, unanswered), now)
            };
            if silent {
                former.wait_for_goodbye(now);
            }
            session.cold_mut().former_home = Some(former);
        }
        if let Some(late) = session.cold.as_mut().and_then(|cold| cold.late_reply.as_mut()) {
            late.route.memory = Memory::Forgotten(how.from);
        }
        session
    }
}

/// A session, as far as its other homes and their links to servers concern it.
#[derive(Debug)]
pub struct Moved<'a>(&'a mut Session);

impl<'a> Moved<'a> {
    /// Of this session.
    pub const fn of(session: &'a mut Session) -> Self {
        Self(session)
    }

    /// The link to `server` has ended, or the goodbye was said there, over which the node `home` had told it of the
    /// agent; `None`: all its links. The agent is introduced again, with a permit.
    pub fn former_link_ended<P: Port>(
        self,
        (home, server): (Peer, Option<ServerId>),
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        let session = self.0;
        let its = session.outstanding.route().is_some_and(|route| {
            let of_home = route.rests_on() == Some(home) || route.peer() == Some(home);
            let of_server = server.is_none_or(|server| server == route.server());
            // What a server remembers that is polled rests on no link.
            of_home && of_server && !port.is_polled(route)
        });
        if !its {
            return;
        }
        if session.outstanding.link_of_ended(home) || former_home(session).is_some() {
            let again = former_home_mut(session, home, moment.now).link_ended(home, moment.now);
            tell_again(session, again);
        }
        session.link_up(moment, port);
    }

    /// The agent's connection goes on: a ping that the former home wanted answered may come to nothing.
    pub fn confirm_again<P: Port>(self, port: &mut P) {
        let session = self.0;
        let mailbox = session.cold.as_ref().map(|cold| &cold.mailbox);
        if session.attendance.is_connected() && mailbox.is_some_and(Mailbox::is_unconfirmed) {
            port.confirm(session.last_ping);
        }
    }

    /// The session goes to another home. A server that has agents on one connection at a time hears that it leaves
    /// this one. Where that connection is the agent's own, its end says so.
    pub fn goodbye<P: Port>(self, keying: impl Fn(ServerId) -> Keying, port: &mut P) {
        let session = self.0;
        let own = session.outstanding.route().filter(|route| route.peer().is_none());
        let Some(route) = own.filter(|_| !session.attendance.has_left()) else { return };
        if keying(route.server()) == Keying::Exclusive {
            let message = ToServer::Disconnect { number: session.numbers.next() };
            if port.send(route, &message).is_ok() {
                session.outstanding.said_goodbye();
            }
        }
    }

    /// A message of the server's was lost between two homes. It is told all that the agent has, for that is how it
    /// finds out.
    pub fn server_message_missed<P: Port>(self, moment: &Moment<'_>, port: &mut P) {
        if !self.0.attendance.has_left() {
            let mut work = Work::of(self.0, moment, port);
            work.offer_may_be_lost();
            work.finish();
        }
    }
}

/// What a move explains of what the server does with the agent.
pub(super) fn has_moved_lately(session: &Session) -> bool {
    let rests_elsewhere = |route: Route| route.rests_on().is_some();
    former_home(session).is_some() || session.outstanding.route().is_some_and(rests_elsewhere)
}

fn former_home_mut(session: &mut Session, home: Peer, now: Instant) -> &mut FormerHome {
    let nothing = || FormerHome::new(home, (FieldSet::EMPTY, 0), now);
    session.cold_mut().former_home.get_or_insert_with(nothing)
}

fn tell_again(session: &mut Session, in_doubt: FieldSet) {
    if !in_doubt.is_empty() && !session.attendance.has_left() {
        session.replica.tell_again(in_doubt);
    }
}

/// A message has come that `home` passed on. If it answers the last one there, what was on its way is told
/// again.
pub(super) fn note_passed_on<P: Port>(work: &mut Work<'_, P>, home: Peer) {
    let cold = work.session.cold.as_mut();
    if let Some(former) = cold.and_then(|cold| cold.former_home.as_mut()) {
        let again = former.answered(home);
        tell_again(work.session, again);
    }
}

/// The server has taken the agent for another one, since it still has it on the former home's link. The agent is
/// introduced again later.
pub(super) fn take_rename<P: Port>(work: &mut Work<'_, P>) {
    let now = work.now();
    let rests_on = work.session.outstanding.route().and_then(Route::rests_on);
    let former = former_home(work.session).copied();
    let Some(home) = former.map(|former| former.home()).or(rests_on) else { return };
    former_home_mut(work.session, home, now).renamed(now);
    work.session.outstanding.forgotten();
}

/// Time has passed for what is still under way at the former home.
pub(super) fn pass_time_of_move<P: Port>(work: &mut Work<'_, P>) {
    let now = work.now();
    let Some(before) = former_home(work.session).copied() else { return };
    let again = former_home_mut(work.session, before.home(), now).pass_time(now);
    tell_again(work.session, again);
    if before.holds_back() && !is_held_back(work.session, now) {
        let mut wanted = ClassSet::EMPTY;
        want_introduction(work, &mut wanted);
        work.enqueue(wanted);
    }
    work.session.drop_idle_cold(now);
}
