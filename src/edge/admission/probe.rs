//! The probe: a hundred times a second a task on the runtime that serves agents decides on parked arrivals,
//! and its own delay says how busy the processors are.
//!
//! A thread of its own spawns the task. So the task stands in the run queue behind the work of agents that
//! were admitted before, and how long it stands there is what entry costs them. A timer of the runtime would
//! go past that queue.
//!
//! Where nothing has arrived for a second the thread rests, and looks once a second: a node without arrivals should
//! cost nothing. The next arrival wakes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::runtime::Handle;

use super::shared::SharedAdmission;
use crate::clock;
use crate::core::admission::AutomaticRate;
use crate::telemetry::events::admission::Delayed;

/// Ticks without an arrival after which the thread rests: a second of them.
const QUIET_TICKS: u32 = 100;

/// Starts the thread. It ends with the node's admission.
///
/// # Errors
/// If the system gives no thread.
pub(super) fn start(shared: &Arc<SharedAdmission>, serving: Handle) -> io::Result<()> {
    let waker = Arc::clone(&shared.waker);
    let shared = Arc::downgrade(shared);
    let pending = Arc::new(AtomicBool::new(false));
    let probe = move || {
        waker.is_this_thread();
        let mut quiet = 0;
        while let Some(shared) = shared.upgrade() {
            let busy = waker.take_arrived() || shared.has_work();
            quiet = if busy { 0 } else { QUIET_TICKS.min(quiet + 1) };
            // A tick that still waits in the queue stands for those that would come behind it.
            if !pending.swap(true, Ordering::AcqRel) {
                let pending = PendingTick(Arc::clone(&pending));
                serving.spawn(tick(shared, pending, clock::now()));
            }
            if quiet < QUIET_TICKS {
                std::thread::sleep(AutomaticRate::INTERVAL);
            } else {
                waker.rest();
            }
        }
    };
    std::thread::Builder::new().name("seawall-probe".to_owned()).spawn(probe).map(drop)
}

/// A tick that is on its way. However it ends, the next one may follow.
struct PendingTick(Arc<AtomicBool>);

impl Drop for PendingTick {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Decides what was due at this time.
async fn tick(shared: Arc<SharedAdmission>, _pending: PendingTick, due: Instant) {
    let delay = clock::now().saturating_duration_since(due);
    Delayed { delay }.emit();
    while shared.tick(delay, clock::now()) {
        tokio::task::yield_now().await;
    }
}
