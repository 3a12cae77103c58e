//! A node: its fronts and homes, and the ports through which they act. What they do is gathered, and carried out by
//! the world.

use std::collections::BTreeMap;

use seawall::core::attachment::{
    FrontAttachment, FrontPort, HeartbeatsGather, HomeAttachment, HomePort, SessionCall,
};
use seawall::core::node_link::{
    AgentReport, AttachmentId, CloseOrder, ForAgentKind, Handle, HeartbeatsEntry, ToFront, ToHome,
};
use seawall::core::ownership::{Epoch, MapVersion, NodeIncarnation};
use seawall::ident::{InstanceUid, SequenceNum};
use seawall::opamp::digest::{Digest, Digester, Scratch};
use seawall::opamp::{AgentScan, FieldSet};

use super::session::SimSession;

/// Where a shard's home is, and since which tenure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: usize,
    pub(super) epoch: u64,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) incarnation: NodeIncarnation,
    pub(super) fronts: BTreeMap<Handle, FrontConnection>,
    pub(super) homes: BTreeMap<InstanceUid, HomeEntry>,
    /// Sessions that this node believes to be its own, and which others have taken over.
    pub(super) former: Vec<(InstanceUid, HomeEntry)>,
    /// The map as this node has read it.
    pub(super) view: BTreeMap<InstanceUid, Place>,
    /// Which nodes are in reach, as far as this one has noticed.
    pub(super) reaches: Vec<bool>,
    pub(super) batches: BTreeMap<u64, HeartbeatsGather>,
    pub(super) next_connection: u64,
    pub(super) next_number: u64,
    pub(super) secret: u64,
}

/// An agent's connection at its front.
#[derive(Debug)]
pub(super) struct FrontConnection {
    pub(super) attachment: FrontAttachment,
    pub(super) agent: usize,
    /// The agent is at the other end.
    pub(super) open: bool,
    /// It is a request.
    pub(super) polls: bool,
    /// The map has to be read before another attach.
    pub(super) away: bool,
    pub(super) said: u64,
    pub(super) replied: u64,
    /// The tenure of the home that it was attached to last.
    pub(super) epoch: u64,
    pub(super) last_offer: u64,
}

/// A session and its attachment.
#[derive(Debug)]
pub(super) struct HomeEntry {
    pub(super) home: HomeAttachment,
    pub(super) session: SimSession,
    pub(super) epoch: u64,
    pub(super) frozen: bool,
    /// The highest attachment that the session has had.
    pub(super) highest: Option<AttachmentId>,
}

/// The incarnation of a node's life.
pub(super) fn incarnation(node: usize, life: u64) -> NodeIncarnation {
    NodeIncarnation::new(100 * life + node as u64 + 1).unwrap()
}

pub(super) fn epoch(place: Place) -> Epoch {
    Epoch { number: place.epoch, taker: incarnation(place.node, 0) }
}

/// What a front does.
#[derive(Debug)]
pub(super) enum FrontEffect {
    ToHome(NodeIncarnation, Vec<u8>),
    Heartbeats(NodeIncarnation, HeartbeatsEntry),
    ToAgent(ForAgentKind, u64, Vec<u8>),
    Acknowledge,
    Ping(u32),
    Close(CloseOrder),
    ReadMap,
}

#[derive(Debug, Default)]
pub(super) struct FrontEffects {
    pub(super) secret: u64,
    pub(super) done: Vec<FrontEffect>,
}

impl FrontPort for FrontEffects {
    fn digest(&mut self, scan: &AgentScan<'_>, put: &mut dyn FnMut(u32, Digest)) -> u64 {
        Digester::default().report(scan, &mut Scratch::default(), put);
        self.secret
    }

    fn to_home(&mut self, home: NodeIncarnation, message: &ToHome<'_>) {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        self.done.push(FrontEffect::ToHome(home, frame));
    }

    fn heartbeats(&mut self, home: NodeIncarnation, entry: HeartbeatsEntry) {
        self.done.push(FrontEffect::Heartbeats(home, entry));
    }

    fn to_agent(&mut self, kind: ForAgentKind, number: u64, bytes: &[u8]) {
        self.done.push(FrontEffect::ToAgent(kind, number, bytes.to_vec()));
    }

    fn acknowledge(&mut self) {
        self.done.push(FrontEffect::Acknowledge);
    }

    fn ping(&mut self, question: u32) {
        self.done.push(FrontEffect::Ping(question));
    }

    fn close(&mut self, order: CloseOrder) {
        self.done.push(FrontEffect::Close(order));
    }

    fn read_map(&mut self, _: MapVersion) {
        self.done.push(FrontEffect::ReadMap);
    }
}

/// What a home does.
pub(super) struct HomeEffects<'s, 'a> {
    pub(super) session: &'s SimSession,
    pub(super) secret: u64,
    pub(super) next_number: &'s mut u64,
    pub(super) frames: Vec<(NodeIncarnation, Vec<u8>)>,
    pub(super) calls: Vec<SessionCall<'a>>,
}

impl<'a> HomePort<'a> for HomeEffects<'_, 'a> {
    fn to_front(&mut self, front: NodeIncarnation, message: &ToFront<'_>) {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        self.frames.push((front, frame));
    }

    fn needs(&self, report: &AgentReport<'_>) -> FieldSet {
        self.session.needs(report, self.secret)
    }

    fn follows(&self, number: SequenceNum) -> bool {
        self.session.number.is_none_or(|last| number.0 == last + 1)
    }

    fn session(&mut self, call: SessionCall<'a>) {
        self.calls.push(call);
    }

    fn is_cloned(&self) -> bool {
        false
    }

    fn next_number(&mut self) -> u64 {
        *self.next_number += 1;
        *self.next_number
    }
}
