//! A node's share of the fleet's admission rate, by claims.
//!
//! Each lease says what its node *claims*: the admissions a second that it takes at most ([`Figures::rate`]). A
//! renewal writes the claim and reads those of the others in one step of the store. So of two nodes that ask for the
//! same one learns that it was the second.
//!
//! ```text
//!           renewal sent          answered, and the others leave room
//!   wanted ──────────────► asked ─────────────────────────────────────► granted
//!                            └── less room: that much is granted; the rest when a later answer shows room
//! ```
//!
//! - A node takes no more than it is granted, and takes less before it writes a lower claim. Therefore all nodes
//!   together never take more than the rate.
//! - What a node wants: as much as it needs, if the rate is dealt out evenly and to no other node more than that one
//!   needs. A node that needs nothing claims a small *standing* part, for the agents that come one at a time.
//! - A node that needs much renews often. If its lease stands still while others' renewals are answered, it is taken
//!   for dead, and its claim is free ([`Demand::answered`]).
//! - While the store is silent each node has its equal part, because it cannot know what the others need. A node that
//!   has more goes down to that part before one that has less can go up to it.
//!
//! [`Figures::rate`]: super::Figures

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::calls::NODES_MAX;
use super::ids::{Counter, NodeIncarnation};
use super::lease::Figures;
use crate::core::admission::FleetShare;

/// From one renewal to the next, and at most a tenth of the lease time, while a node needs more than its standing
/// part, or still has more: so often it learns what the others need.
pub const BUSY_RENEWAL: Duration = Duration::from_millis(900);
/// The same for a node that has just become so: a storm that comes to all nodes at once finds the first of them with
/// most of the rate, until it and the others have read of each other.
const FIRST_RENEWALS: Duration = Duration::from_millis(150);
/// For so long after the first of them.
const FIRST_RENEWALS_TIME: Duration = Duration::from_secs(1);
/// The standing parts of all nodes together are the rate divided by this.
const STANDING_DIVISOR: u32 = 40;
/// A node that not all others know of takes this part of its equal share at most.
const JOINER_DIVISOR: u32 = 4;
/// A node that needs much and has not renewed for so long is taken for dead ...
const DEAD_AFTER: Duration = Duration::from_millis(2_250);
/// ... as long as this node's own readings follow each other within this time: otherwise the store was silent for all.
const READINGS_APART_MAX: Duration = Duration::from_millis(1_200);

/// What another node's lease says of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemandElsewhere {
    /// The node.
    pub node: NodeIncarnation,
    /// Its lease's counter.
    pub counter: Counter,
    /// Admissions a second that it could use; empty: its lease has a newer format.
    pub need: Option<u32>,
    /// Admissions a second that it claims; empty: as above.
    pub claim: Option<u32>,
    /// Whether it knows of the node that asks.
    pub knows_me: bool,
    /// Agents connected to it.
    pub connected: u32,
    /// Agents that wait there.
    pub waiting: u32,
}

/// Another node, as the readings show it.
#[derive(Debug, Clone, Copy)]
struct NodeSeen {
    of: DemandElsewhere,
    /// When its counter was first seen as it is.
    moved_at: Instant,
    /// The same, or since when this node's readings have followed each other.
    watched_since: Instant,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Demand {
    lease: Duration,
    /// The fleet's rate; 0: each node follows its machine, and nothing is shared.
    rate: u32,
    /// Admissions a second that this node could use.
    need: u32,
    /// Agents that wait here.
    waiting: u32,
    /// The claim of the last renewal that was sent.
    asked: u32,
    /// What the node may take, whatever became of renewals that are not answered.
    granted: u32,
    /// The others in the last reading. At most [`NODES_MAX`].
    others: BTreeMap<NodeIncarnation, NodeSeen>,
    /// When the last reading was asked for.
    read_at: Option<Instant>,
    /// The first renewal since this node became busy.
    busy_since: Option<Instant>,
}

impl Demand {
    /// Of a node that has read nothing yet; `lease` is the lease time.
    pub const fn new(lease: Duration) -> Self {
        Self {
            lease,
            rate: 0,
            need: 0,
            waiting: 0,
            asked: 0,
            granted: 0,
            others: BTreeMap::new(),
            read_at: None,
            busy_since: None,
        }
    }

    /// The fleet's rate, in admissions a second; 0: each node follows its machine.
    pub const fn set_rate(&mut self, rate: u32) {
        self.rate = rate;
    }

    /// What this node says of itself.
    pub const fn set_figures(&mut self, figures: &Figures) {
        (self.need, self.waiting) = (figures.need, figures.waiting);
    }

    /// A lease is about to be sent: what it claims; empty: nothing is shared.
    pub fn claim(&mut self, now: Instant) -> Option<u32> {
        if self.rate == 0 {
            return None;
        }
        self.asked = if self.is_cut_off(now) { self.equal() } else { self.wanted() };
        self.granted = self.granted.min(self.asked);
        self.busy_since = self.is_busy().then(|| self.busy_since.unwrap_or(now));
        Some(self.asked)
    }

    /// The renewal that was sent at `sent` has been written, and these leases of others were read with it.
    pub fn answered(&mut self, others: Vec<DemandElsewhere>, sent: Instant) {
        let follows = self.age(sent).is_some_and(|age| age <= READINGS_APART_MAX);
        let was_old = self.is_old(sent);
        // A lease that has changed since the reading before may have changed just after that.
        let moved_at = self.read_at.filter(|_| !follows).unwrap_or(sent);
        let before = std::mem::take(&mut self.others);
        let see = |of: DemandElsewhere| {
            let still = before.get(&of.node).filter(|seen| seen.of.counter == of.counter);
            let moved_at = still.map_or(moved_at, |seen| seen.moved_at);
            let watched_since = still.filter(|_| follows).map_or(sent, |seen| seen.watched_since);
            (of.node, NodeSeen { of, moved_at, watched_since })
        };
        self.others = others.into_iter().take(NODES_MAX).map(see).collect();
        self.read_at = Some(sent);
        let claims = self.others.values().map(|seen| self.claim_of(seen, sent));
        let room = self.rate.saturating_sub(claims.fold(0, u32::saturating_add));
        // What was granted before the store was silent may be taken by others since.
        let silent = self.others.values().any(|seen| self.was_silent(seen, sent));
        if silent || was_old {
            self.granted = self.granted.min(room.max(self.equal()));
        }
        self.granted = self.granted.max(self.asked.min(room));
    }

    /// Whether the next renewal is due at once: this node wants more than it has asked for, or leaves something to
    /// others that want it, or has gone over to its equal part.
    pub fn hurries(&self, now: Instant) -> bool {
        if self.rate == 0 || self.read_at.is_none() {
            return false;
        }
        if self.is_cut_off(now) {
            return self.asked != self.equal();
        }
        let (wanted, asked) = (self.wanted(), self.asked);
        let lacks = |seen: &NodeSeen| seen.of.need > seen.of.claim.max(Some(self.standing()));
        // Small differences wait for the next renewal that is due anyway.
        let differs = wanted != asked && wanted.abs_diff(asked) >= self.standing();
        differs && (wanted > asked || self.others.values().any(lacks))
    }

    /// From one renewal to the next at most, if this node has to know sooner than in a third of a lease time what the
    /// others need.
    pub fn renews_each(&self, now: Instant) -> Option<Duration> {
        let began = self.busy_since.unwrap_or(now);
        let is_new = now.saturating_duration_since(began) < FIRST_RENEWALS_TIME;
        self.is_busy().then_some(if is_new { FIRST_RENEWALS } else { BUSY_RENEWAL })
    }

    fn is_busy(&self) -> bool {
        self.rate > 0 && (self.need > self.standing() || self.asked > self.standing())
    }

    /// What this node may admit now, and what it will; empty before it has read who the others are, and while nothing is
    /// shared.
    pub fn share(&self, now: Instant) -> Option<FleetShare> {
        self.read_at.filter(|_| self.rate > 0)?;
        let (connected, waiting) =
            self.others.values().fold((0, 0), |(connected, waiting), seen| {
                (connected + u64::from(seen.of.connected), waiting + u64::from(seen.of.waiting))
            });
        let (now, soon) = if self.is_cut_off(now) {
            (self.equal().min(self.modesty()), self.equal())
        } else {
            (self.taken(now), level(self.rate, self.needs()).max(self.in_the_long_run()))
        };
        Some(FleetShare { rate: self.rate, now, soon, connected, waiting })
    }

    /// What this node takes on average until all who wait now are admitted: other nodes admit as many as this one
    /// meanwhile, or those that they have.
    fn in_the_long_run(&self) -> u32 {
        let waiting = u64::from(self.waiting);
        let meanwhile = |seen: &NodeSeen| match seen.of.need {
            _ if self.is_dead(seen) => 0,
            Some(_) => u64::from(seen.of.waiting).min(waiting),
            None => waiting,
        };
        let all = waiting + self.others.values().map(meanwhile).sum::<u64>();
        let part = (u64::from(self.rate) * waiting).checked_div(all).unwrap_or(0);
        u32::try_from(part).unwrap_or(self.rate)
    }

    /// What is granted. Another node that has lost the store as well may go up to its equal part before long.
    fn taken(&self, now: Instant) -> u32 {
        let granted = self.granted.min(self.wanted());
        if self.is_old(now) { granted.min(self.equal()) } else { granted }
    }

    /// A node that not all others know of takes a part of its equal share at most.
    fn modesty(&self) -> u32 {
        let known = self.others.values().all(|seen| seen.of.knows_me);
        if known { self.rate } else { self.equal() / JOINER_DIVISOR }
    }

    /// As much as this node needs, if the others get what they need as well.
    fn wanted(&self) -> u32 {
        if self.read_at.is_none() {
            return 0;
        }
        let level = level(self.rate, self.needs()).min(self.modesty());
        self.need.max(self.standing()).min(level)
    }

    fn needs(&self) -> impl Iterator<Item = u32> {
        let alive = self.others.values().filter(|seen| !self.is_dead(seen));
        alive.map(|seen| seen.of.need.unwrap_or(u32::MAX).max(self.standing()))
    }

    /// What another node may take at most, by the reading of this moment.
    fn claim_of(&self, seen: &NodeSeen, read_at: Instant) -> u32 {
        let equal = self.equal();
        let claim = seen.of.claim.unwrap_or(equal);
        if self.is_dead(seen) {
            0
        } else if self.was_silent(seen, read_at) {
            claim.max(equal)
        } else {
            claim
        }
    }

    /// Whether the store may have been silent for a node, so that it has gone up to its equal part. Two readings of
    /// idle nodes are up to a third of a lease time apart.
    fn was_silent(&self, seen: &NodeSeen, read_at: Instant) -> bool {
        read_at.saturating_duration_since(seen.moved_at) >= self.lease * 7 / 10
    }

    /// Whether a node has stopped to renew, up to the last reading, though it needed to.
    fn is_dead(&self, seen: &NodeSeen) -> bool {
        // The standing part of a node that reckons with fewer nodes is larger.
        let busy = seen.of.knows_me && seen.of.need.max(seen.of.claim) > Some(self.standing() * 2);
        let still = self
            .read_at
            .is_some_and(|at| at.saturating_duration_since(seen.watched_since) >= DEAD_AFTER);
        busy && still
    }

    /// Whether this node has read nothing for so long that it takes no more than its equal part.
    fn is_old(&self, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age >= self.lease * 2 / 5)
    }

    /// Whether this node has read nothing for so long that it takes its equal part.
    fn is_cut_off(&self, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age >= self.lease * 9 / 10)
    }

    /// How old the last reading is.
    fn age(&self, now: Instant) -> Option<Duration> {
        self.read_at.map(|at| now.saturating_duration_since(at))
    }

    fn nodes(&self) -> u32 {
        u32::try_from(self.others.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// An equal part of the rate.
    fn equal(&self) -> u32 {
        self.rate / self.nodes()
    }

    /// What an idle node claims; a single node has everything.
    fn standing(&self) -> u32 {
        match self.nodes() {
            1 => self.rate,
            nodes => (self.equal() / STANDING_DIVISOR).max(1.min(self.rate / nodes)),
        }
    }
}

/// What is left for a node if the rate is dealt out evenly, and to no other node more than it needs.
fn level(rate: u32, others: impl Iterator<Item = u32>) -> u32 {
    let mut needs: Vec<u32> = others.collect();
    needs.sort_unstable();
    let mut left = rate;
    let mut nodes = u32::try_from(needs.len()).unwrap_or(u32::MAX).saturating_add(1);
    for other in needs {
        let part = left / nodes;
        if other >= part {
            break;
        }
        // It takes less than its part, and leaves the rest to those that need more.
        left -= other;
        nodes -= 1;
    }
    left / nodes
}

#[cfg(test)]
mod tests;
