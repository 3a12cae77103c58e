//! One step of a proof: a command, how long it may take, and the figures that are read from it.

use std::time::Duration;

use serde_json::Value;

use crate::figure::{Goal, Judged};

/// What a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The load generator; its figures come as JSON.
    Loadtest,
    /// The same beside a server stand-in and a gateway that are started for it.
    Staged,
    /// `make`, which prints text.
    Make,
    /// `cargo`, which prints text.
    Cargo,
}

/// Where a figure is found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In the JSON, at this pointer (RFC 6901).
    Json(&'static str),
    /// In the JSON, the first less the second.
    Less(&'static str, &'static str),
    /// How many elements the list at this pointer has.
    Length(&'static str),
    /// In the text, worked out by this function.
    Text(fn(&str) -> Option<f64>),
    /// The command's exit code.
    ExitCode,
}

/// A figure that a step must yield.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    what: &'static str,
    place: Place,
    goal: Goal,
}

/// A command with its figures.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Stands before the names of its figures, and names its files.
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) arguments: Vec<String>,
    pub(crate) patience: Duration,
    wanted: Vec<Wanted>,
}

/// What a command came to.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// `None` if a signal ended it, as when its time was up.
    pub(crate) exit_code: Option<i32>,
    pub(crate) text: String,
    pub(crate) json: Option<Value>,
}

impl Step {
    /// Whether its name begins with `name`, which ends where a number ends: "1" is not "10".
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name
            .strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
    }

    /// A command that must exit with 0. It may take an hour: a proof is patient.
    pub(crate) fn new(name: &str, program: Program, arguments: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            patience: Duration::from_secs(3_600),
            wanted: vec![Wanted {
                what: "exit code",
                place: Place::ExitCode,
                goal: Goal::Exactly(0.0),
            }],
        }
    }

    /// Wants one more figure.
    pub(crate) fn wants(mut self, what: &'static str, place: Place, goal: Goal) -> Self {
        self.wanted.push(Wanted { what, place, goal });
        self
    }

    /// Holds what the command came to against the goals.
    pub(crate) fn judge(&self, ended: &Ended) -> Vec<Judged> {
        let judge = |wanted: &Wanted| Judged {
            what: format!("{}: {}", self.name, wanted.what),
            value: ended.find(wanted.place),
            goal: wanted.goal,
        };
        self.wanted.iter().map(judge).collect()
    }
}

impl Ended {
    fn number(&self, pointer: &str) -> Option<f64> {
        self.json.as_ref()?.pointer(pointer)?.as_f64()
    }

    fn find(&self, place: Place) -> Option<f64> {
        match place {
            Place::Json(pointer) => self.number(pointer),
            Place::Less(whole, part) => Some(self.number(whole)? - self.number(part)?),
            Place::Length(pointer) => {
                let list = self.json.as_ref()?.pointer(pointer)?.as_array()?;
                u32::try_from(list.len()).ok().map(f64::from)
            }
            Place::Text(read) => read(&self.text),
            Place::ExitCode => self.exit_code.map(f64::from),
        }
    }
}

/// The numbers that stand right before `after`: in `12 passed and 3 passed` these are 12 and 3.
fn numbers(text: &str, after: &str) -> Vec<f64> {
    let digits = |before: &str| {
        let start = before.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
        before[start..].parse::<u32>().ok()
    };
    let found = text.match_indices(after).filter_map(|(at, _)| digits(&text[..at]));
    found.map(f64::from).collect()
}

/// All of them together, as each test program counts its own tests.
pub(crate) fn sum_before(text: &str, after: &str) -> Option<f64> {
    let numbers = numbers(text, after);
    (!numbers.is_empty()).then(|| numbers.iter().sum())
}

/// The last of them, where a command tells how far it is on the way.
pub(crate) fn last_before(text: &str, after: &str) -> Option<f64> {
    numbers(text, after).last().copied()
}

/// How often `what` stands in the text.
pub(crate) fn occurrences(text: &str, what: &str) -> f64 {
    u32::try_from(text.matches(what).count()).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_where_they_stand() {
        let ended = Ended {
            exit_code: Some(1),
            text: "test result: ok. 12 passed; 0 failed\ntest result: ok. 3 passed; 1 failed"
                .to_owned(),
            json: Some(
                serde_json::json!({ "bytes": { "percent": 0.32 }, "faults": ["a", "b"], "messages": 10, "heartbeats": 3 }),
            ),
        };
        assert_eq!(ended.find(Place::Json("/bytes/percent")), Some(0.32));
        assert_eq!(ended.find(Place::Json("/bytes/none")), None);
        assert_eq!(ended.find(Place::Less("/messages", "/heartbeats")), Some(7.0));
        assert_eq!(ended.find(Place::Less("/messages", "/none")), None);
        assert_eq!(ended.find(Place::Length("/faults")), Some(2.0));
        assert_eq!(ended.find(Place::Text(|text| sum_before(text, " passed"))), Some(15.0));
        assert_eq!(ended.find(Place::Text(|text| sum_before(text, " seeds"))), None);
        assert_eq!(ended.find(Place::Text(|text| Some(occurrences(text, "ok.")))), Some(2.0));
        assert_eq!(ended.find(Place::ExitCode), Some(1.0));
    }

    #[test]
    fn a_steps_name_begins_with_the_number_of_its_point() {
        let step = Step::new("1 storm, by uid", Program::Loadtest, &[]);
        assert!(step.is_named("1") && step.is_named("1 storm") && !step.is_named("storm"));
        assert!(!Step::new("10 storm", Program::Loadtest, &[]).is_named("1"));
    }

    #[test]
    fn a_command_that_tells_how_far_it_is_counts_in_the_end() {
        let text = "5 seeds, so far, 1 a second\n9 seeds, 300 events, 1 a second\n";
        assert_eq!(last_before(text, " seeds, "), Some(9.0));
        assert_eq!(last_before(text, " events, "), Some(300.0));
        assert_eq!(last_before(text, " breaches"), None);
    }

    #[test]
    fn a_step_without_output_misses_all_its_goals() {
        let step = Step::new("storm", Program::Loadtest, &["storm"]).wants(
            "agents missing",
            Place::Json("/server/agents_missing"),
            Goal::Exactly(0.0),
        );
        let judged = step.judge(&Ended::default());
        assert_eq!(judged.len(), 2);
        assert!(judged.iter().all(|figure| !figure.is_met()));
        assert_eq!(judged[1].what, "storm: agents missing");
    }
}
