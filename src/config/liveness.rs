//! How often a server hears of each agent, in words. Must not know how a budget is kept.

use std::num::NonZeroU32;
use std::time::Duration;

use super::units::show_duration;
use crate::telemetry::thousands;
use crate::upstream::params::{Mode, ServerParams};

/// What most agents say heartbeats in, and the specification recommends ("OpAMPConnectionSettings").
const USUAL: Duration = Duration::from_secs(30);
/// Agents of the example, if the size of the fleet is not said.
const MANY: u64 = 1_000_000;

/// How often `server` hears of each of `fleet` agents; 0: their number is not known.
pub(super) fn describe(server: &ServerParams, fleet: u64) -> String {
    let (what, usual) = match server.mode {
        Mode::Http { poll_interval, .. } => ("heartbeats and polls", poll_interval),
        Mode::Multiplexed { .. } | Mode::PerAgent => ("heartbeats", USUAL),
    };
    let Some(budget) = server.liveness_budget.map(NonZeroU32::get) else {
        return format!(
            "{what}: never sent on; the server hears of an agent when something changes"
        );
    };
    let (usual_shown, many) = (show_duration(usual), if fleet == 0 { MANY } else { fleet });
    let fits = u128::from(budget) * usual.as_millis() / 1_000;
    let every = Duration::from_secs(many.div_ceil(u64::from(budget)));
    let many = thousands(many.into());
    let most = format!("{what}: at most {} a second", thousands(budget.into()));
    if fleet > 0 && every <= usual {
        return format!(
            "{most}; each of {many} agents is heard of as often as it speaks, each {usual_shown}"
        );
    }
    format!(
        "{most}: {} agents at {usual_shown}; of more, each is heard of equally seldom ({many}: every {})",
        thousands(fits),
        show_duration(every)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Uri;

    #[test]
    fn says_how_often_a_server_hears_of_each_agent() {
        let mut server = ServerParams::at(Uri::from_static("ws://h"));
        assert_eq!(
            describe(&server, 0),
            "heartbeats: at most 1,000 a second: 30,000 agents at 30s; of more, each is heard of equally \
             seldom (1,000,000: every 1000s)"
        );
        let words = "heartbeats: at most 1,000 a second; each of 15,000 agents is heard of as often as \
                     it speaks, each 30s";
        assert_eq!(describe(&server, 15_000), words);
        server.liveness_budget = NonZeroU32::new(20);
        assert!(
            describe(&server, 15_000).ends_with("(15,000: every 750s)"),
            "{}",
            describe(&server, 15_000)
        );
        server.liveness_budget = None;
        assert!(describe(&server, 0).starts_with("heartbeats: never sent on"));
    }
}
