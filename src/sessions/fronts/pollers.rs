//! Agents that poll through this front while their sessions are at other nodes: over plain HTTP an attachment lives for one
//! exchange, and between two of them the table of connections knows nothing of the agent.
//!
//! Two sets, of which the older is dropped now and then: an agent is known for one to two of these times after its last
//! request.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::ident::InstanceUid;

/// See the module's text.
#[derive(Debug)]
pub(super) struct RecentPollers {
    state: Mutex<Generations>,
    /// How long an agent that polls may be silent.
    silence: Duration,
    /// At most this many in each set. One more is unknown, and asks for an entry.
    agents_max: usize,
}

#[derive(Debug, Default)]
struct Generations {
    newer: HashSet<InstanceUid>,
    older: HashSet<InstanceUid>,
    began: Option<Instant>,
}

impl RecentPollers {
    pub(super) fn new(silence: Duration, agents_max: usize) -> Self {
        Self { state: Mutex::default(), silence, agents_max }
    }

    /// This agent has polled.
    pub(super) fn polled(&self, uid: InstanceUid, now: Instant) {
        let mut state = self.state.lock();
        state.age(self.silence, now);
        if state.newer.len() < self.agents_max {
            state.newer.insert(uid);
        }
    }

    /// Whether this agent has polled of late.
    pub(super) fn has(&self, uid: InstanceUid, now: Instant) -> bool {
        let mut state = self.state.lock();
        state.age(self.silence, now);
        state.newer.contains(&uid) || state.older.contains(&uid)
    }

    /// This agent has said goodbye.
    pub(super) fn left(&self, uid: InstanceUid) {
        let mut state = self.state.lock();
        state.newer.remove(&uid);
        state.older.remove(&uid);
    }
}

impl Generations {
    fn age(&mut self, silence: Duration, now: Instant) {
        let passed = now.saturating_duration_since(*self.began.get_or_insert(now));
        if passed < silence {
            return;
        }
        self.older = std::mem::take(&mut self.newer);
        if passed >= silence * 2 {
            self.older = HashSet::new();
        }
        self.began = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_agent_is_known_until_it_has_been_silent_for_long() {
        let now = crate::clock::now();
        let uid = |n| InstanceUid::from_bytes([n; 16]);
        let pollers = RecentPollers::new(SECOND * 90, 2);
        pollers.polled(uid(1), now);
        pollers.polled(uid(2), now + SECOND);
        pollers.polled(uid(3), now + SECOND);
        assert!(pollers.has(uid(1), now) && pollers.has(uid(2), now + SECOND));
        assert!(!pollers.has(uid(3), now + SECOND), "above the bound");
        pollers.left(uid(2));
        assert!(!pollers.has(uid(2), now + SECOND));
        assert!(pollers.has(uid(1), now + SECOND * 100));
        assert!(!pollers.has(uid(1), now + SECOND * 190));
        pollers.polled(uid(1), now + SECOND * 191);
        assert!(!pollers.has(uid(1), now + SECOND * 1_000), "nobody spoke meanwhile");
    }
}
