//! The cases' figures for a reader, a row each, and the verdict on all.

use std::process::ExitCode;

use super::CaseRow;
use crate::figures::shown;

/// What stands over the rows.
pub(super) const HEAD: &str = "\
case                      rate    ideal    100 %  ratio  dials/agent  dials/agent      refusals/s  probe p99   agents   agents
                         per s        s        s               (all)   (obedient)  (worst second)         ms  missing    wrong";

/// One row.
pub(super) fn line(row: &CaseRow) -> String {
    let outcome = &row.outcome;
    let queue = &outcome.queue;
    let name = format!("{}{}", row.case, if row.fixed { ", fixed" } else { "" });
    let fitting = |value| shown(value, "");
    format!(
        "{name:<24}{:>6}{:>9}{:>9}{:>7}{:>13}{:>13}{:>16}{:>11}{:>9}{:>9}",
        row.rate,
        fitting(queue.ideal_seconds),
        fitting(queue.obedient_seconds_to_100),
        fitting(queue.time_ratio),
        fitting(outcome.attempts_mean),
        fitting(queue.obedient_attempts_mean),
        outcome.refused_peak_per_second,
        fitting(outcome.probes.probe_rtt_ms_p99),
        shown(outcome.of_server("agents_missing"), ""),
        shown(outcome.of_server("agents_wrong"), ""),
    )
}

/// Each case beside itself with a fixed `Retry-After`.
pub(super) fn compare(rows: &[CaseRow]) {
    println!();
    for own in rows.iter().filter(|row| !row.fixed) {
        for fixed in rows.iter().filter(|row| row.fixed && row.case == own.case) {
            let words = |row: &CaseRow| {
                format!(
                    "{} times the ideal, {} dials, {} refusals in the worst second",
                    shown(row.outcome.queue.time_ratio, ""),
                    shown(row.outcome.attempts_mean, ""),
                    row.outcome.refused_peak_per_second
                )
            };
            println!("{}: {}\n  against {}", own.case, words(own), words(fixed));
        }
    }
}

/// Lists what was missed and what is wrong; success if that is nothing.
pub(super) fn verdict(rows: &[CaseRow]) -> ExitCode {
    let complaints = complaints(rows);
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn complaints(rows: &[CaseRow]) -> Vec<String> {
    let of_row = |row: &CaseRow| {
        let missed = row.missed.iter().map(|missed| format!("MISSED ({}): {missed}", row.case));
        let faults =
            row.outcome.faults.iter().map(|fault| format!("FAULT ({}): {fault}", row.case));
        missed.chain(faults).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::manners::Census;
    use crate::fleet::measured::Measured;
    use crate::storm::outcome::StormOutcome;

    #[test]
    fn what_is_missed_and_what_is_wrong_both_fail() {
        let row = |missed: &[&str], faults: &[&str]| {
            let mut outcome = StormOutcome::new(Census::default(), Measured::default());
            outcome.faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
            let missed = missed.iter().map(|missed| (*missed).to_owned()).collect();
            let case = "r1000".to_owned();
            CaseRow { case, rate: 1000.0, fixed: false, budget: None, missed, outcome }
        };
        assert!(complaints(&[row(&[], &[])]).is_empty());
        let all = complaints(&[row(&["time"], &[]), row(&[], &["lost"])]);
        assert_eq!(all, ["MISSED (r1000): time", "FAULT (r1000): lost"]);
        let columns = line(&row(&[], &[]));
        assert_eq!(columns.split_whitespace().count(), 11, "{columns}");
    }
}
