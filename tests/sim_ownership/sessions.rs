//! What a node's data plane has of its shards, as far as hand-overs concern it: one number for each shard stands for
//! all that its sessions have been through. It goes by the rules of `sessions::homes`: of several attempts with a
//! shard the sessions of the latest count, and what has come of it waits until the map gives the shard.

use std::collections::BTreeMap;

use seawall::core::ownership::{MoveNumber, NodeIncarnation, ShardId};

/// Sessions of a shard on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records {
    pub(crate) shard: ShardId,
    pub(crate) attempt: MoveNumber,
    /// What they have been through.
    pub(crate) lived: u64,
}

/// A shard that is frozen.
#[derive(Debug, Clone, Copy)]
struct Departure {
    to: NodeIncarnation,
    attempt: MoveNumber,
}

/// What has come of a shard.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    from: NodeIncarnation,
    attempt: MoveNumber,
    /// The map may give this node the shard.
    is_wanted: bool,
    lived: Option<u64>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct SimSessions {
    /// Of each shard that is here.
    held: BTreeMap<ShardId, u64>,
    leaving: BTreeMap<ShardId, Departure>,
    coming: BTreeMap<ShardId, Arrival>,
    /// Shards that came with their sessions from these nodes, and whose home has yet to say something.
    fresh: BTreeMap<ShardId, NodeIncarnation>,
}

impl SimSessions {
    /// The shard is frozen. `false`: it was frozen already.
    pub(crate) fn freeze(
        &mut self,
        shard: ShardId,
        to: NodeIncarnation,
        attempt: MoveNumber,
    ) -> bool {
        self.leaving.insert(shard, Departure { to, attempt }).is_none()
    }

    pub(crate) fn unfreeze(&mut self, shard: ShardId) {
        self.leaving.remove(&shard);
    }

    pub(crate) fn release(&mut self, shard: ShardId) {
        self.leaving.remove(&shard);
        self.fresh.remove(&shard);
        self.held.remove(&shard);
    }

    /// The sessions of a frozen shard, with the node that they go to, unless the attempt is over.
    pub(crate) fn to_send(
        &self,
        shard: ShardId,
        attempt: MoveNumber,
    ) -> Option<(NodeIncarnation, Records)> {
        let departure = self.leaving.get(&shard).filter(|it| it.attempt == attempt)?;
        let lived = *self.held.get(&shard)?;
        Some((departure.to, Records { shard, attempt, lived }))
    }

    /// The sessions go through one thing more, which makes `lived` of all. Returns the node that they came from along
    /// with the shard, and what they had been through, if that was less by more than one.
    pub(crate) fn live(&mut self, shard: ShardId, lived: u64) -> Option<(NodeIncarnation, u64)> {
        let from = self.fresh.remove(&shard);
        let had = self.held.insert(shard, lived);
        from.zip(had).filter(|(_, had)| had + 1 != lived)
    }

    /// This node is to receive the shard from that one, in this attempt.
    pub(crate) fn receive(&mut self, shard: ShardId, from: NodeIncarnation, attempt: MoveNumber) {
        let is_other = |it: &Arrival| it.from != from || it.attempt < attempt;
        self.coming.retain(|known, arrival| *known != shard || !is_other(arrival));
        let none = Arrival { from, attempt, is_wanted: true, lived: None };
        let arrival = self.coming.entry(shard).or_insert(none);
        arrival.is_wanted |= arrival.attempt == attempt;
    }

    /// Sessions have come.
    pub(crate) fn take(&mut self, from: NodeIncarnation, records: Records) {
        let Records { shard, attempt, lived } = records;
        if self.held.contains_key(&shard) {
            return;
        }
        let is_wanted = match self.coming.get(&shard) {
            Some(known) if known.from != from && known.is_wanted => return,
            Some(known) if known.from == from && attempt < known.attempt => return,
            known => {
                known.is_some_and(|it| (it.from, it.attempt) == (from, attempt) && it.is_wanted)
            }
        };
        self.coming.insert(shard, Arrival { from, attempt, is_wanted, lived: Some(lived) });
    }

    /// Whether the sessions of a shard are here that this attempt brings.
    pub(crate) fn has_received(&self, shard: ShardId, attempt: MoveNumber) -> bool {
        let coming = self.coming.get(&shard).filter(|it| it.attempt == attempt && it.is_wanted);
        coming.is_some_and(|arrival| arrival.lived.is_some())
    }

    pub(crate) fn discard(&mut self, shard: ShardId) {
        self.coming.remove(&shard);
    }

    /// The shard is here from now on. Returns what its sessions have been through, if they came along; otherwise
    /// they begin with `now`.
    pub(crate) fn install(
        &mut self,
        shard: ShardId,
        handed_by: Option<MoveNumber>,
        now: u64,
    ) -> Option<u64> {
        let received = handed_by.is_some_and(|attempt| self.has_received(shard, attempt));
        let arrival = self.coming.remove(&shard).filter(|_| received);
        let lived = arrival.and_then(|arrival| arrival.lived);
        if let Some(arrival) = arrival.filter(|_| lived.is_some()) {
            self.fresh.insert(shard, arrival.from);
        }
        self.held.insert(shard, lived.unwrap_or(now));
        lived
    }
}
