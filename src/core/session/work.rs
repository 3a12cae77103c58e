//! One event while a session handles it: the session, the time, and the port. What several entries have in
//! common is here: what a message sent changes, what the agent is told, and how each entry ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::former_home::{FormerHome, former_home, is_held_back};
use super::greeting::additions;
use super::mailbox::Copying;
use super::offer_size::drop_refused;
use super::rhythm::silence_max;
use super::wanted::wanted_permits;
use super::{
    ClassSet, CustomLoss, Departure, Farewell, Moment, NotSent, Note, OfferLoss, Port, Presence,
    Replier, Route, ServerHello, Session, ToAgent, ToServer,
};
use crate::core::pacing::{Class, Permit};
use crate::mutation::{Breach, is_on};
use crate::opamp::splice::{self, Additions};

/// See the module's text.
pub(super) struct Work<'a, P: Port> {
    pub(super) session: &'a mut Session,
    pub(super) moment: &'a Moment<'a>,
    pub(super) port: &'a mut P,
    /// When a reply was due before the event.
    reply_due: Option<Instant>,
    /// Content was written to the agent's WebSocket, and the agent has to confirm it.
    wrote_content: bool,
    /// The agent's message is its last one once more.
    pub(super) repeats: bool,
    /// A server has been told that the agent has left.
    is_told_gone: bool,
}

impl<'a, P: Port> Work<'a, P> {
    pub(super) fn of(session: &'a mut Session, moment: &'a Moment<'a>, port: &'a mut P) -> Self {
        let reply_due = session.replies.due();
        Self {
            session,
            moment,
            port,
            reply_due,
            wrote_content: false,
            repeats: false,
            is_told_gone: false,
        }
    }

    pub(super) const fn now(&self) -> Instant {
        self.moment.now
    }

    // Towards the server.

    /// Sends a message that the session answers for.
    pub(super) fn send(&mut self, route: Route, message: &ToServer<'_>) -> Result<(), NotSent> {
        self.port.send(route, message)?;
        self.note_sent(route);
        Ok(())
    }

    /// A message went that says more of the agent than that it is there.
    pub(super) fn note_sent(&mut self, route: Route) {
        self.sent(route, false);
    }

    /// Introduces the agent on `route`, or says that it is alive.
    pub(super) fn send_announce(&mut self, route: Route) -> Result<(), NotSent> {
        let message = self.announcement();
        self.port.send(route, &message)?;
        self.announced(route);
        Ok(())
    }

    pub(super) const fn announcement(&self) -> ToServer<'static> {
        let Session { capabilities, numbers, .. } = &*self.session;
        ToServer::Announce { capabilities: *capabilities, number: numbers.next() }
    }

    /// The server has been told that the agent is there, and that alone.
    pub(super) fn announced(&mut self, route: Route) {
        self.port.note(Note::Announced(route.server()));
        let introduces = self.session.needs_introduction(Some(route));
        self.sent(route, introduces);
    }

    fn sent(&mut self, route: Route, announcing: bool) {
        let now = self.now();
        self.note_route(route);
        let session = &mut *self.session;
        session.numbers.use_next();
        session.outstanding.sent(route, now, announcing);
        session.permits.announced();
        session.replica.capabilities_sent();
    }

    /// The session's messages go by `route` from now on. If that is another wire, what was unanswered may be
    /// lost; if it leads to another memory, what was told is forgotten there.
    pub(super) fn note_route(&mut self, route: Route) {
        let session = &mut *self.session;
        let introduced = session.outstanding.is_introduced(Some(route));
        let on_wire = session.outstanding.is_on_wire(route);
        if introduced && on_wire {
            return;
        }
        let moved = session.outstanding.moves(route);
        let link_lost = !on_wire && session.outstanding.is_own();
        if moved || !on_wire {
            let late = session.cold.as_ref().is_some_and(|cold| cold.late_reply.is_some());
            let in_doubt = session.outstanding.unanswered() > 0 || late;
            session.replica.wire_lost(in_doubt && !is_on(Breach::R6IgnoresLostLink));
            session.outstanding.give_up();
            if let Some(cold) = &mut session.cold {
                cold.late_reply.take_if(|late| late.route.wire() != route.wire());
            }
        }
        if introduced {
            return;
        }
        session.replica.forgotten(moved, link_lost);
        if let Some(cold) = &mut session.cold {
            // The server asks for the map as it did when it hears of the agent.
            cold.map.close();
        }
    }

    /// After a failover or failback the server that the agent came from, if it still lives, is told that
    /// the agent has left it. For an agent that has said goodbye, that is all there is to tell.
    pub(super) fn leave_former_server(&mut self, route: Route) {
        let leads_elsewhere = self.session.outstanding.leads_elsewhere(route);
        if leads_elsewhere
            && self.session.attendance.presence() == Presence::Disconnecting
            && !self.session.has_one_shots()
        {
            self.enter(Presence::Gone);
        }
        let Some(former) = self.session.outstanding.leave_for(route) else { return };
        let message = ToServer::Disconnect { number: self.session.numbers.next() };
        // A server that lost its links has lost its agents, too, and knows as much.
        if self.port.send(former, &message).is_ok() {
            self.port.orphaned(former, 1);
            self.session.numbers.use_next();
        }
    }

    // Towards the agent.

    /// What the agent's first reply on a connection carries besides. `from`: the server that speaks.
    fn hello(&self, from: Option<Route>) -> Option<Arc<ServerHello>> {
        if self.session.greeting.is_told() {
            return None;
        }
        // Before the first message is sent: the server that it will be.
        let route = from.or_else(|| self.session.outstanding.route());
        let route = route.or_else(|| super::work::route(self))?;
        Some(self.port.server_hello(route.server()))
    }

    /// Acknowledges a message in the server's place, or asks the agent by these flags.
    pub(super) fn acknowledge(&mut self, kind: ToAgent, flags: u64) {
        let (hello, uid) = (self.hello(None), self.session.uid);
        // What the server says of itself is in the reply that is awaited: nothing is promised in its name before.
        let awaited = self.session.replies.owed() > 0;
        let hello = hello.filter(|hello| hello.has_spoken() || !awaited);
        let with = additions(hello.as_deref(), flags);
        self.port.to_agent(kind, |out| splice::acknowledge(uid, &with, out));
        self.session.greeting.gave(hello.as_deref());
    }

    /// Gives replies that the agent is owed, in the server's place. `after`: how long it has waited, if that is known.
    pub(super) fn acknowledge_owed(&mut self, count: u32, after: Option<Duration>) {
        for _ in 0..count {
            self.acknowledge(ToAgent::Acknowledgement, 0);
            self.port.note(Note::Replied { by: Replier::Gateway, after });
        }
    }

    /// Passes a server's message on. `write` is given the greeting and returns whether it wrote it. Returns whether
    /// there was a connection to write to.
    pub(super) fn pass_on(
        &mut self,
        kind: ToAgent,
        (from, has_content): (Route, bool),
        write: impl FnOnce(&Additions<'_>, &mut Vec<u8>) -> bool,
    ) -> bool {
        let hello = self.hello(Some(from));
        let (mut wrote, mut gave) = (false, false);
        let with = additions(hello.as_deref(), 0);
        let copying = copying(self, false);
        let mailbox = has_content.then(|| &mut self.session.cold_mut().mailbox);
        self.port.to_agent(kind, |out| {
            let before = out.len();
            (wrote, gave) = (true, write(&with, out));
            if let Some(mailbox) = mailbox {
                mailbox.copy(&out[before..], copying);
            }
        });
        if gave {
            self.session.greeting.gave(hello.as_deref());
        }
        self.wrote_content |= wrote && has_content;
        wrote
    }

    /// All that waited for an agent goes to its WebSocket. If that closes, the rest waits for the agent's next one.
    pub(super) fn flush_offers(&mut self) {
        let (with, uid) = (Additions::default(), self.session.uid);
        if drop_refused(self.session, self.now()) {
            self.port.note(Note::OfferDropped(OfferLoss::TooLargeForAgent));
        }
        while self.session.has_offers() {
            let copying = copying(self, false);
            let mailbox = &mut self.session.cold_mut().mailbox;
            self.wrote_content = true;
            let took = self.port.to_agent(ToAgent::Stored(mailbox.bytes()), |out| {
                mailbox.write_next((uid, &with), copying, out);
            });
            if !took {
                return;
            }
        }
    }

    /// The agent goes, and its connection is still open: it gets every reply that it is owed. It goes of its
    /// own accord, to no other node: its goodbye follows what it said before, also while the node drains.
    pub(super) fn say_farewell(&mut self, why: Departure) {
        let owed = self.session.replies.waive();
        self.acknowledge_owed(owed, None);
        self.session.drains = false;
        if let Some(cold) = &mut self.session.cold {
            cold.mailbox.all_confirmed();
        }
        self.port.detach(why);
    }

    /// A request that is overtaken, or whose agent leaves, is acknowledged: what waits for the agent is for
    /// its newer request or connection.
    pub(super) fn answer_plainly(&mut self) {
        if self.session.attendance.request_waits() {
            let uid = self.session.uid;
            let settled = self.session.is_settled();
            self.port.answer_request(settled, |out| {
                splice::acknowledge(uid, &Additions::default(), out);
            });
            self.session.attendance.set_waits(false);
        }
    }

    /// Answers the plain-HTTP request that waits with all that waits for its agent, in one message.
    fn answer_request(&mut self) {
        let (hello, uid) = (self.hello(None), self.session.uid);
        let with = additions(hello.as_deref(), 0);
        let (settled, copying) = (self.session.is_settled(), copying(self, true));
        let mailbox = self.session.cold.as_mut().map(|cold| &mut cold.mailbox);
        self.port.answer_request(settled, |out| match mailbox {
            Some(mailbox) => mailbox.write_next((uid, &with), copying, out),
            None => splice::acknowledge(uid, &with, out),
        });
        self.session.greeting.gave(hello.as_deref());
        self.session.attendance.set_waits(false);
    }

    /// An offer may be lost on its way to the agent. The server is told again all that the agent has, for
    /// that is how it finds out.
    pub(super) fn offer_may_be_lost(&mut self) {
        if !self.session.replica.tell_all_again() {
            self.session.questions.want();
        }
    }

    // About the agent's presence.

    /// Changes whether the agent is there. A request that waits is answered before its agent is gone.
    pub(super) fn enter(&mut self, next: Presence) {
        if !matches!(next, Presence::Polling { .. }) {
            self.answer_plainly();
        }
        self.session.attendance.enter(next);
    }

    /// The agent stays away under this uid. The server is told even before the first message to it: it
    /// may know the agent from before this process.
    pub(super) fn leave(&mut self) {
        self.enter(Presence::Disconnecting);
        self.session.replies.waive();
    }

    /// The agent is another node's now: it is forgotten, with what it still had to say.
    pub(super) fn forget_moved(&mut self) {
        self.session.replies.waive();
        let settled = self.session.is_settled();
        let next = if is_on(Breach::DrainTellsDisconnect) {
            Presence::Disconnecting
        } else {
            Presence::Gone
        };
        self.enter(next);
        self.port.detach(Departure::Drained);
        self.port.note(Note::Moved { settled });
    }

    // The end of each entry.

    /// Does what follows from any change: answers a request, asks for permits, notes a deadline, or ends
    /// the session.
    pub(super) fn finish(mut self) {
        if self.session.attendance.has_left() {
            self.drop_offers();
        }
        if self.session.attendance.is_gone() {
            return self.end();
        }
        let session = &*self.session;
        if session.attendance.request_waits() && session.replies.owed() == 0 {
            self.answer_request();
        }
        let due = self.session.replies.due();
        if due != self.reply_due {
            self.port.reply_due(due);
        }
        if self.wrote_content {
            self.session.last_ping = self.session.last_ping.wrapping_add(1);
            self.port.confirm(self.session.last_ping);
        }
        let silence_max = silence_max(self.session, self.moment.policy);
        let absence = self.session.attendance.deadline(silence_max);
        let former_home = former_home(self.session).map(FormerHome::deadline);
        let awaits_all = self.session.cold.as_ref().and_then(|cold| cold.awaits_all);
        if let Some(at) = absence.into_iter().chain(former_home).chain(awaits_all).min() {
            self.port.deadline(at);
        }
        let wanted = wanted_permits(self.session, self.now(), self.port);
        self.enqueue(wanted);
    }

    pub(super) fn enqueue(&mut self, wanted: ClassSet) {
        let new = self.session.permits.want(wanted);
        if !new.is_empty() {
            self.port.enqueue(new);
        }
    }

    /// What waits for an agent that has left is dropped. Should the agent come back before the
    /// server has been told, the server must find out.
    fn drop_offers(&mut self) {
        let cold = self.session.cold.as_mut();
        if cold.is_some_and(|cold| cold.mailbox.drop_offers()) {
            self.offer_may_be_lost();
            self.port.note(Note::OfferDropped(OfferLoss::SessionEnded));
        }
    }

    fn end(self) {
        let one_shots = self.session.cold.as_mut().map(|cold| std::mem::take(&mut cold.one_shots));
        for _ in 0..one_shots.map_or(0, |one_shots| one_shots.len()) {
            self.port.note(Note::CustomDropped(CustomLoss::SessionEnded));
        }
        let unanswered = self.session.outstanding.unanswered_on();
        if let Some((route, messages)) = unanswered {
            self.port.orphaned(route, messages);
        }
        let (at, rhythm) = (self.now(), self.session.rhythm);
        let farewell = self.is_told_gone.then_some(Farewell { at, rhythm });
        self.port.over(unanswered, farewell);
    }
}

/// The server has been told that the agent has left.
pub(super) fn part<P: Port>(work: &mut Work<'_, P>) {
    work.is_told_gone = true;
    work.enter(Presence::Gone);
}

/// How what is written now is copied. `in_answer`: it answers a request.
fn copying<P: Port>(work: &Work<'_, P>, in_answer: bool) -> Copying {
    let free = work.port.free_bytes().for_copies;
    let (now, limits) = (work.now(), work.moment.policy.offers);
    Copying { now, ping: work.session.last_ping.wrapping_add(1), free, limits, in_answer }
}

/// The way that the agent's messages take now.
pub(super) fn route<P: Port>(work: &Work<'_, P>) -> Option<Route> {
    work.port.route().map(|route| work.session.outstanding.through(route))
}

/// Whether a message that has just come may go to the server at once.
pub(super) fn permit<P: Port>(work: &mut Work<'_, P>, route: Route) -> Permit {
    if is_held_back(work.session, work.now()) {
        return Permit::Wait { soon: false };
    }
    work.port.permit(route)
}

/// Adds the class in which the agent is introduced, if it has to be and may be.
pub(super) fn want_introduction<P: Port>(work: &Work<'_, P>, wanted: &mut ClassSet) {
    let held_back = is_held_back(work.session, work.now());
    if !held_back && work.session.needs_introduction(route(work)) {
        wanted.insert(Class::Announce);
    }
}

impl Session {
    /// Whether the agent has to be introduced on `route`, having spoken before.
    pub(super) fn needs_introduction(&self, route: Option<Route>) -> bool {
        let spoke = self.outstanding.route().is_some();
        spoke && !self.outstanding.is_introduced(route) && !self.attendance.has_left()
    }

    /// Whether the server has heard and answered everything, and the agent has its replies.
    pub(super) fn is_settled(&self) -> bool {
        self.replies.owed() == 0
            && self.outstanding.unanswered() == 0
            && self.replica.pending().is_empty()
            && !self.has_one_shots()
    }
}
