//! What a home says, and what follows from it at the front.

use super::{ConnectionStage, FrontAttachment, FrontMoment, FrontPort, Way};
use crate::core::node_link::{
    AgentFrame, Attached, CloseOrder, DetachReason, ForAgentKind, Needs, ToFront, ToHome,
};
use crate::core::ownership::{Home, MapVersion, NodeIncarnation};
use crate::mutation::{Breach, is_on};
use crate::opamp::server::ServerScan;

/// By how much sooner a home is asked again that has no shard yet: it reads the map within moments.
const NOT_MINE_SOONER: u32 = 4;

impl FrontAttachment {
    /// A node that is, or was, the agent's home says something. What a former home confirms or wants counts no
    /// more; what it has for the agent is judged by its tenure.
    pub fn home_said<P: FrontPort>(
        &mut self,
        from: NodeIncarnation,
        message: &ToFront<'_>,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if self.is_over() {
            return;
        }
        if let ConnectionStage::Missed { .. } = self.stage
            && !matches!(message, ToFront::NotMine(..))
        {
            return;
        }
        if let ToFront::AgentFrame(_, message) = message {
            return self.for_agent(from, message, moment, port);
        }
        let (Way::Attaching { home, .. } | Way::Attached { home, .. }) = self.way else { return };
        if home.node != from {
            return;
        }
        match *message {
            ToFront::Attached(_, attached) => self.attached(home, &attached, moment, port),
            ToFront::Confirmed(_, number) => self.confirmed(number, moment, port),
            ToFront::Needs(_, needs) => self.needed(needs, moment, port),
            ToFront::AskOpen(_) => self.asked_open(from, moment, port),
            ToFront::Ping(_, question) => {
                if self.stage == ConnectionStage::Open {
                    port.ping(question);
                }
            }
            ToFront::Close(_, order) => self.ordered_to_close(order, moment, port),
            ToFront::Later(_) => {
                let again = Some(moment.now + moment.policy.attach_again);
                self.way = Way::Attaching { home, again };
            }
            ToFront::NotMine(_, version) => self.not_there((home, version), moment, port),
            ToFront::Told(_, number) => drop(self.forwarded.take_if(|(_, last)| *last <= number)),
            ToFront::AgentFrame(..) => {}
        }
    }

    fn attached<P: FrontPort>(
        &mut self,
        home: Home,
        attached: &Attached,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        // An attach may have gone twice: the answer to the second changes nothing.
        if !matches!(self.way, Way::Attaching { .. }) {
            return;
        }
        self.id = Some(attached.id);
        self.epoch = self.epoch.max(attached.epoch);
        self.way = Way::Attached { home, credit: attached.credit as usize };
        self.held.confirm(attached.had);
        self.held.send_again();
        if !attached.needs.is_empty() {
            self.held.want(attached.had + 1, attached.needs);
            self.forwarded = Some((moment.now, attached.had + 1));
        }
        if self.written > 0 {
            port.to_home(home.node, &ToHome::Written(self.handle, self.written));
        }
        self.send(port);
        self.tell_heartbeats(port);
        self.leave_if_done(moment, port);
    }

    fn confirmed<P: FrontPort>(&mut self, number: u64, moment: &FrontMoment<'_>, port: &mut P) {
        if matches!(self.way, Way::Attached { .. }) && !self.held.is_empty() {
            self.held.confirm(number);
            self.send(port);
            self.tell_heartbeats(port);
            self.leave_if_done(moment, port);
        }
    }

    fn needed<P: FrontPort>(&mut self, needs: Needs, moment: &FrontMoment<'_>, port: &mut P) {
        if matches!(self.way, Way::Attached { .. }) && self.held.want(needs.number, needs.parts) {
            self.forwarded = Some((moment.now, needs.number));
            self.send(port);
        }
    }

    fn asked_open<P: FrontPort>(
        &mut self,
        from: NodeIncarnation,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if self.stage == ConnectionStage::Open {
            port.to_home(from, &ToHome::Open(self.handle));
        } else {
            // It would replace a connection that may be alive: what it still holds is a gap.
            self.leave(moment, port);
        }
    }

    fn ordered_to_close<P: FrontPort>(
        &mut self,
        order: CloseOrder,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if self.stage == ConnectionStage::Open {
            port.close(order);
        }
        if !order.lets_go() {
            return;
        }
        self.replies.waive();
        if order != CloseOrder::Left && !self.held.is_empty() {
            self.end(DetachReason::Lost, moment, port);
        } else {
            self.stage = ConnectionStage::Over;
        }
    }

    /// The home may be about to take the shard, or may keep it after all: it is asked again, and soon, until the map
    /// names another one.
    fn not_there<P: FrontPort>(
        &mut self,
        (home, version): (Home, MapVersion),
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        self.home_lost(port);
        let again = Some(moment.now + moment.policy.attach_again / NOT_MINE_SOONER);
        self.way = Way::Attaching { home, again };
        port.read_map(version);
    }

    /// Something for the agent.
    fn for_agent<P: FrontPort>(
        &mut self,
        from: NodeIncarnation,
        message: &AgentFrame<'_>,
        moment: &FrontMoment<'_>,
        port: &mut P,
    ) {
        if message.epoch < self.epoch && !is_on(Breach::AttachmentTakesOldEpoch) {
            return;
        }
        let is_again = message.number > 0 && message.number <= self.had;
        if !is_again {
            self.had = self.had.max(message.number);
            self.pass_on(message, port);
        }
        if let Way::Attached { home, .. } = self.way
            && home.node == from
        {
            self.confirmed(message.had, moment, port);
        }
    }

    /// Gives it to the agent: as the reply that it is owed, as a push, or not at all if it says nothing.
    fn pass_on<P: FrontPort>(&mut self, message: &AgentFrame<'_>, port: &mut P) {
        let is_open = self.stage == ConnectionStage::Open;
        let scan = ServerScan::parse(message.bytes).ok();
        let greets = scan.as_ref().is_some_and(|scan| scan.capabilities.is_some());
        let says_nothing = scan.as_ref().is_some_and(ServerScan::is_empty_ack);
        let answers = message.kind == ForAgentKind::Answer
            && (self.replies.take() || is_on(Breach::AttachmentAnswersTwice));
        let kind = if answers { ForAgentKind::Answer } else { ForAgentKind::Unasked };
        let passes = answers || !says_nothing || greets && !self.greeted;
        if passes && is_open {
            self.greeted |= greets;
            port.to_agent(kind, message.number, message.bytes);
        } else if message.number > 0 && is_open {
            self.written(message.number, port);
        }
    }
}
