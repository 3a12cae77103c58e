//! A node's admission: the real `core::admission`, with what it needs to know of the node, driven as
//! `edge::admission` drives it. What agents do about its verdicts is in `arrivals`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use seawall::clock;
use seawall::core::admission::{
    AdmissionParams, AdmissionStatus, AdmissionVerdict, Arrival, AutomaticRate, Capacity,
    NodeAdmission, ParkVerdict, ProbeTick, Refusal, Ticket,
};

use crate::simulation::random::Random;
use crate::world::Time;

/// What a plan decides about admission.
#[derive(Debug, Clone)]
pub(crate) struct GatePlan {
    pub(crate) params: AdmissionParams,
    /// What the operator sets; otherwise the rate follows the machine.
    pub(crate) rate: Option<NonZeroU32>,
    /// The fleet's size that the operator expects; 0: unknown.
    pub(crate) fleet_size: u64,
    pub(crate) connections_max: usize,
    /// Percent of arrivals whose source is over its share.
    pub(crate) over_share: u64,
}

impl GatePlan {
    pub(crate) fn new(agents: usize, random: &mut Random) -> Self {
        let mut pick = |from: &[u64]| Time::from_secs(random.pick(from));
        let params = AdmissionParams {
            burst: pick(&[1, 1, 3]),
            park_horizon: pick(&[0, 1, 2, 20]),
            park_ttl: pick(&[2, 8, 30]),
            retry_min: pick(&[1, 1, 5]),
            retry_max: pick(&[5, 20, 60]),
            hold_max: pick(&[0, 1, 10]),
            retry_fixed: pick(&[0, 0, 0, 0, 30]),
            ..AdmissionParams::new(NonZeroU32::new(100).unwrap())
        };
        let rate = NonZeroU32::new(random.pick(&[1_000, 1_000, 0, 1, 1, 2, 5]));
        Self {
            params: AdmissionParams { held_max: random.pick(&[1, 4_096]), ..params },
            rate,
            fleet_size: random.pick(&[0, agents as u64, 2 * agents as u64]),
            connections_max: agents + random.index(20) + 4,
            over_share: random.pick(&[0, 0, 50]),
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Gate {
    node: NodeAdmission,
    pub(crate) random: Random,
    connections_max: usize,
    /// Connections of clients outside of the story.
    pub(crate) crowd: usize,
    parked: BTreeMap<u64, Ticket>,
    /// Refusals that are held.
    pub(crate) held: usize,
    /// When the next tick is due, while one is.
    pub(crate) tick_due: Option<Time>,
}

impl Gate {
    pub(crate) fn new(plan: &GatePlan, random: Random) -> Self {
        let node = NodeAdmission::new(plan.params, plan.rate, plan.fleet_size, clock::now());
        Self {
            node,
            random,
            connections_max: plan.connections_max,
            crowd: 0,
            parked: BTreeMap::new(),
            held: 0,
            tick_due: None,
        }
    }

    /// What the node can bear while agents have this many connections open.
    pub(crate) fn capacity(&self, open: usize, sessions_full: bool) -> Capacity {
        let free = self.connections_max.saturating_sub(open + self.crowd);
        Capacity { free, reserve: self.reserve(), sessions_full }
    }

    /// Connections that are kept free for refusals.
    pub(crate) fn reserve(&self) -> usize {
        self.connections_max / 16
    }

    /// Whether the node can accept one more connection.
    pub(crate) fn accepts(&self, open: usize) -> bool {
        open + self.crowd < self.connections_max
    }

    /// Clients outside of the story take all connections but these.
    pub(crate) fn fill(&mut self, open: usize, but: usize) {
        self.crowd = self.connections_max.saturating_sub(open + but);
    }

    /// Clients outside of the story are refused, each with a reservation.
    pub(crate) fn storm(&mut self, clients: usize) {
        let capacity = Capacity { free: 0, reserve: 1, sessions_full: false };
        let random = &mut self.random;
        for _ in 0..clients {
            let arrival = Arrival::default();
            let verdict = self.node.arrive(arrival, capacity, clock::now(), &mut || random.unit());
            if let AdmissionVerdict::Refuse(refusal) = verdict
                && !refusal.hold.is_zero()
            {
                self.node.hold_ended();
            }
        }
    }

    pub(crate) fn arrive(
        &mut self,
        wire: u64,
        arrival: Arrival,
        capacity: Capacity,
    ) -> AdmissionVerdict {
        let random = &mut self.random;
        let verdict = self.node.arrive(arrival, capacity, clock::now(), &mut || random.unit());
        match verdict {
            AdmissionVerdict::Park { ticket, .. } => {
                self.parked.insert(wire, ticket);
            }
            AdmissionVerdict::Refuse(refusal) => self.hold(&refusal),
            AdmissionVerdict::Admit | AdmissionVerdict::Pass(_) => {}
        }
        verdict
    }

    fn hold(&mut self, refusal: &Refusal) {
        self.held += usize::from(!refusal.hold.is_zero());
    }

    /// A tick of the probe: the arrivals that it decides on. `None` stands for an agent that has left
    /// already.
    pub(crate) fn tick(&mut self, capacity: Capacity) -> Vec<(Option<u64>, ParkVerdict)> {
        let mut decided = Vec::new();
        let tick = ProbeTick { delay: Time::ZERO, capacity };
        let random = &mut self.random;
        while self.node.tick(tick, clock::now(), &mut || random.unit(), &mut decided) {}
        let mut told = Vec::new();
        for (ticket, verdict) in decided {
            let wire = self.parked.iter().find(|(_, its)| **its == ticket).map(|(wire, _)| *wire);
            wire.and_then(|wire| self.parked.remove(&wire));
            if let ParkVerdict::Refuse(refusal) = &verdict {
                self.hold(refusal);
            }
            told.push((wire, verdict));
        }
        told
    }

    /// Whether an arrival is parked.
    pub(crate) fn is_parked(&self, wire: u64) -> bool {
        self.parked.contains_key(&wire)
    }

    /// How many are.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// A parked agent has gone.
    pub(crate) fn leave(&mut self, wire: u64) {
        if let Some(ticket) = self.parked.remove(&wire) {
            self.node.leave(ticket);
        }
    }

    /// A held refusal is sent, or its agent has gone.
    pub(crate) fn hold_ended(&mut self) {
        self.held -= 1;
        self.node.hold_ended();
    }

    pub(crate) fn observe(&mut self, connected: u64) -> AdmissionStatus {
        self.node.observe(connected, clock::now());
        self.node.status(clock::now())
    }

    pub(crate) fn close(&mut self) {
        self.node.close();
    }

    /// How long after one tick the next comes while arrivals wait. A set rate bears a late tick.
    pub(crate) fn tick_interval(&self) -> Time {
        let automatic = self.node.status(clock::now()).automatic;
        if automatic { AutomaticRate::INTERVAL } else { AutomaticRate::INTERVAL * 5 }
    }
}
