//! How long shards' hand-overs took, from the logs of nodes: a node that leaves takes its metrics with it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// `[log]` of nodes whose hand-overs are looked at.
pub(super) const LEVEL: &str = "info,seawall::ownership=debug";

/// A line of a node's log.
#[derive(Debug, Deserialize)]
struct LogLine {
    message: String,
    result: Option<String>,
    took: Option<String>,
}

/// The longest hand-over in this log, as the node saw it whose agents waited. `None` if there was none.
pub(super) fn longest(log: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(log).ok()?;
    text.lines().filter_map(hand_over).max()
}

fn hand_over(line: &str) -> Option<Duration> {
    let line: LogLine = serde_json::from_str(line).ok()?;
    let is_given = line.message == "hand-over" && line.result? == "given";
    // The log has the unit that people write as "us" with its sign.
    let took = line.took?.replace('µ', "u");
    seawall::config::duration(&took).ok().filter(|_| is_given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_gave_counts_and_how_long_that_took() {
        let line = |result: &str, took: Duration| {
            format!(
                "{{\"level\":\"DEBUG\",\"message\":\"hand-over\",\"shard\":7,\"result\":\"{result}\",\"took\":\"{took:?}\"}}"
            )
        };
        for took in
            [Duration::from_micros(1_250), Duration::from_micros(80), Duration::from_secs(3)]
        {
            assert_eq!(hand_over(&line("given", took)), Some(took));
        }
        assert_eq!(hand_over(&line("void", Duration::from_secs(1))), None);
        assert_eq!(hand_over("{\"message\":\"shard\"}"), None);
        assert_eq!(hand_over("a panic"), None);
    }
}
