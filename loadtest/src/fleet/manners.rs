//! What tells one agent of a storm from another: whether it obeys, how its clock goes, whether it
//! comes back, and which waves cut it off. All of it follows from the seed and the agent's number,
//! so that the number of agents of each kind is known beforehand.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mix::Mix;

/// How long an agent waits that ignores what it is told.
const IMPATIENCE: Duration = Duration::from_secs(1);

/// The shares of agents of each kind. With all of them 0, every agent is well-behaved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shares {
    /// Ignore `Retry-After` and their own backoff, and dial a second after each failure.
    pub(crate) misbehaving: f64,
    /// Each agent's waits are longer or shorter by a share of its own of at most this.
    pub(crate) clock_error: f64,
    /// Are gone for good after the first cut.
    pub(crate) no_return: f64,
}

/// Which cut it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wave {
    /// All agents lose their connections.
    First,
    /// Half of them lose what they have got since, or are about to get.
    Second,
}

/// One agent's kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Manners {
    pub(crate) misbehaves: bool,
    /// It comes back after the first cut.
    pub(crate) returns: bool,
    /// It belongs to the half that the second wave is for.
    in_second_wave: bool,
    /// What it takes for a second, in seconds.
    clock: f64,
}

impl Manners {
    /// Of the agent with this number in the whole fleet.
    pub(crate) fn of(seed: u64, index: u32, shares: &Shares) -> Self {
        let mut mix = Mix::new(seed, index.into(), u64::from_be_bytes(*b"manners!"));
        // One draw for each, whatever the shares are: an agent that errs in one run errs as much in
        // another that has misbehaving ones as well.
        let [misbehaves, returns, wave, clock] = std::array::from_fn(|_| mix.unit());
        Self {
            misbehaves: misbehaves < shares.misbehaving,
            returns: returns >= shares.no_return,
            in_second_wave: wave < 0.5,
            clock: 1.0 + shares.clock_error * (2.0 * clock - 1.0),
        }
    }

    /// Whether this wave cuts it off and it must come back.
    pub(crate) fn returns_from(&self, wave: Wave) -> bool {
        self.returns && (wave == Wave::First || self.in_second_wave)
    }

    /// How long it waits where its client waits for so long.
    pub(crate) fn wait(&self, clients: Duration) -> Duration {
        let wait = if self.misbehaves { IMPATIENCE } else { clients };
        wait.mul_f64(self.clock)
    }
}

/// How many agents of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) agents: u64,
    /// Come back after the first cut.
    pub(crate) returning: u64,
    /// Of these, follow Retry-After and their own backoff.
    pub(crate) obedient: u64,
    /// Of the returning ones, have to return again after the second wave.
    pub(crate) second_wave: u64,
}

impl Census {
    /// Of the agents with these numbers.
    pub(crate) fn take(seed: u64, indices: std::ops::Range<u32>, shares: &Shares) -> Self {
        let mut census = Self::default();
        for index in indices {
            let manners = Manners::of(seed, index, shares);
            census.agents += 1;
            census.returning += u64::from(manners.returns);
            census.obedient += u64::from(manners.returns && !manners.misbehaves);
            census.second_wave += u64::from(manners.returns_from(Wave::Second));
        }
        census
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(count: u64, of: f64) -> bool {
        (count as f64 - of).abs() < 4.0 * of.sqrt()
    }

    #[test]
    fn shares_are_exact_and_independent() {
        let shares = Shares { misbehaving: 0.2, clock_error: 0.1, no_return: 0.3 };
        let census = Census::take(1, 0..20_000, &shares);
        assert_eq!(census.agents, 20_000);
        assert!(near(census.returning, 14_000.0), "{census:?}");
        assert!(near(census.obedient, 11_200.0), "{census:?}");
        assert!(near(census.second_wave, 7_000.0), "{census:?}");
        let all = Census::take(1, 5..15, &Shares::default());
        assert_eq!((all.agents, all.returning, all.obedient), (10, 10, 10));
    }

    #[test]
    fn clocks_err_within_the_bound_and_each_alike_every_time() {
        let shares = Shares { clock_error: 0.1, ..Shares::default() };
        let mut waits = Vec::new();
        for index in 0..1000 {
            let manners = Manners::of(7, index, &shares);
            let wait = || manners.wait(Duration::from_secs(100)).as_secs_f64();
            waits.push(wait());
            assert_eq!(wait(), waits[waits.len() - 1]);
        }
        assert!(waits.iter().all(|wait| (90.0..=110.0).contains(wait)));
        waits.sort_unstable_by(f64::total_cmp);
        assert!(waits[0] < 91.0 && waits[999] > 109.0 && (waits[500] - 100.0).abs() < 1.0);
    }

    #[test]
    fn a_misbehaving_agent_waits_a_second_whatever_it_is_told() {
        let shares = Shares { misbehaving: 1.0, ..Shares::default() };
        let manners = Manners::of(1, 1, &shares);
        for told in [0, 30] {
            assert_eq!(manners.wait(Duration::from_secs(told)), Duration::from_secs(1));
        }
    }
}
