//! The entries for time: a reply that is overdue (R5), and an absence that lasts too long (R8).

use std::time::Instant;

use super::cold::all_said;
use super::moved_here::pass_time_of_move;
use super::presence::AbsenceCheck;
use super::rhythm::silence_max;
use super::work::Work;
use super::{EndReason, Moment, Note, Port, Presence, Replier, Session};
use crate::mutation::{Breach, is_on};

impl Session {
    /// A moment has come that [`Port::reply_due`] named: the agent that has waited long enough is answered in
    /// the server's place. Coming early is harmless.
    pub fn reply_overdue<P: Port>(&mut self, moment: &Moment<'_>, port: &mut P) {
        if !self.replies.is_overdue(moment.now) || is_on(Breach::R5NeverAnswers) {
            return;
        }
        let mut work = Work::of(self, moment, port);
        work.give_up_waiting();
        work.finish();
    }

    /// A plain-HTTP request has waited long enough, by its own clock.
    pub fn request_overdue<P: Port>(&mut self, request: u32, moment: &Moment<'_>, port: &mut P) {
        if self.replies.request() != request || !self.attendance.is_polling() {
            return;
        }
        let mut work = Work::of(self, moment, port);
        work.give_up_waiting();
        work.finish();
    }

    /// A moment has come that [`Port::deadline`] named: looks whether the agent has been away too long.
    /// `excused`: until then the gateway's own admission may keep agents away.
    pub fn deadline_passed<P: Port>(
        &mut self,
        excused: Option<Instant>,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        let silence_max = silence_max(self, moment.policy);
        let check = self.attendance.check(moment.now, excused, silence_max);
        if let (AbsenceCheck::Over(_), Some(heard)) = (check, self.attendance.polled_at()) {
            self.rhythm.note_silence(moment.now.saturating_duration_since(heard));
        }
        let mut work = Work::of(self, moment, port);
        pass_time_of_move(&mut work);
        let awaits_all = work.session.cold.as_ref().and_then(|cold| cold.awaits_all);
        if awaits_all.is_some_and(|until| until <= moment.now) {
            all_said(work.session, moment.now);
        }
        match check {
            AbsenceCheck::NoDeadline => {}
            AbsenceCheck::Until(at) => work.port.deadline(at),
            AbsenceCheck::Over(_) if moment.drains => {
                // It is at another node, which speaks for it: this node keeps silent.
                work.leave();
                work.enter(Presence::Gone);
                work.port.note(Note::Ended(EndReason::Moved));
            }
            AbsenceCheck::Over(end) => {
                work.leave();
                work.port.note(Note::Ended(end));
            }
        }
        work.finish();
    }
}

impl<P: Port> Work<'_, P> {
    /// The gateway answers in the server's place; a request gets its answer when the entry ends.
    fn give_up_waiting(&mut self) {
        let after = self.session.replies.waited(self.now(), self.moment.policy.reply_wait);
        let owed = self.session.replies.waive();
        if self.session.attendance.is_connected() {
            self.acknowledge_owed(owed, after);
        } else if owed > 0 {
            self.port.note(Note::Replied { by: Replier::Gateway, after });
        }
    }
}
