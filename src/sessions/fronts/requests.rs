//! Plain HTTP at the front: the attachment lives for one exchange.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::FrontSide;
use super::entry::FrontEntry;
use crate::clock;
use crate::core::node_link::{AgentConnection, DetachReason};
use crate::ident::InstanceUid;
use crate::opamp::agent::AgentScan;
use crate::sessions::Rejected;
use crate::sessions::request::RequestAnswer;

impl FrontSide<'_> {
    /// A message in a request.
    pub(in crate::sessions) fn request(
        self,
        uid: InstanceUid,
        scan: &AgentScan<'_>,
    ) -> Result<Arc<FrontEntry>, Rejected> {
        let entry = self.open(uid, AgentConnection::PlainHttp)?;
        self.says(&entry, scan, None)?;
        let pollers = &self.joined.fronts.pollers;
        if scan.disconnects() {
            pollers.left(uid)
        } else {
            pollers.polled(uid, clock::now())
        }
        Ok(entry)
    }

    /// The answer to a request. `expired`: the agent has waited long enough.
    pub(in crate::sessions) fn poll_request(
        self,
        entry: &Arc<FrontEntry>,
        waker: &Waker,
        expired: bool,
    ) -> Poll<RequestAnswer> {
        let look = || entry.outbox.take_answer(waker, &self.joined.fronts.outboxes);
        let mut found = look();
        if found.is_pending() && expired {
            self.with(entry, None, |front, moment, port| {
                front.deadline_passed(moment, port);
            });
            found = look();
        }
        let Poll::Ready((message, answered)) = found else { return Poll::Pending };
        let mut state = entry.lock();
        state.written.take();
        let written = state.written.confirm();
        let settled = self.call((entry, &mut state), None, |front, _, port| {
            if let Some(written) = written {
                front.written(written, port);
            }
            answered && front.is_settled()
        });
        drop(state);
        self.handle_loopback(entry.handle.uid);
        Poll::Ready(RequestAnswer { message, settled })
    }

    /// The request is over: it has its answer, or the agent has given up.
    pub(in crate::sessions) fn close_request(self, entry: &Arc<FrontEntry>) {
        let reason =
            if entry.outbox.awaits_answer() { DetachReason::Lost } else { DetachReason::Answered };
        self.close(entry, reason);
    }
}
