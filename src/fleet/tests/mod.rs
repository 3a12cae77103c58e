//! Nodes of a fleet in one process: real node links on loopback, one store in memory, a notebook for a data plane.

mod gates;
mod inquiries;
mod notebook;
mod scenes;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Fleet, FleetParams, FleetTask, Progress};
use crate::cluster::FrameBounds;
use crate::core::ownership::{NodeName, NodeParams, SHARDS};
use crate::ownership::MemoryStore;
use notebook::Notebook;

/// Longer than anything takes, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(90);
const LEASE: Duration = Duration::from_secs(3);

/// One node.
struct TestNode {
    fleet: Arc<Fleet>,
    notes: Arc<Notebook>,
    task: JoinHandle<()>,
}

fn times(private: bool) -> NodeParams {
    NodeParams {
        lease: LEASE,
        autonomy: Duration::from_secs(1_800),
        shards: SHARDS,
        lone_speaks: false,
        private,
    }
}

/// An address that is free now.
fn free_address() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn params(name: &str, settings: u64) -> FleetParams {
    FleetParams {
        name: NodeName::try_new(name).unwrap(),
        times: times(false),
        listen: Some(free_address()),
        advertise: None,
        settings,
        bounds: FrameBounds::DEFAULT,
    }
}

impl TestNode {
    fn start(params: FleetParams, store: &Arc<MemoryStore>) -> Self {
        let notes = Arc::<Notebook>::default();
        let plane = Arc::clone(&notes) as _;
        let (fleet, task) = FleetTask::new(params, Arc::clone(store) as _, Some(plane)).unwrap();
        notes.serve(&fleet);
        let task = task.start().unwrap();
        Self { fleet, notes, task }
    }

    async fn ready(&self) {
        let ready = timeout(PATIENCE, self.fleet.ready()).await;
        assert!(matches!(ready, Ok(Ok(()))), "{:?}: {ready:?}", self.fleet.progress());
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let settled = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let settled = timeout(PATIENCE, settled).await;
        assert!(settled.is_ok(), "{what}: {:?}, {}", self.fleet.progress(), self.notes.summary());
    }

    fn has_left(&self) -> bool {
        self.fleet.progress() == Progress::Left
    }
}
