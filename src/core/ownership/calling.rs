//! Which call a node makes to the store next, and by which way: renewals first, then reads, then changes.

use super::calls::{Change, HomeChange, Renew, StoreCall};
use super::events::{NodeEffect, PeerMessage};
use super::moment::Moment;
use super::node::{Node, NodePhase};
use super::open_call::{Fate, Purpose};

impl Node {
    /// Makes the next call, if one is due.
    pub(super) fn call_store(&mut self, now: Moment, out: &mut Vec<NodeEffect>) {
        let Some((purpose, call)) = self.next_call(now) else { return };
        let open = self.calls.begin(purpose, now);
        let call = Box::new(call);
        out.push(match open.via {
            Some(member) => NodeEffect::Say(member, Box::new(PeerMessage::Relay(open.id, call))),
            None => {
                let deadline = self.params.call_time();
                NodeEffect::CallStore { id: open.id, call, deadline }
            }
        });
    }

    fn next_call(&mut self, now: Moment) -> Option<(Purpose, StoreCall)> {
        match self.phase {
            NodePhase::Gone => None,
            NodePhase::Joining if self.calls.read_due => Some((Purpose::Read, StoreCall::Read)),
            NodePhase::Joining => Some((Purpose::Join, self.joining(now))),
            NodePhase::Member | NodePhase::Leaving if self.renewal_is_due(now) => {
                Some((Purpose::Renew, StoreCall::Renew(Box::new(self.renewal(now)))))
            }
            NodePhase::Member | NodePhase::Leaving => {
                let away = self.store.is_away(now.monotonic, &self.params);
                if self.calls.read_due && !away {
                    return Some((Purpose::Read, StoreCall::Read));
                }
                let (purpose, change) = self.next_change(now)?;
                Some((purpose, StoreCall::Change(Box::new(change))))
            }
        }
    }

    fn renewal_is_due(&self, now: Moment) -> bool {
        let unknown = self.calls.fate == Fate::Unknown;
        let needs = self.lease.figures.need > 0;
        self.own.is_due(now, needs, &self.params) || unknown
    }

    fn renewal(&mut self, now: Moment) -> Renew {
        self.write_lease(now);
        let away = self.store.is_away(now.monotonic, &self.params);
        let rejoin = self.store.rejoins(now, &self.params);
        let restore = self.view.to_restore(away);
        let has = self.view.content().secret;
        let makes = self.waits.may_make_secret(has.is_some(), now.monotonic, &self.params);
        let secret = has.or_else(|| self.waits.spare_secret().filter(|_| makes));
        Renew { lease: self.lease.clone(), restore, rejoin, secret }
    }

    fn write_lease(&mut self, now: Moment) {
        self.lease.counter = self.own.begin(now);
        let content = self.view.content();
        (self.lease.run, self.lease.read) = (content.run, content.version);
    }

    /// The change that makes this node a member. A lease of its name that has stood still goes; what its node had
    /// stays without a home until all members know of the change.
    fn joining(&mut self, now: Moment) -> StoreCall {
        self.write_lease(now);
        let (me, name) = (self.lease.incarnation, self.lease.name.clone());
        let former = self.view.heads().values().filter(|head| head.name == name);
        let still: Vec<_> = former.map(|head| (head.incarnation, head.counter)).collect();
        let remove: Vec<_> = still.iter().map(|(node, _)| *node).collect();
        let its = |node| remove.contains(&node);
        let left = self.view.shards().filter(|(_, known)| known.stored_node.is_some_and(its));
        let homes = left.map(|(shard, known)| HomeChange { shard, read: known.stored, new: None });
        let homes = homes.collect();
        let add = Some(self.lease.clone());
        StoreCall::Change(Box::new(Change { by: me, still, remove, add, homes }))
    }
}
