//! Which of several targets an agent dials, and what is counted for each of them.

use serde::{Deserialize, Serialize};

use super::mix::Mix;

/// How an agent chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum TargetChoice {
    /// At random for each dial, as a balancer does that knows no loads
    #[default]
    Random,
    /// The next one with each dial; agents begin at different ones
    RoundRobin,
    /// Always the same, evenly spread over the agents
    Pinned,
}

/// Targets by their places.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered<'a> {
    /// Those that a balancer would choose from; all of them if there are none.
    pub(super) serving: &'a [usize],
    /// How many there are.
    pub(super) all: usize,
}

impl TargetChoice {
    /// For dial number `dial` of the agent with this number. A pinned agent knows no balancer, and
    /// dials its own target whether that serves or not.
    pub(super) fn pick(
        self,
        (index, dial): (u32, u64),
        Offered { serving, all }: Offered<'_>,
        mix: &mut Mix,
    ) -> usize {
        let index = u64::from(index);
        let place = |number: u64, bound: usize| {
            usize::try_from(number % bound.max(1) as u64).unwrap_or_default()
        };
        let nth = |place: usize| serving.get(place).copied().unwrap_or(place);
        let bound = if serving.is_empty() { all } else { serving.len() };
        match self {
            Self::Random => nth(mix.below(bound.max(1))),
            Self::RoundRobin => nth(place(index.wrapping_add(dial), bound)),
            Self::Pinned => place(index, all),
        }
    }
}

/// What became of the dials of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetCounts {
    pub(crate) dials: u64,
    /// Dials that became an open WebSocket.
    pub(crate) sessions: u64,
    /// Of these, agents whose last one had been at another target.
    pub(crate) came_from_elsewhere: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    /// Sessions that ended, and of these the ones that the other side closed.
    pub(crate) ended: u64,
    pub(crate) closed_by_peer: u64,
}

impl TargetCounts {
    /// Agents that are connected there.
    pub(crate) fn connected(&self) -> u64 {
        self.sessions.saturating_sub(self.ended)
    }

    /// Adds what another thread counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.dials += other.dials;
        self.sessions += other.sessions;
        self.came_from_elsewhere += other.came_from_elsewhere;
        self.refused += other.refused;
        self.failed += other.failed;
        self.ended += other.ended;
        self.closed_by_peer += other.closed_by_peer;
    }

    /// What was counted after `start`.
    pub(crate) fn since(&self, start: &Self) -> Self {
        Self {
            dials: self.dials.saturating_sub(start.dials),
            sessions: self.sessions.saturating_sub(start.sessions),
            came_from_elsewhere: self.came_from_elsewhere.saturating_sub(start.came_from_elsewhere),
            refused: self.refused.saturating_sub(start.refused),
            failed: self.failed.saturating_sub(start.failed),
            ended: self.ended.saturating_sub(start.ended),
            closed_by_peer: self.closed_by_peer.saturating_sub(start.closed_by_peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_spreads_agents_in_its_own_way() {
        let mut mix = Mix::new(1, 1, 1);
        let all = [0, 1, 2];
        let mut picks = |choice: TargetChoice, agent, serving: &[usize]| -> Vec<usize> {
            let offered = Offered { serving, all: 3 };
            (0..6).map(|dial| choice.pick((agent, dial), offered, &mut mix)).collect()
        };
        assert_eq!(picks(TargetChoice::Pinned, 4, &all), [1; 6]);
        assert_eq!(picks(TargetChoice::Pinned, 4, &[2]), [1; 6], "it waits for its own");
        assert_eq!(picks(TargetChoice::RoundRobin, 1, &all), [1, 2, 0, 1, 2, 0]);
        assert_eq!(picks(TargetChoice::RoundRobin, 1, &[0, 2]), [2, 0, 2, 0, 2, 0]);
        assert!(picks(TargetChoice::Random, 1, &[0, 2]).iter().all(|target| *target != 1));
        let random: Vec<usize> =
            (0..20).flat_map(|agent| picks(TargetChoice::Random, agent, &all)).collect();
        assert!(all.iter().all(|target| random.contains(target)));
        assert!(picks(TargetChoice::Random, 1, &[]).iter().all(|target| *target < 3));
    }
}
