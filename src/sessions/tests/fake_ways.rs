//! The other nodes of a fleet as tests have them: frames are gathered, and the map is what the test says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::core::ownership::{
    AbsenceBegan, AbsenceEnd, Epoch, Home, MapVersion, NodeIncarnation, ShardId,
};
use crate::ident::InstanceUid;
use crate::sessions::Ways;

pub(super) fn node(number: u64) -> NodeIncarnation {
    NodeIncarnation::new(number).unwrap()
}

/// The tenure of this number.
pub(super) fn epoch(number: u64) -> Epoch {
    Epoch { number, taker: node(1) }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct FakeWays {
    me: NodeIncarnation,
    pub(super) sent: Mutex<VecDeque<(NodeIncarnation, Vec<u8>)>>,
    /// The home of all shards.
    pub(super) home: Mutex<Option<Home>>,
    pub(super) absence: Mutex<AbsenceEnd>,
}

impl FakeWays {
    pub(super) fn new(me: u64) -> Arc<Self> {
        Arc::new(Self {
            me: node(me),
            sent: Mutex::default(),
            home: Mutex::default(),
            absence: Mutex::new(AbsenceEnd::Now),
        })
    }
}

impl Ways for FakeWays {
    fn me(&self) -> NodeIncarnation {
        self.me
    }

    fn home(&self, _: ShardId) -> Option<Home> {
        *self.home.lock()
    }

    fn version(&self) -> MapVersion {
        MapVersion(7)
    }

    fn send(
        &self,
        to: NodeIncarnation,
        _: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let mut frame = Vec::new();
        write(&mut frame);
        self.sent.lock().push_back((to, frame));
        true
    }

    fn read_map(&self, _: MapVersion) {}

    fn secret_id(&self) -> u64 {
        1
    }

    fn absence_end(&self, _: AbsenceBegan, _: Duration, _: Instant) -> AbsenceEnd {
        *self.absence.lock()
    }
}
