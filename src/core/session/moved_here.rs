//! The entries for a session that has come from another home, with its record: how it goes on with its server, what
//! the former home passes on, and the end of the former home's link.

use std::time::Instant;

use super::former_home::FormerHome;
use super::work::Work;
use super::{ClassSet, Moment, Peer, Port, Session, SessionRecord, ToServer};
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
        session.outstanding.taken_over(how.from, relies);
        session.permits.leave_queues();
        let silent = how.keying == Keying::Exclusive && spoke;
        if silent {
            // The former home's goodbye has the next one.
            session.numbers.use_next();
        }
        let (unanswered, in_doubt) =
            (session.outstanding.unanswered(), session.replica.state().in_flight);
        if silent || unanswered > 0 {
            session.cold_mut().former_home =
                Some(FormerHome::new(in_doubt, unanswered, silent, now));
        }
        if let Some(late) = session.cold.as_mut().and_then(|cold| cold.late_reply.as_mut()) {
            late.route.memory = super::Memory::Forgotten(how.from);
        }
        session
    }

    /// See [`Moved`].
    pub const fn moved(&mut self) -> Moved<'_> {
        Moved(self)
    }

    /// Whether nothing may be said to the server yet.
    pub(super) fn is_held_back(&self, now: Instant) -> bool {
        self.former_home().is_some_and(|former| former.is_silent(now))
    }

    fn tell_doubt_again(&mut self, parts: FieldSet) {
        if !parts.is_empty() && !self.attendance.has_left() {
            self.replica.tell_again(parts);
        }
    }

    /// What is still under way at the former home.
    pub(super) fn former_home(&self) -> Option<&FormerHome> {
        self.cold.as_ref().and_then(|cold| cold.former_home.as_ref())
    }

    /// What a move explains of what the server does with the agent.
    pub(super) fn has_moved_lately(&self) -> bool {
        self.former_home().is_some()
            || self.outstanding.route().is_some_and(|route| route.rests_on().is_some())
    }
}

/// A session, as far as its other homes and their links to servers concern it.
#[derive(Debug)]
pub struct Moved<'a>(&'a mut Session);

impl Moved<'_> {
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
            of_home && server.is_none_or(|server| server == route.server())
        });
        if !its {
            return;
        }
        if session.outstanding.link_of_ended(home) || session.former_home().is_some() {
            let again = session.former_home_mut(moment.now).link_ended(moment.now);
            session.tell_doubt_again(again);
        }
        session.link_up(moment, port);
    }

    /// The session goes to another home. A server that has agents on one connection at a time hears that it leaves
    /// this one. Where that connection is the agent's own, its end says so, too.
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

impl Session {
    fn former_home_mut(&mut self, now: Instant) -> &mut FormerHome {
        let nothing = || FormerHome::new(FieldSet::EMPTY, 0, false, now);
        self.cold_mut().former_home.get_or_insert_with(nothing)
    }
}

/// A message has come that the former home passed on. If it answers the last one there, what was on its way is told
/// again.
pub(super) fn note_passed_on<P: Port>(work: &mut Work<'_, P>) {
    if work.session.former_home().is_some() {
        let again = work.session.former_home_mut(work.moment.now).answered();
        work.session.tell_doubt_again(again);
    }
}

/// The server has taken the agent for another one, since it still has it on the former home's link. The agent is
/// introduced again later.
pub(super) fn take_rename<P: Port>(work: &mut Work<'_, P>) {
    let now = work.now();
    work.session.former_home_mut(now).renamed(now);
    work.session.outstanding.forgotten();
}

/// Time has passed for what is still under way at the former home.
pub(super) fn pass_time_of_move<P: Port>(work: &mut Work<'_, P>) {
    let now = work.now();
    let Some(before) = work.session.former_home().copied() else { return };
    let again = work.session.former_home_mut(now).pass_time(now);
    work.session.tell_doubt_again(again);
    if before.holds_back() && !work.session.is_held_back(now) {
        let mut wanted = ClassSet::EMPTY;
        work.want_introduction(&mut wanted);
        work.enqueue(wanted);
    }
    work.session.drop_idle_cold(now);
}
