//! The entries for a session that has come from another home, with its record: how it goes on with its server, what
//! the former home passes on, and the end of the former home's link.

use std::time::Instant;

use super::doubts::Doubt;
use super::former_home::{FormerHome, former_home, is_held_back};
use super::former_links::FormerLink;
use super::mailbox::Mailbox;
use super::work::{Work, want_introduction};
use super::{
    ClassSet, LateReply, Memory, Moment, Move, Peer, Port, Route, Session, SessionRecord, ToServer,
    Wire,
};
use crate::core::server::Keying;
use crate::ident::{Incarnation, ServerId};
use crate::opamp::field_set::FieldSet;

/// A former home's links that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerLinksEnded {
    /// The node.
    pub home: Peer,
    /// To this server; `None`: to all.
    pub server: Option<ServerId>,
    /// Establishments up to this one; `None`: all, or the agent has been let go there.
    pub up_to: Option<Incarnation>,
    /// The way to the agent's server from here, if the link is up and the server knows agents by uid. Then the server
    /// lives, and most likely has what it had.
    pub own: Option<Route>,
}

impl FormerLinksEnded {
    /// All links of a node, of which this one knows no more.
    pub const fn all(home: Peer) -> Self {
        Self { home, server: None, up_to: None, own: None }
    }

    fn covers(self, link: FormerLink) -> bool {
        link.home == self.home && self.up_to.is_none_or(|up_to| link.incarnation <= up_to)
    }
}

impl SessionRecord {
    /// The server that the session's last message went to.
    pub fn server(&self) -> Option<ServerId> {
        self.outstanding.last.map(|last| last.route.server())
    }
}

impl Session {
    /// Makes the session of a record that another node has written. [`Session::link_up`] comes next: it stands in
    /// its server's queue for all that it has to say. `late`: answers to what the session said when it was here before
    /// may still come.
    pub fn moved_here(
        record: SessionRecord,
        how: &Move<'_>,
        late: Option<LateReply>,
        now: Instant,
    ) -> Self {
        let mut session = Self::from_record(record);
        session.permits.leave_queues();
        let last = session.outstanding.route();
        let spoke_there = last.filter(|route| route.peer().is_none());
        let doubt = spoke_there.and_then(|route| doubt_of(&session, how.from, route));
        let after = session.outstanding.moved(how);
        let has_ended = |FormerLink { home, incarnation }: FormerLink| {
            let wire = last.map(|last| Wire { of: Some(home), link: last.link, incarnation });
            home != Peer::UNKNOWN && wire.is_some_and(how.has_ended)
        };
        let lets_go = matches!(how.keying, Keying::Exclusive | Keying::OwnLink)
            && spoke_there.is_some_and(|route| {
                !has_ended(FormerLink { home: how.from, incarnation: route.incarnation })
            });
        if lets_go && how.keying == Keying::Exclusive {
            // The former home's goodbye has the next one.
            session.numbers.use_next();
        }
        if lets_go || doubt.is_some() || after.ended || former_home(&session).is_some() {
            let former = former_home_mut(&mut session, how.from, now);
            former.moved_on(how.from);
            doubt.into_iter().for_each(|doubt| former.doubt(doubt, now));
            let again = if after.ended {
                former.links_ended(has_ended, now)
            } else {
                former.settle(has_ended)
            };
            // Here they come as answers on this node's own link.
            former.lose_sight_of(how.me);
            if lets_go {
                former.wait_for_goodbye(now);
            }
            tell_again(&mut session, again);
        }
        // What it may have forgotten here before is another question.
        session.replica.introduction_answered(true);
        if after.is_back {
            session.replica.wire_lost(session.outstanding.unanswered() > 0);
            session.outstanding.give_up();
        }
        take_late_reply(&mut session, how, late);
        if let Some(cold) = &mut session.cold {
            cold.offer_of = cold.offer_of.map(|source| source.after_move(how.from, how.me));
        }
        session
    }
}

/// The server may have forgotten the agent, but not what it knows of it. The answer to the next word over this node's
/// link shows whether that is so.
fn remember(session: &mut Session, own: Route) {
    session.replica.may_be_forgotten();
    if !session.outstanding.is_on_wire(own) {
        session.replica.wire_lost(session.outstanding.unanswered() > 0);
        session.outstanding.give_up();
        session.outstanding.speak_on(own);
    }
}

/// Late replies on this node's own link count above those on another's.
fn take_late_reply(session: &mut Session, how: &Move<'_>, late: Option<LateReply>) {
    if let Some(late) = session.cold.as_mut().and_then(|cold| cold.late_reply.as_mut()) {
        let memory = &mut late.route.memory;
        *memory = match *memory {
            Memory::Own(_) | Memory::Inherited(_) => Memory::Forgotten(how.from),
            Memory::Elsewhere(peer) | Memory::Forgotten(peer) if peer == how.me => {
                Memory::Own(Incarnation(0))
            }
            elsewhere => elsewhere,
        };
    }
    if late.is_some() {
        session.cold_mut().late_reply = late;
    }
}

/// What the former home's last messages have left in doubt.
fn doubt_of(session: &Session, home: Peer, route: Route) -> Option<Doubt> {
    let (parts, unanswered) = (session.replica.state().in_flight, session.outstanding.unanswered());
    let incarnation = route.incarnation;
    if unanswered > 0 {
        return Some(Doubt { home, incarnation, parts, unanswered });
    }
    // A late reply may have passed for an answer: time alone tells.
    let late = session.cold.as_ref().is_some_and(|cold| cold.late_reply.is_some());
    let unknown = Doubt { home: Peer::UNKNOWN, incarnation, parts, unanswered };
    (late && !parts.is_empty()).then_some(unknown)
}

/// A session, as far as its other homes and their links to servers concern it.
#[derive(Debug)]
pub struct Moved<'a>(&'a mut Session);

impl<'a> Moved<'a> {
    /// Of this session.
    pub const fn of(session: &'a mut Session) -> Self {
        Self(session)
    }

    /// Links of a former home have ended, or the goodbye was said there, over which it had told servers of the
    /// agent. The agent is introduced again, with a permit.
    pub fn former_link_ended<P: Port>(
        self,
        ended: FormerLinksEnded,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        let session = self.0;
        let last = session.outstanding.route();
        let of_server = |last: &Route| ended.server.is_none_or(|server| server == last.server());
        // What a server remembers that is polled rests on no link.
        if last.filter(of_server).is_none_or(|last| port.is_polled(last)) {
            return;
        }
        let rested = session.outstanding.links_ended(|link| ended.covers(link));
        if rested && let Some(own) = ended.own {
            remember(session, own);
        }
        let waits = |former: &FormerHome| {
            former.doubts(ended.home) || former.holds_back() && former.home() == ended.home
        };
        if rested || former_home(session).is_some_and(waits) {
            let former = former_home_mut(session, ended.home, moment.now);
            let again = former.links_ended(|link| ended.covers(link), moment.now);
            tell_again(session, again);
            session.link_up(moment, port);
        }
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
    former_home(session).is_some() || !session.outstanding.former().is_empty()
}

fn former_home_mut(session: &mut Session, home: Peer, now: Instant) -> &mut FormerHome {
    session.cold_mut().former_home.get_or_insert_with(|| FormerHome::new(home, now))
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
    let latest = work.session.outstanding.former().latest();
    let former = former_home(work.session).copied();
    let Some(home) = former.map(|former| former.home()).or(latest) else { return };
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
