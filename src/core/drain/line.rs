//! The agents whose connections are to close, in the order in which they go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::step::{AgentDrain, Candidate};
use crate::ident::InstanceUid;

/// How long an agent stays beyond its place in the line because its server has yet to answer it.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// How soon an agent is looked at again whose server has yet to answer it.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// An agent that was active within the last of these goes last, and so on. Within each class the order is
/// random, so that the agents of a site leave at different times.
const RECENT: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_secs(10),
    Duration::from_secs(3),
    Duration::from_secs(1),
];

/// See the module's text. Bounded by the agents that were listed.
#[derive(Debug, Default)]
pub struct DrainLine {
    places: VecDeque<LinePlace>,
}

#[derive(Debug, Clone, Copy)]
struct LinePlace {
    uid: InstanceUid,
    /// Look at it at this moment or later.
    not_before: Option<Instant>,
    /// When its patience ends; set when it is first looked at.
    give_up: Option<Instant>,
}

impl DrainLine {
    /// Lines these agents up, in place of all that were there.
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
        self.places = here.into_iter().map(place).collect();
    }

    /// Whether the line is used up.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// When to look at the first agent; `None`: now.
    pub fn not_before(&self, now: Instant) -> Option<Instant> {
        self.places.front().and_then(|place| place.not_before).filter(|at| now < *at)
    }

    /// The first agent, and whether it still has patience.
    pub fn first(&mut self, now: Instant) -> Option<(InstanceUid, bool)> {
        let place = self.places.front_mut()?;
        let give_up = *place.give_up.get_or_insert(now + ANSWER_PATIENCE);
        Some((place.uid, now < give_up))
    }

    /// What came of the first agent. One whose server has yet to answer goes to the end of the line.
    pub fn went(&mut self, outcome: AgentDrain, now: Instant) {
        let place = self.places.pop_front();
        if outcome == AgentDrain::Pending {
            let not_before = Some(now + LOOK_AGAIN);
            self.places.extend(place.map(|place| LinePlace { not_before, ..place }));
        }
    }
}
