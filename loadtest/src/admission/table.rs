//! The rows of the table, with what the design says of each.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use super::scenario::{AdmissionPolicy, RefusalPolicy, Scenario};
use super::world::simulate;

/// What the design gives: from, to.
#[derive(Debug, Clone, Copy)]
struct Claim {
    time: (f64, f64),
    attempts: (f64, f64),
    refusals: (u32, u32),
}

#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    scenario: Scenario,
    claim: Option<Claim>,
}

/// Rows under one heading.
pub(crate) struct TableSection {
    heading: String,
    rows: Vec<Row>,
}

/// All of them.
pub(crate) fn sections(agents: u32, rate: NonZeroU32, seed: u64) -> Vec<TableSection> {
    let size = format!("{agents} agents, {rate}/s");
    let plain = |policy| Scenario { seed, ..Scenario::plain(policy, agents, rate) };
    let with_clocks = |clocks: f64| {
        let rows = policies().map(|(name, policy, claim)| {
            let scenario = Scenario { clocks, ..plain(policy) };
            Row { name, scenario, claim: Some(claim) }
        });
        let heading = format!("{size}, clocks ±{:.0} %", clocks * 100.0);
        TableSection { heading, rows: rows.to_vec() }
    };
    let settings = settings().map(|(name, policy, claim)| {
        let scenario = plain(RefusalPolicy::Admission(policy));
        Row { name, scenario, claim }
    });
    let misbehaving = settings_with_misbehaviour().map(|(name, policy)| {
        let scenario = Scenario { misbehaving: 0.2, ..plain(RefusalPolicy::Admission(policy)) };
        Row { name, scenario, claim: None }
    });
    let troubles = troubles(plain(RefusalPolicy::Admission(AdmissionPolicy::parked())));
    vec![
        with_clocks(0.1),
        with_clocks(0.0),
        TableSection { heading: format!("{size}, parked, in trouble"), rows: troubles },
        TableSection { heading: format!("{size}, parked, set otherwise"), rows: settings.to_vec() },
        TableSection { heading: format!("{size}, 20 % misbehave"), rows: misbehaving.to_vec() },
    ]
}

fn policies() -> [(&'static str, RefusalPolicy, Claim); 5] {
    let claim = |time, attempts, refusals| Claim { time, attempts, refusals };
    [
        (
            "no Retry-After (agent's own backoff)",
            RefusalPolicy::Nothing,
            claim((1.1, 1.7), (8.0, 15.0), (50_000, 800_000)),
        ),
        (
            "fixed 30 s",
            RefusalPolicy::Within(30.0, 30.0),
            claim((1.4, 15.0), (2.0, 16.0), (0, 850_000)),
        ),
        (
            "uniform 30 to 60 s",
            RefusalPolicy::Within(30.0, 60.0),
            claim((1.2, 6.7), (2.0, 7.0), (1_000, 30_000)),
        ),
        (
            "next free slot, 10 % overbooked",
            RefusalPolicy::Admission(AdmissionPolicy::reservations()),
            claim((1.0, 1.03), (1.8, 2.1), (300, 1_500)),
        ),
        (
            "the same, 15 %, and 20 s worth parked",
            RefusalPolicy::Admission(AdmissionPolicy::parked()),
            claim((0.99, 1.0), (1.0, 2.04), (300, 1_500)),
        ),
    ]
}

/// The parked policy when something else happens as well.
fn troubles(plain: Scenario) -> Vec<Row> {
    let row = |name, scenario| Row { name, scenario, claim: None };
    let reservations = RefusalPolicy::Admission(AdmissionPolicy::reservations());
    let expecting = RefusalPolicy::Admission(AdmissionPolicy {
        change_expected: true,
        ..AdmissionPolicy::parked()
    });
    let late = Scenario { latecomers: 0.75, change_at: 0.1, rate_changes: 4.0, ..plain };
    vec![
        row("4 nodes", Scenario { nodes: 4, ..plain }),
        row("20 % misbehave", Scenario { misbehaving: 0.2, ..plain }),
        row("  without a park", Scenario { misbehaving: 0.2, policy: reservations, ..plain }),
        row("rate halved at half-time", Scenario { rate_changes: 0.5, ..plain }),
        row("rate doubled at half-time", Scenario { rate_changes: 2.0, ..plain }),
        row("  and that was expected", Scenario { rate_changes: 2.0, policy: expecting, ..plain }),
        row("half of the fleet once more", Scenario { second_wave: true, ..plain }),
        row(
            "half once more, rate doubled",
            Scenario { second_wave: true, rate_changes: 2.0, ..plain },
        ),
        row("most come later, rate by then fourfold", late),
        row("  without a park", Scenario { policy: reservations, ..late }),
        row("first dials within 10 s", Scenario { spread: Duration::from_secs(10), ..plain }),
        row(
            "4 nodes, 20 %, halved, half once more",
            Scenario { nodes: 4, misbehaving: 0.2, rate_changes: 0.5, second_wave: true, ..plain },
        ),
    ]
}

fn settings() -> [(&'static str, AdmissionPolicy, Option<Claim>); 6] {
    let parked = AdmissionPolicy::parked();
    let minimum = Claim { time: (1.05, 1.12), attempts: (1.0, 2.04), refusals: (300, 1_500) };
    [
        ("overbooked by 0 %", AdmissionPolicy { overbook_percent: 0, ..parked }, None),
        ("overbooked by 10 %", AdmissionPolicy { overbook_percent: 10, ..parked }, None),
        ("overbooked by 25 %", AdmissionPolicy { overbook_percent: 25, ..parked }, None),
        (
            "retry minimum 30 s",
            AdmissionPolicy { retry_min: Duration::from_secs(30), ..parked },
            Some(minimum),
        ),
        (
            "5 s worth parked",
            AdmissionPolicy { park_horizon: Duration::from_secs(5), ..parked },
            None,
        ),
        ("backlog told as nothing", AdmissionPolicy { backlog_told: Some(0.0), ..parked }, None),
    ]
}

fn settings_with_misbehaviour() -> [(&'static str, AdmissionPolicy); 9] {
    let parked = AdmissionPolicy::parked();
    let reservations = AdmissionPolicy::reservations();
    [
        ("backlog unknown", AdmissionPolicy { backlog_told: None, ..parked }),
        ("backlog told twice too high", AdmissionPolicy { backlog_told: Some(2.0), ..parked }),
        ("backlog told as half", AdmissionPolicy { backlog_told: Some(0.5), ..parked }),
        ("backlog told as nothing", AdmissionPolicy { backlog_told: Some(0.0), ..parked }),
        ("refusals never held", AdmissionPolicy { held_max: 0, ..parked }),
        ("refusals always held", AdmissionPolicy { held_max: usize::MAX, ..parked }),
        ("no park, backlog unknown", AdmissionPolicy { backlog_told: None, ..reservations }),
        ("no park, agents can be recognised", AdmissionPolicy { identities: true, ..reservations }),
        ("agents can be recognised", AdmissionPolicy { identities: true, ..parked }),
    ]
}

impl TableSection {
    /// Simulates each row and prints it.
    ///
    /// # Errors
    /// When there is nowhere to print to.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{:<46}{:<20}{:<20}refusals/s", self.heading, "time", "attempts")?;
        for row in &self.rows {
            let outcome = simulate(row.scenario);
            let of = |(from, to): (f64, f64)| format!("[{from:.2} {to:.2}]");
            let [time, attempts] = row
                .claim
                .map_or_else(<[String; 2]>::default, |claim| [of(claim.time), of(claim.attempts)]);
            let refusals = row.claim.map(|claim| claim.refusals);
            let refusals = refusals.map_or_else(String::new, |(f, t)| format!("[{f} {t}]"));
            let late = if outcome.disconnected == 0 {
                String::new()
            } else {
                format!("  {} never got in", outcome.disconnected)
            };
            writeln!(
                out,
                "{:<46}{:>5.2} {time:<14}{:>5.2} {attempts:<14}{:>7} {refusals}{late}",
                row.name, outcome.time, outcome.attempts, outcome.refusals_peak
            )?;
        }
        Ok(())
    }
}
