//! How good a queue the storm was turned into: the time it took against the ideal, and what it cost
//! the obedient agents. An agent is obedient, or *honest* in the keys of the figures, if it follows
//! Retry-After and its own backoff.

use serde::Serialize;

use super::ideal::Ideal;
use crate::figures::{round, seconds_to, shown};
use crate::fleet::manners::Census;
use crate::fleet::measured::{Measured, Return};

/// The figures; part of [`super::outcome::StormOutcome`], whose keys are an interface.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct QueueFigures {
    /// Agents that return: 100 % are these. Of them, the obedient ones.
    pub(crate) agents_returning: u64,
    #[serde(rename = "agents_honest")]
    pub(crate) agents_obedient: u64,
    /// From the cut until all obedient agents have got a reply; null if one of them lacks it.
    #[serde(rename = "honest_seconds_to_100")]
    pub(crate) obedient_seconds_to_100: Option<f64>,
    /// Dials of an obedient agent from the cut until it was back for good.
    #[serde(rename = "honest_attempts_mean")]
    pub(crate) obedient_attempts_mean: Option<f64>,
    /// The connections to admit over the rate of admission. A gateway at that rate takes at least
    /// this time, less the second of burst that its bucket may hold. Null where the rate is
    /// unknown.
    pub(crate) ideal_seconds: Option<f64>,
    /// `honest_seconds_to_100` over `ideal_seconds`, which is that of all agents.
    pub(crate) time_ratio: Option<f64>,
    /// `seconds_to_100` over `ideal_seconds`.
    pub(crate) time_ratio_all: Option<f64>,
    /// Connections that the second wave cut, which all had to be admitted once more, and dials that
    /// it cut. Agents are unable to tell whether the gateway had just admitted such a dial, so each
    /// counts once.
    pub(crate) second_wave_connections: u64,
    pub(crate) second_wave_dials: u64,
}

impl QueueFigures {
    /// Works the figures out.
    pub(crate) fn new(census: Census, measured: &Measured) -> Self {
        let obedient = || measured.returns.iter().filter(|agent| agent.obedient);
        let mut back: Vec<u64> = obedient().filter_map(|agent| agent.back_us).collect();
        back.sort_unstable();
        Self {
            agents_returning: census.returning,
            agents_obedient: census.obedient,
            obedient_seconds_to_100: seconds_to(&back, census.obedient, 1.0),
            obedient_attempts_mean: attempts_mean(obedient()),
            second_wave_connections: measured.second_wave_cut,
            second_wave_dials: measured.dials_cut,
            ..Self::default()
        }
    }

    /// Compares with the ideal. `seconds_to_100` is that of all agents.
    pub(crate) fn with_ideal(&mut self, ideal: &Ideal, seconds_to_100: Option<f64>) {
        let ideal = ideal.seconds();
        let over = |seconds: Option<f64>| Some(round(seconds? / ideal?));
        self.ideal_seconds = ideal.map(round);
        self.time_ratio = over(self.obedient_seconds_to_100);
        self.time_ratio_all = over(seconds_to_100);
    }

    /// What a reader sees of it, as names and values.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("agents that return", self.agents_returning.to_string()),
            ("  of these, obedient", self.agents_obedient.to_string()),
            ("obedient: 100 % back after", shown(self.obedient_seconds_to_100, " s")),
            ("obedient: dials per agent, mean", shown(self.obedient_attempts_mean, "")),
            ("ideal, by the rate of admission", shown(self.ideal_seconds, " s")),
            ("time over the ideal, obedient", shown(self.time_ratio, "")),
            ("time over the ideal, all", shown(self.time_ratio_all, "")),
            ("second wave: connections cut", self.second_wave_connections.to_string()),
            ("second wave: dials cut", self.second_wave_dials.to_string()),
        ]
    }
}

/// Mean dials of the agents that are back.
pub(crate) fn attempts_mean<'a>(agents: impl Iterator<Item = &'a Return>) -> Option<f64> {
    let back = agents.filter(|agent| agent.back_us.is_some());
    let (count, dials) =
        back.fold((0u64, 0u64), |(count, dials), agent| (count + 1, dials + agent.dials));
    (count > 0).then(|| round(dials as f64 / count as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn measured() -> Measured {
        let agent = |seconds: Option<u64>, dials, obedient| Return {
            back_us: seconds.map(|seconds| seconds * 1_000_000),
            dials,
            obedient,
            ..Return::default()
        };
        let returns = vec![
            agent(Some(10), 1, true),
            agent(Some(30), 9, false),
            agent(Some(22), 2, true),
            agent(Some(1), 2, true),
        ];
        Measured { returns, ..Measured::default() }
    }

    fn ideal(count: u64, rate: f64) -> Ideal {
        let mut ideal = Ideal::default();
        ideal.rate(Duration::ZERO, rate);
        ideal.arrive(Duration::ZERO, count);
        ideal
    }

    #[test]
    fn the_ratio_is_of_the_honest_over_the_ideal_of_all() {
        let census = Census { agents: 5, returning: 4, obedient: 3, second_wave: 0 };
        let mut queue = QueueFigures::new(census, &measured());
        assert_eq!(queue.obedient_seconds_to_100, Some(22.0));
        assert_eq!(queue.obedient_attempts_mean, Some(1.667));
        queue.with_ideal(&ideal(4, 0.2), Some(30.0));
        assert_eq!(queue.ideal_seconds, Some(20.0));
        assert_eq!((queue.time_ratio, queue.time_ratio_all), (Some(1.1), Some(1.5)));
    }

    #[test]
    fn a_missing_agent_leaves_no_ratio() {
        // One obedient agent more than there are records of: it has yet to notice the cut.
        let census = Census { agents: 5, returning: 5, obedient: 4, second_wave: 0 };
        let mut queue = QueueFigures::new(census, &measured());
        queue.with_ideal(&ideal(5, 0.2), None);
        assert_eq!((queue.time_ratio, queue.time_ratio_all), (None, None));
        assert_eq!(queue.ideal_seconds, Some(25.0));
        let mut away = measured();
        away.returns[0].back_us = None;
        let census = Census { obedient: 3, ..census };
        assert_eq!(QueueFigures::new(census, &away).obedient_seconds_to_100, None);
    }

    #[test]
    fn without_a_rate_there_is_no_ratio() {
        let census = Census { agents: 4, returning: 4, obedient: 3, second_wave: 0 };
        let mut queue = QueueFigures::new(census, &measured());
        queue.with_ideal(&Ideal::default(), Some(30.0));
        assert_eq!((queue.ideal_seconds, queue.time_ratio), (None, None));
    }
}
