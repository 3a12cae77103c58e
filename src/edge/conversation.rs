//! What the bytes of an agent's WebSocket mean: messages for the sessions, answers for the agent. The socket
//! is `agent`'s.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Edge;
use super::budget::BudgetShare;
use crate::ident::{ConnectionId, InstanceUid};
use crate::opamp::splice::{self, Additions};
use crate::sessions::{Attachment, Rejected};
use crate::telemetry::events::edge::{
    CloseReason, MessageFault, MessageReceived, MessageRejected, MessageSent, SendKind, Transport,
};
use crate::websocket::{self, Decoder, Incoming, Role};

/// At this many rejected messages in a row the peer counts as something else than an agent.
const REJECTED_MAX: u8 = 16;
/// How long an agent has to wait that found the table of sessions full. The specification's minimum.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(30);

/// How a connection ends: with a code for the agent, and a reason for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// RFC 6455, section 7.4.1.
    pub(super) code: u16,
    pub(super) reason: CloseReason,
}

/// One agent's connection, above the socket.
pub(super) struct Conversation {
    edge: Arc<Edge>,
    peer: SocketAddr,
    connection: ConnectionId,
    decoder: Decoder,
    pub(super) attachment: Option<Attachment>,
    share: BudgetShare,
    rejected: u8,
}

/// What follows from the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterBytes {
    /// Read on.
    Continue,
    /// The agent closes.
    PeerCloses,
    /// The gateway closes.
    Close(Ending),
}

impl Conversation {
    pub(super) fn new(edge: Arc<Edge>, peer: SocketAddr) -> Self {
        let connection = edge.next_connection();
        let decoder = Decoder::new(Role::Server);
        Self {
            edge,
            peer,
            connection,
            decoder,
            attachment: None,
            share: BudgetShare::default(),
            rejected: 0,
        }
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    pub(super) fn uid(&self) -> Option<InstanceUid> {
        self.attachment.as_ref().map(Attachment::uid)
    }

    /// Whether the last byte ended a message.
    pub(super) const fn is_between(&self) -> bool {
        self.decoder.is_idle()
    }

    /// Handles what was read; answers go to `out`.
    pub(super) fn take(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> AfterBytes {
        let taken = self.take_all(bytes, out);
        let fits = self.share.set(self.decoder.buffered(), &self.edge.buffered);
        if !fits && taken == AfterBytes::Continue {
            return AfterBytes::Close(Ending { code: 1013, reason: CloseReason::OverLimit });
        }
        taken
    }

    /// Reads on after the gateway's Close; only the agent's own Close counts.
    pub(super) fn await_close(&mut self, bytes: &mut [u8]) -> AfterBytes {
        let mut position = 0;
        let limit = self.edge.params.message_bytes_max.saturating_add(1);
        loop {
            match self.decoder.feed(bytes, &mut position, limit) {
                Ok(Some(Incoming::Close(_))) | Err(_) => return AfterBytes::PeerCloses,
                Ok(Some(_)) => {}
                Ok(None) => return AfterBytes::Continue,
            }
        }
    }

    fn take_all(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> AfterBytes {
        let mut position = 0;
        // One byte more than the message: the header in front of it.
        let limit = self.edge.params.message_bytes_max.saturating_add(1);
        loop {
            // Taken apart: a message borrows from the decoder while it is handled.
            let Self { edge, decoder, attachment, connection, peer, rejected, .. } = self;
            match decoder.feed(bytes, &mut position, limit) {
                Ok(None) => return AfterBytes::Continue,
                Ok(Some(Incoming::Message(message))) => {
                    MessageReceived { transport: Transport::WebSocket, bytes: message.len() }
                        .emit();
                    match edge.sessions.receive(attachment, *connection, message, out) {
                        Ok(()) => *rejected = 0,
                        Err(why) => {
                            *rejected += 1;
                            if let Some(ending) = reject(why, (*peer, *rejected), out) {
                                return AfterBytes::Close(ending);
                            }
                        }
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => websocket::encode_pong(None, payload, out),
                Ok(Some(Incoming::Pong(_))) => {
                    if let Some(attachment) = attachment {
                        attachment.heard();
                    }
                }
                Ok(Some(Incoming::Close(_))) => return AfterBytes::PeerCloses,
                Err(fault) => return AfterBytes::Close(broken(fault, *peer)),
            }
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.share.set(0, &self.edge.buffered);
    }
}

/// The agent broke the WebSocket protocol.
fn broken(fault: websocket::Fault, peer: SocketAddr) -> Ending {
    let (reason, label) = match fault {
        websocket::Fault::Text => (CloseReason::UnsupportedData, MessageFault::Text),
        websocket::Fault::TooBig => (CloseReason::TooBig, MessageFault::TooBig),
        _ => (CloseReason::ProtocolFault, MessageFault::Frame),
    };
    MessageRejected { peer, fault: label }.emit();
    Ending { code: fault.close_code(), reason }
}

/// Answers a message that was rejected: the agent learns what is wrong with it.
fn reject(why: Rejected, (peer, in_a_row): (SocketAddr, u8), out: &mut Vec<u8>) -> Option<Ending> {
    let before = out.len();
    let frame = websocket::begin_message(None, 100, out);
    let (fault, ending) = match &why {
        Rejected::Malformed(_) => {
            splice::bad_request(None, &why.to_string(), out);
            (MessageFault::Scan, None)
        }
        Rejected::Uid(_) => {
            splice::bad_request(None, &why.to_string(), out);
            (MessageFault::Uid, None)
        }
        Rejected::Cloned { uid, fresh } => {
            splice::new_instance_uid(*uid, *fresh, &Additions::default(), out);
            (MessageFault::ClonedUid, None)
        }
        Rejected::Full => {
            splice::unavailable(None, &why.to_string(), RETRY_AFTER, out);
            (
                MessageFault::SessionsFull,
                Some(Ending { code: 1013, reason: CloseReason::OverLimit }),
            )
        }
    };
    websocket::finish_message(frame, out);
    MessageRejected { peer, fault }.emit();
    MessageSent { kind: SendKind::Error, bytes: out.len() - before }.emit();
    if in_a_row >= REJECTED_MAX {
        return Some(Ending { code: 1002, reason: CloseReason::ProtocolFault });
    }
    ending
}
