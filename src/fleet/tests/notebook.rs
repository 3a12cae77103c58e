//! A data plane that notes what it is told. Its sessions are a number for each shard, which moves with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::core::codec::Undecodable;
use crate::core::ownership::{Epoch, HoldReason, NodeIncarnation, Secret, ShardId};
use crate::fleet::{DataPlane, Fleet};

/// See the module's text.
#[derive(Default)]
pub(super) struct Notebook {
    pub(super) noted: Mutex<Noted>,
    fleet: OnceLock<Weak<Fleet>>,
}

/// What a data plane knows.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// The shards at home here.
    pub(super) held: BTreeMap<ShardId, Epoch>,
    /// Those of them that came with their sessions.
    pub(super) handed: BTreeSet<ShardId>,
    pub(super) frozen: BTreeSet<ShardId>,
    pub(super) reached: BTreeSet<NodeIncarnation>,
    pub(super) gone: Vec<NodeIncarnation>,
    pub(super) frames: Vec<(NodeIncarnation, Vec<u8>)>,
    pub(super) secrets: Vec<u64>,
    /// Whether it may speak to servers.
    pub(super) speaks: bool,
    pub(super) drops: usize,
    pub(super) home_changes: usize,
    /// What should not have happened.
    pub(super) faults: Vec<String>,
}

impl Notebook {
    pub(super) fn serve(&self, fleet: &Arc<Fleet>) {
        self.fleet.set(Arc::downgrade(fleet)).unwrap();
    }

    pub(super) fn held(&self) -> BTreeSet<ShardId> {
        self.noted.lock().held.keys().copied().collect()
    }

    pub(super) fn speaks(&self) -> bool {
        self.noted.lock().speaks
    }

    pub(super) fn summary(&self) -> String {
        let noted = self.noted.lock();
        let (held, reached) = (noted.held.len(), noted.reached.len());
        format!("{held} shards, {reached} peers, speaks: {}, {:?}", noted.speaks, noted.faults)
    }
}

impl Noted {
    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(what());
        }
    }
}

impl DataPlane for Notebook {
    fn install(&self, shard: ShardId, epoch: Epoch, prepared: bool) {
        let mut noted = self.noted.lock();
        let new = noted.held.insert(shard, epoch).is_none();
        noted.check(new, || format!("{shard:?} is installed twice"));
        if prepared {
            noted.handed.insert(shard);
        }
    }

    fn release(&self, shard: ShardId) {
        let mut noted = self.noted.lock();
        noted.frozen.remove(&shard);
        let had = noted.held.remove(&shard).is_some();
        noted.check(had, || format!("{shard:?} is released and was not here"));
    }

    fn freeze(&self, shard: ShardId) {
        self.noted.lock().frozen.insert(shard);
    }

    fn unfreeze(&self, shard: ShardId) {
        self.noted.lock().frozen.remove(&shard);
    }

    fn receive(&self, _: ShardId, _: NodeIncarnation) {}

    fn discard(&self, _: ShardId) {}

    fn node_reached(&self, node: NodeIncarnation) {
        let mut noted = self.noted.lock();
        let new = noted.reached.insert(node);
        noted.check(new, || format!("{node} is reached twice"));
    }

    fn node_lost(&self, node: NodeIncarnation) {
        let mut noted = self.noted.lock();
        let had = noted.reached.remove(&node);
        noted.check(had, || format!("{node} is lost and was not reached"));
    }

    fn node_gone(&self, node: NodeIncarnation) {
        self.noted.lock().gone.push(node);
    }

    fn take_frame(
        &self,
        from: NodeIncarnation,
        frame: &[u8],
    ) -> Result<Option<ShardId>, Undecodable> {
        let mut noted = self.noted.lock();
        let reached = noted.reached.contains(&from);
        noted.check(reached, || format!("a frame of {from}, which is not reached"));
        noted.frames.push((from, frame.to_vec()));
        Ok(None)
    }

    fn homes_changed(&self) {
        self.noted.lock().home_changes += 1;
    }

    fn set_digest_key(&self, secret: &Secret) {
        self.noted.lock().secrets.push(secret.id);
    }

    fn hold_still(&self, why: Option<HoldReason>) {
        self.noted.lock().speaks = why.is_none();
    }

    fn drop_waiting(&self) {
        self.noted.lock().drops += 1;
    }
}
