//! Which call a node makes to the store next, and by which way: renewals first, then reads, then changes.

use super::calls::{Change, HomeChange, Renew, StoreCall};
use super::events::{NodeEffect, PeerMessage};
use super::node::NodePhase;
use super::open_call::{Fate, Purpose};
use super::step::NodeStep;

impl NodeStep<'_> {
    /// Makes the next call, if one is due.
    pub(super) fn call_store(&mut self) {
        let Some((purpose, call)) = self.next_call() else { return };
        let open = self.node.calls.begin(purpose, self.now);
        let call = Box::new(call);
        self.out.push(match open.via {
            Some(member) => NodeEffect::Say(member, Box::new(PeerMessage::Relay(open.id, call))),
            None => {
                let deadline = self.node.params.call_time();
                NodeEffect::CallStore { id: open.id, call, deadline }
            }
        });
    }

    fn next_call(&mut self) -> Option<(Purpose, StoreCall)> {
        let unknown = self.node.calls.fate == Fate::Unknown;
        let each = self.node.demand.renews_each(self.now.monotonic);
        let due = self.node.own.is_due(self.now, each, &self.node.params)
            || self.node.demand.hurries(self.now.monotonic)
            || unknown;
        match self.node.phase {
            NodePhase::Gone => None,
            NodePhase::Joining if self.node.calls.read_due => {
                Some((Purpose::Read, StoreCall::Read))
            }
            NodePhase::Joining => Some((Purpose::Join, self.joining())),
            NodePhase::Member | NodePhase::Leaving if due => {
                Some((Purpose::Renew, StoreCall::Renew(Box::new(self.renewal()))))
            }
            NodePhase::Member | NodePhase::Leaving => {
                let away = self.node.store.is_away(self.now.monotonic, &self.node.params);
                if self.node.calls.read_due && !away {
                    return Some((Purpose::Read, StoreCall::Read));
                }
                let (purpose, change) = self.next_change()?;
                Some((purpose, StoreCall::Change(Box::new(change))))
            }
        }
    }

    /// The next change, if there is one to make. What it asks for binds from here on.
    fn next_change(&mut self) -> Option<(Purpose, Change)> {
        if !self.node.calls.may_change() || !self.node.lease_counts(self.now) {
            return None;
        }
        if let Some(change) = self.judge().hand_over() {
            self.node.moves.asked();
            return Some((Purpose::Change, change));
        }
        match self.node.phase {
            NodePhase::Leaving if !self.node.waits.leaves => None,
            NodePhase::Leaving => Some((Purpose::Leave, self.judge().leaving()?)),
            NodePhase::Member => {
                let (change, asked) = self.judge().take_over()?;
                asked.into_iter().for_each(|node| self.node.confirmations.bind(node));
                Some((Purpose::Change, change))
            }
            NodePhase::Joining | NodePhase::Gone => None,
        }
    }

    fn renewal(&mut self) -> Renew {
        self.write_lease();
        let away = self.node.store.is_away(self.now.monotonic, &self.node.params);
        let rejoin = self.node.store.rejoins(self.now, &self.node.params);
        self.node.store.renewal_sent(away, self.node.lease.read);
        let restore = self.node.view.to_restore(away);
        let has = self.node.view.content().secret;
        let makes =
            self.node.waits.may_make_secret(has.is_some(), self.now.monotonic, &self.node.params);
        let secret = has.or_else(|| self.node.waits.spare_secret().filter(|_| makes));
        Renew { lease: self.node.lease.clone(), restore, rejoin, secret }
    }

    fn write_lease(&mut self) {
        self.node.lease.counter = self.node.own.begin(self.now);
        let content = self.node.view.content();
        (self.node.lease.run, self.node.lease.read) = (content.run, content.version);
        if let Some(claim) = self.node.demand.claim(self.now.monotonic) {
            self.node.lease.figures.rate = claim;
        }
    }

    /// The change that makes this node a member. A lease of its name that has stood still goes; what its node had
    /// stays without a home until all members know of the change.
    fn joining(&mut self) -> StoreCall {
        self.write_lease();
        let (me, name) = (self.node.lease.incarnation, self.node.lease.name.clone());
        let former = self.node.view.heads().values().filter(|head| head.name == name);
        let still: Vec<_> = former.map(|head| (head.incarnation, head.counter)).collect();
        let remove: Vec<_> = still.iter().map(|(node, _)| *node).collect();
        let its = |node| remove.contains(&node);
        let left = self.node.view.shards().filter(|(_, known)| known.stored_node.is_some_and(its));
        let homes = left.map(|(shard, known)| HomeChange { shard, read: known.stored, new: None });
        let homes = homes.collect();
        let add = Some(self.node.lease.clone());
        StoreCall::Change(Box::new(Change { by: me, still, remove, add, homes }))
    }
}
