//! Heartbeats on their way to one home: one entry for each connection, the newest, until the batch goes.

use std::collections::BTreeMap;

use crate::core::node_link::{HEARTBEATS_MAX, Handle, HeartbeatsBatch, HeartbeatsEntry, ToHome};

/// See the module's text.
#[derive(Debug, Default)]
pub struct HeartbeatsGather {
    entries: BTreeMap<Handle, HeartbeatsEntry>,
}

impl HeartbeatsGather {
    /// Adds an entry, in place of an older one of the same connection. `true`: the batch is full, and must go
    /// before more is added.
    #[must_use]
    pub fn add(&mut self, entry: HeartbeatsEntry) -> bool {
        self.entries.insert(entry.handle, entry);
        self.entries.len() >= HEARTBEATS_MAX
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends the frame with all entries and forgets them.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        let mut entries = Vec::new();
        for entry in self.entries.values() {
            entry.put(&mut entries);
        }
        ToHome::Heartbeats(HeartbeatsBatch::of(self.entries.len(), &entries)).encode(out);
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{ConnectionId, InstanceUid, SequenceNum};

    #[test]
    fn the_newest_of_each_connection_goes_and_the_batch_is_bounded() {
        let uid = InstanceUid::from_bytes([7; 16]);
        let entry = |connection, last| HeartbeatsEntry {
            handle: Handle { uid, connection: ConnectionId(connection) },
            after: 3,
            last: SequenceNum(last),
        };
        let mut gather = HeartbeatsGather::default();
        assert!(!gather.add(entry(1, 4)) && !gather.add(entry(1, 5)) && !gather.add(entry(2, 9)));
        let mut frame = Vec::new();
        gather.flush(&mut frame);
        assert!(gather.is_empty());
        let Ok(ToHome::Heartbeats(batch)) = ToHome::decode(&frame) else { panic!("{frame:?}") };
        assert_eq!(batch.iter().collect::<Vec<_>>(), [entry(1, 5), entry(2, 9)]);
        let filled: Vec<bool> =
            (0..HEARTBEATS_MAX as u64).map(|n| gather.add(entry(n, 1))).collect();
        assert_eq!(filled.iter().position(|full| *full), Some(HEARTBEATS_MAX - 1));
    }
}
