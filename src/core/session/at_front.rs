//! The entries for an agent whose connection ends at a front: heartbeats that the front has answered (R9), messages
//! that are lost between the two (R6), and the session's way to another home.

use super::liveness::tell_alive;
use super::numbers::NumberStep;
use super::questions::ASK_AGAIN;
use super::work::{Work, route as route_of};
use super::{EndReason, Moment, Note, Port, Presence, Route, Session};
use crate::ident::SequenceNum;
use crate::opamp::digest::Digest;
use crate::opamp::field_set::{FieldSet, agent_field};

/// A session, as far as its agent's front and other homes concern it.
#[derive(Debug)]
pub struct AtFront<'a>(&'a mut Session);

impl Session {
    /// See [`AtFront`].
    pub const fn at_front(&mut self) -> AtFront<'_> {
        AtFront(self)
    }
}

/// Whether the agent has reported this part with this digest: then the digest stands for it. The digest of the
/// components is that of their hash: if a server has asked for the components themselves, they must come.
pub fn has_reported(session: &Session, part: u32, digest: Digest) -> bool {
    if part == agent_field::AVAILABLE_COMPONENTS {
        let asked = session.cold.as_ref().is_some_and(|cold| !cold.map.is_closed());
        if session.replica.lacks_map(asked) {
            return false;
        }
    }
    session.replica.has(part, digest)
}

/// Whether a message of this number goes on where the agent was: it is the next one, or none was heard.
pub fn follows(session: &Session, number: SequenceNum) -> bool {
    session.numbers.agent().is_none_or(|last| number == last.next())
}

/// The parts that the server has, over this route: what a report of this number repeats of them goes no further, and
/// their bytes are not needed. A new process's report is stored anew.
pub fn told_parts(session: &Session, number: SequenceNum, route: Option<Route>) -> FieldSet {
    let route = route.map(|route| session.outstanding.through(route));
    if session.numbers.goes_on(number) && session.outstanding.is_introduced(route) {
        session.replica.state().acked
    } else {
        FieldSet::EMPTY
    }
}

impl AtFront<'_> {
    /// The agent sent heartbeats, which its front has answered; `last` is the number of the last one. All numbers
    /// up to it count as heard. The server hears of them as of one heartbeat, by an announcement (R9).
    ///
    /// Of an agent that has said nothing else here, its capabilities are unknown: it is asked, and its answer
    /// introduces it.
    pub fn heartbeats_answered<P: Port>(
        self,
        last: SequenceNum,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        if self.0.attendance.has_left() {
            return;
        }
        let step = self.0.numbers.pass_to(last);
        if step == NumberStep::Again {
            return;
        }
        let mut work = Work::of(self.0, moment, port);
        work.note_alive();
        work.ask_if_in_doubt();
        if step == NumberStep::First {
            work.session.questions.want();
        } else {
            note_heartbeat(&mut work);
        }
        if work.session.attendance.is_connected() {
            work.flush_offers();
        }
        work.finish();
    }

    /// The agent's former home has died, and this one knows nothing of the agent or of what its server has. The first
    /// report of a connection is seldom whole, so the agent may have to be asked. Its answer introduces it: a report
    /// before that would be a second full state. One that leaves the question open is not waited for any longer.
    pub fn taken_over(self, moment: &Moment<'_>) {
        self.0.cold_mut().awaits_all = Some(moment.now + ASK_AGAIN);
    }

    /// Something that the agent said is lost on its way here: it is asked for its full state (R6).
    pub fn missed<P: Port>(self, moment: &Moment<'_>, port: &mut P) {
        if self.0.attendance.has_left() {
            return;
        }
        self.0.questions.want();
        port.note(Note::Missed);
        Work::of(self.0, moment, port).finish();
    }

    /// What the server has of these parts is in doubt, because an earlier home may have told it something else
    /// last: it gets them again, with a permit.
    pub fn tell_again<P: Port>(self, parts: FieldSet, moment: &Moment<'_>, port: &mut P) {
        if self.0.attendance.has_left() {
            return;
        }
        self.0.replica.tell_again(parts);
        Work::of(self.0, moment, port).finish();
    }

    /// Another node has the session from now on. It ends here without a word to the agent or a server.
    pub fn released<P: Port>(self, port: &mut P) {
        let unanswered = self.0.outstanding.unanswered_on();
        if let Some((route, messages)) = unanswered {
            port.orphaned(route, messages);
        }
        self.0.replies.waive();
        self.0.cold = None;
        self.0.attendance.enter(Presence::Gone);
        port.note(Note::Ended(EndReason::Moved));
        port.over(unanswered, None);
    }
}

/// R9: a heartbeat that the agent's front has answered.
fn note_heartbeat<P: Port>(work: &mut Work<'_, P>) {
    let route = route_of(work);
    let due = work.heartbeat_goes_on(route);
    let forwarded = route.filter(|_| due).is_some_and(|route| tell_alive(work, route));
    work.port.note(Note::Heartbeat { forwarded });
}
