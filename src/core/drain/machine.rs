//! The state machine of a drain. The module's text has its diagram and says how to drive it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::line::{ANSWER_PATIENCE, DrainLine};
use super::pace::DrainPace;
use super::step::{AgentDrain, Candidate, DrainPhase, DrainStep, Left};
use super::terms::Terms;

/// How soon something is looked at again that changes by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How soon to list the connected agents again, after an empty list.
const CENSUS_INTERVAL: Duration = Duration::from_millis(250);
/// How long connections may take to close when all were told to.
const CUT_PATIENCE: Duration = Duration::from_secs(5);
/// How long servers may take to hear the goodbyes of agents that disconnected by themselves.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(5);
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
    line: DrainLine,
    census_at: Option<Instant>,
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
            line: DrainLine::default(),
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

    /// The other nodes of the fleet are good for this many admissions a second. Half of it is the automatic rate, from
    /// the moment on when closing begins.
    pub fn others_admit(&mut self, rate: NonZeroU32) {
        self.terms = self.terms.after_others(rate);
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
                self.line = DrainLine::default();
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
        if self.line.is_empty() {
            // Connections whose agent is unknown are left, such as those in their handshake.
            let at = *self.census_at.get_or_insert(now);
            if now < at {
                return DrainStep::Wait(at.min(now + LOOK_AGAIN).min(end));
            }
            self.census_at = Some(now + CENSUS_INTERVAL);
            return DrainStep::Census;
        }
        if let Some(at) = self.line.not_before(now) {
            return DrainStep::Wait(at.min(end));
        }
        if let Err(at) = self.pace.take(now) {
            return DrainStep::Wait(at.min(end));
        }
        match self.line.first(now) {
            Some((uid, patient)) => DrainStep::Close { uid, patient },
            None => DrainStep::Census,
        }
    }

    /// The answer to [`DrainStep::Census`].
    pub fn line_up(&mut self, here: Vec<Candidate>, now: Instant) {
        self.line.line_up(here, now);
    }

    /// The answer to [`DrainStep::Close`].
    pub fn closed(&mut self, outcome: AgentDrain, now: Instant) {
        self.line.went(outcome, now);
        if outcome != AgentDrain::Closing {
            self.pace.refund();
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
