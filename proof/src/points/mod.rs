//! The steps of each proof. A step stands beside the point of the issue that it shows.

pub(crate) mod admission;
pub(crate) mod clients;
pub(crate) mod cluster;
pub(crate) mod dedup;
pub(crate) mod house;

use crate::step::{occurrences, sum_before};

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Within minutes, as CI does. Tests and seeds that CI runs anyway are left out.
    Small,
    /// As the issue says, with this many seeds of the simulation.
    Full {
        /// Seeds.
        seeds: u32,
    },
}

impl Size {
    fn is_small(self) -> bool {
        self == Self::Small
    }

    /// A number of agents: this many at full size, that many in small.
    fn agents(self, full: u32, small: u32) -> String {
        (if self.is_small() { small } else { full }).to_string()
    }
}

fn tests_passed(text: &str) -> Option<f64> {
    sum_before(text, " passed")
}

fn goals_missed(text: &str) -> Option<f64> {
    Some(occurrences(text, "MISSED"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Step;

    fn each(size: Size) -> [Vec<Step>; 5] {
        let (dedup, admission) = (dedup::steps(size), admission::steps(size));
        [dedup, admission, house::steps(size), cluster::steps(size), clients::steps(size)]
    }

    #[test]
    fn names_of_steps_are_unique_because_their_files_have_them() {
        for size in [Size::Small, Size::Full { seeds: 100_000 }] {
            for steps in each(size) {
                let mut names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), steps.len(), "{names:?}");
            }
        }
    }

    #[test]
    fn full_size_is_what_the_issues_say() {
        let steps = each(Size::Full { seeds: 100_000 }).concat();
        let lines: Vec<String> = steps.iter().map(|step| step.arguments.join(" ")).collect();
        for wanted in [
            "compare --agents 15000 --hold 60s",
            "outage --agents 15000 --pace-max 2000",
            "slow --agents 15000",
            "idle --agents 1000,15000",
            "drain --agents 8000 --rate 1000",
            "sim SEEDS=100000",
            "sim-ownership SEEDS=100000",
            "cluster storm --agents 30000 --rate 3000 --keyed-by uid",
            "cluster kill --agents 30000 --rate 3000 --mid-storm",
            "cluster redis-stop --agents 30000 --rate=250 --away=60s",
            "cluster rolling --agents 8000 --rate 3000 --balancing random",
            "cluster push --agents 10000",
            "cluster push --agents 1000 --rate 3000 --hops=2 --changed=1 --asks",
            "gate --client python --agents 100 --rate 2",
            "gate --client java-ws --agents 10000 --rate 500",
            "gate --clients loadtest/clients/field.toml --agents 10000 --rate 500",
            "gate --client java-http --agents 10000 --rate 500 --after-outage 10m",
            "gate --transport http --connections 16 --agents 10000 --rate 1000",
        ] {
            assert!(lines.iter().any(|line| line.contains(wanted)), "{wanted}: {lines:#?}");
        }
        assert!(each(Size::Small).concat().len() < steps.len());
    }
}
