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
use super::counters::Counters;
use super::entry::SessionEntry;
use super::fronts::FrontEntry;
use super::outbox::{Look, Outbox, OutboxWork, Outgoing};
use super::room::connection_counters;
use crate::clock;
use crate::core::node_link::DetachReason;
use crate::core::session::offer_refused;
use crate::ident::{ConnectionId, InstanceUid};

/// An attachment as the task of an agent's WebSocket holds it, from the agent's first message on. Dropping it
/// is the loss of the connection, on every path.
pub struct Attachment {
    pub(super) sessions: Arc<Sessions>,
    pub(super) bound: BoundTo,
    pub(super) uid: InstanceUid,
    pub(super) connection: ConnectionId,
}

/// Where the session of a connection is.
pub(super) enum BoundTo {
    /// In the table of this node, which is alone.
    Here { entry: Arc<SessionEntry>, outbox: Arc<Outbox> },
    /// At a home of the fleet.
    Home(Arc<FrontEntry>),
}

impl Attachment {
    /// The agent.
    pub const fn uid(&self) -> InstanceUid {
        self.uid
    }

    /// What the task has to do now; `context` is woken when there is more. Bytes are handed out
    /// only if `writable`: while earlier ones wait they gather in the outbox, where they are bounded.
    pub fn poll_outgoing(&self, context: &Context<'_>, writable: bool) -> Outgoing {
        match &self.bound {
            BoundTo::Here { entry, outbox } => self.poll_here(entry, outbox, context, writable),
            BoundTo::Home(front) => match self.sessions.in_fleet() {
                Some(fleet) => fleet.fronts().poll(front, context.waker(), writable),
                None => Outgoing::Nothing { reply_due: None },
            },
        }
    }

    fn poll_here(
        &self,
        entry: &SessionEntry,
        outbox: &Outbox,
        context: &Context<'_>,
        writable: bool,
    ) -> Outgoing {
        let sessions = &self.sessions;
        loop {
            let look = Look { now: clock::now(), writable, lingers: false };
            match outbox.look(context.waker(), look, &sessions.counters) {
                OutboxWork::Outgoing(outgoing) => return outgoing,
                OutboxWork::ReplyOverdue => {
                    outbox.reply_due_passed(look.now);
                    sessions.run(entry, None, |session, moment, port| {
                        session.reply_overdue(moment, port);
                    });
                }
                OutboxWork::Drained => {
                    // From here on another node speaks for the agent. A writer holds the session's
                    // lock: with it, what came since the look is seen, and written first.
                    let is_empty = sessions.run(entry, None, |session, moment, port| {
                        let is_empty = outbox.bytes() == 0;
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
        match &self.bound {
            BoundTo::Here { outbox, .. } => outbox.reply_due_at(),
            BoundTo::Home(front) => front.look_due(),
        }
    }

    /// When to look at [`Attachment::may_read`] again, if nothing wakes the task before.
    pub fn held_back_until(&self) -> Option<Instant> {
        match &self.bound {
            BoundTo::Here { outbox, .. } => outbox.held_back_until(),
            BoundTo::Home(_) => None,
        }
    }

    /// Whether the agent's next message may be read. If not, the task that last polled
    /// [`Attachment::poll_outgoing`] is woken when it may.
    pub fn may_read(&self) -> bool {
        match &self.bound {
            BoundTo::Here { outbox, .. } => outbox.may_be_read(),
            BoundTo::Home(front) => {
                self.sessions.in_fleet().is_none_or(|fleet| fleet.fronts().may_read(front))
            }
        }
    }

    /// The task holds this many bytes that its socket has yet to take.
    pub fn left_to_write(&self, bytes: usize) {
        let (outbox, counters) = self.outbox();
        outbox.left_to_write(bytes, counters);
    }

    /// The connection's outbox, and where its bytes are counted.
    fn outbox(&self) -> (&Outbox, &Counters) {
        match &self.bound {
            BoundTo::Here { outbox, .. } => (outbox, &self.sessions.counters),
            BoundTo::Home(front) => (&front.outbox, connection_counters(&self.sessions)),
        }
    }

    /// A pong came: what was written before its ping has arrived.
    pub fn ponged(&self, payload: &[u8]) {
        match &self.bound {
            BoundTo::Here { entry, .. } => {
                // The connection's own pings are empty.
                let ping = payload.try_into().map(u16::from_be_bytes);
                self.sessions.run(entry, None, |session, moment, _| match ping {
                    Ok(ping) => session.confirmed(ping, moment.now),
                    Err(_) => session.heard(moment.now),
                });
            }
            BoundTo::Home(front) => {
                if let Some(fleet) = self.sessions.in_fleet() {
                    fleet.fronts().ponged(front, payload);
                }
            }
        }
    }

    /// The agent closes the connection, because what was written to it is too large for it.
    pub fn refused_for_size(&self) {
        match &self.bound {
            BoundTo::Here { entry, .. } => {
                self.sessions.run(entry, None, |session, moment, port| {
                    offer_refused(session, moment, port);
                });
            }
            BoundTo::Home(front) => {
                if let Some(fleet) = self.sessions.in_fleet() {
                    fleet.fronts().close(front, DetachReason::TooLarge);
                }
            }
        }
    }

    /// This connection was replaced, and its peer answered the Close: it was alive (R10).
    pub fn replaced_was_alive(&self) {
        match &self.bound {
            BoundTo::Here { entry, .. } => {
                self.sessions.run(entry, None, |session, moment, _| {
                    session.replaced_was_alive(moment);
                });
            }
            BoundTo::Home(front) => {
                if let Some(fleet) = self.sessions.in_fleet() {
                    fleet.fronts().replaced_was_alive(front);
                }
            }
        }
    }

    /// The agent goes on under another uid on the same connection: `out` takes what it is still owed under
    /// this one.
    pub fn hand_over(&self, out: &mut Vec<u8>) {
        match &self.bound {
            BoundTo::Here { entry, .. } => {
                self.sessions.run(entry, Some(out), |session, moment, port| {
                    session.connection_renamed(self.connection, moment, port);
                });
            }
            BoundTo::Home(front) => {
                if let Some(fleet) = self.sessions.in_fleet() {
                    fleet.fronts().rename(front, out);
                }
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        match &self.bound {
            BoundTo::Here { entry, outbox } => {
                self.sessions.run(entry, None, |session, moment, port| {
                    session.connection_lost(self.connection, moment, port);
                });
                // A session that has let the connection go leaves what it wrote before behind.
                outbox.close(&self.sessions.counters, AttachmentEnd::Left);
            }
            BoundTo::Home(front) => {
                if let Some(fleet) = self.sessions.in_fleet() {
                    fleet.fronts().close(front, DetachReason::Lost);
                }
            }
        }
        // What its socket has not taken is gone with it.
        self.left_to_write(0);
    }
}
