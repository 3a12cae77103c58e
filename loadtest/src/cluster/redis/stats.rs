//! How many commands Redis has worked on, by their names, and which of them were the harness's own.

use std::collections::BTreeMap;

/// What the harness itself says, and what servers say to each other. Nodes may use some of these as
/// well (a client says hello); what they cost follows connections, of which there are few.
const NOT_OF_NODES: [&str; 18] = [
    "info",
    "ping",
    "save",
    "sentinel",
    "cluster",
    "replicaof",
    "slaveof",
    "role",
    "replconf",
    "psync",
    "publish",
    "subscribe",
    "hello",
    "client",
    "command",
    "config",
    "multi",
    "exec",
];

/// What the scripts of nodes say. It comes with the script, which is one call.
const WITHIN_SCRIPTS: [&str; 6] = ["hdel", "hexists", "hget", "hgetall", "hset", "hsetnx"];

/// Calls by command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cluster) struct Commands(BTreeMap<String, u64>);

impl Commands {
    /// From `INFO commandstats`: `cmdstat_get:calls=12,usec=...`. Subcommands count for their command.
    pub(super) fn read(info: &str) -> Self {
        let mut calls = BTreeMap::new();
        for line in info.lines() {
            let Some((name, rest)) = line.strip_prefix("cmdstat_").and_then(|l| l.split_once(':'))
            else {
                continue;
            };
            let count = rest.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
            let name = name.split('|').next().unwrap_or(name);
            if let Some(count) = count.and_then(|count| count.parse::<u64>().ok()) {
                *calls.entry(name.to_owned()).or_default() += count;
            }
        }
        Self(calls)
    }

    /// Adds another server's.
    pub(super) fn add(&mut self, other: &Self) {
        for (name, calls) in &other.0 {
            *self.0.entry(name.clone()).or_default() += calls;
        }
    }

    /// Those that nodes have said since `start`, with what their scripts say. A server that was restarted meanwhile counts from 0,
    /// so that its earlier ones are lost.
    pub(in crate::cluster) fn of_nodes_since(&self, start: &Self) -> u64 {
        self.since(start, &[])
    }

    /// The same, each script counted as one.
    pub(in crate::cluster) fn calls_since(&self, start: &Self) -> u64 {
        self.since(start, &WITHIN_SCRIPTS)
    }

    fn since(&self, start: &Self, but: &[&str]) -> u64 {
        let is_counted = |name: &str| !NOT_OF_NODES.contains(&name) && !but.contains(&name);
        let by_nodes = self.0.iter().filter(|(name, _)| is_counted(name));
        by_nodes
            .map(|(name, calls)| calls.saturating_sub(start.0.get(name).copied().unwrap_or(0)))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_and_the_harness_is_left_out() {
        let info = "# Commandstats\r\ncmdstat_info:calls=9,usec=1\r\ncmdstat_evalsha:calls=5,usec=3\r\n\
                    cmdstat_config|get:calls=2,usec=1\r\ncmdstat_hget:calls=7,usec=2,failed_calls=0\r\n";
        let mut now = Commands::read(info);
        assert_eq!(now.of_nodes_since(&Commands::default()), 12);
        now.add(&Commands::read("cmdstat_hget:calls=1,usec=2"));
        let before =
            Commands::read("cmdstat_evalsha:calls=4,usec=3\r\ncmdstat_hget:calls=2,usec=1");
        assert_eq!(now.of_nodes_since(&before), 7);
        assert_eq!(now.calls_since(&before), 1);
        assert_eq!(Commands::read("nonsense\r\ncmdstat_x"), Commands::default());
    }
}
