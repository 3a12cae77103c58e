//! Several futures in one task, of which only those are polled that were woken themselves. Where one wakes another,
//! which a link's readers, writers and driver do all the time, no task has to be scheduled for it.
//!
//! ```text
//!            woken                   taken up                 all are polled, and none was woken
//!   asleep ─────────► task is woken ──────────► at work ───────────────────────────────────────► asleep
//!                                                │  ▲ others were woken: once more, [`ROUNDS`] times
//!                                                └──┘
//! ```

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

/// Rounds before other tasks have their turn. A datagram, its frames, their answers and the next datagram take four.
const ROUNDS: usize = 16;
/// The task looks at its parts: a waker of one leaves the task alone.
const AT_WORK: u64 = 1 << 63;

/// See the module's text. At most 63 parts.
pub(super) struct Parts<'a, T> {
    parts: Vec<TaskPart<'a, T>>,
    calls: Arc<Calls>,
}

struct TaskPart<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    waker: Waker,
}

/// Which parts were woken.
#[derive(Debug, Default)]
struct Calls {
    /// A bit for each part, and [`AT_WORK`].
    woken: AtomicU64,
    task: Mutex<Option<Waker>>,
}

struct PartCall {
    calls: Arc<Calls>,
    bit: u64,
}

impl Wake for PartCall {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // With another bit set the task is at work, or was woken for that one.
        if self.calls.woken.fetch_or(self.bit, Ordering::AcqRel) == 0
            && let Some(task) = &*self.calls.task.lock()
        {
            task.wake_by_ref();
        }
    }
}

impl<'a, T> Parts<'a, T> {
    pub(super) fn new() -> Self {
        Self { parts: Vec::new(), calls: Arc::default() }
    }

    /// Adds a part. In each round they are polled in the order in which they were added.
    pub(super) fn add(&mut self, future: impl Future<Output = T> + Send + 'a) {
        let bit = 1 << self.parts.len();
        debug_assert!(bit < AT_WORK, "there is a bit for each part");
        self.calls.woken.fetch_or(bit, Ordering::AcqRel);
        let waker = Waker::from(Arc::new(PartCall { calls: Arc::clone(&self.calls), bit }));
        self.parts.push(TaskPart { future: Box::pin(future), waker });
    }

    /// Runs all parts until the first one ends.
    pub(super) async fn first(&mut self) -> T {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<T> {
        self.remember_task(context.waker());
        for _ in 0..ROUNDS {
            let mut woken = self.calls.woken.swap(AT_WORK, Ordering::AcqRel) & !AT_WORK;
            while woken != 0 {
                let TaskPart { future, waker } = &mut self.parts[woken.trailing_zeros() as usize];
                if let Poll::Ready(end) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                    return Poll::Ready(end);
                }
                woken &= woken - 1;
            }
            let sleep =
                self.calls.woken.compare_exchange(AT_WORK, 0, Ordering::AcqRel, Ordering::Acquire);
            if sleep.is_ok() {
                return Poll::Pending;
            }
        }
        self.calls.woken.fetch_and(!AT_WORK, Ordering::AcqRel);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn remember_task(&self, waker: &Waker) {
        let mut task = self.calls.task.lock();
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    /// Each of two parts wakes the other: neither is polled for any other reason.
    #[tokio::test]
    async fn a_part_is_polled_when_it_was_woken_itself() {
        const TURNS: usize = 100;
        let (ping, pong, idle) = (Notify::new(), Notify::new(), AtomicUsize::new(0));
        let mut parts = Parts::new();
        parts.add(poll_fn(|_| {
            idle.fetch_add(1, Ordering::Relaxed);
            Poll::Pending
        }));
        parts.add(async {
            for _ in 0..TURNS {
                ping.notified().await;
                pong.notify_one();
            }
            std::future::pending().await
        });
        parts.add(async {
            for _ in 0..TURNS {
                ping.notify_one();
                pong.notified().await;
            }
            "over"
        });
        assert_eq!(parts.first().await, "over");
        drop(parts);
        assert_eq!(idle.into_inner(), 1);
    }

    /// What wakes a part may be any thread, at any moment.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost() {
        const EACH: usize = 10_000;
        let bells: Arc<[Notify; 3]> = Arc::new(std::array::from_fn(|_| Notify::new()));
        let heard: Arc<[Notify; 3]> = Arc::new(std::array::from_fn(|_| Notify::new()));
        let ringers = (0..3).map(|n| {
            let (bells, heard) = (Arc::clone(&bells), Arc::clone(&heard));
            tokio::spawn(async move {
                for _ in 0..EACH {
                    bells[n].notify_one();
                    heard[n].notified().await;
                }
            })
        });
        let ringers: Vec<_> = ringers.collect();
        let mut parts = Parts::new();
        for n in 0..3 {
            let (bells, heard) = (Arc::clone(&bells), Arc::clone(&heard));
            parts.add(async move {
                loop {
                    bells[n].notified().await;
                    heard[n].notify_one();
                }
            });
        }
        parts.add(async move {
            for ringer in ringers {
                ringer.await.unwrap();
            }
        });
        parts.first().await;
    }
}
