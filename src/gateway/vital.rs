//! Tasks that the node cannot do without, such as one that keeps a link to a server. If one panics, the process ends with
//! an error, and whatever keeps it running starts it anew. To go on would be worse: agents would be served by a node
//! that, for good, lacks a part.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::task::{JoinError, JoinHandle, JoinSet};

/// Waits until one of these tasks panics; for ever if none does. A task that ends in order is done.
pub(super) async fn panicked(sets: [&mut JoinSet<()>; 3], task: &mut JoinHandle<()>) -> JoinError {
    let (mut sets, mut over) = (sets, false);
    poll_fn(|context| {
        for set in &mut sets {
            while let Poll::Ready(Some(ended)) = set.poll_join_next(context) {
                if let Some(panic) = panic_of(ended) {
                    return Poll::Ready(panic);
                }
            }
        }
        if !over && let Poll::Ready(ended) = Pin::new(&mut *task).poll(context) {
            over = true;
            if let Some(panic) = panic_of(ended) {
                return Poll::Ready(panic);
            }
        }
        Poll::Pending
    })
    .await
}

fn panic_of(ended: Result<(), JoinError>) -> Option<JoinError> {
    ended.err().filter(JoinError::is_panic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_panic_is_noticed_and_an_end_in_order_is_not() {
        let mut sets: [JoinSet<()>; 3] = Default::default();
        sets[0].spawn(std::future::pending());
        sets[1].spawn(async {});
        let mut task = tokio::spawn(async {});
        let long = Duration::from_millis(50);
        let notice = panicked(sets.each_mut(), &mut task);
        assert!(tokio::time::timeout(long, notice).await.is_err(), "nothing has panicked");

        let mut task = tokio::spawn(std::future::pending());
        sets[2].spawn(async { panic!("of a set") });
        let panic = panicked(sets.each_mut(), &mut task).await;
        assert!(panic.to_string().contains("of a set"), "{panic}");

        let mut task = tokio::spawn(async { panic!("of the task") });
        let panic = panicked(sets.each_mut(), &mut task).await;
        assert!(panic.to_string().contains("of the task"), "{panic}");
    }
}
