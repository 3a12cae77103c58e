//! Gates of several nodes that share one rate.

use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{TestNode, params};
use crate::core::admission::FleetShare;
use crate::core::ownership::Figures;
use crate::fleet::{AdmissionGate, Fleet};
use crate::ownership::MemoryStore;

const RATE: u32 = 1_000;

/// A gate that needs what it is told, and notes its share.
#[derive(Default)]
struct TestGate {
    need: Mutex<u32>,
    share: Mutex<Option<FleetShare>>,
    begins: Notify,
}

impl TestGate {
    /// Shares admission for as long as the test runs.
    fn open(fleet: &Arc<Fleet>) -> Arc<Self> {
        let (gate, fleet) = (Arc::<Self>::default(), Arc::clone(fleet));
        let shared = Arc::clone(&gate);
        tokio::spawn(async move { fleet.share_admission(&*shared).await });
        gate
    }

    fn need(&self, need: u32) {
        *self.need.lock() = need;
        self.begins.notify_one();
    }

    fn takes(&self) -> u32 {
        self.share.lock().map_or(0, |share| share.now)
    }
}

impl AdmissionGate for TestGate {
    fn rate(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(RATE)
    }

    fn figures(&self) -> Figures {
        Figures { need: *self.need.lock(), connected: 7, ..Figures::default() }
    }

    fn set_share(&self, share: FleetShare) {
        *self.share.lock() = Some(share);
    }

    async fn need_begins(&self) {
        self.begins.notified().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_goes_to_the_gate_that_needs_it() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    let two = TestNode::start(params("two", 1), &store);
    let (first, second) = (TestGate::open(&one.fleet), TestGate::open(&two.fleet));
    let standing = RATE / 2 / 40;
    one.until("both are idle", |_| first.takes() == standing && second.takes() == standing).await;
    let elsewhere = |gate: &TestGate| gate.share.lock().map(|share| share.connected);
    one.until("one knows how many the other has", |_| elsewhere(&first) == Some(7)).await;
    first.need(9_000);
    one.until("one has nearly all", |_| first.takes() == RATE - standing).await;
    second.need(9_000);
    one.until("both have half", |_| first.takes() == 500 && second.takes() == 500).await;
    first.need(0);
    one.until("the other has it", |_| second.takes() == RATE - standing).await;
}
