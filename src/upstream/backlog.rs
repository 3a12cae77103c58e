//! Sessions that wait for their turn at one server: a set in order of arrival. A session stands in
//! it once (`Session::queued`), so the table of sessions bounds it.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::ident::InstanceUid;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: Mutex<VecDeque<InstanceUid>>,
    arrived: Notify,
}

impl Backlog {
    pub(super) fn push(&self, uid: InstanceUid) {
        self.waiting.lock().push_back(uid);
        self.arrived.notify_one();
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    pub(super) fn try_pop(&self) -> Option<InstanceUid> {
        self.waiting.lock().pop_front()
    }

    /// Returns when something may be there.
    pub(super) async fn arrival(&self) {
        if self.waiting.lock().is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Takes everything, for another server.
    pub(super) fn drain(&self) -> VecDeque<InstanceUid> {
        std::mem::take(&mut self.waiting.lock())
    }
}
