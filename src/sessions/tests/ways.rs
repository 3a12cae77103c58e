//! A fake of the ways to other nodes: the test is the other nodes.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::*;
use crate::core::node_link::ToHome;
use crate::core::ownership::{
    AbsenceBegan, AbsenceEnd, Epoch, Home, MapVersion, NodeIncarnation, ShardId,
};

/// This node, and the one that is every agent's home at first.
pub(super) const ME: u64 = 1;
pub(super) const HOME: u64 = 2;

pub(super) fn node(number: u64) -> NodeIncarnation {
    NodeIncarnation::new(number).unwrap()
}

/// The tenure of this number.
pub(super) fn epoch(number: u64) -> Epoch {
    Epoch { number, taker: node(ME) }
}

/// What happens on the ways.
#[derive(Default)]
pub(super) struct FakeWays {
    state: Mutex<FakeWaysState>,
}

#[derive(Default)]
struct FakeWaysState {
    home: Option<Home>,
    sent: Vec<(NodeIncarnation, Vec<u8>)>,
    read: Vec<MapVersion>,
    /// This node, if it is another one.
    me: Option<u64>,
    /// `None`: all that tests name.
    members: Option<Vec<NodeIncarnation>>,
    /// What is said of every absence; `None`: it ends with the grace period.
    absence: Option<AbsenceEnd>,
}

impl FakeWays {
    /// Every shard's home from now on, in this tenure; `None`: none is in reach.
    pub(super) fn set_home(&self, home: Option<(u64, u64)>) {
        self.state.lock().home =
            home.map(|(number, tenure)| Home { node: node(number), epoch: epoch(tenure) });
    }

    /// What went to a node, each frame as its first word.
    pub(super) fn sent_to(&self, number: u64) -> Vec<String> {
        let mut state = self.state.lock();
        let (to, others) = std::mem::take(&mut state.sent)
            .into_iter()
            .partition(|(to, _): &(NodeIncarnation, _)| *to == node(number));
        state.sent = others;
        drop(state);
        to.iter().map(|(_, frame)| word(&ToHome::decode(frame).unwrap())).collect()
    }

    /// Takes the frames of which `takes` says so.
    pub(super) fn take(&self, takes: impl Fn(NodeIncarnation, &[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut state = self.state.lock();
        let (taken, others) = std::mem::take(&mut state.sent)
            .into_iter()
            .partition(|(to, frame): &(NodeIncarnation, Vec<u8>)| takes(*to, frame));
        state.sent = others;
        taken.into_iter().map(|(_, frame)| frame).collect()
    }

    /// This node's number from now on.
    pub(super) fn set_me(&self, number: u64) {
        self.state.lock().me = Some(number);
    }

    /// These are the members from now on.
    pub(super) fn set_members(&self, members: &[u64]) {
        self.state.lock().members = Some(members.iter().copied().map(node).collect());
    }

    pub(super) fn set_absence(&self, end: AbsenceEnd) {
        self.state.lock().absence = Some(end);
    }

    /// Which versions of the map had to be read.
    pub(super) fn read(&self) -> Vec<u64> {
        self.state.lock().read.iter().map(|version| version.0).collect()
    }
}

/// A frame in short.
fn word(message: &ToHome<'_>) -> String {
    match message {
        ToHome::Attach(_, attach) => format!(
            "attach {}{}",
            if attach.resumes.is_some() { "again " } else { "" },
            attach.next
        ),
        ToHome::Message(_, message) => format!("message {}", message.number),
        ToHome::Heartbeats(batch) => format!("heartbeats of {}", batch.iter().count()),
        ToHome::Open(_) => "open".to_owned(),
        ToHome::Alive(_, question) => format!("alive {question}"),
        ToHome::Written(_, number) => format!("written {number}"),
        ToHome::Detach(_, detach) => {
            format!("{:?}{}", detach.reason, if detach.missed { ", missed" } else { "" })
        }
        ToHome::AllHere(_) => "all here".to_owned(),
        ToHome::WasAlive(_) => "was alive".to_owned(),
        ToHome::FrontLeaves => "leaves".to_owned(),
    }
}

impl Ways for FakeWays {
    fn me(&self) -> NodeIncarnation {
        node(self.state.lock().me.unwrap_or(ME))
    }

    fn home(&self, _: ShardId) -> Option<Home> {
        self.state.lock().home
    }

    fn members(&self) -> Vec<NodeIncarnation> {
        self.state.lock().members.clone().unwrap_or_else(|| (1..=9).map(node).collect())
    }

    fn linked(&self) -> Vec<NodeIncarnation> {
        (1..=3).filter_map(NodeIncarnation::new).collect()
    }

    fn version(&self) -> MapVersion {
        MapVersion(1)
    }

    fn send(
        &self,
        to: NodeIncarnation,
        _: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        let mut frame = Vec::new();
        write(&mut frame);
        self.state.lock().sent.push((to, frame));
        true
    }

    fn read_map(&self, version: MapVersion) {
        self.state.lock().read.push(version);
    }

    fn secret_id(&self) -> u64 {
        7
    }

    fn absence_end(&self, began: AbsenceBegan, grace: Duration, now: Instant) -> AbsenceEnd {
        if let Some(end) = self.state.lock().absence {
            return end;
        }
        let end = began.at + grace;
        if end <= now { AbsenceEnd::Now } else { AbsenceEnd::At(end) }
    }
}
