//! Which of many attachments a connection's task has to look at: each has a waker of its own, so that one agent's
//! message costs one look, however many agents the connection has.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// See the module's text. Its lock is taken last, and given back before the task is woken. It holds each attachment
/// at most once.
#[derive(Debug, Default)]
pub(super) struct ReadyAttachments {
    state: Mutex<ReadyState>,
}

#[derive(Debug, Default)]
struct ReadyState {
    queue: VecDeque<u32>,
    /// The task that looks at them.
    task: Option<Waker>,
}

/// One attachment's waker.
#[derive(Debug)]
pub(super) struct AttachmentWaker {
    ready: Arc<ReadyAttachments>,
    attachment: u32,
    /// It stands in the queue.
    queued: AtomicBool,
}

impl ReadyAttachments {
    /// The task is woken when there is another one to look at. What stands in the queue already it finds there.
    pub(super) fn wake_next(&self, task: &Waker) {
        let mut state = self.state.lock();
        if !state.task.as_ref().is_some_and(|known| known.will_wake(task)) {
            state.task = Some(task.clone());
        }
    }

    /// The next one to look at.
    pub(super) fn next(&self) -> Option<u32> {
        self.state.lock().queue.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().queue.is_empty()
    }
}

impl AttachmentWaker {
    pub(super) fn new(ready: &Arc<ReadyAttachments>, attachment: u32) -> Arc<Self> {
        Arc::new(Self { ready: Arc::clone(ready), attachment, queued: AtomicBool::new(false) })
    }

    /// The task is about to look: what comes from here on is another reason to.
    pub(super) fn looks(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Puts the attachment into the queue. Returns the task, if it has to be woken for that.
    fn queue(&self) -> Option<Waker> {
        if self.queued.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut state = self.ready.state.lock();
        state.queue.push_back(self.attachment);
        state.task.take()
    }

    /// The task itself has a reason to look, before it waits again.
    pub(super) fn look_again(&self) {
        if let Some(task) = self.queue() {
            self.ready.state.lock().task = Some(task);
        }
    }
}

impl Wake for AttachmentWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(task) = self.queue() {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct TaskWoken(AtomicUsize);

    impl Wake for TaskWoken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_stands_in_the_queue_once_and_the_task_is_woken_once() {
        let (ready, woken) = (Arc::<ReadyAttachments>::default(), Arc::<TaskWoken>::default());
        let task = Waker::from(Arc::clone(&woken));
        let wakers = [1, 2].map(|attachment| AttachmentWaker::new(&ready, attachment));
        ready.wake_next(&task);
        for waker in wakers.iter().chain(&wakers) {
            Waker::from(Arc::clone(waker)).wake();
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!([ready.next(), ready.next(), ready.next()], [Some(1), Some(2), None]);
        wakers[0].looks();
        wakers[0].look_again();
        assert!(!ready.is_empty() && woken.0.load(Ordering::Relaxed) == 1, "the task is at work");
        ready.wake_next(&task);
        wakers[1].looks();
        Waker::from(Arc::clone(&wakers[1])).wake();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!([ready.next(), ready.next()], [Some(1), Some(2)]);
    }
}
