//! How agents came back after a cut.

use super::super::args::ClusterArgs;
use super::super::scene::Snapshot;
use crate::figures::{most_in_a_second, round, seconds_to};
use crate::fleet::measured::{Return, quantile};

/// How agents came back after a cut.
pub(super) struct Back<'a> {
    returns: &'a [Return],
    pub(super) sorted_us: Vec<u64>,
    agents: u64,
    was_cut: bool,
}

impl<'a> Back<'a> {
    /// From what was measured in the end.
    pub(super) fn new(end: &'a Snapshot, args: &ClusterArgs, was_cut: bool) -> Self {
        let returns = &end.measured.returns[..];
        let mut sorted_us: Vec<u64> = returns.iter().filter_map(|agent| agent.back_us).collect();
        sorted_us.sort_unstable();
        Self { returns, sorted_us, agents: args.agents.into(), was_cut }
    }

    /// The second in which this share of all was back.
    pub(super) fn seconds_to(&self, share: f64) -> Option<f64> {
        self.was_cut.then(|| seconds_to(&self.sorted_us, self.agents, share)).flatten()
    }

    /// Agents that were back in the best second.
    pub(super) fn peak_per_second(&self) -> Option<u64> {
        self.was_cut.then(|| most_in_a_second(&self.sorted_us))
    }

    /// Agents that saw their connections opened in the best second.
    pub(super) fn admitted_peak_seen_per_second(&self) -> Option<u64> {
        let admitted = self.returns.iter().filter_map(|agent| agent.admitted_us);
        let mut admitted: Vec<u64> = admitted.collect();
        admitted.sort_unstable();
        self.was_cut.then(|| most_in_a_second(&admitted))
    }

    /// The time until all were back over the least that this can take. That the fleet's processes need a second to dial on
    /// a busy machine is no fault of nodes.
    pub(super) fn time_ratio(&self, args: &ClusterArgs) -> Option<f64> {
        let asked: Vec<u64> = self.returns.iter().filter_map(|agent| agent.asked_us).collect();
        let least = (asked.len() as u64 == self.agents).then(|| least_seconds(asked, args.rate))?;
        self.seconds_to(1.0).map(|seconds| round(seconds / least))
    }

    /// How much later at p99 than others agents had their first reply whose home is elsewhere.
    pub(super) fn cross_node_ms_p99(&self, start: &Snapshot) -> Option<f64> {
        let is_at_home = |agent: &Return| {
            let home = start.homes.get(usize::try_from(agent.agent).ok()?).copied().flatten()?;
            Some(home == usize::from(agent.target))
        };
        let p99 = |at_home: bool| {
            let back = self.returns.iter().filter(|agent| agent.back_us.is_some());
            let mut own: Vec<u64> = back
                .filter(|agent| is_at_home(agent) == Some(at_home))
                .map(|agent| agent.acknowledged_us)
                .collect();
            own.sort_unstable();
            quantile(&own, 0.99)
        };
        let (elsewhere, at_home) = p99(false).zip(p99(true))?;
        Some(round((elsewhere as f64 - at_home as f64) / 1000.0))
    }
}

/// When the last agent can be in that asked at these instants, in microseconds: each is admitted as soon as it asks, and
/// no sooner than the interval of `rate` a second after the one before.
fn least_seconds(mut asked_us: Vec<u64>, rate: f64) -> f64 {
    asked_us.sort_unstable();
    let admit = |last: f64, asked: u64| last.max(asked as f64 / 1e6) + rate.recip();
    asked_us.into_iter().fold(0.0, admit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_time_begins_when_agents_ask() {
        let least = |asked_ms: &[u64]| {
            let asked = asked_ms.iter().map(|ms| ms * 1_000).collect();
            (least_seconds(asked, 10.0) * 1e3).round()
        };
        assert_eq!(least(&[0, 0, 0, 0]), 400.0);
        assert_eq!(least(&[250, 0]), 350.0, "the last one asks when the rate is idle");
        assert_eq!(least(&[300, 300, 300]), 600.0);
    }
}
