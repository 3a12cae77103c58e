//! Forced moves in a storm: agents that are back go on to another target, at a rate, and what each
//! target got of all this.

use std::io;
use std::time::Duration;

use clap::Args;
use seawall::clock;
use serde::Serialize;

use crate::args::share;
use crate::crew::Crew;
use crate::figures::{round, shown};
use crate::fleet::choice::TargetCounts;
use crate::fleet::measured::Measured;
use crate::fleet::moves::MoveOrder;
use crate::fleet::target::DialTarget;

/// How often it is asked whether all have moved.
const LOOK: Duration = Duration::from_millis(25);

/// Which agents move. With several targets, each goes to another one than it is on.
#[derive(Debug, Clone, Args)]
pub(crate) struct MoveArgs {
    /// Once all are back, let this many agents leave for another target
    #[arg(long, default_value_t = 0, value_name = "AGENTS")]
    move_agents: u32,
    /// How many a second; 0: all at once
    #[arg(long, default_value_t = 1000, value_name = "PER_SECOND")]
    move_rate: u32,
    /// The share of them (0 to 1) whose state changes on the way
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    move_changed: f64,
    /// How often each moves, without waiting for replies between: 2 is there and back again
    #[arg(long, default_value_t = 1, value_name = "TIMES", value_parser = clap::value_parser!(u16).range(1..=16))]
    move_hops: u16,
}

impl MoveArgs {
    /// Lets agents move, and says how many were told to; see [`relocate`].
    ///
    /// # Errors
    /// When a worker has died.
    pub(super) async fn carry_out(&self, crew: &mut Crew, patience: Duration) -> io::Result<u64> {
        let agents = self.move_agents.min(crew.agents);
        if agents > 0 {
            let (per_second, changed) = (f64::from(self.move_rate), self.move_changed);
            let order = MoveOrder { agents, per_second, changed, hops: self.move_hops };
            relocate(crew, order, patience).await?;
        }
        Ok(agents.into())
    }
}

/// Lets agents move, from now on, and waits until each has a reply on its new connection or the time
/// is over; [`MoveFigures`] shows which.
///
/// # Errors
/// When a worker has died.
pub(crate) async fn relocate(
    crew: &mut Crew,
    order: MoveOrder,
    patience: Duration,
) -> io::Result<()> {
    let agents = u64::from(order.agents.min(crew.agents));
    let before = crew.measured().await?.moves_answered;
    let deadline = clock::now() + patience;
    crew.relocate(clock::now(), order).await?;
    loop {
        tokio::time::sleep(LOOK).await;
        let answered = crew.measured().await?.moves_answered - before;
        if answered >= agents || clock::now() >= deadline {
            return Ok(());
        }
    }
}

/// What one target got.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TargetFigures {
    target: String,
    #[serde(flatten)]
    counts: TargetCounts,
    /// Agents that are connected there in the end.
    connected: u64,
}

/// The figures; part of [`super::outcome::StormOutcome`], whose keys are an interface.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct MoveFigures {
    /// From the cut on.
    pub(crate) targets: Vec<TargetFigures>,
    /// Connections that agents left as they were ordered, and the moves that ended with a reply.
    pub(crate) moves_begun: u64,
    pub(crate) moves_answered: u64,
    /// From the dial of a forced move to the reply.
    pub(crate) moved_reply_ms_p50: Option<f64>,
    pub(crate) moved_reply_ms_p99: Option<f64>,
}

impl MoveFigures {
    /// From what was measured at the cut and in the end.
    pub(crate) fn between(targets: &[DialTarget], start: &Measured, end: &Measured) -> Self {
        let since = end.targets_since(start);
        let figures = |(target, (place, counts)): (&DialTarget, (usize, &TargetCounts))| {
            let connected = end.targets.get(place).map_or(0, TargetCounts::connected);
            TargetFigures { target: target.url().to_owned(), counts: *counts, connected }
        };
        let in_milliseconds = |share| end.moved_reply.quantile_ms(share).map(round);
        Self {
            targets: targets.iter().zip(since.iter().enumerate()).map(figures).collect(),
            moves_begun: end.moves_begun.saturating_sub(start.moves_begun),
            moves_answered: end.moves_answered.saturating_sub(start.moves_answered),
            moved_reply_ms_p50: in_milliseconds(0.5),
            moved_reply_ms_p99: in_milliseconds(0.99),
        }
    }

    /// What a reader sees of it, as names and values; one target alone has no line of its own.
    pub(crate) fn lines(&self) -> Vec<(String, String)> {
        let several = self.targets.iter().filter(|_| self.targets.len() > 1);
        let mut lines: Vec<_> = several
            .map(|target| {
                let TargetCounts { dials, sessions, came_from_elsewhere, .. } = target.counts;
                let value = format!(
                    "{dials} dials, {sessions} sessions ({came_from_elsewhere} from elsewhere), {} in the end",
                    target.connected
                );
                (format!("at {}", target.target), value)
            })
            .collect();
        if self.moves_begun > 0 {
            lines.push(("forced moves".to_owned(), self.moves_begun.to_string()));
            lines.push(("  first reply, p99".to_owned(), shown(self.moved_reply_ms_p99, " ms")));
        }
        lines
    }

    /// The faults, in words; `ordered` agents were to move.
    pub(crate) fn faults(&self, ordered: u64) -> Vec<String> {
        let missing = ordered.saturating_sub(self.moves_answered);
        let fault = format!("{missing} agents that were to move have no reply elsewhere");
        (missing > 0).then_some(fault).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_its_own_counts_since_the_cut() {
        let targets: Vec<DialTarget> =
            ["ws://127.0.0.1:1", "ws://127.0.0.1:2"].map(|url| url.parse().unwrap()).into();
        let mut start = Measured::default();
        start.at_target(1, |counts| counts.sessions = 5);
        let mut end = start.clone();
        end.at_target(0, |counts| (counts.sessions, counts.came_from_elsewhere) = (3, 2));
        end.at_target(1, |counts| (counts.ended, counts.dials) = (3, 1));
        (end.moves_begun, end.moves_answered) = (3, 2);
        let figures = MoveFigures::between(&targets, &start, &end);
        let [first, second] = &figures.targets[..] else { panic!("{figures:?}") };
        assert_eq!((first.counts.sessions, first.connected), (3, 3));
        assert_eq!((second.counts.sessions, second.counts.dials, second.connected), (0, 1, 2));
        assert_eq!(figures.lines().len(), 4);
        assert_eq!(figures.faults(3).len(), 1);
        assert!(figures.faults(2).is_empty());
    }
}
