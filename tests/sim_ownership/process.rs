//! A node's process: its state machine, its machine's clocks, and as much of its data plane as the rules concern.

use seawall::core::ownership::{
    ClockReading, Lease, Node, NodeEvent, NodeIncarnation, NodeName, NodeParams, Secret,
};

use crate::machine::Machine;
use crate::sessions::SimSessions;
use crate::world::Time;

/// Names a process: each that starts has the next number.
pub(crate) type Key = u64;

/// How a process is stopped, and since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) since: Time,
    /// The machine's monotonic clock stands still, too.
    pub(crate) clock: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) place: usize,
    pub(crate) node: Node,
    pub(crate) machine: Machine,
    pub(crate) stopped: Option<Stop>,
    /// It is stopped as soon as it has called the store: the answer waits for it.
    pub(crate) stops_with_call: bool,
    /// When it last went on after a stop.
    pub(crate) resumed: Time,
    /// What has come while it was stopped.
    pub(crate) inbox: Vec<NodeEvent>,
    pub(crate) sessions: SimSessions,
    /// It was told to leave.
    pub(crate) may_leave: bool,
    /// It may have spoken since it last dropped what waits.
    pub(crate) spoke: bool,
    /// It has lost the right to speak, and what waits is not dropped yet.
    pub(crate) must_drop: bool,
    /// Shards that it takes itself to be home of, as bits.
    pub(crate) claims: u64,
    /// The number of the epoch that it has shown last for each shard, and the home.
    pub(crate) epochs: Vec<(u64, Option<NodeIncarnation>)>,
}

impl Process {
    pub(crate) fn new(place: usize, number: u64, params: NodeParams, machine: Machine) -> Self {
        let lease = Lease::new(name(place), NodeIncarnation::new(number).unwrap());
        let secret = Secret { id: number, key: [7; 32] };
        Self {
            place,
            node: Node::new(lease, params, secret),
            machine,
            stopped: None,
            stops_with_call: false,
            resumed: Time::ZERO,
            inbox: Vec::new(),
            sessions: SimSessions::default(),
            may_leave: false,
            spoke: false,
            must_drop: false,
            claims: 0,
            epochs: vec![(0, None); usize::from(params.shards)],
        }
    }

    /// What its clocks show.
    pub(crate) fn moment(&self, now: Time) -> ClockReading {
        self.machine.moment(now)
    }

    /// The shards that it may speak for now, as bits.
    pub(crate) fn speaks_for(&self, now: Time) -> u64 {
        let runs = self.stopped.is_none();
        if runs && self.node.standing(self.moment(now)).is_ok() { self.claims } else { 0 }
    }
}

pub(crate) fn name(place: usize) -> NodeName {
    NodeName::try_new(&format!("node-{place}")).unwrap()
}
