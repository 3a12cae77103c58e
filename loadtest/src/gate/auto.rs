//! A gateway with the defaults of admission, against the same with rates set by hand: whether the
//! rate that it finds by itself is as good as the best of those.

use std::io;
use std::process::ExitCode;

use serde::Serialize;

use super::{GateArgs, on_stage};
use crate::figures::{median, round, shown};
use crate::storm::outcome::StormOutcome;

/// The figures. The keys are an interface.
#[derive(Debug, Serialize)]
struct RateComparison {
    agents: u32,
    /// The first is the gateway's own choice.
    settings: Vec<RateTrial>,
    /// Its sessions a second over those of the best rate set by hand.
    auto_over_best: Option<f64>,
    /// Some of the faults, in words.
    faults: Vec<String>,
}

/// One way to set the gateway, and what came of it in each round.
#[derive(Debug, Default, Serialize)]
struct RateTrial {
    /// Null where the gateway chooses.
    rate: Option<f64>,
    /// Medians, and each round. A round from which an agent is missing has null here.
    sessions_per_second: Option<f64>,
    probe_rtt_ms_p99: Option<f64>,
    sessions_per_second_rounds: Vec<Option<f64>>,
    probe_rtt_ms_p99_rounds: Vec<Option<f64>>,
}

impl RateTrial {
    fn of(rate: Option<f64>) -> Self {
        Self { rate, ..Self::default() }
    }

    fn name(&self) -> String {
        self.rate.map_or_else(|| "automatic".to_owned(), |rate| rate.to_string())
    }

    fn add(&mut self, outcome: &StormOutcome) {
        self.sessions_per_second_rounds.push(outcome.sessions_per_second);
        self.probe_rtt_ms_p99_rounds.push(outcome.probes.probe_rtt_ms_p99);
        self.sessions_per_second = median(&self.sessions_per_second_rounds);
        self.probe_rtt_ms_p99 = median(&self.probe_rtt_ms_p99_rounds);
    }
}

/// Runs all settings in alternation and prints.
///
/// # Errors
/// As those of a storm on the stage, or when a setting for admission stands in the environment, or
/// the figures cannot be written.
pub(super) async fn run(args: &GateArgs) -> io::Result<ExitCode> {
    let mut variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    if let Some(name) = variables.find(|name| name.starts_with("SEAWALL_ADMISSION")) {
        let fault = format!("{name} is set, but what is measured is a gateway without any setting");
        return Err(io::Error::other(fault));
    }
    let rates = std::iter::once(None).chain(args.rates.iter().copied().map(Some));
    let mut settings: Vec<_> = rates.map(RateTrial::of).collect();
    let mut faults = Vec::new();
    let agents = args.agents.agents;
    if !args.staged.figures.takes_stdout() {
        println!("{agents} agents, cut off at one instant, {} rounds", args.rounds);
    }
    for round in 0..usize::from(args.rounds) {
        // Each round begins with another, lest one setting always has the machine as it was left
        // by the same other.
        for place in 0..settings.len() {
            let place = (place + round) % settings.len();
            let rate = settings[place].rate;
            let outcome = on_stage(args, &[], |storm| {
                storm.conditions.fill_rate = rate.map(|_| args.fill_rate);
                storm.conditions.admission_rate = rate;
            })
            .await?;
            let setting = &mut settings[place];
            setting.add(&outcome);
            let named = |fault: &String| format!("{}: {fault}", setting.name());
            faults.extend(outcome.faults.iter().map(named));
        }
    }
    let auto_over_best = auto_over_best(&settings);
    let comparison = RateComparison { agents, settings, auto_over_best, faults };
    args.staged.figures.publish(&comparison, &comparison.faults, || tell(&comparison))
}

fn tell(comparison: &RateComparison) {
    println!("\n{:<12} {:>11} {:>13}   rounds", "rate", "sessions/s", "probe p99 ms");
    for setting in &comparison.settings {
        let rounds =
            setting.sessions_per_second_rounds.iter().zip(&setting.probe_rtt_ms_p99_rounds);
        let rounds: Vec<_> =
            rounds.map(|(a, b)| format!("{} ({})", shown(*a, ""), shown(*b, " ms"))).collect();
        println!(
            "{:<12} {:>11} {:>13}   {}",
            setting.name(),
            shown(setting.sessions_per_second, ""),
            shown(setting.probe_rtt_ms_p99, ""),
            rounds.join(", ")
        );
    }
    println!("\nautomatic over the best set by hand: {}", shown(comparison.auto_over_best, ""));
}

fn auto_over_best(settings: &[RateTrial]) -> Option<f64> {
    let auto = settings.iter().find(|setting| setting.rate.is_none())?.sessions_per_second?;
    let by_hand = settings.iter().filter(|setting| setting.rate.is_some());
    let best = by_hand.filter_map(|setting| setting.sessions_per_second).max_by(f64::total_cmp)?;
    Some(round(auto / best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_by_hand_is_the_measure() {
        let setting =
            |rate, sessions_per_second| RateTrial { sessions_per_second, ..RateTrial::of(rate) };
        let mut settings = vec![
            setting(None, Some(4500.0)),
            setting(Some(2000.0), Some(2000.0)),
            setting(Some(8000.0), Some(5000.0)),
            setting(Some(16_000.0), None),
        ];
        assert_eq!(auto_over_best(&settings), Some(0.9));
        settings[0].sessions_per_second = None;
        assert_eq!(auto_over_best(&settings), None);
    }
}
