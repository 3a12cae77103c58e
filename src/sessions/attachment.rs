//! What binds a connection to a session. Messages go in as calls of the session's entries; bytes, the close
//! with its reason, and the time of the next reply come out through `AttachmentPort`, into an outbox of the
//! connection's own. The connection's task reads that outbox and leaves the session's lock alone, so one
//! connection may hold several attachments, and a session may be on another node than its connection.
//!
//! A reply may come at once, written where the task asked for it, or later, through the outbox: the task
//! treats both alike.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::Sessions;
use super::attachment_port::{AttachmentEnd, AttachmentPort as _};
use super::entry::SessionEntry;
use super::outbox::{Look, Outbox, OutboxWork, Outgoing};
use crate::clock;
use crate::ident::{ConnectionId, InstanceUid};

/// An attachment as the task of an agent's WebSocket holds it, from the agent's first message on. Dropping it
/// is the loss of the connection, on every path.
pub struct Attachment {
    pub(super) sessions: Arc<Sessions>,
    pub(super) entry: Arc<SessionEntry>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) uid: InstanceUid,
    pub(super) connection: ConnectionId,
}

impl Attachment {
    /// The agent.
    pub const fn uid(&self) -> InstanceUid {
        self.uid
    }

    /// What the task has to do now; `context` is woken when there is more. Bytes are handed out
    /// only if `writable`: while earlier ones wait they gather in the outbox, where they are bounded.
    pub fn poll_outgoing(&self, context: &Context<'_>, writable: bool) -> Outgoing {
        let sessions = &self.sessions;
        loop {
            let look = Look { now: clock::now(), writable };
            match self.outbox.look(context.waker(), look, &sessions.counters) {
                OutboxWork::Outgoing(outgoing) => return outgoing,
                OutboxWork::ReplyOverdue => {
                    self.outbox.reply_due_passed(look.now);
                    sessions.run(&self.entry, None, |session, moment, port| {
                        session.reply_overdue(moment, port);
                    });
                }
                OutboxWork::Drained => {
                    // From here on another node speaks for the agent. A writer holds the session's
                    // lock: with it, what came since the look is seen, and written first.
                    let is_empty = sessions.run(&self.entry, None, |session, moment, port| {
                        let is_empty = self.outbox.bytes() == 0;
                        if is_empty {
                            session.drained(self.connection, moment, port);
                        }
                        is_empty
                    });
                    if is_empty == Some(false) {
                        continue;
                    }
                    return Outgoing::Stopping;
                }
            }
        }
    }

    /// When an acknowledgement is due in the server's place: then [`Attachment::poll_outgoing`] has something.
    pub fn reply_due(&self) -> Option<Instant> {
        self.outbox.reply_due_at()
    }

    /// A pong came: what was written well before it has arrived.
    pub fn heard(&self) {
        self.sessions.run(&self.entry, None, |session, moment, _| session.heard(moment.now));
    }

    /// This connection was replaced, and its peer answered the Close: it was alive (R10).
    pub fn replaced_was_alive(&self) {
        self.sessions.run(&self.entry, None, |session, moment, _| {
            session.replaced_was_alive(moment);
        });
    }

    /// Bytes that the task took were still unwritten when the connection ended.
    pub fn content_unwritten(&self) {
        self.sessions.run(&self.entry, None, |session, moment, _| {
            session.bytes_unwritten(self.connection, moment);
        });
    }

    /// The agent goes on under another uid on the same connection: `out` takes what it is still owed under
    /// this one.
    pub(super) fn hand_over(&self, out: &mut Vec<u8>) {
        self.sessions.run(&self.entry, Some(out), |session, moment, port| {
            session.connection_renamed(self.connection, moment, port);
        });
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.sessions.run(&self.entry, None, |session, moment, port| {
            session.connection_lost(self.connection, moment, port);
        });
        // A session that has let the connection go leaves what it wrote before behind.
        self.outbox.close(&self.sessions.counters, AttachmentEnd::Left);
    }
}
