//! The sources are in order, and what held before still holds.

use super::{Size, goals_missed};
use crate::figure::Goal::{AtLeast, Exactly, Shown};
use crate::step::Place::Text;
use crate::step::{Program, Step, last_before, occurrences};

/// Breaches of the rules that the simulation must notice: 20 of the session's, 8 of mode `http`, the
/// drain and admission.
const BREACHES_MIN: f64 = 28.0;

/// Figures of the sources; at full size also the simulation. The speed of two builds is apart.
pub(crate) fn steps(size: Size) -> Vec<Step> {
    let mut steps = vec![
        Step::new("sources", Program::Make, &["figures"])
            .wants("goals", Text(|text| Some(occurrences(text, " met"))), Shown)
            .wants("goals missed", Text(goals_missed), Exactly(0.0)),
    ];
    if let Size::Full { seeds } = size {
        steps.extend(simulation(seeds));
    }
    steps
}

/// Seeds that the oracle accepts, and breaches of the rules that it notices.
pub(crate) fn simulation(seeds: u32) -> [Step; 2] {
    let arguments = ["sim".to_owned(), format!("SEEDS={seeds}")];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    [
        Step::new("simulation", Program::Make, &arguments)
            .wants("seeds", Text(|text| last_before(text, " seeds, ")), AtLeast(f64::from(seeds)))
            .wants("events", Text(|text| last_before(text, " events, ")), Shown),
        Step::new("breaches", Program::Make, &["sim-mutations"]).wants(
            "noticed",
            Text(|text| Some(occurrences(text, ": seed "))),
            AtLeast(BREACHES_MIN),
        ),
    ]
}
