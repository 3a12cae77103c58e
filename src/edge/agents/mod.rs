//! The agents on one WebSocket ("ServerToAgent.instance_uid"): one as a rule; many where a gateway is in front of this
//! one. Each has an attachment, and so a session, of its own.
//!
//! ```text
//!          the first message       another uid, given by the server, or taken on by the agent itself
//!   One: no agent ──► One: attached ─────► One: the same agent, renamed
//!                           │ another uid
//!                           ▼
//!                         Many: each asks for admission, and leaves, by itself; the connection stays
//! ```
//!
//! - `many`: the attachments of many agents. `ready`: which of them there is something to do for.
//! - `newcomers`: agents that ask for admission on a connection that others use.

mod many;
mod newcomers;
mod ready;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::Edge;
use crate::core::shared_connection::may_be_renamed;
use crate::ident::{ConnectionId, InstanceUid, SequenceNum, UidError};
use crate::opamp::connect_request::ConnectRequest;
use crate::opamp::header;
use crate::sessions::{Attachment, Outgoing, Rejected, SpokenMessage, given_to, receive_spoken};
use crate::telemetry::events::edge::{MessageSent, SendKind};
use crate::websocket;
use many::ManyAgents;

/// See the module's text.
pub(super) enum Agents {
    /// None yet, or one.
    One(OneAgent),
    /// Several, or one that may be another than before.
    Many(Box<ManyAgents>),
}

/// The only agent.
pub(super) struct OneAgent {
    connection: ConnectionId,
    attachment: Option<Attachment>,
    /// The number that its next message will have; `None`: it had none, or the highest.
    next: Option<NonZeroU64>,
}

/// Where an agent's message comes in.
#[derive(Clone, Copy)]
pub(super) struct Arrived<'a> {
    pub(super) edge: &'a Arc<Edge>,
    pub(super) peer: SocketAddr,
}

/// A message that was rejected.
#[derive(Debug)]
pub(super) struct RejectedSpeech {
    pub(super) why: Rejected,
    /// Whose it was, if it said so.
    pub(super) uid: Option<InstanceUid>,
    /// The connection has other agents: they are left alone.
    pub(super) shared: bool,
}

impl RejectedSpeech {
    /// Whether it counts against the connection: what is wrong is the sender's fault.
    pub(super) const fn counts(&self) -> bool {
        !self.shared || matches!(self.why, Rejected::Malformed(_) | Rejected::Uid(_))
    }
}

impl Agents {
    pub(super) const fn new(connection: ConnectionId) -> Self {
        Self::One(OneAgent { connection, attachment: None, next: None })
    }

    /// A message comes. A reply that is there at once is appended to `out` as a frame.
    ///
    /// # Errors
    /// Says why it was rejected.
    pub(super) fn receive(
        &mut self,
        at: Arrived<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RejectedSpeech> {
        let spoken = SpokenMessage::parse(bytes);
        let uid = spoken.as_ref().ok().map(|spoken| spoken.uid);
        let received = spoken.and_then(|spoken| match self {
            Self::Many(many) => many.receive(at, (&spoken, bytes), out),
            Self::One(one) if one.is_its_own(at, &spoken) => one.receive(at, &spoken, out),
            Self::One(one) => {
                let (mut many, renamed) = one.becomes_many(at, &spoken, out);
                let received = match renamed {
                    Some(former) => many.receive_renamed(at, former, &spoken, out),
                    None => many.receive(at, (&spoken, bytes), out),
                };
                *self = Self::Many(many);
                received
            }
        });
        if let Err(Rejected::Uid(UidError::Missing)) = &received
            && self.answers_gateway(at, bytes, out)
        {
            return Ok(());
        }
        let shared = matches!(self, Self::Many(_));
        received.map_err(|why| RejectedSpeech { why, uid, shared })
    }

    /// A gateway may ask whether an agent may come in. It may: as one that connects here itself would. From here on the
    /// connection is known to be a gateway's.
    fn answers_gateway(&mut self, at: Arrived<'_>, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(asked) = ConnectRequest::read(header::strip(bytes)) else { return false };
        if let Self::One(one) = self {
            let mut many = Box::new(ManyAgents::of_gateway(at, one.connection));
            if let Some(attachment) = one.attachment.take() {
                many.begin_with(attachment);
            }
            *self = Self::Many(many);
        }
        let before = out.len();
        let frame = websocket::begin_message(None, 200, out);
        asked.accept(out);
        websocket::finish_message(frame, out);
        MessageSent { kind: SendKind::LocalAck, bytes: out.len() - before }.emit();
        true
    }

    /// The only agent, if there is one.
    pub(super) fn uid(&self) -> Option<InstanceUid> {
        match self {
            Self::One(one) => one.attachment.as_ref().map(Attachment::uid),
            Self::Many(many) => many.only(),
        }
    }

    /// Whether no agent is here, or waits to come in.
    pub(super) fn is_nobody(&self, drains: bool) -> bool {
        match self {
            Self::One(one) => one.attachment.is_none(),
            Self::Many(many) => many.is_nobody(drains),
        }
    }

    /// Whether the next message may be read.
    pub(super) fn may_read(&self) -> bool {
        match self {
            Self::One(one) => one.attachment.as_ref().is_none_or(Attachment::may_read),
            Self::Many(many) => many.may_read(),
        }
    }

    /// The connection's task holds this many bytes that its socket has yet to take, answers to what it read.
    pub(super) fn left_to_write(&mut self, bytes: usize) {
        match self {
            Self::One(one) => one.attachment.iter().for_each(|it| it.left_to_write(bytes)),
            Self::Many(many) => many.left_to_write(bytes),
        }
    }

    /// When [`Agents::poll_outgoing`] or [`Agents::may_read`] has something without being woken.
    pub(super) fn look_due(&self) -> Option<Instant> {
        match self {
            Self::One(one) => {
                let attachment = one.attachment.as_ref()?;
                attachment.reply_due().into_iter().chain(attachment.held_back_until()).min()
            }
            Self::Many(many) => many.look_due(),
        }
    }

    /// What the connection's task has to do now; see [`Attachment::poll_outgoing`].
    pub(super) fn poll_outgoing(
        &mut self,
        at: Arrived<'_>,
        context: &mut Context<'_>,
        writable: bool,
    ) -> Outgoing {
        match self {
            Self::One(OneAgent { attachment: Some(attachment), .. }) => {
                attachment.poll_outgoing(context, writable)
            }
            Self::One(_) => Outgoing::Nothing { reply_due: None },
            Self::Many(many) => many.poll_outgoing(at, context, writable),
        }
    }

    /// A pong came: what was written before its ping has arrived.
    pub(super) fn ponged(&mut self, payload: &[u8]) {
        match self {
            Self::One(OneAgent { attachment: Some(attachment), .. }) => attachment.ponged(payload),
            Self::One(_) => {}
            Self::Many(many) => many.ponged(payload),
        }
    }

    /// The peer closes, because what was written to it is too large for it. Of several agents it was the one with the
    /// largest message that is yet to be confirmed.
    pub(super) fn refused_for_size(&self) {
        match self {
            Self::One(one) => one.attachment.iter().for_each(Attachment::refused_for_size),
            Self::Many(many) => many.refused_for_size(),
        }
    }

    /// The connection closes because its agent has another one, and its peer has answered the Close (R10).
    pub(super) fn replaced_was_alive(&self) {
        match self {
            Self::One(one) => one.attachment.iter().for_each(Attachment::replaced_was_alive),
            Self::Many(many) => many.replaced_were_alive(),
        }
    }
}

impl OneAgent {
    /// Whether the message is this agent's, or the connection's first: its server may have given it this uid.
    fn is_its_own(&self, at: Arrived<'_>, spoken: &SpokenMessage<'_>) -> bool {
        self.attachment.as_ref().is_none_or(|attachment| {
            let own = attachment.uid();
            own == spoken.uid || given_to(&at.edge.sessions, spoken.uid) == Some(own)
        })
    }

    fn receive(
        &mut self,
        at: Arrived<'_>,
        spoken: &SpokenMessage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        self.next = spoken.number().and_then(|number| NonZeroU64::new(number.next().0));
        receive_spoken(&at.edge.sessions, &mut self.attachment, self.connection, spoken, out)
    }

    /// Another uid speaks. If it may be the same agent's, which has changed its uid by itself, its former uid is
    /// returned, and is off the connection already.
    fn becomes_many(
        &mut self,
        at: Arrived<'_>,
        spoken: &SpokenMessage<'_>,
        out: &mut Vec<u8>,
    ) -> (Box<ManyAgents>, Option<InstanceUid>) {
        let next = self.next.map(|next| SequenceNum(next.get()));
        let is_renamed = may_be_renamed(next, spoken.number()) && !at.edge.sessions.has(spoken.uid);
        let mut many = Box::new(ManyAgents::new(at, self.connection));
        let mut former = None;
        if let Some(attachment) = self.attachment.take() {
            if is_renamed {
                attachment.hand_over(out);
                former = Some(attachment.uid());
            } else {
                many.begin_with(attachment);
            }
        }
        (many, former)
    }
}
