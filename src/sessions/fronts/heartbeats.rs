//! Heartbeats that were answered here, gathered for each home and each stream of its link: a batch that is lost, or
//! late, does no harm.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::core::attachment::HeartbeatsGather;
use crate::core::node_link::HeartbeatsEntry;
use crate::core::ownership::NodeIncarnation;
use crate::core::peer_link::StreamIndex;
use crate::ident::InstanceUid;

/// One batch, with an agent whose stream it takes.
pub(super) struct HeartbeatsFor {
    pub(super) home: NodeIncarnation,
    pub(super) uid: InstanceUid,
    pub(super) gather: HeartbeatsGather,
}

/// See the module's text. At most one batch for each stream to each member; a sweep sends them.
#[derive(Debug, Default)]
pub(super) struct HeartbeatBatches {
    batches: Mutex<BTreeMap<(NodeIncarnation, StreamIndex), (InstanceUid, HeartbeatsGather)>>,
}

impl HeartbeatBatches {
    /// Adds an entry. A batch that is full comes back, to be sent now.
    pub(super) fn add(
        &self,
        home: NodeIncarnation,
        entry: HeartbeatsEntry,
    ) -> Option<HeartbeatsFor> {
        let uid = entry.handle.uid;
        let place = (home, StreamIndex::of_agent(uid));
        let mut batches = self.batches.lock();
        let (_, gather) = batches.entry(place).or_insert_with(|| (uid, Default::default()));
        if !gather.add(entry) {
            return None;
        }
        let (uid, gather) = batches.remove(&place)?;
        Some(HeartbeatsFor { home, uid, gather })
    }

    /// Takes all batches.
    pub(super) fn take(&self) -> Vec<HeartbeatsFor> {
        let batches = std::mem::take(&mut *self.batches.lock());
        let each = |((home, _), (uid, gather))| HeartbeatsFor { home, uid, gather };
        batches.into_iter().map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::node_link::{HEARTBEATS_MAX, Handle};
    use crate::ident::{ConnectionId, SequenceNum};

    #[test]
    fn each_stream_to_each_home_has_a_batch_of_its_own() {
        let batches = HeartbeatBatches::default();
        let node = |n| NodeIncarnation::new(n).unwrap();
        let add = |home, n: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
            let uid = InstanceUid::from_bytes(bytes);
            let handle = Handle { uid, connection: ConnectionId(n as u64) };
            let full =
                batches.add(node(home), HeartbeatsEntry { handle, after: 1, last: SequenceNum(2) });
            full.is_some()
        };
        let full = (0..4 * HEARTBEATS_MAX).filter(|n| add(1, *n)).count();
        assert!((1..=4).contains(&full), "{full}");
        add(2, 1);
        let left = batches.take();
        assert!(left.len() <= 5 && left.iter().any(|batch| batch.home == node(2)));
        for batch in &left {
            assert!(!batch.gather.is_empty());
        }
        assert!(batches.take().is_empty());
    }
}
