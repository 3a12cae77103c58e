//! Sends the sessions of shards that are handed over: a task for each shard, few of which send at a time, and none
//! faster than the link to the new home takes. When a shard may move `core::ownership` says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::data_plane::{DataPlane, SessionsSent};
use super::shared::Fleet;
use crate::clock;
use crate::core::ownership::{MoveNumber, NodeIncarnation, ShardId};

/// How long servers have to answer what was said for the shard's agents.
const ANSWERS_PATIENCE: Duration = Duration::from_secs(5);
/// How often answers and room are looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Shards that are sent at a time.
const SENDING_MAX: usize = 4;
/// Bytes that may wait for the new home, of all its streams, before the next sessions are sent: a part of what a
/// stream takes, so that agents' frames find room.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A shard that is frozen, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShardDeparture {
    pub(super) shard: ShardId,
    pub(super) to: NodeIncarnation,
    pub(super) attempt: MoveNumber,
}

/// See the module's text. As many tasks as shards move at a time.
pub(super) struct SessionsOut {
    tasks: JoinSet<()>,
    running: HashMap<ShardId, AbortHandle>,
    places: Arc<Semaphore>,
}

impl SessionsOut {
    pub(super) fn new() -> Self {
        let places = Arc::new(Semaphore::new(SENDING_MAX));
        Self { tasks: JoinSet::new(), running: HashMap::new(), places }
    }

    /// A shard is frozen: its sessions go to that node.
    pub(super) fn begin(
        &mut self,
        fleet: &Arc<Fleet>,
        plane: &Arc<dyn DataPlane>,
        departure: ShardDeparture,
    ) {
        while self.tasks.try_join_next().is_some() {}
        let (fleet, plane, places) =
            (Arc::clone(fleet), Arc::clone(plane), Arc::clone(&self.places));
        let sends = async move {
            settle(&*plane, departure.shard).await;
            // The semaphore is never closed.
            let _place = places.acquire_owned().await;
            send(&fleet, &*plane, departure).await;
        };
        self.running.insert(departure.shard, self.tasks.spawn(sends));
    }

    /// The shard stays, or is gone.
    pub(super) fn end(&mut self, shard: ShardId) {
        if let Some(task) = self.running.remove(&shard) {
            task.abort();
        }
    }

    /// All of them end.
    pub(super) fn end_all(&mut self) {
        self.tasks.abort_all();
        self.running.clear();
    }
}

async fn settle(plane: &dyn DataPlane, shard: ShardId) {
    let until = clock::now() + ANSWERS_PATIENCE;
    while !plane.is_settled(shard) && clock::now() < until {
        sleep(LOOK_AGAIN).await;
    }
}

/// A link that is lost ends the attempt: the offer is given up in time, and the shard stays.
async fn send(fleet: &Fleet, plane: &dyn DataPlane, departure: ShardDeparture) {
    let ShardDeparture { shard, to, attempt } = departure;
    let agents = plane.agents_of(shard);
    for uid in &agents {
        loop {
            match fleet.links.waiting_bytes(to) {
                None => return,
                Some(waiting) if waiting <= WAITING_BYTES_MAX => break,
                Some(_) => sleep(LOOK_AGAIN).await,
            }
        }
        plane.send_session(*uid, to, attempt);
        tokio::task::yield_now().await;
    }
    plane.end_sessions(shard, to, SessionsSent { attempt, count: agents.len() });
}
