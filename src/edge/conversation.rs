//! What the bytes of an agent's WebSocket mean: messages for the sessions, answers for the agent. The socket
//! is `agent`'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;

use super::Edge;
use super::agents::{Agents, Arrived};
use super::budget::BudgetShare;
use super::ending::{SocketEnding, broken, reject};
use crate::ident::InstanceUid;
use crate::sessions::Outgoing;
use crate::telemetry::events::edge::{CloseReason, MessageReceived, Transport};
use crate::websocket::{self, Decoder, Incoming, Role};

/// A connection, above the socket.
pub(super) struct Conversation {
    edge: Arc<Edge>,
    peer: SocketAddr,
    decoder: Decoder,
    pub(super) agents: Agents,
    share: BudgetShare,
    rejected: u8,
}

/// What follows from the bytes that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterBytes {
    /// Read on.
    Continue,
    /// The agent closes, with this code.
    PeerCloses(Option<u16>),
    /// The gateway closes.
    Close(SocketEnding),
}

impl Conversation {
    pub(super) fn new(edge: Arc<Edge>, peer: SocketAddr) -> Self {
        let agents = Agents::new(edge.next_connection());
        let decoder = Decoder::new(Role::Server);
        Self { edge, peer, decoder, agents, share: BudgetShare::default(), rejected: 0 }
    }

    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The agent, if there is one alone.
    pub(super) fn uid(&self) -> Option<InstanceUid> {
        self.agents.uid()
    }

    /// Whether the agent's next message may be read.
    pub(super) fn may_read(&self) -> bool {
        self.agents.may_read()
    }

    /// Whether no agent is here, or waits to come in.
    pub(super) fn is_nobody(&self) -> bool {
        self.agents.is_nobody(self.edge.drains())
    }

    /// What the sessions have for this connection; see [`Agents::poll_outgoing`].
    pub(super) fn poll_outgoing(&mut self, context: &mut Context<'_>, writable: bool) -> Outgoing {
        let at = Arrived { edge: &self.edge, peer: self.peer };
        self.agents.poll_outgoing(at, context, writable)
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
                Ok(Some(Incoming::Close(code))) => return AfterBytes::PeerCloses(code),
                Err(_) => return AfterBytes::PeerCloses(None),
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
            let Self { edge, decoder, agents, peer, rejected, .. } = self;
            match decoder.feed(bytes, &mut position, limit) {
                Ok(None) => return AfterBytes::Continue,
                Ok(Some(Incoming::Message(message))) => {
                    MessageReceived { transport: Transport::WebSocket, bytes: message.len() }
                        .emit();
                    match agents.receive(Arrived { edge, peer: *peer }, message, out) {
                        Ok(()) => *rejected = 0,
                        Err(why) => {
                            *rejected += u8::from(why.counts());
                            if let Some(ending) = reject(&why, *peer, *rejected, out) {
                                return AfterBytes::Close(ending);
                            }
                        }
                    }
                }
                // Asked for on links to servers alone.
                Ok(Some(Incoming::PassedOver { .. })) => {}
                Ok(Some(Incoming::Ping(payload))) => websocket::encode_pong(None, payload, out),
                Ok(Some(Incoming::Pong(payload))) => {
                    agents.ponged(payload);
                }
                Ok(Some(Incoming::Close(code))) => return AfterBytes::PeerCloses(code),
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
