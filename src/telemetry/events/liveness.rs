//! What an operator is told of the budget for signs of life.

use std::time::Duration;

use tracing::{info, warn};

use crate::core::pacing::LivenessNews;

const TARGET: &str = "seawall::upstream";

/// The budget of a server has become too small, or is enough again.
pub(crate) struct LivenessTold<'a> {
    /// The server's name in the configuration.
    pub server: &'a str,
    /// Signs of life a second, at most.
    pub budget: u32,
    /// What there is to tell.
    pub news: LivenessNews,
}

impl LivenessTold<'_> {
    /// Logs it.
    pub(crate) fn emit(self) {
        let Self { server, budget, news } = self;
        match news {
            LivenessNews::Behind { every, asked } => warn!(target: TARGET,
                server,
                liveness_budget = budget,
                every_seconds = seconds(every),
                asked_seconds = seconds(asked),
                "heartbeats do not fit `liveness_budget`: the server hears of each agent about once \
                 in every_seconds; where it takes agents for dead sooner, raise the budget, or the \
                 interval that it offers (asked_seconds; 0: none)"
            ),
            LivenessNews::Caught => info!(target: TARGET,
                server,
                liveness_budget = budget,
                "heartbeats fit `liveness_budget` again"
            ),
        }
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
