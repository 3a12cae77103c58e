//! The entries for an agent's connections: opened, lost, alive, renamed (R8, R10). A connection is a
//! WebSocket; over plain HTTP each request stands for one.

use std::time::Instant;

use super::presence::Attendance;
use super::server_message::note_dropped;
use super::work::Work;
use super::{Departure, EndReason, Moment, Note, Port, Presence, Session, server_asks};
use crate::ident::ConnectionId;
use crate::mutation::{Breach, is_on};

/// What the opening of a connection means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// The session is the connection's from now on.
    Admitted,
    /// Two live agents use this uid: the newcomer needs another (R10).
    Cloned,
}

/// Two live agents use the session's uid: while one is connected, another connection is refused (R10).
pub fn is_cloned(session: &Session, now: Instant) -> bool {
    session.cold.as_ref().is_some_and(|cold| cold.live.is_cloned(now))
}

impl Session {
    /// A WebSocket speaks for this agent for the first time. The newest wins: an older connection is
    /// detached (R10). The port's connection is still the older one; the shell takes the newer one after
    /// [`Opened::Admitted`].
    pub fn connection_opened<P: Port>(
        &mut self,
        connection: ConnectionId,
        moment: &Moment<'_>,
        port: &mut P,
    ) -> Opened {
        let before = self.attendance.presence();
        let replaces = self.attendance.is_connected() && !self.attendance.is_on(connection);
        if replaces && is_cloned(self, moment.now) {
            return Opened::Cloned;
        }
        let mut work = Work::of(self, moment, port);
        if replaces {
            work.port.note(Note::ConnectionReplaced);
        } else {
            work.note_return(before);
        }
        if before != (Presence::Connected { connection }) {
            work.enter(Presence::Connected { connection });
            work.begin_anew();
        }
        work.take_over();
        Opened::Admitted
    }

    /// A plain-HTTP request speaks for this agent. One that still waits is answered by the gateway: an agent
    /// has one request under way at a time, so it has most likely given up the older. Returns the request's
    /// number. The port's connection is still the older one, as for a WebSocket.
    ///
    /// The request waits for its answer once its message is here: from a front that may come later. What was given to
    /// it before would count as read by that very message's number.
    pub fn request_opened<P: Port>(&mut self, moment: &Moment<'_>, port: &mut P) -> u32 {
        let before = self.attendance.presence();
        let mut work = Work::of(self, moment, port);
        work.answer_plainly();
        if let Presence::Polling { heard, .. } = before {
            work.session.rhythm.note_pause(moment.now.saturating_duration_since(heard));
        }
        let next = Presence::Polling { heard: moment.now, waits: false };
        work.session.attendance.enter(next);
        let request = work.session.replies.next_request();
        match before {
            Presence::Polling { .. } => {
                work.session.replies.waive();
            }
            Presence::Connected { .. } => {
                work.begin_anew();
                work.port.note(Note::ConnectionReplaced);
            }
            Presence::Absent { .. } | Presence::Disconnecting | Presence::Gone => {
                work.begin_anew();
                work.note_return(before);
            }
        }
        work.take_over();
        request
    }

    /// The agent gave up its request, or has its answer: the answer to come is for the next one.
    pub const fn request_closed(&mut self, request: u32) {
        if self.replies.request() == request {
            self.attendance.set_waits(false);
        }
    }

    /// A connection ended. If it was this session's, the agent is absent and the server hears nothing of it (R8);
    /// while the node drains, it is taken to have gone to another node.
    pub fn connection_lost<P: Port>(
        &mut self,
        connection: ConnectionId,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        if !self.attendance.is_on(connection) {
            return;
        }
        let mut work = Work::of(self, moment, port);
        work.enter(Attendance::after_loss(moment.now, moment.policy));
        work.session.replies.waive();
        work.session.drains = false;
        work.port.detach(Departure::Lost);
        take_back(&mut work);
        if moment.drains {
            work.forget_moved();
        } else {
            work.port.note(Note::Absent);
        }
        work.finish();
    }

    /// The connection goes on under another uid: the agent gets what it is still owed under this one. If a
    /// server told it to, this uid is no more (R10).
    pub fn connection_renamed<P: Port>(
        &mut self,
        connection: ConnectionId,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        if !self.attendance.is_on(connection) {
            return;
        }
        let mut work = Work::of(self, moment, port);
        work.say_farewell(Departure::Renamed);
        if work.session.cold.as_ref().is_some_and(|cold| cold.mailbox.is_renamed()) {
            work.leave();
            work.port.note(Note::Ended(EndReason::ReplacedUid));
        }
        work.finish();
    }

    /// A connection that was replaced answered its Close: the agent behind it was alive. A stale socket, the
    /// usual case, stays silent.
    pub fn replaced_was_alive(&mut self, moment: &Moment<'_>) {
        self.cold_mut().live.note(moment.now);
    }

    /// The agent has answered the ping of this number: it has all that was written to its WebSocket before that.
    pub fn confirmed(&mut self, ping: u16, now: Instant) {
        self.heard(now);
        if let Some(cold) = &mut self.cold
            && !cold.mailbox.is_unconfirmed_answer()
        {
            cold.mailbox.confirmed(ping, self.last_ping);
            self.drop_idle_cold(now);
        }
    }

    /// The agent gave a sign of life, a message or a pong: what was written to it well before has arrived.
    pub fn heard(&mut self, now: Instant) {
        if let Some(cold) = &mut self.cold {
            cold.mailbox.heard(now);
            self.drop_idle_cold(now);
        }
    }
}

impl<P: Port> Work<'_, P> {
    /// An agent that is known came back.
    fn note_return(&mut self, before: Presence) {
        if self.session.numbers.agent().is_none() {
            return;
        }
        // The end of one that had said goodbye has been noted.
        let goodbye_said = before == Presence::Disconnecting;
        self.port.note(if goodbye_said { Note::Reopened } else { Note::Resumed });
    }

    /// The agent is there over another connection than before.
    fn begin_anew(&mut self) {
        // Replies were owed on the old connection; this one starts afresh.
        self.session.replies.waive();
        self.session.greeting.begin_anew();
        if let Some(cold) = &mut self.session.cold {
            cold.uid_requests.begin_anew();
        }
        self.session.questions.maybe_lost();
        let cold = self.session.cold.as_mut();
        if cold.is_some_and(|cold| cold.doubt.connection_changed()) {
            self.session.questions.want();
        }
        server_asks::map_question_may_be_lost(self);
        if is_on(Breach::R7ForgetsKept)
            && let Some(cold) = &mut self.session.cold
        {
            cold.mailbox.drop_offers();
        }
        let cold = self.session.cold.as_ref();
        if cold.is_some_and(|cold| !cold.mailbox.is_unconfirmed_answer()) {
            self.reply_may_be_lost();
        }
    }

    /// What was written to the agent last may be lost: it waits once more. Of what there is no copy, the agent's
    /// state shows the server what the agent lacks.
    pub(super) fn reply_may_be_lost(&mut self) {
        take_back(self);
        let cold = self.session.cold.as_mut();
        if cold.is_some_and(|cold| cold.mailbox.take_doubt()) {
            self.offer_may_be_lost();
        }
    }

    /// The session's former connection is told to close.
    fn take_over(&mut self) {
        self.session.drains = false;
        if let Some(cold) = &mut self.session.cold {
            cold.mailbox.set_renamed(false);
        }
        self.port.detach(Departure::Replaced);
    }
}

/// What the agent has yet to confirm waits for it once more.
fn take_back<P: Port>(work: &mut Work<'_, P>) {
    let (uid, limits) = (work.session.uid, work.moment.policy.offers);
    let mailbox = work.session.cold.as_mut().map(|cold| &mut cold.mailbox);
    if let Some(dropped) = mailbox.and_then(|mailbox| mailbox.take_back(uid, limits)) {
        work.port.note(Note::OffersTakenBack);
        note_dropped(work, dropped);
    }
}
