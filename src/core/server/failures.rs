//! Messages that fail in a row, and whose they were: when a server that can be connected to counts as
//! failing.
//!
//! The number of agents decides, and the number of failures only in the second place. What one agent
//! says may make a server fail each time (its report hits a fault in there), and it goes again at the
//! pace of a backoff. Counted alone, it would take the server away from a whole fleet, and then the
//! next server. So three different agents must fail, with every answer in between a failure. A server
//! that has fewer agents must fail all of them: then only the failing ones are affected by a mistake.
//! As each agent is polled for, a server that serves the others soon answers one of them well.
//!
//! All faults count alike. A credential is refused for all messages alike; if one is
//! refused and others are taken, then the fault is one agent's.

use crate::ident::InstanceUid;

/// This many different agents are enough.
const AGENTS: usize = 3;
/// At least this many failures, for a server with fewer agents.
const FAILURES_MIN: u32 = 3;

/// The failures since the last good answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Failures {
    count: u32,
    /// Whose they were, up to the number that decides.
    agents: [Option<InstanceUid>; AGENTS],
}

impl Failures {
    /// A message of this agent's failed. `agents`: how many the server has. Returns whether
    /// these are enough failures to call the server failing.
    pub(super) fn failed(&mut self, uid: InstanceUid, agents: usize) -> bool {
        self.count = self.count.saturating_add(1);
        let place = self.agents.iter_mut().find(|place| place.is_none_or(|known| known == uid));
        if let Some(place) = place {
            *place = Some(uid);
        }
        let different = self.reporters().count();
        different >= agents.clamp(1, AGENTS) && self.count >= FAILURES_MIN
    }

    /// The agents whose messages failed.
    pub(super) fn reporters(&self) -> impl Iterator<Item = InstanceUid> {
        self.agents.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(n: u8) -> InstanceUid {
        InstanceUid::from_bytes([n; 16])
    }

    #[test]
    fn one_agents_message_does_not_condemn_a_server() {
        let mut failures = Failures::default();
        assert!((0..1_000).all(|_| !failures.failed(agent(1), 2)));
    }

    #[test]
    fn failures_of_three_agents_in_a_row_do() {
        let mut failures = Failures::default();
        let failed = [1, 2, 1, 3, 4].map(|n| failures.failed(agent(n), 1_000));
        assert_eq!(failed, [false, false, false, true, true]);
        assert_eq!(failures.reporters().collect::<Vec<_>>(), [agent(1), agent(2), agent(3)]);
    }

    #[test]
    fn where_there_are_fewer_agents_all_of_them_are_enough() {
        for agents in [0, 1] {
            let mut failures = Failures::default();
            assert_eq!([1; 3].map(|n| failures.failed(agent(n), agents)), [false, false, true]);
        }
        let mut failures = Failures::default();
        let failed = [1, 1, 1, 2].map(|n| failures.failed(agent(n), 2));
        assert_eq!(failed, [false, false, false, true]);
    }
}
