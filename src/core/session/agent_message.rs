//! The entry for an agent's message: what it says, whether it goes on, and when it is answered.

use super::clones::speaks_for_another;
use std::time::Duration;

use super::cold::all_said;
use super::forward::{Forwarding, forward, take_report};
use super::giving_way::make_good_for_dropped;
use super::liveness::{SignOfLife, note_suppressed, sign_of_life};
use super::numbers::NumberStep;
use super::one_shots::one_shot_fields;
use super::parts::ForwardPlan;
use super::questions::{AnswerDoubt, has_all_promised};
use super::uid_requests::note_flags;
use super::wanted::announcement_waits;
use super::work::{Work, part, route as route_of};
use super::{
    Departure, EndReason, FullState, Moment, Note, OfferLoss, Port, Presence, Replier, Route,
    Session, ToAgent,
};
use crate::ident::{ConnectionId, SequenceNum};
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;
use crate::opamp::splice::{self, Additions};

/// How long the message is that gives another uid, about.
const FRESH_UID_BYTES: usize = 48;

/// Where an agent's message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageSource {
    /// A WebSocket, for which [`Session::connection_opened`] was called.
    Socket(ConnectionId),
    /// A plain-HTTP request, for which [`Session::request_opened`] was called.
    Request,
}

/// An agent's message.
#[derive(Debug, Clone, Copy)]
pub struct AgentMessage<'a> {
    /// Where it came from.
    pub source: MessageSource,
    /// The message.
    pub scan: &'a AgentScan<'a>,
}

/// How a message is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReplyBy {
    /// The server's own reply is awaited.
    Server,
    /// The gateway acknowledges it.
    Gateway,
    /// The gateway tells the agent that something in it is dropped.
    Refusal,
}

impl Session {
    /// The agent says something. In this order: the number is followed (R3), the message goes on or waits
    /// (R1, R2, R6, R9), the agent is answered (R5), what waited for it is delivered (R7).
    ///
    /// A message on a connection that a newer one has replaced is left aside: its task will find out. So is
    /// one on a connection whose agent has said goodbye.
    pub fn agent_message<P: Port>(
        &mut self,
        message: &AgentMessage<'_>,
        moment: &Moment<'_>,
        port: &mut P,
    ) {
        let AgentMessage { source, scan } = *message;
        if let MessageSource::Socket(connection) = source
            && !self.attendance.is_on(connection)
        {
            return;
        }
        let mut work = Work::of(self, moment, port);
        if source == MessageSource::Request {
            work.session.attendance.set_waits(true);
        }
        if speaks_for_another(work.session, scan, moment.now) {
            give_fresh_uid(&mut work, source);
            return work.finish();
        }
        let reply = work.take_message(scan);
        match reply {
            ReplyBy::Server => work.session.replies.owe(moment.now, moment.policy.reply_wait),
            // A request gets it when this entry ends.
            ReplyBy::Gateway => {
                work.port.note(Note::Replied { by: Replier::Gateway, after: Some(Duration::ZERO) });
            }
            ReplyBy::Refusal => refuse(&mut work, source),
        }
        if let MessageSource::Socket(_) = source {
            if reply == ReplyBy::Gateway {
                work.acknowledge(ToAgent::ReplyNow, 0);
            }
            if scan.disconnects() {
                work.say_farewell(Departure::Left);
            } else {
                work.flush_offers();
            }
        }
        work.finish();
    }
}

impl<P: Port> Work<'_, P> {
    /// Sends the message on or keeps it; says how it is answered.
    fn take_message(&mut self, scan: &AgentScan<'_>) -> ReplyBy {
        let is_told_gone = std::mem::take(&mut self.session.last_said.is_told_gone);
        if scan.disconnects() {
            self.session.rhythm.stop();
            if is_told_gone && scan.only_disconnects() {
                // Its goodbye once more, of which the answer was lost.
                self.enter(Presence::Disconnecting);
                part(self);
                self.port.note(Note::Ended(EndReason::AgentDisconnect));
                return ReplyBy::Gateway;
            }
        }
        let route = route_of(self);
        let spoke = self.session.numbers.agent().is_some();
        let said = scan.stated_capabilities().unwrap_or(self.session.capabilities);
        let changed = spoke && said != self.session.capabilities;
        self.session.capabilities = said;
        self.follow_number(scan);
        self.session.last_said.was_heartbeat = scan.is_heartbeat();
        self.note_heard(scan);
        let now = self.now();
        note_flags(self.session, scan.flags, now);
        note_all_said(self, scan);
        if scan.disconnects() {
            // The server hears it with this message, or with a permit later.
            self.enter(Presence::Disconnecting);
        }
        let forwarding = if scan.is_heartbeat() && !changed {
            let goes_on = self.heartbeat_goes_on(route);
            let route = route.filter(|_| goes_on);
            let route = route.filter(|on| sign_of_life(self, *on) == SignOfLife::Goes);
            self.take_heartbeat(scan, route)
        } else {
            let forwarding = take_report(self, scan, route);
            if let (Forwarding::Nothing, Some(route)) = (forwarding, route) {
                note_suppressed(self, route);
            }
            forwarding
        };
        if scan.disconnects() {
            self.port.note(Note::Ended(EndReason::AgentDisconnect));
        }
        let waits = !scan.disconnects() && !self.moment.policy.reply_wait.is_zero();
        match forwarding {
            Forwarding::Sent | Forwarding::Queued { soon: true } if waits => ReplyBy::Server,
            // With its goodbye an agent wants to hear nothing more.
            Forwarding::Refused if !scan.disconnects() => ReplyBy::Refusal,
            _ => ReplyBy::Gateway,
        }
    }

    /// Follows the agent's numbers. Any but the next one is a new process's first, a repetition, or the sign
    /// of a loss, which a full report mends. A message without a number leaves the last one as it is, once there is
    /// one.
    fn follow_number(&mut self, scan: &AgentScan<'_>) {
        let heard_before = self.session.numbers.agent().is_some();
        let number = match scan.number() {
            Some(number) => number,
            // An agent that leaves numbers out is taken to have what it was given.
            None if heard_before => return self.judge_answer(NumberStep::Next),
            None => scan.sequence_num,
        };
        self.repeats = is_said_again(self, scan, number);
        let step = self.session.numbers.follow(number, self.repeats);
        self.judge_answer(step);
        match step {
            NumberStep::Next => return,
            // It says nothing new; the reply that was lost may have offered something, or asked.
            NumberStep::Again => {
                self.reply_may_be_lost();
                self.session.questions.maybe_lost();
                if let Some(cold) = &mut self.session.cold {
                    cold.map.maybe_lost();
                }
                if number.may_be_first() && self.session.attendance.is_connected() {
                    // On another WebSocket it may be a new process all the same.
                    drop_restart(self);
                }
                return;
            }
            NumberStep::NewProcess => self.forget_process(),
            NumberStep::Gap { expected } => {
                self.port.note(Note::Gap { expected, received: number });
            }
            NumberStep::First => {}
        }
        // Whatever the agent said before, to this gateway or another, may be lost. Before 0 it has said
        // nothing; 1 is the first number of some, and the second of others.
        let is_first = number.0 == 0 && scan.is_full();
        let capabilities = self.session.capabilities;
        let says_all = is_first || self.session.questions.is_mended_by(scan, capabilities);
        let gap = matches!(step, NumberStep::Gap { .. });
        let ignored = is_on(if gap { Breach::R6IgnoresGap } else { Breach::R6IgnoresRestart });
        if !says_all && (step == NumberStep::NewProcess || !ignored) {
            self.session.questions.want();
        }
    }

    /// The agent's number says whether it has the answer to its last request.
    fn judge_answer(&mut self, step: NumberStep) {
        let Some(cold) = &mut self.session.cold else { return };
        if cold.mailbox.is_unconfirmed_answer() {
            match step {
                NumberStep::Next => cold.mailbox.all_confirmed(),
                _ => self.reply_may_be_lost(),
            }
        }
    }

    /// The agent's process is a new one. It may have forgotten what the old one had from the server, and
    /// whatever the old one was given is past.
    fn forget_process(&mut self) {
        self.session.replica.forget();
        self.session.questions.forget_said_all();
        self.port.forget_stored();
        if let Some(cold) = &mut self.session.cold {
            cold.map.close();
            cold.mailbox.take_doubt();
            cold.offer_limit = None;
        }
        drop_restart(self);
    }

    /// The agent was heard: what this says of content in doubt and of open questions.
    fn note_heard(&mut self, scan: &AgentScan<'_>) {
        let now = self.now();
        self.note_alive();
        let session = &mut *self.session;
        if session.questions.take_report(scan, session.capabilities) {
            let sure = has_all_promised(session.capabilities, scan.present);
            if !sure || session.cold.is_some() {
                let doubt = &mut session.cold_mut().doubt;
                *doubt = doubt.after_answer(sure, now);
            }
        }
        self.ask_if_in_doubt();
    }

    /// The agent gave a sign of life: questions that it leaves open are asked again after a while.
    pub(super) fn note_alive(&mut self) {
        let now = self.now();
        self.session.heard(now);
        make_good_for_dropped(self);
        let question_waits = self.session.has_offers();
        self.session.questions.after_report(question_waits, now);
        if let Some(cold) = &mut self.session.cold {
            cold.map.after_report(question_waits, now);
        }
    }

    pub(super) fn ask_if_in_doubt(&mut self) {
        let now = self.now();
        let session = &mut *self.session;
        let Some(cold) = &mut session.cold else { return };
        if !cold.doubt.is_due(now) {
            return;
        }
        if session.attendance.is_polling() {
            session.questions.want();
        } else {
            // It has read the question by now, and has answered if it had not.
            cold.doubt = AnswerDoubt::Settled;
        }
    }

    /// R9. A heartbeat also goes on if this incarnation of the link has yet to see the agent: then it is the
    /// message that introduces it.
    pub(super) fn heartbeat_goes_on(&self, route: Option<Route>) -> bool {
        if is_on(Breach::R9ForwardsAll) || is_on(Breach::R9ForwardsNone) {
            return route.is_some() && is_on(Breach::R9ForwardsAll);
        }
        let interval = self.session.rhythm.forward_interval(self.moment.policy);
        let outstanding = &self.session.outstanding;
        route.is_some()
            && (!outstanding.is_introduced(route)
                || !outstanding.heard_within(interval, self.now()))
    }

    /// Sends a heartbeat on, if there is a route for it.
    fn take_heartbeat(&mut self, scan: &AgentScan<'_>, route: Option<Route>) -> Forwarding {
        let forwarding = match route {
            None => Forwarding::Nothing,
            Some(on) if announcement_waits(self.session, on, self.now(), self.port) => {
                Forwarding::Nothing
            }
            Some(_) => forward(self, scan, route, ForwardPlan::Whole),
        };
        let forwarded = forwarding == Forwarding::Sent;
        if route.is_some() && !forwarded {
            self.session.permits.announce_later();
        }
        self.port.note(Note::Heartbeat { forwarded });
        // The agent is answered at once, also where an announcement has to wait.
        if forwarded { forwarding } else { Forwarding::Nothing }
    }
}

/// The message's sender gets a uid of its own, and what it said is left aside.
fn give_fresh_uid<P: Port>(work: &mut Work<'_, P>, source: MessageSource) {
    let (uid, fresh) = (work.session.uid, work.port.fresh_uid());
    let write = |out: &mut Vec<u8>| {
        splice::new_instance_uid(uid, fresh, &Additions::default(), out);
    };
    match source {
        MessageSource::Socket(_) => {
            work.port.to_agent(ToAgent::Push(FRESH_UID_BYTES), write);
        }
        MessageSource::Request => {
            work.port.answer_request(false, write);
            work.session.attendance.set_waits(false);
        }
    }
    work.port.note(Note::CloneFound { fresh });
}

/// Whether a message has the number and the bytes of the last one.
fn is_said_again<P: Port>(work: &Work<'_, P>, scan: &AgentScan<'_>, number: SequenceNum) -> bool {
    let session = &*work.session;
    if session.numbers.agent() != Some(number) {
        return false;
    }
    if scan.is_heartbeat() || session.last_said.was_heartbeat {
        return scan.is_heartbeat() && session.last_said.was_heartbeat;
    }
    let state = session.replica.state();
    state.hash_counts && state.hash == work.port.report_hash(scan)
}

/// An order to restart that the agent was yet to get is past.
fn drop_restart<P: Port>(work: &mut Work<'_, P>) {
    let cold = work.session.cold.as_mut();
    if cold.is_some_and(|cold| cold.mailbox.drop_restart()) {
        work.port.note(Note::OfferDropped(OfferLoss::NewProcess));
    }
}

/// What a successor of a dead home waits for has come: there is nothing left to ask. What is said once waits for nothing.
fn note_all_said<P: Port>(work: &mut Work<'_, P>, scan: &AgentScan<'_>) {
    let says_once = scan.disconnects() || !one_shot_fields(scan).is_empty();
    let asks = work.session.questions.full_state() != FullState::Reported;
    if says_once || !asks {
        let now = work.now();
        all_said(work.session, now);
    }
}

/// What an agent is told of a message that found no room.
const REFUSED: &str = "too much waits for the server: what this message says once is dropped";

/// When it may say it again.
const REFUSED_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Tells the agent that what its message says once found no room.
fn refuse<P: Port>(work: &mut Work<'_, P>, source: MessageSource) {
    let uid = work.session.uid;
    let write =
        |out: &mut Vec<u8>| splice::unavailable(Some(uid), REFUSED, REFUSED_RETRY_AFTER, out);
    match source {
        MessageSource::Socket(_) => {
            work.port.to_agent(ToAgent::ReplyNow, write);
        }
        MessageSource::Request => {
            let settled = work.session.is_settled();
            work.port.answer_request(settled, write);
            work.session.attendance.set_waits(false);
        }
    }
    work.port.note(Note::Replied { by: Replier::Gateway, after: Some(Duration::ZERO) });
}

#[cfg(test)]
mod tests {
    use super::super::tests::message::{self, bytes};
    use super::super::tests::{Harness, POLICY, UID, route};
    use super::*;
    use crate::core::session::Policy;
    use std::time::Duration;

    #[test]
    fn r9_an_interval_of_zero_forwards_all() {
        let policy = Policy { heartbeat_forward_interval: Duration::ZERO, ..POLICY };
        let mut harness = Harness::new(crate::clock::now());
        harness.policy = policy;
        for number in 0..5 {
            harness.agent_says(ConnectionId(1), &bytes(&message::heartbeat(number)));
        }
        assert_eq!(harness.effects.to_server.len(), 5);
        assert_eq!(harness.session.unwrap().info(0).uid, UID);
        assert!(harness.effects.to_server.iter().all(|(on, _)| *on == route(1)));
    }
}
