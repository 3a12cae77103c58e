//! The entries for a session that has come from another home, with its record: how it goes on with its server, what
//! the former home passes on, and the end of the former home's link.

use std::time::Instant;

use super::former_home::FormerHome;
use super::work::Work;
use super::{ClassSet, Moment, Peer, Port, Session, SessionRecord};
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

    /// The link to `server` has ended, or the goodbye was said there, over which the node `home` had told it of the
    /// agent. It is introduced again, with a permit.
    pub fn former_link_ended<P: Port>(
        &mut self,
        home: Peer,
        server: Option<ServerId>,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        let here = self.outstanding.route().filter(|route| {
            let its = route.rests_on() == Some(home) || route.peer() == Some(home);
            its && server.is_none_or(|server| server == route.server())
        });
        if here.is_none() || self.attendance.has_left() && !self.is_held_back(moment.now) {
            return;
        }
        if self.outstanding.link_of_ended(home) || self.cold_former().is_some() {
            let former = self
                .cold_mut()
                .former_home
                .get_or_insert_with(|| FormerHome::new(FieldSet::EMPTY, 0, false, moment.now));
            let again = former.link_ended(moment.now);
            self.tell_doubt_again(again);
        }
        self.link_up(moment, port);
    }

    /// Whether nothing may be said to the server yet.
    pub(super) fn is_held_back(&self, now: Instant) -> bool {
        self.cold_former().is_some_and(|former| former.is_silent(now))
    }

    fn tell_doubt_again(&mut self, parts: FieldSet) {
        if !parts.is_empty() && !self.attendance.has_left() {
            self.replica.tell_again(parts);
        }
    }

    pub(super) fn cold_former(&self) -> Option<&FormerHome> {
        self.cold.as_ref().and_then(|cold| cold.former_home.as_ref())
    }

    /// What a move explains of what the server does with the agent.
    pub(super) fn has_moved_lately(&self) -> bool {
        self.cold_former().is_some()
            || self.outstanding.route().is_some_and(|route| route.rests_on().is_some())
    }
}

impl<P: Port> Work<'_, P> {
    /// A message has come that the former home passed on. If it answers the last one there, what was on its way is
    /// told again.
    pub(super) fn former_home_passed_on(&mut self) {
        if let Some(former) = self.session.cold.as_mut().and_then(|cold| cold.former_home.as_mut())
        {
            let again = former.answered();
            self.session.tell_doubt_again(again);
        }
    }

    /// The server has taken the agent for another one, since it still has it on the former home's link. The agent
    /// is introduced again later.
    pub(super) fn take_rename(&mut self) {
        let now = self.now();
        let former = self
            .session
            .cold_mut()
            .former_home
            .get_or_insert_with(|| FormerHome::new(FieldSet::EMPTY, 0, false, now));
        former.renamed(now);
        self.session.outstanding.forgotten();
    }

    /// Time has passed for what is still under way at the former home.
    pub(super) fn pass_time_of_move(&mut self) {
        let now = self.now();
        let was_held_back = self.session.cold_former().is_some_and(FormerHome::holds_back);
        let Some(former) = self.session.cold.as_mut().and_then(|cold| cold.former_home.as_mut())
        else {
            return;
        };
        let again = former.pass_time(now);
        let is_free = was_held_back && !former.holds_back();
        self.session.tell_doubt_again(again);
        if is_free {
            let mut wanted = ClassSet::EMPTY;
            self.want_introduction(&mut wanted);
            self.enqueue(wanted);
        }
        self.session.drop_idle_cold(now);
    }
}
