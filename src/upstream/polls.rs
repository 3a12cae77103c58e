//! Polls of mode `http`: a server that has something for an agent can only say so when it is asked, so it
//! is asked once in each interval on behalf of every agent that is there.
//!
//! The interval is cut into equal parts, and an agent's hash says in which of them it is polled for. So
//! polls are spread evenly, whatever storm the agents came in, and none has a timer of its own. An agent
//! whose message went to the server within the last half of an interval is passed over: between two
//! messages there is never more than one and a half.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::server::Server;
use crate::clock;
use crate::core::placement::{Seed, weight};
use crate::ident::InstanceUid;
use crate::sessions::{Polled, Sessions};
use crate::telemetry::events::upstream as events;

/// Parts shorter than this make no difference to a server.
const PART: Duration = Duration::from_millis(50);
const PARTS_MAX: u128 = 1024;
/// Agents looked at without letting anybody else run.
const BATCH: usize = 64;

/// Who is to be polled for, by the part of the interval. Each agent stands here once: there are no more
/// than sessions.
pub(super) struct Polls {
    interval: Duration,
    seed: Seed,
    parts: Box<[Mutex<HashSet<InstanceUid>>]>,
}

impl Polls {
    pub(super) fn new(interval: Duration) -> Self {
        let count = (interval.as_millis() / PART.as_millis()).clamp(1, PARTS_MAX);
        let parts = (0..count).map(|_| Mutex::default()).collect();
        Self { interval, seed: Seed::of_name("polls"), parts }
    }

    fn part_of(&self, uid: InstanceUid) -> &Mutex<HashSet<InstanceUid>> {
        let index = weight(uid, self.seed) % self.parts.len() as u64;
        &self.parts[usize::try_from(index).unwrap_or(0)]
    }

    /// A message of this agent's went to the server.
    pub(super) fn add(&self, uid: InstanceUid) {
        self.part_of(uid).lock().insert(uid);
    }

    pub(super) fn remove(&self, uid: InstanceUid) {
        self.part_of(uid).lock().remove(&uid);
    }

    /// How many agents the server is asked for.
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().len()).sum()
    }

    fn part(&self, index: usize) -> Vec<InstanceUid> {
        self.parts[index].lock().iter().copied().collect()
    }

    /// How long a part is.
    fn step(&self) -> Duration {
        self.interval / u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }
}

/// Has sessions polled for, part by part, for ever.
pub(super) async fn poll(server: Arc<Server>, sessions: Arc<Sessions>) {
    let Some(polls) = &server.polls else { return };
    let step = polls.step();
    let mut next = clock::now();
    for index in (0..polls.parts.len()).cycle() {
        // Whoever was held up does not make up for it in a rush.
        next = (next + step).max(clock::now());
        tokio::time::sleep(next.saturating_duration_since(clock::now())).await;
        for (count, uid) in polls.part(index).into_iter().enumerate() {
            match sessions.poll(uid, server.id, polls.interval / 2) {
                Polled::Due => events::PollDue.emit(&server.metrics),
                Polled::NotYet => {}
                Polled::Away => polls.remove(uid),
            }
            if count % BATCH == BATCH - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u32) -> InstanceUid {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        InstanceUid::from_bytes(bytes)
    }

    #[test]
    fn each_agent_has_one_place_and_places_are_shared_evenly() {
        let polls = Polls::new(Duration::from_secs(30));
        assert_eq!((polls.parts.len(), polls.step()), (600, PART));
        for n in 0..15_000 {
            polls.add(uid(n));
            polls.add(uid(n));
        }
        let sizes: Vec<usize> = (0..600).map(|index| polls.part(index).len()).collect();
        assert_eq!((sizes.iter().sum::<usize>(), polls.len()), (15_000, 15_000));
        assert!(sizes.iter().all(|size| (5..55).contains(size)), "25 each: {sizes:?}");
        (0..15_000).for_each(|n| polls.remove(uid(n)));
        assert!((0..600).all(|index| polls.part(index).is_empty()));
    }

    #[test]
    fn however_long_the_interval_the_parts_are_bounded() {
        for (seconds, parts) in [(1, 20), (86_400, 1024)] {
            assert_eq!(Polls::new(Duration::from_secs(seconds)).parts.len(), parts);
        }
    }
}
