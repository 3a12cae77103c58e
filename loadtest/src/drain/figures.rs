//! What a drain came to, and whether that is right.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::figures::{line, most_in_a_second, shown};
use crate::fleet::measured::Move;
use crate::oracle::judge::OracleVerdict;
use crate::storm::outcome::of_server;

/// The figures. The keys are an interface.
#[derive(Debug, Default, Serialize)]
pub(super) struct DrainFigures {
    pub(super) balancer: &'static str,
    pub(super) agents: u64,
    /// Connected to the first node before, and to the second afterwards.
    pub(super) agents_on_first: u64,
    pub(super) agents_on_second: u64,
    /// Closes a second, at most, as the first node was told.
    pub(super) rate: u32,
    /// Sessions that it let go in the worst second, by its own count.
    pub(super) closes_worst_second: u64,
    /// Closed connections in the worst second, as the agents saw them: with their own lateness in it.
    pub(super) closes_seen_worst_second: u64,
    /// Moves seen by agents, and dials that were refused or failed meanwhile: in all, and of one agent.
    pub(super) moves: u64,
    pub(super) turned_away: u64,
    pub(super) turned_away_most: u64,
    /// From the order to drain until the node was drained; null if it still had agents in the end.
    pub(super) seconds_to_drained: Option<f64>,
    /// How long that may take: the notice, all agents at the rate, and some slack.
    pub(super) seconds_allowed: f64,
    /// From there until the server was seen to be right about every agent; null if it stayed wrong.
    pub(super) seconds_to_settled: Option<f64>,
    pub(super) misrouted: u64,
    pub(super) malformed: u64,
    /// How the drained node ended when it was asked to.
    pub(super) exit_code: Option<i32>,
    /// Since the drain began, as the server stand-in reports it.
    pub(super) server: Option<Map<String, Value>>,
    /// Some of the faults, in words.
    pub(super) faults: Vec<String>,
}

/// A look at the first node's count of sessions let go: when it was asked for, when it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) asked: Instant,
    pub(super) came: Instant,
    pub(super) moved: u64,
}

/// The most that was counted between two looks that were certainly within a second.
pub(super) fn worst_second(looks: &[Look]) -> u64 {
    let mut worst = 0;
    for (place, from) in looks.iter().enumerate() {
        let within =
            looks[place..].iter().take_while(|to| (to.came - from.asked).as_secs_f64() <= 1.0);
        worst = worst.max(within.last().map_or(0, |to| to.moved - from.moved));
    }
    worst
}

/// The most moves that began in any second.
pub(crate) fn worst_second_seen(moves: &[Move]) -> u64 {
    let mut times: Vec<u64> = moves.iter().map(|one| one.closed_at_us).collect();
    times.sort_unstable();
    most_in_a_second(&times)
}

impl DrainFigures {
    /// Takes in what the agents saw.
    pub(super) fn with_moves(&mut self, moves: &[Move]) {
        self.moves = moves.len() as u64;
        self.closes_seen_worst_second = worst_second_seen(moves);
        self.turned_away = moves.iter().map(|one| one.turned_away).sum();
        self.turned_away_most = moves.iter().map(|one| one.turned_away).max().unwrap_or(0);
    }

    /// Takes in what the server says, and lists the faults.
    pub(super) fn judge(&mut self, counts: Map<String, Value>, verdict: OracleVerdict) {
        let left = counts.get("agents_disconnected").and_then(Value::as_u64);
        self.server = Some(of_server(counts, &verdict));
        if !verdict.holds() {
            self.faults.push(verdict.in_words());
            self.faults.extend(verdict.examples);
        }
        let drained = self.seconds_to_drained;
        let Self { agents, agents_on_first, agents_on_second, rate, .. } = *self;
        let worst = self.closes_worst_second;
        for (is_wrong, what) in [
            (
                agents_on_first != agents,
                format!("{agents_on_first} of {agents} agents began on the first node"),
            ),
            (
                agents_on_second != agents,
                format!("{agents_on_second} of {agents} agents came to the second node"),
            ),
            (
                worst > rate.into(),
                format!("{worst} agents were let go in one second, with a rate of {rate}"),
            ),
            (
                self.turned_away_most > 1,
                format!("an agent was turned away {} times", self.turned_away_most),
            ),
            (drained.is_none(), "the node was not drained in time".to_owned()),
            (
                drained > Some(self.seconds_allowed),
                format!("it took more than {} s", self.seconds_allowed),
            ),
            (left != Some(0), format!("the server believes that {} agents left", shown(left, ""))),
            (self.misrouted > 0, format!("{} messages reached the wrong agent", self.misrouted)),
            (self.malformed > 0, format!("{} messages could not be read", self.malformed)),
            (
                self.exit_code != Some(0),
                format!("the node's exit code is {}", shown(self.exit_code, "")),
            ),
        ] {
            if is_wrong {
                self.faults.push(what);
            }
        }
    }

    /// Prints.
    pub(super) fn tell(&self) {
        line("balancer", self.balancer.to_owned());
        line("agents", self.agents.to_string());
        line("agents on the second node", self.agents_on_second.to_string());
        line(
            "closes in the worst second",
            format!("{} (rate {})", self.closes_worst_second, self.rate),
        );
        line("  as the agents saw them", self.closes_seen_worst_second.to_string());
        line(
            "dials turned away",
            format!("{}, {} of one agent", self.turned_away, self.turned_away_most),
        );
        line("drained after", shown(self.seconds_to_drained, " s"));
        line("server: right about all after", shown(self.seconds_to_settled, " s more"));
        for (name, key) in
            [("server: agents missing", "agents_missing"), ("server: agents wrong", "agents_wrong")]
        {
            let count = self.server.as_ref().and_then(|counts| counts.get(key)?.as_u64());
            line(name, shown(count, ""));
        }
        line("exit code of the drained node", shown(self.exit_code, ""));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_worst_second_is_one_that_fits_between_two_looks() {
        let start = seawall::clock::now();
        let look = |ms, moved| {
            let asked = start + Duration::from_millis(ms);
            Look { asked, came: asked + Duration::from_millis(10), moved }
        };
        let looks = [look(0, 0), look(500, 40), look(980, 100), look(1_000, 130), look(1_700, 150)];
        assert_eq!(worst_second(&looks), 100, "from the first to the third look");
        assert_eq!(worst_second(&[]), 0);
    }

    #[test]
    fn what_agents_saw_is_counted_in_any_second() {
        let moves = [0, 900_000, 999_999, 1_000_000, 1_899_999, 1_900_000];
        let moves = moves.map(|closed_at_us| Move { closed_at_us, turned_away: 1 });
        assert_eq!(worst_second_seen(&moves), 4);
        let mut figures = DrainFigures::default();
        figures.with_moves(&moves);
        assert_eq!((figures.moves, figures.turned_away, figures.turned_away_most), (6, 6, 1));
    }

    #[test]
    fn each_fault_is_said() {
        let good = || DrainFigures {
            agents: 5,
            agents_on_first: 5,
            agents_on_second: 5,
            rate: 3,
            closes_worst_second: 3,
            turned_away_most: 1,
            seconds_to_drained: Some(1.0),
            seconds_allowed: 2.0,
            exit_code: Some(0),
            ..DrainFigures::default()
        };
        let judged = |mut figures: DrainFigures| {
            let counts = [("agents_disconnected".to_owned(), 0.into())].into_iter().collect();
            figures.judge(counts, OracleVerdict::default());
            figures.faults
        };
        assert_eq!(judged(good()), [""; 0]);
        for bad in [
            DrainFigures { agents_on_second: 4, ..good() },
            DrainFigures { closes_worst_second: 4, ..good() },
            DrainFigures { turned_away_most: 2, ..good() },
            DrainFigures { seconds_to_drained: Some(2.1), ..good() },
            DrainFigures { exit_code: Some(3), ..good() },
        ] {
            assert_eq!(judged(bad).len(), 1);
        }
        assert_eq!(judged(DrainFigures { seconds_to_drained: None, ..good() }).len(), 1);
    }
}
