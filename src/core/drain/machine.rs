//! The state machine of a drain. The module's text has its diagram and says how to drive it.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::pace::DrainPace;
use super::step::{AgentDrain, Candidate, DrainPhase, DrainStep, Left};
use super::terms::Terms;
use crate::ident::InstanceUid;

/// How long an agent stays beyond its place in the line because its server has yet to answer it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How soon something is looked at again that changes by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How soon to list the connected agents again, after an empty list.
const CENSUS_INTERVAL: Duration = Duration::from_millis(250);
/// How long connections may take to close when all were told to.
const CUT_PATIENCE: Duration = Duration::from_secs(5);
/// How long servers may take to hear the goodbyes of agents that disconnected by themselves.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(5);
/// An agent that was active within the last of these goes last, and so on. Within each class the order is
/// random, so that the agents of a site leave at different times.
const RECENT: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_secs(10),
    Duration::from_secs(3),
    Duration::from_secs(1),
];

/// A drain. See the module's text.
#[derive(Debug)]
pub struct Drain {
    terms: Terms,
    phase: DrainPhase,
    /// When the present phase began.
    since: Option<Instant>,
    /// Whether the step of the present phase that is taken once has been taken.
    entered: bool,
    rate: NonZeroU32,
    pace: DrainPace,
    line: VecDeque<LinePlace>,
    census_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct LinePlace {
    uid: InstanceUid,
    /// Look at it at this moment or later.
    not_before: Option<Instant>,
    /// When it is closed in any case; set when it is first looked at.
    give_up: Option<Instant>,
}

impl Drain {
    /// A node that serves.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            phase: DrainPhase::Serving,
            since: None,
            entered: false,
            rate: terms.rate(),
            pace: DrainPace::new(terms.rate()),
            line: VecDeque::new(),
            census_at: None,
        }
    }

    /// What was configured.
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// Connections closed a second, at most.
    pub const fn rate(&self) -> NonZeroU32 {
        self.rate
    }

    /// How far it is.
    pub const fn phase(&self) -> DrainPhase {
        self.phase
    }

    /// Begins it. Asked for once more, it goes on as it was.
    pub fn begin(&mut self, now: Instant) {
        if self.phase == DrainPhase::Serving {
            self.enter(DrainPhase::Notice, now);
        }
    }

    fn enter(&mut self, phase: DrainPhase, now: Instant) {
        debug_assert!(phase > self.phase, "{phase:?} after {:?}", self.phase);
        self.phase = phase;
        self.since = Some(now);
        self.entered = false;
    }

    /// What to carry out now.
    pub fn next(&mut self, now: Instant, left: Left) -> DrainStep {
        let since = self.since.unwrap_or(now);
        let first = !std::mem::replace(&mut self.entered, true);
        match self.phase {
            DrainPhase::Serving | DrainPhase::Drained => DrainStep::Over,
            DrainPhase::Notice if first => DrainStep::AssumeMoves,
            DrainPhase::Notice if now < since + self.terms.notice => {
                DrainStep::Wait(since + self.terms.notice)
            }
            DrainPhase::Notice => self.stop_accepting(now, left.connections),
            DrainPhase::Closing | DrainPhase::Cutting if left.connections == 0 => self.deliver(now),
            DrainPhase::Closing if now >= since + self.terms.time_max => {
                self.enter(DrainPhase::Cutting, now);
                self.line = VecDeque::new();
                DrainStep::CloseAll
            }
            DrainPhase::Closing => self.close_next(now, since + self.terms.time_max),
            DrainPhase::Cutting if now >= since + CUT_PATIENCE => self.deliver(now),
            DrainPhase::Cutting => DrainStep::Wait(now + LOOK_AGAIN),
            DrainPhase::Delivering if left.sessions == 0 || now >= since + DELIVERY_PATIENCE => {
                DrainStep::StopLinks
            }
            DrainPhase::Delivering => DrainStep::Wait(now + LOOK_AGAIN),
        }
    }

    fn stop_accepting(&mut self, now: Instant, open: usize) -> DrainStep {
        self.rate = self.terms.rate_for(open);
        self.pace = DrainPace::new(self.rate);
        self.enter(DrainPhase::Closing, now);
        DrainStep::StopAccepting { left_over: self.terms.left_over(open) }
    }

    fn deliver(&mut self, now: Instant) -> DrainStep {
        self.enter(DrainPhase::Delivering, now);
        DrainStep::ForgetMoved
    }

    fn close_next(&mut self, now: Instant, end: Instant) -> DrainStep {
        let Some(place) = self.line.front_mut() else {
            // Connections whose agent is unknown are left, such as those in their handshake.
            let at = *self.census_at.get_or_insert(now);
            if now < at {
                return DrainStep::Wait(at.min(now + LOOK_AGAIN).min(end));
            }
            self.census_at = Some(now + CENSUS_INTERVAL);
            return DrainStep::Census;
        };
        if let Some(at) = place.not_before.filter(|at| now < *at) {
            return DrainStep::Wait(at.min(end));
        }
        match self.pace.take(now) {
            Err(at) => DrainStep::Wait(at.min(end)),
            Ok(()) => {
                let give_up = *place.give_up.get_or_insert(now + ANSWER_PATIENCE);
                let uid = place.uid;
                DrainStep::Close { uid, patient: now < give_up }
            }
        }
    }

    /// The answer to [`DrainStep::Census`].
    pub fn line_up(&mut self, mut here: Vec<Candidate>, now: Instant) {
        let order = |candidate: &Candidate| {
            let silent = candidate.active.map(|at| now.saturating_duration_since(at));
            let recent = RECENT.iter().filter(|within| silent.is_some_and(|s| s < **within));
            (recent.count(), candidate.shuffle_key)
        };
        here.sort_by_cached_key(order);
        let place = |candidate: Candidate| {
            let uid = candidate.uid;
            LinePlace { uid, not_before: None, give_up: None }
        };
        self.line = here.into_iter().map(place).collect();
    }

    /// The answer to [`DrainStep::Close`].
    pub fn closed(&mut self, outcome: AgentDrain, now: Instant) {
        let place = self.line.pop_front();
        match outcome {
            AgentDrain::Closing => {}
            AgentDrain::Absent => self.pace.refund(),
            AgentDrain::Pending => {
                self.pace.refund();
                let not_before = Some(now + LOOK_AGAIN);
                self.line.extend(place.map(|place| LinePlace { not_before, ..place }));
            }
        }
    }

    /// Whether a connection outside of the line may, and then must, be closed now; it counts as closed. Such
    /// is a WebSocket whose agent is still unknown, and plain HTTP between two polls. `settled`: the agent's
    /// server has answered all of its messages.
    pub fn may_close(&mut self, now: Instant, settled: bool) -> bool {
        let patient = self.since.is_none_or(|since| now < since + ANSWER_PATIENCE);
        match self.phase {
            DrainPhase::Serving | DrainPhase::Notice => false,
            DrainPhase::Closing if patient && !settled => false,
            DrainPhase::Closing => self.pace.take(now).is_ok(),
            DrainPhase::Cutting | DrainPhase::Delivering | DrainPhase::Drained => true,
        }
    }

    /// The answer to [`DrainStep::StopLinks`]: what waited for the servers is written, or given up.
    pub fn links_stopped(&mut self, now: Instant) {
        self.enter(DrainPhase::Drained, now);
    }
}
