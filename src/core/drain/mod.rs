//! Leaving without making a storm. Every agent whose connection is closed dials again at once
//! (field-notes of real agents know no exception), so a node that goes away hands its agents over to the
//! others no faster than those take them.
//!
//! ```text
//!            asked          notice over            nobody left
//!   Serving ──────► Notice ─────────────► Closing ─────────────► Delivering ──► Drained
//!                   still accepting,      one by one  │            ▲
//!                   not ready             time is up  ▼            │ nobody left, or
//!                                                  Cutting ────────┘ CUT_PATIENCE
//! ```
//!
//! Within `Closing` those go first whose messages the server has answered: from the moment an agent
//! is let go, another node speaks for it, and what this one said of it later could only be out of date.
//! Those that still wait come back into the line, but not for ever.

mod pace;
#[cfg(test)]
mod property_tests;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

pub use pace::Pace;

use crate::ident::InstanceUid;

/// What the configuration decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Connections closed a second, at most; `None`: automatic.
    pub rate: Option<NonZeroU32>,
    /// What an automatic rate is, if that suffices.
    pub automatic: NonZeroU32,
    /// From readiness turned false until closing begins.
    pub notice: Duration,
    /// How long closing may take before all that is left is closed at once.
    pub time_max: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            rate: None,
            automatic: RATE_AUTOMATIC,
            notice: Duration::from_secs(5),
            time_max: Duration::from_secs(300),
        }
    }
}

/// Half of what one node is good for on small machines. Once nodes know each other, it is to be half
/// of what the others admit.
const RATE_AUTOMATIC: NonZeroU32 = NonZeroU32::new(1_000).expect("is not zero");

impl Terms {
    /// An automatic rate is no more than half of the entries a second that are set for this node: those
    /// it hands its agents to are taken to be like it.
    #[must_use]
    pub fn after_admission(self, entry: Option<NonZeroU32>) -> Self {
        let half = entry.and_then(|entry| NonZeroU32::new(entry.get() / 2)).or(entry);
        let automatic = half.map_or(RATE_AUTOMATIC, |half| half.min(RATE_AUTOMATIC));
        Self { automatic, ..self }
    }

    /// Connections closed a second, at most; an automatic rate rises if that does not suffice.
    pub fn rate(&self) -> NonZeroU32 {
        self.rate.unwrap_or(self.automatic)
    }

    /// The same, while so many are open. An automatic rate closes them all in nine tenths of the time:
    /// whoever is left at its end is closed at one instant, which is worse for everybody.
    pub fn rate_for(&self, open: usize) -> NonZeroU32 {
        let time = (self.time_max.as_secs_f64() * 0.9).max(1.0);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let needed = (open as f64 / time).ceil() as u32; // `as` saturates
        let automatic = NonZeroU32::new(needed).map_or(self.automatic, |n| n.max(self.automatic));
        self.rate.unwrap_or(automatic)
    }

    /// How many of so many open connections will be left when the time is up.
    pub fn left_over(&self, open: usize) -> u64 {
        let closed = u128::from(self.rate_for(open).get()) * self.time_max.as_millis() / 1_000;
        u64::try_from((open as u128).saturating_sub(closed)).unwrap_or(u64::MAX)
    }
}

/// How far a drain is. Only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainPhase {
    /// There is none.
    Serving,
    /// The balancer is to notice; nobody is closed, everybody is taken.
    Notice,
    /// Nobody is taken; agents are closed at the rate.
    Closing,
    /// Time is up: all were told to close at once.
    Cutting,
    /// No agent is left; servers get what waits for them.
    Delivering,
    /// Nothing is left.
    Drained,
}

/// An agent that is here.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Who.
    pub uid: InstanceUid,
    /// When its server last heard something of it.
    pub active: Option<Instant>,
    /// Drawn by chance, for the order.
    pub shuffle_key: u64,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then.
    Wait(Instant),
    /// Take no more connections.
    StopAccepting,
    /// Say who is here, by [`Drain::line_up`].
    Census,
    /// Close this one. If its server has not answered it yet and it is `patient`, it is to stay, and
    /// [`Drain::not_yet`] follows; else [`Drain::closed`], or [`Drain::absent`] if it is not here.
    Close {
        /// Who.
        uid: InstanceUid,
        /// Whether it may be put off.
        patient: bool,
    },
    /// Close everybody at once.
    CloseAll,
    /// Write what waits for the servers; [`Drain::delivered`] follows.
    Deliver,
    /// Nothing any more.
    Over,
}

/// How long an agent is kept past its turn because its server has not answered it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How soon it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How soon to ask again who is here, when nobody was.
const CENSUS_INTERVAL: Duration = Duration::from_millis(250);
/// How long connections may take to close when all were told to.
const CUT_PATIENCE: Duration = Duration::from_secs(5);
/// Who was active within the last of these comes last, and so on. Within each it is chance, so that no
/// site's agents leave together.
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
    rate: NonZeroU32,
    pace: Pace,
    line: VecDeque<Place>,
    census_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    uid: InstanceUid,
    /// Not to be looked at before.
    not_before: Option<Instant>,
    /// When it is closed in any case; set when its turn comes first.
    give_up: Option<Instant>,
}

impl Drain {
    /// None yet.
    pub fn new(terms: Terms) -> Self {
        let (rate, pace) = (terms.rate(), Pace::new(terms.rate()));
        let (line, phase) = (VecDeque::new(), DrainPhase::Serving);
        Self { terms, phase, since: None, rate, pace, line, census_at: None }
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

    /// Somebody wants it. Does nothing if it has begun.
    pub fn begin(&mut self, now: Instant) {
        if self.phase == DrainPhase::Serving {
            self.enter(DrainPhase::Notice, now);
        }
    }

    fn enter(&mut self, phase: DrainPhase, now: Instant) {
        debug_assert!(phase > self.phase, "{phase:?} after {:?}", self.phase);
        self.phase = phase;
        self.since = Some(now);
    }

    /// What to do now, while this many connections of agents are open.
    pub fn next(&mut self, now: Instant, open: usize) -> Step {
        let since = self.since.unwrap_or(now);
        match self.phase {
            DrainPhase::Serving | DrainPhase::Delivering | DrainPhase::Drained => Step::Over,
            DrainPhase::Notice if now < since + self.terms.notice => {
                Step::Wait(since + self.terms.notice)
            }
            DrainPhase::Notice => {
                self.rate = self.terms.rate_for(open);
                self.pace = Pace::new(self.rate);
                self.enter(DrainPhase::Closing, now);
                Step::StopAccepting
            }
            DrainPhase::Closing | DrainPhase::Cutting if open == 0 => self.deliver(now),
            DrainPhase::Closing if now >= since + self.terms.time_max => {
                self.enter(DrainPhase::Cutting, now);
                self.line = VecDeque::new();
                Step::CloseAll
            }
            DrainPhase::Closing => self.close_next(now, since + self.terms.time_max),
            DrainPhase::Cutting if now >= since + CUT_PATIENCE => self.deliver(now),
            DrainPhase::Cutting => Step::Wait(now + LOOK_AGAIN),
        }
    }

    fn deliver(&mut self, now: Instant) -> Step {
        self.enter(DrainPhase::Delivering, now);
        Step::Deliver
    }

    fn close_next(&mut self, now: Instant, end: Instant) -> Step {
        let Some(place) = self.line.front_mut() else {
            // Connections without an agent known yet, such as those in their handshake.
            let at = *self.census_at.get_or_insert(now);
            if now < at {
                return Step::Wait(at.min(now + LOOK_AGAIN).min(end));
            }
            self.census_at = Some(now + CENSUS_INTERVAL);
            return Step::Census;
        };
        if let Some(at) = place.not_before.filter(|at| now < *at) {
            return Step::Wait(at.min(end));
        }
        match self.pace.take(now) {
            Err(at) => Step::Wait(at.min(end)),
            Ok(()) => {
                let give_up = *place.give_up.get_or_insert(now + ANSWER_PATIENCE);
                let uid = place.uid;
                Step::Close { uid, patient: now < give_up }
            }
        }
    }

    /// The answer to [`Step::Census`].
    pub fn line_up(&mut self, mut here: Vec<Candidate>, now: Instant) {
        let order = |candidate: &Candidate| {
            let silent = candidate.active.map(|at| now.saturating_duration_since(at));
            let recent = RECENT.iter().filter(|within| silent.is_some_and(|s| s < **within));
            (recent.count(), candidate.shuffle_key)
        };
        here.sort_by_cached_key(order);
        let place =
            |candidate: Candidate| Place { uid: candidate.uid, not_before: None, give_up: None };
        self.line = here.into_iter().map(place).collect();
    }

    /// The one named by [`Step::Close`] was closed.
    pub fn closed(&mut self) {
        self.line.pop_front();
    }

    /// It stays for now, its server not having answered.
    pub fn not_yet(&mut self, now: Instant) {
        self.pace.refund();
        if let Some(place) = self.line.pop_front() {
            self.line.push_back(Place { not_before: Some(now + LOOK_AGAIN), ..place });
        }
    }

    /// It had gone by itself.
    pub fn absent(&mut self) {
        self.pace.refund();
        self.line.pop_front();
    }

    /// Whether a connection that is not in line, for nobody is known on it or it is plain HTTP
    /// between two polls, may be closed now; then it counts as closed. `settled`: its server has
    /// answered everything.
    pub fn let_go(&mut self, now: Instant, settled: bool) -> bool {
        let patient = self.since.is_none_or(|since| now < since + ANSWER_PATIENCE);
        match self.phase {
            DrainPhase::Serving | DrainPhase::Notice => false,
            DrainPhase::Closing if patient && !settled => false,
            DrainPhase::Closing => self.pace.take(now).is_ok(),
            DrainPhase::Cutting | DrainPhase::Delivering | DrainPhase::Drained => true,
        }
    }

    /// What waited for the servers is written, or given up.
    pub fn delivered(&mut self, now: Instant) {
        self.enter(DrainPhase::Drained, now);
    }
}
