//! The storms that admission is judged by, and what each may take.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::human::Human;
use crate::storm::args::StormArgs;
use crate::storm::conditions::RateChange;
use crate::storm::outcome::StormOutcome;

/// A storm's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CaseName {
    /// 1,000 entries a second
    R1000,
    /// 250 entries a second
    R250,
    /// 1,000 a second, and one agent in five ignores Retry-After
    MisbehavingR1000,
    /// The same with 250 a second
    MisbehavingR250,
    /// 250 a second, and every agent ignores Retry-After
    DeafR250,
    /// 1,000 a second, and 500 after a third of the time
    Halved,
    /// 1,000 a second, and half of the fleet is cut again after a third of the time
    SecondWave,
}

/// What a storm may take at most, as its agents that obey see it; where none obeys, as all do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct CaseBudget {
    /// Time over the ideal.
    pub(crate) time_ratio: f64,
    /// Dials of an agent, on average.
    pub(crate) attempts_mean: Option<f64>,
}

/// One storm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Case {
    pub(crate) name: CaseName,
    /// Entries a second at the cut.
    pub(crate) rate: f64,
    misbehaving: f64,
    /// The rate is another after a third of the time.
    then: Option<f64>,
    second_wave: bool,
    pub(crate) budget: CaseBudget,
}

/// A storm is given up after this many times its ideal, and a minute.
const PATIENCE: f64 = 20.0;

impl Case {
    /// Everything about it.
    pub(crate) fn of(name: CaseName) -> Self {
        let (rate, time_ratio, attempts_mean) = match name {
            CaseName::R1000 => (1000.0, 1.05, Some(1.6)),
            CaseName::R250 => (250.0, 1.05, Some(2.1)),
            CaseName::MisbehavingR1000 => (1000.0, 1.15, Some(2.3)),
            CaseName::MisbehavingR250 => (250.0, 1.15, Some(2.3)),
            CaseName::DeafR250 => (250.0, 1.15, None),
            CaseName::Halved | CaseName::SecondWave => (1000.0, 1.05, None),
        };
        let misbehaving = match name {
            CaseName::MisbehavingR1000 | CaseName::MisbehavingR250 => 0.2,
            CaseName::DeafR250 => 1.0,
            _ => 0.0,
        };
        Self {
            name,
            rate,
            misbehaving,
            then: (name == CaseName::Halved).then_some(rate / 2.0),
            second_wave: name == CaseName::SecondWave,
            budget: CaseBudget { time_ratio, attempts_mean },
        }
    }

    /// The name as it is written on the command line.
    pub(crate) fn title(&self) -> String {
        self.name.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Turns a plain storm into this one.
    pub(crate) fn apply(&self, storm: &mut StormArgs) {
        let alone = Duration::from_secs_f64(f64::from(storm.agents) / self.rate);
        // 15,000 agents are in the midst of it after five seconds of fifteen.
        let midst = Human(alone / 3);
        let conditions = &mut storm.conditions;
        conditions.admission_rate = Some(self.rate);
        conditions.misbehaving = self.misbehaving;
        let change = self.then.map(|per_second| RateChange { at: midst, per_second });
        conditions.rate_change = change.into_iter().collect();
        conditions.second_wave_at = self.second_wave.then_some(midst);
        storm.timeout = Human(alone.mul_f64(PATIENCE) + Duration::from_secs(60));
    }
}

impl CaseBudget {
    /// What was missed, in words. An unknown figure counts as missed.
    pub(crate) fn missed(&self, outcome: &StormOutcome) -> Vec<String> {
        let queue = &outcome.queue;
        let none_obeys = queue.agents_obedient == 0 && queue.agents_returning > 0;
        let time_ratio = if none_obeys { queue.time_ratio_all } else { queue.time_ratio };
        let wanted = [
            ("time over the ideal", time_ratio, Some(self.time_ratio)),
            ("dials per obedient agent", outcome.queue.obedient_attempts_mean, self.attempts_mean),
        ];
        let missed = wanted.into_iter().filter_map(|(what, got, most)| {
            let most = most?;
            match got {
                Some(got) if got <= most => None,
                Some(got) => Some(format!("{what}: {got}, the budget is {most}")),
                None => Some(format!("{what}: unknown, the budget is {most}")),
            }
        });
        missed.collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::fleet::manners::Census;
    use crate::fleet::measured::Measured;

    fn outcome(time_ratio: Option<f64>, attempts: Option<f64>) -> StormOutcome {
        let mut outcome = StormOutcome::new(Census::default(), Measured::default());
        outcome.queue.time_ratio = time_ratio;
        outcome.queue.obedient_attempts_mean = attempts;
        outcome
    }

    #[test]
    fn a_budget_is_missed_by_little_and_by_nothing_known() {
        let budget = Case::of(CaseName::R1000).budget;
        assert!(budget.missed(&outcome(Some(1.05), Some(1.6))).is_empty());
        assert_eq!(budget.missed(&outcome(Some(1.051), Some(1.6))).len(), 1);
        assert_eq!(budget.missed(&outcome(Some(1.0), Some(1.601))).len(), 1);
        assert_eq!(budget.missed(&outcome(None, None)).len(), 2);
        // Where none obeys, all are judged.
        let mut deaf = outcome(None, None);
        deaf.queue.agents_returning = 1;
        deaf.queue.time_ratio_all = Some(1.1);
        assert!(Case::of(CaseName::DeafR250).budget.missed(&deaf).is_empty());
        // Where dials lack a budget, any number of them will do.
        assert!(
            Case::of(CaseName::Halved).budget.missed(&outcome(Some(1.0), Some(9.0))).is_empty()
        );
    }

    #[test]
    fn events_come_in_the_midst_of_the_storm() {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            storm: StormArgs,
        }
        let applied = |name| {
            let mut storm = Line::parse_from(["storm", "--agents=15000"]).storm;
            Case::of(name).apply(&mut storm);
            storm.conditions
        };
        let five = Human(Duration::from_secs(5));
        let halved = applied(CaseName::Halved);
        assert_eq!(halved.rate_change, [RateChange { at: five, per_second: 500.0 }]);
        assert_eq!((halved.admission_rate, halved.second_wave_at), (Some(1000.0), None));
        assert_eq!(applied(CaseName::SecondWave).second_wave_at, Some(five));
        assert_eq!(applied(CaseName::MisbehavingR250).misbehaving, 0.2);
        let plain = applied(CaseName::R250);
        assert!(plain.rate_change.is_empty() && plain.misbehaving == 0.0);
    }
}
