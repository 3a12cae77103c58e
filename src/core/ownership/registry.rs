//! What the three calls to the store mean: the store's state, and how each call changes it.
//!
//! A store in memory wraps this type, the scripts of a store elsewhere do the same, and the simulation
//! puts faults around it. It must not know who calls, or when.
//!
//! What holds after each call:
//! - A call that is refused, or late, or by a node that is no member, has changed nothing.
//! - The number of a shard's epoch has not gone down, not even over a time without a home.
//! - A node that a change removed is no shard's home.
//! - The version has grown with each change of membership or map, and is higher than any version that a
//!   member's lease names as read before.

use std::collections::BTreeMap;

use super::calls::{
    Change, ChangeAnswer, ChangeRefusal, HomeChange, NODES_MAX, Renew, RenewAnswer, Renewed,
    Snapshot, StoreAnswer, StoreCall,
};
use super::ids::{Epoch, MapVersion, NodeIncarnation, RunId, Secret};
use super::lease::Lease;
use super::shard::{Home, ShardId};

/// The state of a store. At most [`NODES_MAX`] leases, at most one entry for each shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    run: RunId,
    version: MapVersion,
    secret: Option<Secret>,
    leases: BTreeMap<NodeIncarnation, Lease>,
    /// The version with which each member has become one.
    since: BTreeMap<NodeIncarnation, MapVersion>,
    shards: BTreeMap<ShardId, Tenure>,
}

/// A shard's last epoch, and its home unless that gave it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tenure {
    epoch: Epoch,
    node: Option<NodeIncarnation>,
}

impl Registry {
    /// A store that holds nothing.
    pub const fn new(run: RunId) -> Self {
        Self {
            run,
            version: MapVersion(0),
            secret: None,
            leases: BTreeMap::new(),
            since: BTreeMap::new(),
            shards: BTreeMap::new(),
        }
    }

    /// The same state in another life: what a restart or a replica does.
    #[must_use]
    pub fn restarted(mut self, run: RunId) -> Self {
        self.run = run;
        self
    }

    /// Carries a call out.
    pub fn apply(&mut self, call: &StoreCall) -> StoreAnswer {
        match call {
            StoreCall::Read => StoreAnswer::Read(Box::new(self.read())),
            StoreCall::Renew(renew) => StoreAnswer::Renew(Box::new(self.renew(renew))),
            StoreCall::Change(change) => StoreAnswer::Change(self.change(change)),
        }
    }

    /// Everything, as it is now.
    pub fn read(&self) -> Snapshot {
        let mut homes = BTreeMap::new();
        let mut vacant = BTreeMap::new();
        for (shard, Tenure { epoch, node }) in &self.shards {
            match *node {
                Some(node) => drop(homes.insert(*shard, Home { node, epoch: *epoch })),
                None => drop(vacant.insert(*shard, *epoch)),
            }
        }
        Snapshot {
            run: self.run,
            version: self.version,
            secret: self.secret,
            leases: self.leases.values().cloned().collect(),
            unreadable: Vec::new(),
            homes,
            vacant,
        }
    }

    /// Writes a lease of a member; after the store went back, also its membership and its shards.
    pub fn renew(&mut self, renew: &Renew) -> RenewAnswer {
        let Renew { lease, restore, rejoin, secret } = renew;
        let run = self.run;
        let stored = self.leases.get(&lease.incarnation).map(|stored| stored.counter);
        match stored {
            None if !rejoin || self.leases.len() >= NODES_MAX => {
                return RenewAnswer::NotMember { run };
            }
            Some(counter) if lease.counter <= counter => return RenewAnswer::Late { run },
            _ => {}
        }
        self.leases.insert(lease.incarnation, lease.clone());
        let mut changed = stored.is_none();
        for (shard, epoch) in restore {
            // On a tie the map wins.
            if self.shards.get(shard).is_none_or(|tenure| epoch.newer_than(tenure.epoch)) {
                let node = Some(lease.incarnation);
                self.shards.insert(*shard, Tenure { epoch: *epoch, node });
                changed = true;
            }
        }
        // A version that was read before the store went back is never given to another state.
        if changed || lease.read > self.version {
            self.version = self.version.max(lease.read).next();
        }
        if stored.is_none() {
            self.since.insert(lease.incarnation, self.version);
        }
        self.secret = self.secret.or(*secret);
        RenewAnswer::Renewed(Renewed {
            run,
            version: self.version,
            secret: self.secret,
            since: self.since.get(&lease.incarnation).copied().unwrap_or(self.version),
            leases: self.leases.values().cloned().collect(),
            unreadable: Vec::new(),
        })
    }

    /// Makes the whole change, or none of it.
    pub fn change(&mut self, change: &Change) -> ChangeAnswer {
        let run = self.run;
        if let Err(why) = self.check(change) {
            return ChangeAnswer::Refused { run, why };
        }
        for node in &change.remove {
            self.leases.remove(node);
            self.since.remove(node);
        }
        if let Some(lease) = &change.add {
            self.leases.insert(lease.incarnation, lease.clone());
        }
        for HomeChange { shard, read, new } in &change.homes {
            let epoch = new.map(|home| home.epoch).or(*read);
            if let Some(epoch) = epoch {
                self.shards.insert(*shard, Tenure { epoch, node: new.map(|home| home.node) });
            }
        }
        self.version = self.version.next();
        if let Some(lease) = &change.add {
            self.since.insert(lease.incarnation, self.version);
        }
        ChangeAnswer::Changed { run, version: self.version }
    }

    fn check(&self, change: &Change) -> Result<(), ChangeRefusal> {
        self.check_members(change)?;
        let after = |node: &NodeIncarnation| is_member_after(&self.leases, change, node);
        for HomeChange { shard, read, new } in &change.homes {
            if self.shards.get(shard).map(|tenure| tenure.epoch) != *read {
                return Err(ChangeRefusal::EpochDiffers(*shard));
            }
            let Some(new) = new else { continue };
            if new.epoch.number <= read.map_or(0, |read| read.number) {
                return Err(ChangeRefusal::NotNewer(*shard));
            }
            if !after(&new.node) {
                return Err(ChangeRefusal::NoMember(*shard));
            }
        }
        if change.remove.is_empty() {
            return Ok(());
        }
        let left_behind = self.shards.iter().find(|(shard, tenure)| {
            let is_removed = |node| change.remove.contains(&node) && !after(&node);
            let moves = |to: &HomeChange| to.shard == **shard;
            tenure.node.is_some_and(is_removed) && !change.homes.iter().any(moves)
        });
        left_behind.map_or(Ok(()), |(shard, _)| Err(ChangeRefusal::LeftBehind(*shard)))
    }

    fn check_members(&self, change: &Change) -> Result<(), ChangeRefusal> {
        let added = change.add.as_ref().map(|lease| lease.incarnation);
        if added.is_some_and(|node| self.leases.contains_key(&node)) {
            return Err(ChangeRefusal::AlreadyMember);
        }
        if !self.leases.contains_key(&change.by) && added != Some(change.by) {
            return Err(ChangeRefusal::NotMember);
        }
        for (node, counter) in &change.still {
            if self.leases.get(node).is_none_or(|lease| lease.counter != *counter) {
                return Err(ChangeRefusal::Moved(*node));
            }
        }
        let Some(add) = &change.add else { return Ok(()) };
        let staying = || self.leases.values().filter(|l| !change.remove.contains(&l.incarnation));
        if staying().count() >= NODES_MAX {
            return Err(ChangeRefusal::Full);
        }
        if staying().any(|lease| lease.name == add.name) {
            return Err(ChangeRefusal::NameTaken);
        }
        Ok(())
    }
}

fn is_member_after(
    before: &BTreeMap<NodeIncarnation, Lease>,
    change: &Change,
    node: &NodeIncarnation,
) -> bool {
    let stays = before.contains_key(node) && !change.remove.contains(node);
    stays || change.add.as_ref().is_some_and(|lease| lease.incarnation == *node)
}
