//! What must be true of every story. It knows what no node can know: who runs, and what the store was told.

use std::collections::BTreeMap;

use seawall::core::ownership::{
    Change, ChangeAnswer, NodeIncarnation, RenewAnswer, ShardId, Snapshot, StoreAnswer, StoreCall,
};

use crate::forgotten::Forgotten;
use crate::plan::{LEASE, Plan};
use crate::process::Key;
use crate::world::Time;

/// Clocks drift by a hundredth at most.
const DRIFT: Time = Time::from_millis(200);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) violation: Option<String>,
    /// Two masters took writes, and nodes could not hear each other: until then O1 is not judged.
    pub(crate) excused_until: Time,
    /// When a node, a link or the map last changed.
    pub(crate) last_trouble: Time,
    /// When a node or a link last changed.
    pub(crate) last_unrest: Time,
    /// Shards for which a node speaks now, as bits.
    pub(crate) spoken: u64,
    /// All shards, as bits.
    pub(crate) all: u64,
    /// Since when each shard has had no voice.
    pub(crate) silent_since: Vec<Option<Time>>,
    /// Since when the store is not as it should be, with pauses of less than three lease times.
    pub(crate) store_bad_since: Option<Time>,
    pub(crate) store_bad_last: Time,
    /// When two masters last took writes.
    pub(crate) split_last: Time,
    /// Members that the store has forgotten and that have yet to find out.
    pub(crate) forgotten: Forgotten,
    /// What the sessions of each shard have been through, wherever they were.
    lived: Vec<u64>,
    /// The same, of what they went through last at each node.
    lived_at: BTreeMap<(ShardId, NodeIncarnation), u64>,
    /// A process that hands over in the calm.
    pub(crate) hands_over: Option<Key>,
    /// Renewals by run: with two masters a node may renew at one and stand still at the other.
    renewed: BTreeMap<(u128, NodeIncarnation), Time>,
}

impl Oracle {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            violation: None,
            excused_until: Time::ZERO,
            last_trouble: Time::ZERO,
            last_unrest: Time::ZERO,
            spoken: 0,
            all: (1 << plan.params.shards) - 1,
            silent_since: vec![Some(Time::ZERO); usize::from(plan.params.shards)],
            store_bad_since: None,
            store_bad_last: Time::ZERO,
            split_last: Time::ZERO,
            forgotten: Forgotten::default(),
            lived: vec![0; usize::from(plan.params.shards)],
            lived_at: BTreeMap::new(),
            hands_over: None,
            renewed: BTreeMap::new(),
        }
    }

    /// What the shard's sessions have been through.
    pub(crate) fn lived(&self, shard: ShardId) -> u64 {
        self.lived[usize::from(shard.get())]
    }

    /// They go through one thing more at this node. Returns how much that makes.
    pub(crate) fn live(&mut self, shard: ShardId, at: NodeIncarnation) -> u64 {
        let lived = &mut self.lived[usize::from(shard.get())];
        *lived += 1;
        self.lived_at.insert((shard, at), *lived);
        *lived
    }

    /// A node goes on with what a shard's sessions had been through at another one. Whether they have been through
    /// more there since. What they were through at a third node is another rule's (O1).
    pub(crate) fn are_old(&self, shard: ShardId, (from, had): (NodeIncarnation, u64)) -> bool {
        self.lived_at.get(&(shard, from)).is_some_and(|lived| *lived > had)
    }

    pub(crate) fn fail(&mut self, rule: &str, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(format!("{rule}: {}", what()));
        }
    }

    /// Something has changed that nodes must first get used to.
    pub(crate) fn trouble(&mut self, now: Time) {
        self.last_trouble = now;
    }

    /// Something is wrong with the store.
    pub(crate) fn store_is_bad(&mut self, now: Time) {
        self.store_bad_last = now;
        self.store_bad_since.get_or_insert(now);
    }

    /// A node or a link has changed.
    pub(crate) fn unrest(&mut self, now: Time) {
        self.last_unrest = now;
        self.trouble(now);
    }

    pub(crate) fn excuse(&mut self, now: Time, autonomy: Time) {
        self.excused_until = now + autonomy + LEASE * 4;
    }

    /// The store has carried a call out.
    pub(crate) fn applied(
        &mut self,
        call: &StoreCall,
        answer: &StoreAnswer,
        before: Option<Snapshot>,
        now: Time,
    ) {
        match (call, answer) {
            (StoreCall::Renew(renew), StoreAnswer::Renew(answer)) => {
                if let RenewAnswer::Renewed(renewed) = &**answer {
                    self.renewed.insert((renewed.run.0, renew.lease.incarnation), now);
                }
            }
            (StoreCall::Change(change), StoreAnswer::Change(ChangeAnswer::Changed { .. })) => {
                if let Some(lease) = &change.add {
                    self.forgotten.joined(lease.incarnation, now);
                }
                if let Some(before) = before {
                    self.changed(change, &before, now);
                }
                self.trouble(now);
            }
            _ => {}
        }
    }

    fn changed(&mut self, change: &Change, before: &Snapshot, now: Time) {
        let removed = change.remove.iter().filter(|node| **node != change.by);
        for node in removed {
            let renewed = self.renewed.get(&(before.run.0, *node)).copied().unwrap_or_default();
            if now < renewed + LEASE - DRIFT && now >= self.excused_until {
                let (by, node) = (change.by, *node);
                self.fail("T1", || format!("{by} takes over {node}, which renews"));
            }
        }
        let members: Vec<NodeIncarnation> =
            before.leases.iter().map(|lease| lease.incarnation).collect();
        for home in &change.homes {
            self.forgotten.changed(home);
            let old = before.homes.get(&home.shard).map(|home| home.node);
            let new = home.new.map(|home| home.node);
            let moves = old.is_some_and(|old| {
                Some(old) != new
                    && old != change.by
                    && members.contains(&old)
                    && !change.remove.contains(&old)
            });
            if moves {
                let (by, shard) = (change.by, home.shard);
                self.fail("M1", || format!("{by} moves {shard:?} from a living node"));
            }
        }
    }
}
