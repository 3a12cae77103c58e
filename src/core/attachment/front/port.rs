//! What a front's attachment asks of its surroundings, and what the configuration decides for it.

use std::time::{Duration, Instant};

use crate::core::attachment::held::HeldLimits;
use crate::core::node_link::{AgentConnection, CloseOrder, ForAgentKind, HeartbeatsEntry, ToHome};
use crate::core::ownership::{MapVersion, NodeIncarnation};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::Digest;

/// What the front asks of its surroundings. Effects happen in the order of the calls.
pub trait FrontPort {
    /// Gives the digests of a message's parts to `put`, and returns the id of their key.
    fn digest(&mut self, scan: &AgentScan<'_>, put: &mut dyn FnMut(u32, Digest)) -> u64;
    /// Sends a frame to the home, on the agent's stream.
    fn to_home(&mut self, home: NodeIncarnation, message: &ToHome<'_>);
    /// Adds an entry to the next batch for the home.
    fn heartbeats(&mut self, home: NodeIncarnation, entry: HeartbeatsEntry);
    /// Writes a message to the agent. [`FrontAttachment::written`](super::FrontAttachment::written) follows with its number, unless that is 0.
    fn to_agent(&mut self, kind: ForAgentKind, number: u64, bytes: &[u8]);
    /// Writes one reply of the front's own.
    fn acknowledge(&mut self);
    /// Pings the agent. [`FrontAttachment::ponged`](super::FrontAttachment::ponged) follows if it answers this very ping.
    fn ping(&mut self, question: u32);
    /// Closes the connection. With [`CloseOrder::Cloned`], the agent is given another uid first.
    fn close(&mut self, order: CloseOrder);
    /// The map has changed: it must be read up to this version.
    fn read_map(&mut self, version: MapVersion);
}

/// What the configuration decides for every attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontPolicy {
    /// Heartbeats are answered here. Otherwise each goes on to the home like any other message, because it goes on to
    /// the server.
    pub answers_heartbeats: bool,
    /// How long an agent waits for its home's reply: a little longer than the home itself takes.
    pub reply_bound: Duration,
    /// When an attach that found no answer, or was put off, is repeated.
    pub attach_again: Duration,
    /// How long what a lost connection said is held for its home.
    pub leaving_max: Duration,
    /// Messages of one agent that may be held.
    pub held_messages_max: usize,
    /// Bytes of one agent that may be held; its newest message is held whatever its length.
    pub held_bytes_max: usize,
    /// Bytes that may wait for one agent, at its home and here.
    pub agent_bytes_max: u32,
}

/// When an event happens.
#[derive(Debug, Clone, Copy)]
pub struct FrontMoment<'a> {
    /// The time.
    pub now: Instant,
    /// The configuration's decisions.
    pub policy: &'a FrontPolicy,
    /// All fronts of the node together hold more than they may: parts are given up at once.
    pub is_crowded: bool,
}

impl FrontMoment<'_> {
    pub(super) const fn limits(&self) -> HeldLimits {
        let FrontPolicy { held_bytes_max, .. } = *self.policy;
        HeldLimits {
            bytes_max: if self.is_crowded { 0 } else { held_bytes_max },
            newest_stays: !self.is_crowded,
        }
    }
}

/// Who the agent is, as far as its connection shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAbout {
    /// How it is connected.
    pub transport: AgentConnection,
    /// See [`Attach::client`](crate::core::node_link::Attach::client).
    pub client: u8,
    /// See [`Attach::identity`](crate::core::node_link::Attach::identity).
    pub identity: Box<[u8]>,
}
