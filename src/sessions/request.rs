//! A plain-HTTP request as an attachment that lives for one exchange: the message goes in when it opens, one
//! answer comes out.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::Sessions;
use super::attachment::BoundTo;
use super::attachment_port::AttachmentEnd;
use super::attachment_port::AttachmentPort as _;
use super::entry::SessionEntry;
use super::outbox::Outbox;
use crate::ident::InstanceUid;
use crate::opamp::splice::{self, Additions};
use crate::telemetry::events::edge::{MessageSent, SendKind};

/// A plain-HTTP request whose answer is awaited.
pub struct Waiting {
    pub(super) sessions: Arc<Sessions>,
    pub(super) bound: BoundTo,
    pub(super) uid: InstanceUid,
    /// The session's number of it; zero if the session is at a home of the fleet.
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
        let found = match &self.bound {
            BoundTo::Here { entry, outbox } => self.poll_here((entry, outbox), context, expired),
            BoundTo::Home(front) => match self.sessions.in_fleet() {
                Some(fleet) => fleet.fronts().poll_request(front, context.waker(), expired),
                None => Poll::Pending,
            },
        };
        if found.is_pending() && expired { Poll::Ready(self.acknowledgement()) } else { found }
    }

    fn poll_here(
        &self,
        (entry, outbox): (&SessionEntry, &Outbox),
        context: &Context<'_>,
        expired: bool,
    ) -> Poll<RequestAnswer> {
        let (sessions, waker) = (&self.sessions, context.waker());
        let look = || outbox.take_answer(waker, &sessions.counters);
        let mut found = look();
        if found.is_pending() && expired {
            sessions.run(entry, None, |session, moment, port| {
                session.request_overdue(self.request, moment, port);
            });
            found = look();
        }
        found.map(|(message, settled)| RequestAnswer { message, settled })
    }

    /// An acknowledgement for an agent that has waited long enough, whatever has become of its session.
    fn acknowledgement(&self) -> RequestAnswer {
        let mut message = Vec::new();
        splice::acknowledge(self.uid, &Additions::default(), &mut message);
        MessageSent { kind: SendKind::LocalAck, bytes: message.len() }.emit();
        RequestAnswer { message, settled: false }
    }

    /// After the answer: the agent's next request goes to another node. A session at a home stays there.
    pub fn release_drained(&self) {
        if let BoundTo::Here { entry, .. } = &self.bound {
            self.sessions.run(entry, None, |session, moment, port| {
                session.request_drained(self.request, moment, port);
            });
        }
    }

    /// When the agent has waited long enough; `None` if its answer is there.
    pub const fn reply_due(&self) -> Option<Instant> {
        self.reply_due
    }
}

impl Drop for Waiting {
    /// The agent may have given up: the session lets go of its task.
    fn drop(&mut self) {
        match &self.bound {
            BoundTo::Here { entry, outbox } => {
                let mut entry = entry.lock(&self.sessions.counters);
                entry.session.request_closed(self.request);
                entry.outbox.take_if(|present| Arc::ptr_eq(present, outbox));
                drop(entry);
                outbox.close(&self.sessions.counters, AttachmentEnd::Left);
            }
            BoundTo::Home(front) => {
                if let Some(fleet) = self.sessions.in_fleet() {
                    fleet.fronts().close_request(front);
                }
            }
        }
    }
}
