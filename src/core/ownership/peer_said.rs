//! What members say to each other over node links, and what a node makes of it.

use std::time::Instant;

use super::calls::{Snapshot, StoreCall};
use super::events::{Ask, CallId, NodeEffect, PeerMessage};
use super::ids::NodeIncarnation;
use super::node::{Node, NodePhase};
use super::step::NodeStep;
use crate::mutation::{Breach, is_on};

impl Node {
    /// Whether the asker hears another run than this node: then the store is away for both.
    fn hears_another_run(&mut self, ask: Ask, now: Instant) -> bool {
        let conflict = ask.live.is_some()
            && self.store.run().is_some()
            && ask.live != self.store.run()
            && !is_on(Breach::OwnershipIgnoresOtherRuns);
        if conflict {
            self.own.hurries |= !self.store.is_away(now, &self.params);
            self.store.conflict(now);
        }
        conflict
    }

    /// Whether this node has read a later version of what the asker has read, or a later run that counts here.
    fn has_read_more_than(&self, ask: Ask, now: Instant) -> bool {
        let read = self.view.content();
        if read.run == ask.read.0 {
            return read.version > ask.read.1;
        }
        let counts = self.store.run() == Some(read.run) && !self.store.is_away(now, &self.params);
        counts && ask.live.is_none_or(|live| live == read.run)
    }
}

impl NodeStep<'_> {
    /// Asks all members for confirmation, if it is time.
    pub(super) fn ask_members(&mut self) {
        let passed = self.node.confirmations.asked_for(self.now.monotonic);
        let all = self.node.confirmations.come_from_all(
            self.node.view.others(),
            self.now,
            &self.node.params,
        );
        let interval =
            if all { self.node.params.ask_every() } else { self.node.params.retry_after() };
        if passed.is_some_and(|passed| passed < interval) {
            return;
        }
        let content = self.node.view.content();
        let ask = Ask {
            number: self.node.confirmations.ask(self.now),
            digest: self.node.view.digest(),
            read: (content.run, content.version),
            live: self.node.store.live_run(self.now.monotonic, &self.node.params),
        };
        let say = |node| NodeEffect::Say(node, Box::new(PeerMessage::Ask(ask)));
        let strangers = self.node.peers.strangers(self.now.monotonic, &self.node.params);
        let strangers = strangers.filter(|node| !self.node.view.is_member(*node));
        self.out.extend(self.node.view.others().chain(strangers).map(say));
    }

    /// A member has said something. Of other nodes the run alone counts that they hear: the store tells who is a
    /// member, and there may be two of it.
    pub(super) fn peer_said(&mut self, from: NodeIncarnation, message: PeerMessage) {
        let serves = matches!(self.node.phase, NodePhase::Member | NodePhase::Leaving);
        if !serves {
            return;
        }
        if !self.node.view.is_member(from) {
            if let PeerMessage::Ask(ask) = message {
                self.asked_by_stranger(from, ask);
            }
            return;
        }
        match message {
            PeerMessage::Ask(ask) => self.asked_by(from, ask),
            PeerMessage::Confirm(number) => self.node.confirmations.confirmed(from, number),
            PeerMessage::Newer(content) => self.take_newer(*content),
            PeerMessage::Relay(id, call) => self.call_for(from, id, call),
            PeerMessage::Relayed(id, answer) => {
                if let Some(call) = self.node.calls.close(id) {
                    self.call_answered(call, *answer);
                }
            }
            PeerMessage::RelayRefused(id) => {
                if let Some(call) = self.node.calls.close(id) {
                    self.call_refused(call);
                }
            }
            PeerMessage::Want(shards) => self.wanted_by(from, &shards),
            PeerMessage::Offer(attempt) => self.offered(from, attempt),
            PeerMessage::Ready(attempt) => self.node.moves.ready(from, attempt),
            PeerMessage::Decline(attempt) => {
                self.node.waits.refused_at = Some(self.now.monotonic);
                if self.node.moves.declined(from, attempt) {
                    self.out.push(NodeEffect::Unfreeze(attempt.shard));
                }
            }
            PeerMessage::Cancel(attempt) => {
                if self.node.moves.cancelled(from, attempt) {
                    self.out.push(NodeEffect::Discard(attempt.shard));
                }
            }
            PeerMessage::Changed(version) => {
                let read = self.node.view.content().version;
                self.node.calls.read_due |= read != version;
            }
        }
    }

    fn asked_by(&mut self, from: NodeIncarnation, ask: Ask) {
        self.node.peers.hear(from, self.now.monotonic, ask.live.is_some());
        self.node.hears_another_run(ask, self.now.monotonic);
        let fits = ask.digest == self.node.view.digest() || is_on(Breach::OwnershipConfirmsAnyView);
        let settled = self.node.waits.first_wait_is_over(self.now.monotonic, &self.node.params);
        let free =
            !self.node.confirmations.is_bound(from) && !self.node.store.strangers.may_have_shards();
        if fits && settled && free {
            self.node.confirmations.give(from, self.now.monotonic);
            self.out.push(NodeEffect::Say(from, Box::new(PeerMessage::Confirm(ask.number))));
        }
        if !fits && self.node.has_read_more_than(ask, self.now.monotonic) {
            let newer = PeerMessage::Newer(Box::new(self.node.view.content().clone()));
            self.out.push(NodeEffect::Say(from, Box::new(newer)));
        }
    }

    /// A node that is no member of this one's view, but may be one of the other's: two masters may have led both
    /// apart. From then on it hears this node, too.
    fn asked_by_stranger(&mut self, from: NodeIncarnation, ask: Ask) {
        if self.node.hears_another_run(ask, self.now.monotonic) {
            self.node.peers.hear_stranger(from, self.now.monotonic, &self.node.params);
        }
    }

    /// A member has read a newer content, of the same run or of the run that has answered this node since: the view
    /// counts as if this node had read it. Whether its own lease counts, and what came of its own changes, shows only
    /// when it reads the store itself.
    fn take_newer(&mut self, content: Snapshot) {
        let read = self.node.view.content();
        let newer = if content.run == read.run {
            content.version > read.version
        } else {
            self.node.store.run() == Some(content.run)
        };
        let me = self.node.lease.incarnation;
        if newer && content.leases.iter().any(|lease| lease.incarnation == me) {
            self.adopt(content);
        }
    }

    fn call_for(&mut self, member: NodeIncarnation, its_id: CallId, call: Box<StoreCall>) {
        let id = self.node.calls.next_id();
        if self.node.peers.relay(id, member, its_id) {
            self.out.push(NodeEffect::CallStore {
                id,
                call,
                deadline: self.node.params.call_time(),
            });
        }
    }
}
