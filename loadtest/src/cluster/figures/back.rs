//! How agents came back after a cut.

use std::collections::BTreeMap;

use super::super::args::ClusterArgs;
use super::super::scene::Snapshot;
use crate::figures::{median, most_in_a_second, round, seconds_to};
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

    /// How much later at p99 than others agents had their first reply whose home is elsewhere: in each second of the
    /// storm, and of these the median. In a second in which the fleet's processes read late one of the two kinds is hit
    /// by chance, for up to a hundred times of what nodes take.
    pub(super) fn cross_node_ms_p99(&self, start: &Snapshot) -> Option<f64> {
        let mut seconds: BTreeMap<u64, Replies> = BTreeMap::new();
        for agent in self.returns {
            let home = start.homes.get(usize::try_from(agent.agent).ok()?).copied().flatten();
            let (Some(home), Some(back)) = (home, agent.back_us) else { continue };
            let second = seconds.entry(back / 1_000_000).or_default();
            second.add(home == usize::from(agent.target), agent.acknowledged_us);
        }
        median_later(seconds.into_values().collect())
    }
}

/// How long agents waited for their first replies.
#[derive(Default)]
struct Replies {
    at_home: Vec<u64>,
    elsewhere: Vec<u64>,
}

/// This many replies of each kind have a p99.
const ENOUGH: usize = 100;

impl Replies {
    fn add(&mut self, is_at_home: bool, waited_us: u64) {
        let kind = if is_at_home { &mut self.at_home } else { &mut self.elsewhere };
        kind.push(waited_us);
    }

    fn is_enough(&self) -> bool {
        self.at_home.len().min(self.elsewhere.len()) >= ENOUGH
    }

    /// By how many milliseconds those from elsewhere came later, at p99.
    fn later_ms(mut self) -> Option<f64> {
        self.at_home.sort_unstable();
        self.elsewhere.sort_unstable();
        let (elsewhere, at_home) =
            quantile(&self.elsewhere, 0.99).zip(quantile(&self.at_home, 0.99))?;
        Some(round((elsewhere as f64 - at_home as f64) / 1000.0))
    }
}

/// The median of the seconds with enough replies; of a small fleet, all together.
fn median_later(seconds: Vec<Replies>) -> Option<f64> {
    if !seconds.iter().any(Replies::is_enough) {
        let mut all = Replies::default();
        for second in seconds {
            all.at_home.extend(second.at_home);
            all.elsewhere.extend(second.elsewhere);
        }
        return all.later_ms();
    }
    let enough = seconds.into_iter().filter(Replies::is_enough);
    let later: Vec<Option<f64>> = enough.map(Replies::later_ms).collect();
    median(&later)
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

    #[test]
    fn one_second_in_which_the_fleet_read_late_is_left_out() {
        let second = |late_us: u64| {
            let mut replies = Replies::default();
            for n in 0..200 {
                replies.add(true, 1_000 + n);
                replies.add(false, 3_000 + n + late_us);
            }
            replies
        };
        let seconds = |late: &[u64]| late.iter().map(|late| second(*late)).collect::<Vec<_>>();
        assert_eq!(median_later(seconds(&[0, 80_000, 0])), Some(2.0));
        assert_eq!(
            median_later(seconds(&[7_000, 7_000, 0])),
            Some(9.0),
            "more than one is the nodes'"
        );
        let mut few = Replies::default();
        few.add(true, 1_000);
        few.add(false, 1_500);
        assert_eq!(median_later(vec![few, Replies::default()]), Some(0.5));
        assert_eq!(median_later(Vec::new()), None);
    }
}
