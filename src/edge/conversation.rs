//! What the bytes of an agent's WebSocket mean: messages for the sessions, answers for the agent. The socket
//! is `agent`'s.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Edge;
use super::budget::BudgetShare;
use super::ending::{SocketEnding, broken, reject};
use crate::ident::{ConnectionId, InstanceUid};
use crate::sessions::Attachment;
use crate::telemetry::events::edge::{CloseReason, MessageReceived, Transport};
use crate::websocket::{self, Decoder, Incoming, Role};

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
    Close(SocketEnding),
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

    /// Whether the agent's next message may be read.
    pub(super) fn may_read(&self) -> bool {
        self.attachment.as_ref().is_none_or(Attachment::may_read)
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
            return AfterBytes::Close(SocketEnding { code: 1013, reason: CloseReason::OverLimit });
        }
        taken
    }

    /// The gateway closes: what has come of an unfinished message is of no use any more.
    pub(super) fn ends(&mut self) {
        self.decoder.discard_messages();
        self.share.set(self.decoder.buffered(), &self.edge.buffered);
    }

    /// Reads on after [`Self::ends`]; only the agent's own Close counts.
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
                            if let Some(ending) = reject(&why, *peer, *rejected, out) {
                                return AfterBytes::Close(ending);
                            }
                        }
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => websocket::encode_pong(None, payload, out),
                Ok(Some(Incoming::Pong(payload))) => {
                    if let Some(attachment) = attachment {
                        attachment.ponged(payload);
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
