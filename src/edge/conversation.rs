//! What the bytes of an agent's WebSocket mean: messages for the sessions, answers for the agent. The socket
//! is `agent`'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;

use super::Edge;
use super::agents::{Agents, Arrived};
use super::budget::BudgetShare;
use super::ending::{SocketEnding, broken, reject};
use crate::core::keepalive::HeardBytes;
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
    /// What was read and is handled first: what came behind the request head, or behind a message after which no more
    /// may be taken now.
    unhandled: Box<[u8]>,
    /// A message has ended since that was last asked.
    ended_one: bool,
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
        Self {
            edge,
            peer,
            decoder,
            agents,
            share: BudgetShare::default(),
            rejected: 0,
            unhandled: Box::default(),
            ended_one: false,
        }
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

    /// What the last read has brought, of this many bytes.
    pub(super) const fn heard(&mut self, bytes: usize) -> HeardBytes {
        let ended_one = std::mem::replace(&mut self.ended_one, false);
        HeardBytes { bytes, ended_one, is_between: self.decoder.is_idle() }
    }

    /// These bytes were read already.
    pub(super) fn handles_first(&mut self, early: Vec<u8>) {
        self.unhandled = early.into_boxed_slice();
    }

    /// What was read, and waits until the next message may be taken.
    pub(super) fn take_unhandled(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.unhandled)
    }

    /// Handles what was read; answers go to `out`.
    pub(super) fn take(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> AfterBytes {
        let taken = self.take_all(bytes, out);
        let held = self.decoder.buffered() + self.unhandled.len();
        let fits = self.share.set(held, &self.edge.buffered);
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
            if position > 0 && position < bytes.len() && self.ended_one && !self.may_read() {
                self.unhandled = bytes[position..].into();
                return AfterBytes::Continue;
            }
            // Taken apart: a message borrows from the decoder while it is handled.
            let Self { edge, decoder, agents, peer, rejected, ended_one, .. } = self;
            match decoder.feed(bytes, &mut position, limit) {
                Ok(None) => return AfterBytes::Continue,
                Ok(Some(Incoming::Message(message))) => {
                    *ended_one = true;
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
