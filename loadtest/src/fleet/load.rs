//! Agents under load: each sends messages and times the replies.
//!
//! A *closed* load sends the next message when a reply has come: it finds the most that goes
//! through. An *open* load sends on schedule, whether replies come or not, and times each from the
//! instant it was meant to be sent: it finds the latency, messages that a stall holds up included.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::mix::Mix;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LoadKind {
    /// Empty messages.
    Heartbeats,
    /// Changed health, which a gateway has to forward.
    Health,
}

/// When it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum LoadPace {
    /// Each agent has `depth` messages under way at once.
    Closed { depth: u32 },
    /// One message of each agent in this time, at an offset of its own.
    Open { interval_us: u64 },
}

/// A load for all agents of a fleet, from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadOrder {
    pub(crate) kind: LoadKind,
    pub(crate) pace: LoadPace,
    /// For how long.
    pub(crate) lasts_ms: u64,
}

/// Messages of one agent awaiting their replies, at most. A message beyond is sent later and timed
/// from its intended instant, so that the delay shows.
const UNDER_WAY_MAX: usize = 10_000;

/// One agent's part.
#[derive(Debug)]
pub(crate) struct Load {
    order: LoadOrder,
    ends: Instant,
    /// Intended instants of messages that await their reply, oldest first.
    under_way: VecDeque<Instant>,
    /// The intended instant of the next message of an open load.
    next: Option<Instant>,
}

impl Load {
    /// Begins; says how many messages to send at once.
    pub(crate) fn begin(order: &LoadOrder, now: Instant, mix: &mut Mix) -> (Box<Self>, u32) {
        let ends = now + Duration::from_millis(order.lasts_ms);
        let (next, at_once) = match order.pace {
            LoadPace::Closed { depth } => (None, depth),
            LoadPace::Open { interval_us } => {
                let interval = Duration::from_micros(interval_us);
                (Some(now + interval.mul_f64(mix.unit())), 0)
            }
        };
        let under_way = std::iter::repeat_n(now, at_once as usize).collect();
        (Box::new(Self { order: order.clone(), ends, under_way, next }), at_once)
    }

    /// What this load sends.
    pub(crate) fn kind(&self) -> LoadKind {
        self.order.kind
    }

    /// A reply has come: how long it took, and whether to send another message at once.
    pub(crate) fn on_reply(&mut self, now: Instant) -> Option<(Duration, bool)> {
        let intended = self.under_way.pop_front()?;
        let again = matches!(self.order.pace, LoadPace::Closed { .. }) && now < self.ends;
        if again {
            self.under_way.push_back(now);
        }
        Some((now - intended, again))
    }

    /// When the next message is due, if this is an open load that goes on.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Takes the messages that are due: how many to send.
    pub(crate) fn on_time(&mut self, now: Instant) -> u32 {
        let LoadPace::Open { interval_us } = self.order.pace else { return 0 };
        let mut count = 0;
        while let Some(due) = self.next
            && due <= now
            && self.under_way.len() < UNDER_WAY_MAX
        {
            self.under_way.push_back(due);
            count += 1;
            let next = due + Duration::from_micros(interval_us.max(1));
            self.next = (next < self.ends).then_some(next);
        }
        count
    }

    /// Ends the load at this instant. What was due until then is still to be sent.
    pub(crate) fn end(&mut self, at: Instant) {
        self.ends = self.ends.min(at);
        self.next = self.next.filter(|next| *next < self.ends);
    }

    /// Whether all is sent and replied to.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.under_way.is_empty() && self.next.is_none() && now >= self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(pace: LoadPace) -> LoadOrder {
        LoadOrder { kind: LoadKind::Health, pace, lasts_ms: 1000 }
    }

    #[test]
    fn an_open_load_times_from_the_intended_instant() {
        let start = seawall::clock::now();
        let mut mix = Mix::new(1, 1, 1);
        let pace = LoadPace::Open { interval_us: 100_000 };
        let (mut load, at_once) = Load::begin(&order(pace), start, &mut mix);
        assert_eq!(at_once, 0);
        let first = load.due().unwrap();
        assert!(first - start < Duration::from_millis(100));
        // The process was held up for three intervals: all three are sent, and timed from when
        // they should have been.
        let late = first + Duration::from_millis(250);
        assert_eq!(load.on_time(late), 3);
        assert_eq!(load.on_reply(late), Some((Duration::from_millis(250), false)));
        assert_eq!(load.on_reply(late), Some((Duration::from_millis(150), false)));
        assert_eq!(load.on_reply(late), Some((Duration::from_millis(50), false)));
        assert_eq!(load.on_reply(late), None);
        // The end comes while another hold-up lasts: what was due before it is still sent.
        let next = load.due().unwrap();
        load.end(next + Duration::from_millis(150));
        assert_eq!(load.on_time(next + Duration::from_secs(1)), 2);
        assert_eq!(load.due(), None);
    }

    #[test]
    fn a_closed_load_keeps_its_depth_until_it_ends() {
        let start = seawall::clock::now();
        let mut mix = Mix::new(1, 1, 1);
        let (mut load, at_once) =
            Load::begin(&order(LoadPace::Closed { depth: 2 }), start, &mut mix);
        assert_eq!(at_once, 2);
        let later = start + Duration::from_millis(5);
        assert_eq!(load.on_reply(later), Some((Duration::from_millis(5), true)));
        let end = start + Duration::from_secs(1);
        assert_eq!(load.on_reply(end), Some((Duration::from_secs(1), false)));
        assert!(!load.is_over(end));
        assert_eq!(load.on_reply(end).map(|(_, again)| again), Some(false));
        assert!(load.is_over(end));
    }
}
