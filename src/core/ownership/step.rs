//! One event of a node: the node, the time and the effects so far. What the event leads to is in the files of
//! this folder that say so: `calling`, `answering`, `peer_said`, `moving`.

use super::calls::StoreAnswer;
use super::clock_reading::ClockReading;
use super::events::{CallId, NodeEffect, NodeEvent, PeerMessage};
use super::ids::RunId;
use super::node::{Node, NodePhase};
use super::take_over::Judge;
use crate::mutation::{Breach, is_on};

/// See the module's text.
pub(super) struct NodeStep<'a> {
    pub(super) node: &'a mut Node,
    pub(super) now: ClockReading,
    pub(super) out: &'a mut Vec<NodeEffect>,
}

impl Node {
    /// An event. Effects are added to `out`.
    pub fn handle(&mut self, event: NodeEvent, now: ClockReading, out: &mut Vec<NodeEffect>) {
        NodeStep { node: self, now, out }.take(event);
    }
}

impl NodeStep<'_> {
    /// The others as this node sees them now.
    pub(super) fn judge(&self) -> Judge<'_> {
        Judge { node: self.node, now: self.now }
    }

    /// Takes the event.
    pub(super) fn take(mut self, event: NodeEvent) {
        self.notice_lapse();
        match event {
            NodeEvent::Tick => {}
            NodeEvent::StoreAnswered(id, answer) => self.store_answered(id, *answer),
            NodeEvent::StoreSilent(id) => store_silent(&mut self, id),
            NodeEvent::StoreRefused(id) => self.store_refused(id),
            NodeEvent::PeerSaid(from, message) => self.peer_said(from, *message),
            NodeEvent::FiguresChanged { figures, urgent } => {
                self.node.lease.figures = figures;
                self.node.demand.set_figures(&figures);
                self.node.own.hurries |= urgent;
            }
            NodeEvent::HandOverWanted => want_to_hand_over(self.node),
            NodeEvent::LeaveWanted => want_to_leave(&mut self),
            NodeEvent::Received(shard, attempt) => self.records_received(shard, attempt),
            NodeEvent::VersionSeen(version) => {
                self.node.calls.read_due |= version > self.node.view.content().version;
            }
        }
        self.act();
        self.report_standing();
    }

    /// The right to speak may have been lost since the last event: then it is lost before anything else is done.
    fn notice_lapse(&mut self) {
        let standing = self.node.standing(self.now);
        if let (Ok(_), Err(reason)) = (self.node.reported, standing) {
            self.node.reported = Err(reason);
            self.out.push(NodeEffect::Standing(standing));
            if !is_on(Breach::OwnershipKeepsWhatWaits) {
                self.out.push(NodeEffect::DropWaiting);
            }
        }
    }

    fn report_standing(&mut self) {
        self.notice_lapse();
        if self.node.lease_counts(self.now) && self.node.phase != NodePhase::Gone {
            self.node.own.count();
        }
        let standing = self.node.standing(self.now);
        if standing != self.node.reported {
            self.node.reported = standing;
            self.out.push(NodeEffect::Standing(standing));
        }
    }

    /// What the node does of its own accord.
    fn act(&mut self) {
        if self.node.phase == NodePhase::Gone {
            return;
        }
        self.node.look_at_others(self.now.monotonic);
        if let Some(late) = self.node.calls.expire(self.now, &self.node.params) {
            self.call_failed(late);
        }
        if self.node.store.has_returned(self.now.monotonic, &self.node.params) {
            self.node.calls.read_due = true;
        }
        if self.node.phase != NodePhase::Joining {
            self.ask_members();
            self.move_shards();
        }
        if self.node.calls.is_free(self.now.monotonic) {
            self.call_store();
        }
    }

    /// The store has taken this incarnation off the membership.
    pub(super) fn end_membership(&mut self) {
        let leaves = self.node.phase == NodePhase::Leaving && self.node.waits.leaves;
        self.node.phase = NodePhase::Gone;
        self.out.push(if leaves { NodeEffect::Left } else { NodeEffect::TakeNewIncarnation });
    }

    /// A run of the store has answered.
    pub(super) fn heard_run(&mut self, run: RunId) {
        let speaks = self.node.reported.is_ok();
        let strangers = self.node.store.strangers.yet_to_show();
        if self.node.store.answered(run, speaks, self.now) {
            if speaks {
                self.node.store.doubt.end();
            } else {
                self.node.doubt_others(strangers, self.now);
            }
            self.node.watch.restart();
            self.node.waits.restart();
            self.node.own.hurries = true;
        }
    }

    fn store_refused(&mut self, id: CallId) {
        if let Some((member, its_id)) = self.node.peers.end_relay(id) {
            let message = Box::new(PeerMessage::RelayRefused(its_id));
            return self.out.push(NodeEffect::Say(member, message));
        }
        if let Some(call) = self.node.calls.close(id) {
            self.call_refused(call);
        }
    }

    fn store_answered(&mut self, id: CallId, answer: StoreAnswer) {
        if let Some((member, its_id)) = self.node.peers.end_relay(id) {
            let message = PeerMessage::Relayed(its_id, Box::new(answer));
            return self.out.push(NodeEffect::Say(member, Box::new(message)));
        }
        if let Some(call) = self.node.calls.close(id) {
            self.call_answered(call, answer);
        }
    }
}

/// The node hands its shards over and takes none. One that has yet to become a member becomes one that gets nothing.
fn want_to_hand_over(node: &mut Node) {
    node.lease.leaving = true;
    node.waits.leaves |= is_on(Breach::OwnershipHandOverLeaves);
    if node.phase == NodePhase::Member {
        node.phase = NodePhase::Leaving;
        node.own.hurries = true;
    }
}

/// The node hands its shards over, and then leaves.
fn want_to_leave(step: &mut NodeStep<'_>) {
    want_to_hand_over(step.node);
    step.node.waits.leaves = true;
    if step.node.phase == NodePhase::Joining {
        step.node.phase = NodePhase::Gone;
        step.out.push(NodeEffect::Left);
    }
}

fn store_silent(step: &mut NodeStep<'_>, id: CallId) {
    if let Some(call) = step.node.calls.close(id) {
        step.call_failed(call);
    } else {
        step.node.peers.end_relay(id);
    }
}
