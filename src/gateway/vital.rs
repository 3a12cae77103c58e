//! Tasks that the node cannot do without, such as one that keeps a link to a server. If one panics, the process ends with
//! an error, and whatever keeps it running starts it anew. To go on would be worse: agents would be served by a node
//! that, for good, lacks a part. They are watched from the start to the end of a drain.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::task::{JoinError, JoinHandle, JoinSet};

/// See the module's text. What is dropped with it ends.
#[derive(Default)]
pub(super) struct Vital {
    /// Administration, and what measures and sweeps.
    tasks: Mutex<JoinSet<()>>,
    /// The links to servers, and the watch over these.
    links: Mutex<JoinSet<()>>,
    /// Those that accept agents.
    listeners: Mutex<JoinSet<()>>,
    /// This node as one of its fleet.
    fleet: Mutex<JoinSet<()>>,
}

impl Vital {
    /// Watches one more, which ends with this.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().spawn(task);
    }

    pub(super) fn keep_links(&self, links: JoinSet<()>) {
        *self.links.lock() = links;
    }

    pub(super) fn keep_listeners(&self, listeners: JoinSet<()>) {
        *self.listeners.lock() = listeners;
    }

    pub(super) fn keep_fleet(&self, task: JoinHandle<()>) {
        self.fleet.lock().spawn(async move {
            if let Err(ended) = task.await
                && let Ok(panic) = ended.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        });
    }

    /// Ends the listeners: no agent is accepted from now on.
    pub(super) async fn stop_listeners(&self) {
        let mut listeners = std::mem::take(&mut *self.listeners.lock());
        listeners.shutdown().await;
    }

    /// Ends the links and the watch over servers.
    pub(super) fn drop_links(&self) {
        self.links.lock().abort_all();
    }

    /// Waits for the end of the node as one of its fleet, which it was asked for.
    pub(super) async fn fleet_ended(&self) {
        let mut fleet = std::mem::take(&mut *self.fleet.lock());
        while fleet.join_next().await.is_some() {}
    }

    /// Does `phase` to its end, unless one of the tasks panics before.
    pub(super) async fn during<T>(&self, phase: impl Future<Output = T>) -> Result<T, JoinError> {
        let mut phase = pin!(phase);
        poll_fn(|context| {
            if let Some(panic) = self.panicked(context) {
                return Poll::Ready(Err(panic));
            }
            phase.as_mut().poll(context).map(Ok)
        })
        .await
    }

    /// The panic of a task that has ended by one. A task that ends in order is done.
    fn panicked(&self, context: &mut Context<'_>) -> Option<JoinError> {
        [&self.tasks, &self.links, &self.listeners, &self.fleet].into_iter().find_map(|set| {
            let mut set = set.lock();
            while let Poll::Ready(Some(ended)) = set.poll_join_next(context) {
                if let Some(panic) = ended.err().filter(JoinError::is_panic) {
                    return Some(panic);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_panic_is_noticed_in_each_phase_and_an_end_in_order_is_not() {
        let long = Duration::from_millis(50);
        let vital = Vital::default();
        vital.spawn(std::future::pending());
        vital.spawn(async {});
        assert_eq!(vital.during(tokio::time::sleep(long)).await.unwrap(), ());

        vital.spawn(async { panic!("of a task") });
        let panic = vital.during(std::future::pending::<()>()).await.unwrap_err();
        assert!(panic.to_string().contains("of a task"), "{panic}");

        vital.keep_fleet(tokio::spawn(async { panic!("of the fleet") }));
        let panic = vital.during(std::future::pending::<()>()).await.unwrap_err();
        assert!(panic.to_string().contains("of the fleet"), "{panic}");

        for keep in [Vital::keep_links, Vital::keep_listeners] {
            let mut set = JoinSet::new();
            set.spawn(async { panic!("of a set") });
            keep(&vital, set);
            let panic = vital.during(std::future::pending::<()>()).await.unwrap_err();
            assert!(panic.to_string().contains("of a set"), "{panic}");
        }
        vital.drop_links();
        vital.stop_listeners().await;
        vital.fleet_ended().await;
        assert_eq!(vital.during(tokio::time::sleep(long)).await.unwrap(), ());
    }

    #[tokio::test]
    async fn a_task_that_joins_in_mid_phase_is_watched() {
        let vital = Vital::default();
        let phase = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            vital.spawn(async { panic!("of a late one") });
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_mins(1)).await;
        };
        let panic = vital.during(phase).await.unwrap_err();
        assert!(panic.to_string().contains("of a late one"), "{panic}");
    }
}
