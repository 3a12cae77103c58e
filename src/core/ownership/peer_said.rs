//! What members say to each other over node links, and what a node makes of it.

use super::calls::{Snapshot, StoreCall};
use super::events::CallId;
use super::events::{Ask, NodeEffect, PeerMessage};
use super::ids::{MapVersion, NodeIncarnation};
use super::moment::Moment;
use super::node::{Node, NodePhase};
use crate::mutation::{Breach, is_on};

impl Node {
    /// Asks all members for confirmation, if it is time.
    pub(super) fn ask_members(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        let passed = self.confirmations.asked_for(now.monotonic);
        let all = self.confirmations.come_from_all(self.view.others(), now, &self.params);
        let interval = if all { self.params.ask_every() } else { self.params.retry_after() };
        if passed.is_some_and(|passed| passed < interval) {
            return;
        }
        let content = self.view.content();
        let ask = Ask {
            number: self.confirmations.ask(now),
            digest: self.view.digest(),
            read: (content.run, content.version),
            live: self.store.live_run(now.monotonic, &self.params),
        };
        let say = |node| NodeEffect::Say(node, Box::new(PeerMessage::Ask(ask)));
        out.extend(self.view.others().map(say));
    }

    /// A member has said something. What other nodes say is passed over: the store tells who is a member.
    pub(super) fn peer_said(
        &mut self,
        from: NodeIncarnation,
        message: PeerMessage,
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        let serves = matches!(self.phase, NodePhase::Member | NodePhase::Leaving);
        if !serves || !self.view.is_member(from) {
            return;
        }
        match message {
            PeerMessage::Ask(ask) => self.asked_by(from, ask, now, out),
            PeerMessage::Confirm(number) => self.confirmations.confirmed(from, number),
            PeerMessage::Newer(content) => self.take_newer(*content, now, out),
            PeerMessage::Relay(id, call) => self.call_for(from, id, call, out),
            PeerMessage::Relayed(id, answer) => {
                if let Some(call) = self.calls.close(id) {
                    self.call_answered(call, *answer, now, out);
                }
            }
            PeerMessage::Want(shards) => self.wanted_by(from, &shards, now, out),
            PeerMessage::Offer(shard, epoch) => self.offered(from, (shard, epoch), now, out),
            PeerMessage::Ready(shard, epoch) => self.moves.ready(shard, from, epoch),
            PeerMessage::Decline(shard, epoch) => {
                self.waits.refused_at = Some(now.monotonic);
                if self.moves.declined(shard, from, epoch) {
                    out.push(NodeEffect::Unfreeze(shard));
                }
            }
            PeerMessage::Cancel(shard, epoch) => {
                if self.moves.cancelled(shard, from, epoch) {
                    out.push(NodeEffect::Discard(shard));
                }
            }
            PeerMessage::Changed(version) => self.map_changed(version),
        }
    }

    const fn map_changed(&mut self, version: MapVersion) {
        if self.view.content().version.0 != version.0 {
            self.calls.read_due = true;
        }
    }

    fn asked_by(
        &mut self,
        from: NodeIncarnation,
        ask: Ask,
        now: Moment,
        out: &mut Vec<NodeEffect>,
    ) {
        self.peers.hear(from, now.monotonic, ask.live.is_some());
        let conflict =
            ask.live.is_some() && self.store.run().is_some() && ask.live != self.store.run();
        if conflict && !is_on(Breach::OwnershipIgnoresOtherRuns) {
            self.own.hurries |= !self.store.is_away(now.monotonic, &self.params);
            self.store.conflict(now.monotonic);
        }
        let fits = ask.digest == self.view.digest() || is_on(Breach::OwnershipConfirmsAnyView);
        let settled = self.waits.first_wait_is_over(now.monotonic, &self.params);
        if fits && settled && !self.confirmations.is_bound(from) {
            self.confirmations.give(from, now.monotonic);
            out.push(NodeEffect::Say(from, Box::new(PeerMessage::Confirm(ask.number))));
        }
        let read = self.view.content();
        if !fits && read.run == ask.read.0 && read.version > ask.read.1 {
            let newer = PeerMessage::Newer(Box::new(read.clone()));
            out.push(NodeEffect::Say(from, Box::new(newer)));
        }
    }

    /// A member has read a newer content of the same run: it counts as if this node had read it. What came of this
    /// node's own changes shows only when it reads the store itself.
    fn take_newer(&mut self, content: Snapshot, now: Moment, out: &mut Vec<NodeEffect>) {
        let read = self.view.content();
        let newer = content.run == read.run && content.version > read.version;
        let me = self.lease.incarnation;
        if newer && content.leases.iter().any(|lease| lease.incarnation == me) {
            self.adopt(content, now, out);
        }
    }

    fn call_for(
        &mut self,
        member: NodeIncarnation,
        its_id: CallId,
        call: Box<StoreCall>,
        out: &mut Vec<NodeEffect>,
    ) {
        let id = self.calls.next_id();
        if self.peers.relay(id, member, its_id) {
            out.push(NodeEffect::CallStore { id, call, deadline: self.params.call_time() });
        }
    }
}
