//! A plain-HTTP request as an attachment that lives for one exchange: the message goes in when it opens, one
//! answer comes out.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::Sessions;
use super::attachment_port::AttachmentEnd;
use super::attachment_port::AttachmentPort as _;
use super::entry::SessionEntry;
use super::outbox::Outbox;
use crate::ident::InstanceUid;
use crate::opamp::splice::{self, Additions};

/// A plain-HTTP request whose answer is awaited.
pub struct Waiting {
    pub(super) sessions: Arc<Sessions>,
    pub(super) entry: Arc<SessionEntry>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) uid: InstanceUid,
    pub(super) request: u32,
    /// See [`Waiting::reply_due`].
    pub(super) reply_due: Option<Instant>,
}

/// The answer to a plain-HTTP request.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestAnswer {
    /// Everything that waits for the agent, in one `ServerToAgent`, without a header.
    pub message: Vec<u8>,
    /// The server has heard and answered all that the agent said.
    pub settled: bool,
}

impl Waiting {
    /// The answer. `expired`: the agent has waited long enough and is answered in the server's place. To be
    /// polled until it is ready.
    pub fn poll_answer(&self, context: &Context<'_>, expired: bool) -> Poll<RequestAnswer> {
        let (sessions, waker) = (&self.sessions, context.waker());
        let look = || self.outbox.take_answer(waker, &sessions.counters);
        let mut found = look();
        if found.is_pending() && expired {
            sessions.run(&self.entry, None, |session, moment, port| {
                session.request_overdue(self.request, moment, port);
            });
            found = look();
        }
        match found {
            Poll::Ready((message, settled)) => Poll::Ready(RequestAnswer { message, settled }),
            Poll::Pending if expired => Poll::Ready(self.acknowledgement()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// An acknowledgement for an agent that has waited long enough, whatever has become of its session.
    fn acknowledgement(&self) -> RequestAnswer {
        let mut message = Vec::new();
        splice::acknowledge(self.uid, &Additions::default(), &mut message);
        RequestAnswer { message, settled: false }
    }

    /// After the answer: the agent's next request goes to another node.
    pub fn release_drained(&self) {
        self.sessions.run(&self.entry, None, |session, moment, port| {
            session.request_drained(self.request, moment, port);
        });
    }

    /// When the agent has waited long enough; `None` if its answer is there.
    pub const fn reply_due(&self) -> Option<Instant> {
        self.reply_due
    }
}

impl Drop for Waiting {
    /// The agent may have given up: the session lets go of its task.
    fn drop(&mut self) {
        let mut entry = self.entry.lock(&self.sessions.counters);
        entry.session.request_closed(self.request);
        entry.outbox.take_if(|outbox| Arc::ptr_eq(outbox, &self.outbox));
        drop(entry);
        self.outbox.close(&self.sessions.counters, AttachmentEnd::Left);
    }
}
