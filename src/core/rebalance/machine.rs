//! The state machine of rebalancing. The module's text has its diagram and says how to drive it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::core::drain::{AgentDrain, Candidate, DrainLine, DrainPace};
use crate::core::ownership::Figures;
use crate::ident::InstanceUid;

/// How soon something is looked at again that changes by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How soon to list the connected agents again.
const CENSUS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a node has to be beyond the tolerance before it sheds by itself.
const SETTLED: Duration = Duration::from_secs(60);
/// How long a node whose agents came back leaves it at that, unless it is ordered.
const REST: Duration = Duration::from_secs(600);
/// By then an agent that was shed is connected again, and counted where it is.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// The last agents that were shed, by which it is judged where they go.
const JUDGED: usize = 100;
/// At most this many are out before it is known where any of them went; from then on one more for each that stayed away.
const FIRST_OUT: u64 = 50;
/// At most this many agents are watched for where they go; those beyond are shed unwatched.
const WATCHED_MAX: usize = 1_024;
/// More than this part of the share is too much, in percent, ...
const TOLERANCE_PERCENT: u64 = 110;
/// ... and at least this many connections beyond it.
const BEYOND_MIN: u64 = 10;

/// What the configuration decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RebalanceTerms {
    /// Whether a node sheds by itself.
    pub by_itself: bool,
    /// Connections closed a second, at most; empty: half of what the others admit.
    pub rate: Option<NonZeroU32>,
}

/// What the leases say of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetConnections {
    /// Agents connected here.
    pub here: u64,
    /// Agents connected to the other nodes.
    pub elsewhere: u64,
    /// The other nodes that take agents.
    pub others: u32,
    /// Agents that wait for admission at any node.
    pub waiting: u64,
    /// Admissions a second that the others are good for; 0: unknown.
    pub admit: u32,
    /// The other nodes that have more than is tolerated, too.
    pub beyond: u32,
}

impl FleetConnections {
    /// Of a node with this many agents, of which others say this of themselves. `rate`: what the operator has set for
    /// all together; empty: each follows its machine.
    pub fn of(here: u64, waiting: u64, others: &[Figures], rate: Option<NonZeroU32>) -> Self {
        let each =
            |of: fn(&Figures) -> u32| others.iter().map(move |figures| u64::from(of(figures)));
        let sum = |of| each(of).sum::<u64>();
        let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let admit = match rate {
            // Together they may take all of it.
            Some(rate) if !others.is_empty() => rate.get(),
            _ => number(sum(|figures| figures.rate)),
        };
        let mut fleet = Self {
            here,
            elsewhere: sum(|figures| figures.connected),
            others: number(others.len() as u64),
            waiting: waiting + sum(|figures| figures.waiting),
            admit,
            beyond: 0,
        };
        let is_beyond = |figures: &&Figures| fleet.tolerates_less_than(figures.connected.into());
        fleet.beyond = number(others.iter().filter(is_beyond).count() as u64);
        fleet
    }

    /// Whether a node with this many connections has more than is tolerated.
    const fn tolerates_less_than(self, connections: u64) -> bool {
        let share = self.share();
        connections * 100 > share * TOLERANCE_PERCENT && connections >= share + BEYOND_MIN
    }

    /// This node's share of all connections.
    pub const fn share(self) -> u64 {
        self.share_with(0)
    }

    /// The same, if this many are on their way.
    const fn share_with(self, moving: u64) -> u64 {
        (self.here + self.elsewhere + moving).div_ceil(self.others as u64 + 1)
    }
}

/// Why a node shed no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebalanceEnd {
    /// It has its share.
    Balanced,
    /// More than half of the last hundred came back here: the balancer sends them here on purpose.
    CameBack,
    /// It was told to stop.
    Stopped,
    /// It has no others that take agents.
    Alone,
}

/// What to carry out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebalanceStep {
    /// Wait until this moment.
    Wait(Instant),
    /// List the connected agents for [`Rebalance::line_up`].
    Census,
    /// Close this agent's connection if its server has answered it; answer with [`Rebalance::closed`].
    Close(InstanceUid),
    /// Look whether this agent is connected here; answer with [`Rebalance::looked`].
    Look(InstanceUid),
    /// It is over, for this reason. Comes once.
    Over(RebalanceEnd),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebalanceStatus {
    /// Whether it sheds.
    pub shedding: bool,
    /// Connections closed a second, at most.
    pub rate: u32,
    /// Connections closed since it began last.
    pub shed: u64,
    /// Of those that were judged last, how many came back here.
    pub came_back: usize,
    /// How it ended last.
    pub end: Option<RebalanceEnd>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Rebalance {
    terms: RebalanceTerms,
    shedding: bool,
    stop: bool,
    rate: NonZeroU32,
    pace: DrainPace,
    line: DrainLine,
    /// Agents that were shed, and when; oldest first. At most [`WATCHED_MAX`].
    watched: VecDeque<(Instant, InstanceUid)>,
    /// Of the last [`JUDGED`], which came back.
    judged: VecDeque<bool>,
    /// Of all that were judged, those that did not come back.
    stayed_away: u64,
    shed: u64,
    end: Option<RebalanceEnd>,
    census_at: Option<Instant>,
    /// Since when this node has more than is tolerated.
    beyond_since: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Rebalance {
    /// Of a node that sheds nothing yet.
    pub fn new(terms: RebalanceTerms) -> Self {
        let rate = terms.rate.unwrap_or(NonZeroU32::MIN);
        Self {
            terms,
            shedding: false,
            stop: false,
            rate,
            pace: DrainPace::new(rate),
            line: DrainLine::default(),
            watched: VecDeque::new(),
            judged: VecDeque::new(),
            stayed_away: 0,
            shed: 0,
            end: None,
            census_at: None,
            beyond_since: None,
            rests_until: None,
        }
    }

    /// How far it is.
    pub fn status(&self) -> RebalanceStatus {
        RebalanceStatus {
            shedding: self.shedding,
            rate: self.rate.get(),
            shed: self.shed,
            came_back: self.judged.iter().filter(|back| **back).count(),
            end: self.end,
        }
    }

    /// An operator orders it. While it sheds it goes on as it was.
    pub fn begin(&mut self) {
        if !self.shedding {
            self.shedding = true;
            self.line = DrainLine::default();
            self.watched.clear();
            self.judged.clear();
            self.stayed_away = 0;
            (self.shed, self.end, self.stop) = (0, None, false);
        }
    }

    /// An operator ends it.
    pub const fn stop(&mut self) {
        self.stop = self.shedding;
    }

    /// What to carry out now.
    pub fn next(&mut self, fleet: FleetConnections, now: Instant) -> RebalanceStep {
        if !self.shedding {
            if !self.begins_by_itself(fleet, now) {
                return RebalanceStep::Wait(now + LOOK_AGAIN);
            }
            self.begin();
        }
        if let Some(end) = self.ends(fleet, now) {
            self.shedding = false;
            self.end = Some(end);
            self.rests_until = (end != RebalanceEnd::Balanced).then(|| now + REST);
            return RebalanceStep::Over(end);
        }
        if let Some((_, uid)) = self.watched.front().filter(|(at, _)| now >= *at + BACK_WITHIN) {
            return RebalanceStep::Look(*uid);
        }
        self.set_rate(fleet);
        if fleet.waiting >= u64::from(self.rate.get()) {
            return RebalanceStep::Wait(now + LOOK_AGAIN);
        }
        // Where the last of them went is still to be seen.
        let out = self.watched.len() as u64;
        if out >= FIRST_OUT + self.stayed_away || fleet.here <= fleet.share_with(self.moving(now)) {
            return RebalanceStep::Wait(now + LOOK_AGAIN);
        }
        self.close_next(now)
    }

    fn close_next(&mut self, now: Instant) -> RebalanceStep {
        if self.line.is_empty() {
            // Connections of plain HTTP are counted, and cannot be listed.
            let at = *self.census_at.get_or_insert(now);
            if now < at {
                return RebalanceStep::Wait(at);
            }
            self.census_at = Some(now + CENSUS_INTERVAL);
            return RebalanceStep::Census;
        }
        let soon = now + LOOK_AGAIN;
        if let Some(at) = self.line.not_before(now) {
            return RebalanceStep::Wait(at.min(soon));
        }
        if let Err(at) = self.pace.take(now) {
            return RebalanceStep::Wait(at.min(soon));
        }
        match self.line.first(now) {
            Some((uid, true)) if self.is_watched(uid) => {
                // It has come back, and is judged when its time comes.
                self.pace.refund();
                self.line.went(AgentDrain::Absent, now);
                RebalanceStep::Wait(now)
            }
            Some((uid, true)) => RebalanceStep::Close(uid),
            _ => {
                // Its server is too slow: others go in its place.
                self.pace.refund();
                self.line.went(AgentDrain::Absent, now);
                RebalanceStep::Wait(now)
            }
        }
    }

    /// The answer to [`RebalanceStep::Census`].
    pub fn line_up(&mut self, here: Vec<Candidate>, now: Instant) {
        self.line.line_up(here, now);
    }

    /// The answer to [`RebalanceStep::Close`].
    pub fn closed(&mut self, uid: InstanceUid, outcome: AgentDrain, now: Instant) {
        self.line.went(outcome, now);
        if outcome != AgentDrain::Closing {
            return self.pace.refund();
        }
        self.shed += 1;
        if self.watched.len() < WATCHED_MAX {
            self.watched.push_back((now, uid));
        }
    }

    /// The answer to [`RebalanceStep::Look`].
    pub fn looked(&mut self, is_here: bool) {
        self.watched.pop_front();
        self.stayed_away += u64::from(!is_here);
        self.judged.push_back(is_here);
        if self.judged.len() > JUDGED {
            self.judged.pop_front();
        }
    }

    fn begins_by_itself(&mut self, fleet: FleetConnections, now: Instant) -> bool {
        if !self.terms.by_itself
            || fleet.others == 0
            || !fleet.tolerates_less_than(fleet.here)
            || fleet.waiting > 0
        {
            self.beyond_since = None;
            return false;
        }
        let since = *self.beyond_since.get_or_insert(now);
        let rests = self.rests_until.is_some_and(|until| now < until);
        now >= since + SETTLED && !rests
    }

    fn ends(&self, fleet: FleetConnections, now: Instant) -> Option<RebalanceEnd> {
        let came_back = self.judged.iter().filter(|back| **back).count();
        // A node that has just begun has to be beyond what is tolerated; then it goes on down to its share.
        let balanced = fleet.here <= fleet.share_with(self.moving(now))
            || (self.shed == 0 && !fleet.tolerates_less_than(fleet.here));
        if self.stop {
            Some(RebalanceEnd::Stopped)
        } else if fleet.others == 0 {
            Some(RebalanceEnd::Alone)
        } else if came_back * 2 > JUDGED {
            Some(RebalanceEnd::CameBack)
        } else {
            (balanced && self.watched.is_empty()).then_some(RebalanceEnd::Balanced)
        }
    }

    fn set_rate(&mut self, fleet: FleetConnections) {
        // Nodes that shed at the same time share it.
        let half = fleet.admit / 2 / (fleet.beyond + 1);
        let rate = self.terms.rate.or(NonZeroU32::new(half)).unwrap_or(NonZeroU32::MIN);
        let (before, after) = (u64::from(self.rate.get()), u64::from(rate.get()));
        // Small changes are left out: a pace that begins anew allows a little more in that second.
        if before.abs_diff(after) * 10 > before {
            self.rate = rate;
            self.pace = DrainPace::new(rate);
        }
    }

    fn is_watched(&self, uid: InstanceUid) -> bool {
        self.watched.iter().any(|(_, watched)| *watched == uid)
    }

    /// Agents that were shed a moment ago, and are counted nowhere.
    fn moving(&self, now: Instant) -> u64 {
        let back = self.watched.partition_point(|(at, _)| now >= *at + BACK_WITHIN);
        (self.watched.len() - back) as u64
    }
}
