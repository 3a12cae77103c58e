//! Whether a server that can be connected to is of any use: one that answers every message with a
//! failure is not, whatever its connections say.
//!
//! ```text
//!             failures in a row, of enough different agents
//!   Usable ─────────────────────────────────────────────────► Unusable
//!     ▲                                                           │
//!     └──────────────── anything good, a probe's included ────────┘
//! ```
//!
//! Not the number of failures decides but of how many agents: what one agent says may make a server
//! fail each time (its report hits a fault in there), and goes again at the pace of a backoff. Counted
//! alone, it would take the server away from a whole fleet, and then the next server. So failures of
//! three different agents are wanted, and not one good answer in between. Where there are fewer
//! agents than that, all of them: nobody is left who could suffer for the one. As each agent is
//! polled for, a server that serves the others soon says something good.
//!
//! Which fault it was makes no difference: a credential is refused for all messages alike, and if
//! it is not, then for one agent's sake.

use crate::ident::InstanceUid;

/// So many different agents are enough.
const AGENTS: usize = 3;
/// So many failures at least, for a server with fewer agents.
const FAILURES_MIN: u32 = 3;

/// Where one server stands.
#[derive(Debug, Clone, Copy)]
pub struct Usability {
    is_usable: bool,
    /// Failures since something good came.
    failures: u32,
    /// Of whom: as many as decide.
    agents: [Option<InstanceUid>; AGENTS],
}

impl Default for Usability {
    fn default() -> Self {
        Self { is_usable: true, failures: 0, agents: [None; AGENTS] }
    }
}

impl Usability {
    /// Whether messages go to the server.
    pub const fn is_usable(&self) -> bool {
        self.is_usable
    }

    /// A message of this agent's came to nothing, and not through the agent's own fault. `agents`: how
    /// many the server has. Returns whether that makes the server unusable.
    pub fn failed(&mut self, uid: InstanceUid, agents: usize) -> bool {
        self.failures = self.failures.saturating_add(1);
        let place = self.agents.iter_mut().find(|place| place.is_none_or(|known| known == uid));
        if let Some(place) = place {
            *place = Some(uid);
        }
        let different = self.witnesses().count();
        let enough = different >= agents.clamp(1, AGENTS) && self.failures >= FAILURES_MIN;
        enough && std::mem::replace(&mut self.is_usable, false)
    }

    /// The server has taken a message, or said what is wrong with one. Returns whether that makes it
    /// usable again.
    pub fn served(&mut self) -> bool {
        let was_usable = self.is_usable;
        *self = Self::default();
        !was_usable
    }

    /// The agents by whose messages this was seen.
    pub fn witnesses(&self) -> impl Iterator<Item = InstanceUid> {
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
        let mut usability = Usability::default();
        assert!((0..1_000).all(|_| !usability.failed(agent(1), 2)));
        assert!(usability.is_usable());
        assert!(!usability.served(), "it never was unusable");
    }

    #[test]
    fn failures_of_three_agents_in_a_row_do() {
        let mut usability = Usability::default();
        let failed = [1, 2, 1, 3, 4].map(|n| usability.failed(agent(n), 1_000));
        assert_eq!(failed, [false, false, false, true, false], "said once");
        assert!(!usability.is_usable());
        assert_eq!(usability.witnesses().collect::<Vec<_>>(), [agent(1), agent(2), agent(3)]);
        assert!(usability.served(), "and one good answer ends it");
        assert!(!usability.failed(agent(5), 1_000), "what was before counts no longer");
    }

    #[test]
    fn anything_good_in_between_acquits_it() {
        let mut usability = Usability::default();
        for n in 0..200 {
            assert!(!usability.failed(agent(n), 1_000));
            assert!(!usability.failed(agent(n + 1), 1_000));
            usability.served();
        }
    }

    #[test]
    fn where_there_are_fewer_agents_all_of_them_are_enough() {
        for agents in [0, 1] {
            let mut usability = Usability::default();
            assert_eq!([1; 3].map(|n| usability.failed(agent(n), agents)), [false, false, true]);
        }
        let mut usability = Usability::default();
        let failed = [1, 1, 1, 2].map(|n| usability.failed(agent(n), 2));
        assert_eq!(failed, [false, false, false, true]);
    }
}
