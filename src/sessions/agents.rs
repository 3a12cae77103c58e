//! An agent's message: from its bytes to the one session that it concerns. A WebSocket's first message attaches it
//! to the session of the uid that it names; a plain-HTTP request is attached for as long as it waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Sessions;
use super::attachment::{Attachment, BoundTo};
use super::attachment_port::AttachmentEnd;
use super::attachment_port::AttachmentPort as _;
use super::carrier::EventContext;
use super::fresh_uid::fresh_uid;
use super::outbox::Outbox;
use super::request::Waiting;
use crate::core::node_link::AgentConnection;
use crate::core::session::{AgentMessage, MessageSource, Opened, keeps_message};
use crate::ident::{ConnectionId, InstanceUid, SequenceNum, UidError};
use crate::opamp::agent::AgentScan;
use crate::opamp::fields::ScanError;
use crate::opamp::header;

/// Why an agent's message was refused. The agent's fault, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The bytes are no `AgentToServer`.
    #[error("not an AgentToServer message: {0}")]
    Malformed(#[from] ScanError),
    /// The message leaves open who speaks.
    #[error(transparent)]
    Uid(#[from] UidError),
    /// Another live agent uses the uid (R10): the agent gets a fresh one.
    #[error("instance_uid {uid} is in use by another agent")]
    Cloned {
        /// The uid that two agents use.
        uid: InstanceUid,
        /// The one for this agent.
        fresh: InstanceUid,
    },
    /// The table is full. The gateway's limit; retrying helps.
    #[error("too many agents")]
    Full,
    /// The connection brings more agents than one may.
    #[error("too many agents on one connection: at most {max} (edge.agents_per_connection_max)")]
    TooManyHere {
        /// The bound.
        max: usize,
    },
    /// As much of what this agent says once waits for its server as may. Over plain HTTP; retrying helps.
    #[error("too much of this agent's waits for its server")]
    Busy,
}

/// A message on an agent's WebSocket, read as far as to say whose it is.
#[derive(Debug)]
pub struct SpokenMessage<'a> {
    /// Who speaks.
    pub uid: InstanceUid,
    scan: AgentScan<'a>,
}

impl<'a> SpokenMessage<'a> {
    /// Reads a message, with or without its header.
    ///
    /// # Errors
    /// Says why it is no agent's message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Rejected> {
        let scan = AgentScan::parse(header::strip(bytes))?;
        let uid = InstanceUid::from_wire(scan.uid)?;
        Ok(Self { uid, scan })
    }

    /// Its number, if it has one.
    pub fn number(&self) -> Option<SequenceNum> {
        self.scan.number()
    }
}

impl Attachment {
    /// Attaches a WebSocket to an agent's session: the agent says its first message there. A connection may have the
    /// attachments of several agents, and one at most of each.
    ///
    /// # Errors
    /// Says why the agent was refused.
    pub fn open(
        sessions: &Arc<Sessions>,
        uid: InstanceUid,
        connection: ConnectionId,
    ) -> Result<Self, Rejected> {
        if let Some(fleet) = sessions.in_fleet() {
            let front = fleet.fronts().open(uid, AgentConnection::WebSocket)?;
            let bound = BoundTo::Home(front);
            return Ok(Self { sessions: Arc::clone(sessions), bound, uid, connection });
        }
        let outbox = Arc::<Outbox>::default();
        let (entry, opened) = sessions.enter(uid, |entry| {
            let (opened, _) =
                sessions.apply(entry, EventContext::default(), |session, moment, port| {
                    session.connection_opened(connection, moment, port)
                });
            if opened == Opened::Admitted {
                entry.outbox = Some(Arc::clone(&outbox));
            }
            opened
        })?;
        if opened == Opened::Cloned {
            return Err(Rejected::Cloned { uid, fresh: fresh_uid() });
        }
        if sessions.stopping.load(Ordering::Relaxed) {
            outbox.close(&sessions.counters, AttachmentEnd::Stopping);
        }
        let bound = BoundTo::Here { entry, outbox };
        Ok(Self { sessions: Arc::clone(sessions), bound, uid, connection })
    }

    /// Says a message of this attachment's agent. A reply that is there at once is appended to `out` as a frame;
    /// anything later comes through [`Attachment::poll_outgoing`].
    ///
    /// # Errors
    /// Says why the message was refused.
    pub fn says(&self, said: &SpokenMessage<'_>, out: &mut Vec<u8>) -> Result<(), Rejected> {
        match &self.bound {
            BoundTo::Here { entry, .. } => {
                let source = MessageSource::Socket(self.connection);
                let message = AgentMessage { source, scan: &said.scan };
                self.sessions.run(entry, Some(out), |session, moment, port| {
                    session.agent_message(&message, moment, port);
                });
                Ok(())
            }
            BoundTo::Home(front) => match self.sessions.in_fleet() {
                Some(fleet) => fleet.fronts().says(front, &said.scan, Some(out)),
                None => Ok(()),
            },
        }
    }
}

/// A message on the WebSocket of one agent, which may have gone on under another uid. The first message attaches it.
///
/// # Errors
/// Says why the message was refused. The attachment is as before.
pub fn receive_spoken(
    sessions: &Arc<Sessions>,
    attachment: &mut Option<Attachment>,
    connection: ConnectionId,
    spoken: &SpokenMessage<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Rejected> {
    if attachment.as_ref().is_none_or(|attachment| attachment.uid != spoken.uid) {
        let attached = Attachment::open(sessions, spoken.uid, connection)?;
        if let Some(former) = attachment.replace(attached) {
            former.hand_over(out);
        }
    }
    let Some(attachment) = attachment else { return Ok(()) };
    attachment.says(spoken, out)
}

impl Sessions {
    /// The same, of a message that has yet to be read.
    ///
    /// # Errors
    /// Says why the message was refused. The attachment is as before.
    pub fn receive(
        self: &Arc<Self>,
        attachment: &mut Option<Attachment>,
        connection: ConnectionId,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Rejected> {
        let spoken = SpokenMessage::parse(bytes)?;
        receive_spoken(self, attachment, connection, &spoken, out)
    }

    /// A message in a plain-HTTP request. The answer comes from [`Waiting`].
    ///
    /// # Errors
    /// Says why the message was refused.
    pub fn receive_http(self: &Arc<Self>, bytes: &[u8]) -> Result<Waiting, Rejected> {
        let scan = AgentScan::parse(bytes)?;
        let uid = InstanceUid::from_wire(scan.uid)?;
        if let Some(fleet) = self.in_fleet() {
            let front = fleet.fronts().request(uid, &scan)?;
            let reply_due = front.outbox.reply_due_at();
            let bound = BoundTo::Home(front);
            return Ok(Waiting { sessions: Arc::clone(self), bound, uid, request: 0, reply_due });
        }
        let outbox = Arc::<Outbox>::default();
        let message = AgentMessage { source: MessageSource::Request, scan: &scan };
        let (entry, taken) = self.enter(uid, |entry| {
            if keeps_message(&entry.session, &scan) {
                return Err(Rejected::Busy);
            }
            // The message comes in the same breath, and its follow-up is that of both.
            let (request, _) =
                self.apply(entry, EventContext::default(), |session, moment, port| {
                    session.request_opened(moment, port)
                });
            entry.outbox = Some(Arc::clone(&outbox));
            let ((), follow_up) =
                self.apply(entry, EventContext::default(), |session, moment, port| {
                    session.agent_message(&message, moment, port);
                });
            Ok((request, follow_up))
        })?;
        let (request, follow_up) = taken?;
        self.follow_up(uid, follow_up);
        let reply_due = outbox.reply_due_at();
        let bound = BoundTo::Here { entry, outbox };
        Ok(Waiting { sessions: Arc::clone(self), bound, uid, request, reply_due })
    }
}
