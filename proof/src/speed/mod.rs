//! Two builds measured in alternation: which figures are better, which are worse, and how sure that is. What is timed is
//! measured twice for each pair, in the order one, other, other, one.

mod case;
mod ratio;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use crate::figure::{Goal, Judged};
use case::{Build, Case, Measured};
use ratio::{Better, Pair, ratio};

/// The lower end of an interval may be this much worse than the first build: 3 percent.
const WORST: f64 = 0.97;

/// Options of `proof speed`.
#[derive(Debug, Args)]
pub(crate) struct SpeedArgs {
    /// Folder of the first build: `seawall`, and `benches/` with its benchmarks
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// Folder of the second build: the same, and `loadtest`, which measures both
    #[arg(long, value_name = "DIR")]
    head: PathBuf,
    /// How often each build is measured
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=99))]
    pairs: u16,
    /// Small loads, and figures that are only shown: a trial of the measurement itself
    #[arg(long)]
    quick: bool,
}

/// Every pair of one figure.
struct Series {
    name: String,
    better: Better,
    judged: bool,
    pairs: Vec<Pair>,
}

/// Measures and judges.
///
/// # Errors
/// When a build lacks a program, or a measurement fails.
pub(crate) fn run(args: &SpeedArgs, logs: &Path) -> io::Result<Vec<Judged>> {
    let loadtest = args.head.join("loadtest");
    let build = |bin| Build { loadtest: &loadtest, bin, logs };
    let builds = [build(args.base.as_path()), build(args.head.as_path())];
    let mut series: Vec<Series> = Vec::new();
    let begun = now();
    for round in 0..args.pairs {
        for case in Case::ALL {
            // Each build comes first in every other round.
            let first = usize::from(round % 2);
            let measure = |build: usize| case.measure(&builds[build], args.quick);
            let mut measured = [measure(first)?, measure(1 - first)?];
            if case.is_disturbed() && !args.quick {
                keep_better(&mut measured[1], &measure(1 - first)?);
                keep_better(&mut measured[0], &measure(first)?);
            }
            measured.rotate_left(first);
            let [base, head] = measured;
            add(&mut series, base, &head);
        }
        println!("pair {} of {}, {:.0} s", round + 1, args.pairs, begun.elapsed().as_secs_f64());
    }
    Ok(series.iter().map(|series| series.judge(args.quick)).collect())
}

/// What disturbs a measurement makes it worse: of two the better one counts.
fn keep_better(first: &mut [Measured], second: &[Measured]) {
    for (one, other) in first.iter_mut().zip(second) {
        one.value = match one.better {
            Better::Larger => one.value.max(other.value),
            Better::Smaller => one.value.min(other.value),
        };
    }
}

#[allow(clippy::disallowed_methods, reason = "how long a proof takes is told to who waits for it")]
fn now() -> Instant {
    Instant::now()
}

/// Adds the figures that both builds have.
fn add(series: &mut Vec<Series>, base: Vec<Measured>, head: &[Measured]) {
    for Measured { name, value, better, judged } in base {
        let Some(other) = head.iter().find(|other| other.name == name) else { continue };
        let pair = Pair { base: value, head: other.value };
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.pairs.push(pair),
            None => series.push(Series { name, better, judged, pairs: vec![pair] }),
        }
    }
}

impl Series {
    /// The figure that is held against the goal is the lower end of the interval.
    fn judge(&self, quick: bool) -> Judged {
        let ratio = ratio(&self.pairs, self.better);
        let middle = |of: fn(&Pair) -> f64| {
            let mut values: Vec<f64> = self.pairs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (base, head) = (middle(|pair| pair.base), middle(|pair| pair.head));
        let told = ratio.map_or_else(String::new, |ratio| {
            format!(
                "{base:.1} -> {head:.1}, ratio {:.3} ({:.3} to {:.3}, {:.0} %), low end",
                ratio.estimate,
                ratio.low,
                ratio.high,
                100.0 * ratio.confidence
            )
        });
        Judged {
            what: format!("{}: {told}", self.name),
            value: ratio.map(|ratio| ratio.low),
            goal: if self.judged && !quick { Goal::AtLeast(WORST) } else { Goal::Shown },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, value: f64) -> Measured {
        Measured { name: name.to_owned(), value, better: Better::Larger, judged: true }
    }

    #[test]
    fn of_two_measurements_the_better_one_counts() {
        let smaller = |value| Measured { better: Better::Smaller, ..measured("b", value) };
        let mut first = [measured("a", 1.0), smaller(1.0)];
        keep_better(&mut first, &[measured("a", 2.0), smaller(2.0)]);
        assert_eq!(first.map(|one| one.value), [2.0, 1.0]);
    }

    fn series(ratios: [f64; 8]) -> Vec<Series> {
        let mut series = Vec::new();
        for ratio in ratios {
            let base = vec![measured("a", 100.0), measured("only before", 1.0)];
            add(&mut series, base, &[measured("only after", 1.0), measured("a", 100.0 * ratio)]);
        }
        series
    }

    #[test]
    fn figures_are_paired_by_name_and_those_of_one_build_are_left_out() {
        let series = series([1.0; 8]);
        assert_eq!(series.len(), 1);
        assert_eq!((series[0].name.as_str(), series[0].pairs.len()), ("a", 8));
    }

    #[test]
    fn three_percent_slower_is_met_and_more_is_missed() {
        assert!(series([0.971; 8])[0].judge(false).is_met());
        assert!(!series([0.969; 8])[0].judge(false).is_met());
        // Noise alone, too, if it leaves open that the build is slower than that.
        assert!(!series([0.9, 1.1, 0.92, 1.08, 0.95, 1.05, 0.9, 1.1])[0].judge(false).is_met());
        assert!(series([0.5; 8])[0].judge(true).is_met(), "a quick run judges nothing");
    }
}
