//! Places for operators' connections: a bounded number, of which idle ones give way. A browser or a scraper that keeps its
//! connections open must not keep `/healthz` from a supervisor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::clock;

/// Connections at one time; more wait.
pub(super) const PLACES: usize = 32;
/// How long one that waits looks for an idle one again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<Vec<Arc<Seat>>>,
}

/// One connection, as the others see it.
#[derive(Debug)]
pub(super) struct Seat {
    /// Since when it has nothing to answer; empty while it has.
    idle: Mutex<Option<Instant>>,
    leaves: Notify,
}

impl Seat {
    /// A request has come.
    pub(super) fn works(&self) {
        *self.idle.lock() = None;
    }

    /// Its answer is there.
    pub(super) fn rests(&self) {
        *self.idle.lock() = Some(clock::now());
    }

    /// Completes when another one needs the place.
    pub(super) async fn is_needed(&self) {
        self.leaves.notified().await;
    }
}

/// A place that is taken. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) seat: Arc<Seat>,
    places: Arc<Places>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().retain(|seat| !Arc::ptr_eq(seat, &self.seat));
    }
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(PLACES)), taken: Mutex::default() })
    }

    /// Waits for a place. While there is none, the connection that has been idle for longest is sent away.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        let permit = loop {
            // The semaphore stays open for good, so this is a place each time.
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break Some(permit);
            }
            self.send_idle_away();
            if let Ok(permit) = timeout(LOOK_AGAIN, Arc::clone(&self.free).acquire_owned()).await {
                break permit.ok();
            }
        };
        let idle = Mutex::new(Some(clock::now()));
        let seat = Arc::new(Seat { idle, leaves: Notify::new() });
        self.taken.lock().push(Arc::clone(&seat));
        Place { seat, places: Arc::clone(self), _permit: permit }
    }

    fn send_idle_away(&self) {
        let taken = self.taken.lock();
        let idle = taken.iter().filter_map(|seat| {
            Some((*seat.idle.lock(), seat)).filter(|(since, _)| since.is_some())
        });
        if let Some((_, seat)) = idle.min_by_key(|(since, _)| *since) {
            seat.leaves.notify_one();
        }
    }
}
