//! A data plane that notes what it is told. Its sessions are a number for each shard, which moves with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::core::codec::Undecodable;
use crate::core::ownership::{Epoch, HoldReason, MoveNumber, NodeIncarnation, Secret, ShardId};
use crate::fleet::{DataPlane, Fleet, SessionsSent};
use crate::ident::InstanceUid;
use crate::sessions::Ways as _;

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
    pub(super) coming: BTreeMap<ShardId, Coming>,
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

/// What has come of a shard.
#[derive(Debug, Default)]
pub(super) struct Coming {
    attempt: MoveNumber,
    sessions: u8,
    of: Option<u8>,
}

impl Coming {
    fn is_whole(&self) -> bool {
        self.of == Some(self.sessions)
    }
}

const SESSION: u8 = 1;
const END: u8 = 2;

/// An agent of this name for its shard: the fleet asks no more of it.
fn agent(shard: ShardId, number: u8) -> InstanceUid {
    let mut bytes = [number; 16];
    bytes[..2].copy_from_slice(&shard.get().to_be_bytes());
    InstanceUid::from_bytes(bytes)
}

impl Noted {
    fn frame(&mut self, from: NodeIncarnation, frame: &[u8]) -> Option<(ShardId, MoveNumber)> {
        let Some((kind @ (&SESSION | &END), rest)) = frame.split_first() else {
            self.frames.push((from, frame.to_vec()));
            return None;
        };
        let (attempt, rest) = rest.split_first_chunk().unwrap();
        let attempt = MoveNumber(u64::from_be_bytes(*attempt));
        let (shard, rest) = rest.split_first_chunk().unwrap();
        let shard = ShardId::new(u16::from_be_bytes(*shard)).unwrap();
        let coming = self.coming.entry(shard).or_default();
        if attempt > coming.attempt {
            *coming = Coming { attempt, ..Coming::default() };
        } else if attempt < coming.attempt {
            return None;
        }
        match *kind {
            SESSION => coming.sessions += 1,
            _ => coming.of = rest.first().copied(),
        }
        coming.is_whole().then_some((shard, attempt))
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(what());
        }
    }
}

impl DataPlane for Notebook {
    fn install(&self, shard: ShardId, epoch: Epoch, handed_by: Option<MoveNumber>) -> bool {
        let mut noted = self.noted.lock();
        let new = noted.held.insert(shard, epoch).is_none();
        noted.check(new, || format!("{shard:?} is installed twice"));
        let coming = noted.coming.remove(&shard);
        let is_it = |coming: &Coming| Some(coming.attempt) == handed_by && coming.is_whole();
        let is_whole = coming.as_ref().is_some_and(is_it);
        if is_whole {
            noted.handed.insert(shard);
        }
        is_whole
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

    fn is_settled(&self, _: ShardId) -> bool {
        true
    }

    /// Each shard has two agents.
    fn agents_of(&self, shard: ShardId) -> Vec<InstanceUid> {
        let noted = &mut *self.noted.lock();
        let frozen = noted.frozen.contains(&shard);
        noted.check(frozen, || format!("{shard:?} is sent and was not frozen"));
        [1, 2].map(|number| agent(shard, number)).to_vec()
    }

    fn send_session(&self, uid: InstanceUid, to: NodeIncarnation, attempt: MoveNumber) {
        let fleet = self.fleet.get().and_then(Weak::upgrade).unwrap();
        fleet.send(to, uid, &mut |out| {
            out.push(SESSION);
            out.extend_from_slice(&attempt.0.to_be_bytes());
            out.extend_from_slice(&uid.as_bytes()[..2]);
        });
    }

    fn end_sessions(&self, shard: ShardId, to: NodeIncarnation, sent: SessionsSent) {
        let fleet = self.fleet.get().and_then(Weak::upgrade).unwrap();
        let count = u8::try_from(sent.count).unwrap();
        fleet.send(to, agent(shard, 0), &mut |out| {
            out.push(END);
            out.extend_from_slice(&sent.attempt.0.to_be_bytes());
            out.extend_from_slice(&shard.get().to_be_bytes());
            out.push(count);
        });
    }

    fn unfreeze(&self, shard: ShardId) {
        self.noted.lock().frozen.remove(&shard);
    }

    fn receive(&self, shard: ShardId, _: NodeIncarnation, _: MoveNumber) {
        self.noted.lock().coming.entry(shard).or_default();
    }

    fn has_received(&self, shard: ShardId, attempt: MoveNumber) -> bool {
        let noted = self.noted.lock();
        let coming = noted.coming.get(&shard);
        coming.is_some_and(|coming| coming.attempt == attempt && coming.is_whole())
    }

    /// The number of the attempt stays: what is left of it may be under way.
    fn discard(&self, shard: ShardId) {
        if let Some(coming) = self.noted.lock().coming.get_mut(&shard) {
            (coming.sessions, coming.of) = (0, None);
            coming.attempt.0 += 1;
        }
    }

    fn node_reached(&self, node: NodeIncarnation) {
        let mut noted = self.noted.lock();
        let new = noted.reached.insert(node);
        noted.check(new, || format!("{node} is reached twice"));
    }

    fn node_speaks(&self, _: NodeIncarnation, _: u8) {}

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
    ) -> Result<Option<(ShardId, MoveNumber)>, Undecodable> {
        let mut noted = self.noted.lock();
        let reached = noted.reached.contains(&from);
        noted.check(reached, || format!("a frame of {from}, which is not reached"));
        Ok(noted.frame(from, frame))
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
