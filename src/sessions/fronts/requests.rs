//! Plain HTTP at the front: the attachment lives for one exchange.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::entry::FrontEntry;
use crate::core::node_link::{AgentConnection, DetachReason};
use crate::ident::InstanceUid;
use crate::opamp::agent::AgentScan;
use crate::sessions::joined::Joined;
use crate::sessions::request::RequestAnswer;
use crate::sessions::{Rejected, Sessions};

impl Sessions {
    /// A message in a request.
    pub(in crate::sessions) fn request_front(
        &self,
        joined: &Joined,
        uid: InstanceUid,
        scan: &AgentScan<'_>,
    ) -> Result<Arc<FrontEntry>, Rejected> {
        let entry = self.open_front(joined, uid, AgentConnection::PlainHttp)?;
        self.front_says(joined, &entry, scan, None)?;
        Ok(entry)
    }

    /// The answer to a request. `expired`: the agent has waited long enough.
    pub(in crate::sessions) fn poll_request_front(
        &self,
        joined: &Joined,
        entry: &Arc<FrontEntry>,
        waker: &Waker,
        expired: bool,
    ) -> Poll<RequestAnswer> {
        let look = || entry.outbox.take_answer(waker, &self.counters);
        let mut found = look();
        if found.is_pending() && expired {
            self.with_front(joined, entry, None, |front, moment, port| {
                front.deadline_passed(moment, port);
            });
            found = look();
        }
        let Poll::Ready((message, answered)) = found else { return Poll::Pending };
        let mut state = entry.lock();
        state.written.take();
        let written = state.written.confirm();
        let settled = self.call_front(joined, (entry, &mut state), None, |front, _, port| {
            if let Some(written) = written {
                front.written(written, port);
            }
            answered && front.is_settled()
        });
        drop(state);
        self.handle_loopback(joined, entry.handle.uid);
        Poll::Ready(RequestAnswer { message, settled })
    }

    /// The request is over: it has its answer, or the agent has given up.
    pub(in crate::sessions) fn close_request_front(&self, entry: &Arc<FrontEntry>) {
        let reason =
            if entry.outbox.awaits_answer() { DetachReason::Lost } else { DetachReason::Answered };
        self.close_front(entry, reason);
    }
}
