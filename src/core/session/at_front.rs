//! The entries for an agent whose connection ends at a front: heartbeats that the front has answered (R9), messages
//! that are lost between the two (R6), and the session's way to another home.

use super::numbers::NumberStep;
use super::work::Work;
use super::{EndReason, Moment, Note, Port, Presence, Session};
use crate::core::pacing::Permit;
use crate::ident::SequenceNum;
use crate::opamp::digest::Digest;
use crate::opamp::field_set::{FieldSet, agent_field};

impl Session {
    /// The agent sent heartbeats, which its front has answered; `last` is the number of the last one. All numbers
    /// up to it count as heard. The server hears of them as of one heartbeat, by an announcement (R9).
    ///
    /// Of an agent that has said nothing else here, its capabilities are unknown: it is asked, and its answer
    /// introduces it.
    pub fn heartbeats_answered<P: Port>(
        &mut self,
        last: SequenceNum,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        if self.attendance.has_left() {
            return;
        }
        let step = self.numbers.pass_to(last);
        if step == NumberStep::Again {
            return;
        }
        let mut work = Work::of(self, moment, port);
        work.note_alive();
        work.ask_if_in_doubt();
        if step == NumberStep::First {
            work.session.questions.want();
        } else {
            work.tell_alive();
        }
        if work.session.attendance.is_connected() {
            work.flush_offers();
        }
        work.finish();
    }

    /// Something that the agent said is lost on its way here: it is asked for its full state (R6).
    pub fn missed<P: Port>(&mut self, moment: &Moment<'_>, port: &mut P) {
        if self.attendance.has_left() {
            return;
        }
        self.questions.want();
        port.note(Note::Missed);
        Work::of(self, moment, port).finish();
    }

    /// Whether the agent has reported this part with this digest: then the digest stands for it. The digest of the
    /// components is that of their hash: if a server has asked for the components themselves, they must come.
    pub fn has_reported(&self, part: u32, digest: Digest) -> bool {
        if part == agent_field::AVAILABLE_COMPONENTS {
            let asked = self.cold.as_ref().is_some_and(|cold| !cold.map.is_closed());
            if self.replica.lacks_map(asked) {
                return false;
            }
        }
        self.replica.has(part, digest)
    }

    /// What the server has of these parts is in doubt, because an earlier home may have told it something else
    /// last: it gets them again, with a permit.
    pub fn tell_again<P: Port>(&mut self, parts: FieldSet, moment: &Moment<'_>, port: &mut P) {
        if self.attendance.has_left() {
            return;
        }
        self.replica.tell_again(parts);
        Work::of(self, moment, port).finish();
    }

    /// Another node has the session from now on. It ends here without a word to the agent or a server.
    pub fn released<P: Port>(&mut self, port: &mut P) {
        let unanswered = self.outstanding.unanswered_on();
        if let Some((route, messages)) = unanswered {
            port.orphaned(route, messages);
        }
        self.replies.waive();
        self.cold = None;
        self.attendance.enter(Presence::Gone);
        port.note(Note::Ended(EndReason::Moved));
        port.over(unanswered);
    }
}

impl<P: Port> Work<'_, P> {
    /// R9: sends one heartbeat on in the agent's name, if one is due and the server has time for it.
    fn tell_alive(&mut self) {
        let route = self.port.route();
        let mut forwarded = false;
        if let Some(route) = route
            && self.heartbeat_goes_on(Some(route))
        {
            forwarded = self.port.permit(route) == Permit::Granted && {
                self.leave_former_server(route);
                self.send_announce(route).is_ok()
            };
            if !forwarded {
                self.session.permits.announce_later();
            }
        }
        self.port.note(Note::Heartbeat { forwarded });
    }
}
