//! How figures leave a command: rounded, as a table for a reader, and as JSON for a script.
//!
//! Every command that measures takes [`FiguresArgs`], so that `--json` means the same everywhere.
//! This module decides where figures go; what they mean is the command's business.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

/// Where the figures of a command go, besides the table.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FiguresArgs {
    /// Write the figures to this file as JSON; `-` writes one line of JSON to standard output
    /// instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl FiguresArgs {
    /// Whether standard output belongs to the JSON line, which leaves the table out.
    pub(crate) fn takes_stdout(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }

    /// Writes the figures as JSON where `--json` wants them: indented into a file, in one line to
    /// standard output. It does its work only where `--json` is given.
    ///
    /// # Errors
    /// When the file or standard output fails.
    pub(crate) fn write(&self, figures: &impl Serialize) -> io::Result<()> {
        match &self.json {
            None => Ok(()),
            Some(_) if self.takes_stdout() => {
                let line = serde_json::to_string(figures)? + "\n";
                io::stdout().write_all(line.as_bytes())
            }
            Some(path) => std::fs::write(path, serde_json::to_string_pretty(figures)? + "\n"),
        }
    }

    /// Prints the table, writes the JSON, and lists the faults on standard error. The exit code is
    /// 1 if there are faults, else 0.
    ///
    /// # Errors
    /// When the file or standard output fails.
    pub(crate) fn publish(
        &self,
        figures: &impl Serialize,
        faults: &[String],
        print: impl FnOnce(),
    ) -> io::Result<ExitCode> {
        if !self.takes_stdout() {
            print();
        }
        self.write(figures)?;
        for fault in faults {
            eprintln!("FAULT: {fault}");
        }
        Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Prints one line of a table: what it is, and its value.
pub(crate) fn line(name: &str, value: impl fmt::Display) {
    println!("{name:<34} {value}");
}

/// Rounds to a thousandth: more digits would pretend to a precision that the measurement lacks.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The value with its unit; a dash where the value is unknown.
pub(crate) fn shown(value: Option<impl fmt::Display>, unit: &str) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value}{unit}"))
}

/// Bytes as megabytes with their unit; a dash where they are unknown.
pub(crate) fn megabytes(bytes: Option<f64>) -> String {
    shown(bytes.map(|bytes| round(bytes / 1e6)), " MB")
}

/// The second in which this share (0 to 1) of `agents` was back. `sorted` holds the return times of
/// the agents that are back, in microseconds; `None` while too few of them are.
pub(crate) fn seconds_to(sorted: &[u64], agents: u64, share: f64) -> Option<f64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most agents")]
    let rank = ((share * agents as f64).ceil() as usize).max(1);
    let us = sorted.get(rank - 1)?;
    Some(round(Duration::from_micros(*us).as_secs_f64()))
}

/// The middle one; of an even number, the lower of the two. `None` if one round failed: a median of
/// the good ones would hide that.
pub(crate) fn median(rounds: &[Option<f64>]) -> Option<f64> {
    let mut sorted = rounds.iter().copied().collect::<Option<Vec<f64>>>()?;
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// The most that happened in any second; times in microseconds, sorted.
pub(crate) fn most_in_a_second(sorted_us: &[u64]) -> u64 {
    let within = |(place, from): (usize, &u64)| {
        sorted_us[place..].partition_point(|at| *at < from + 1_000_000) as u64
    };
    sorted_us.iter().enumerate().map(within).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_agents_and_the_missing_count() {
        let back: Vec<u64> = (1..=99).map(|n| n * 1_000_000).collect();
        assert_eq!(seconds_to(&back, 100, 0.5), Some(50.0));
        assert_eq!(seconds_to(&back, 100, 0.99), Some(99.0));
        assert_eq!(seconds_to(&back, 100, 1.0), None);
    }

    #[test]
    fn the_best_second_may_begin_at_any_time() {
        assert_eq!(most_in_a_second(&[0, 900_000, 999_999, 1_000_000, 1_899_999, 1_900_000]), 4);
        assert_eq!(most_in_a_second(&[]), 0);
    }

    #[test]
    fn a_median_is_of_rounds_that_all_went_well() {
        assert_eq!(median(&[Some(3.0), Some(1.0), Some(2.0)]), Some(2.0));
        assert_eq!(median(&[Some(3.0), Some(1.0)]), Some(1.0));
        assert_eq!(median(&[Some(3.0), None, Some(2.0)]), None);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn unknown_values_are_dashes() {
        assert_eq!(
            (shown(Some(1.5), " s"), shown(None::<f64>, " s")),
            ("1.5 s".into(), "-".into())
        );
        assert_eq!(
            (megabytes(Some(1_234_567.0)), megabytes(None)),
            ("1.235 MB".into(), "-".into())
        );
    }

    #[test]
    fn a_dash_as_the_file_is_standard_output() {
        let to = |path: Option<&str>| FiguresArgs { json: path.map(PathBuf::from) };
        assert!(to(Some("-")).takes_stdout());
        assert!(!to(Some("figures.json")).takes_stdout() && !to(None).takes_stdout());
    }
}
