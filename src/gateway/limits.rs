//! For how many agents the machine has room: the limit on open files, less what Seawall needs itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::config::Config;
use crate::edge::agents_of;
use crate::telemetry::thousands;
use crate::upstream::params::{Mode, UpstreamParams};

/// Descriptors for listeners, logs and the administration port, and for links that replace others.
/// README.md names the number.
const DESCRIPTORS_RESERVED: u64 = 256;
/// A node that can serve fewer agents than this warns of it: the usual soft limit on open files is 1,024.
const AGENTS_EXPECTED: usize = 5_000;

/// Raises the soft limit on open files as far as the system allows: it exists for programs that use `select`.
///
/// # Errors
/// If the system refuses.
pub fn raise_open_files() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(())
}

/// How many connections of agents the descriptors suffice for.
pub(super) fn connections_max(upstream: &UpstreamParams) -> u32 {
    if let Err(error) = raise_open_files() {
        warn!(%error, "the limit on descriptors cannot be raised");
    }
    connections_for(upstream, open_files_max())
}

fn connections_for(upstream: &UpstreamParams, descriptors: u64) -> u32 {
    let shared = |mode| match mode {
        Mode::Multiplexed { links: count } | Mode::Http { connections: count, .. } => count.get(),
        Mode::PerAgent => 0,
    };
    let shared: u64 = upstream.servers.iter().map(|server| u64::from(shared(server.mode))).sum();
    // An agent with an upstream connection of its own takes two descriptors.
    let own = upstream.servers.iter().any(|server| server.mode == Mode::PerAgent);
    let left = descriptors.saturating_sub(DESCRIPTORS_RESERVED + shared) / if own { 2 } else { 1 };
    u32::try_from(left.max(1)).unwrap_or(u32::MAX)
}

/// The limit on open files now.
pub(super) fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Says for how many agents this machine has room, in a line for an operator. The limit is that of this process: a
/// service may have another.
pub fn describe(config: &Config) -> String {
    describe_for(config, open_files_max())
}

fn describe_for(config: &Config, open_files: u64) -> String {
    let by_files = connections_for(&config.upstream, open_files);
    let set = config.edge.connections_max.filter(|set| *set < by_files);
    let connections = usize::try_from(set.unwrap_or(by_files)).unwrap_or(usize::MAX);
    let agents = thousands(agents_of(connections) as u128);
    let bound = match set {
        Some(set) => format!("edge.connections_max ({})", thousands(set.into())),
        None => format!(
            "the limit on open files ({}) of this shell; a service may have another",
            thousands(open_files.into())
        ),
    };
    format!("room:      {agents} agents at one time, by {bound}\n")
}

/// Says how many agents the node can serve and what sets that bound, as a warning if they are few for a fleet.
pub(super) fn say_ready(agents_max: usize, connections_set: Option<u32>) {
    let bound = match connections_set {
        Some(set) => format!("edge.connections_max ({set})"),
        None => format!("the limit on open files ({})", open_files_max()),
    };
    if agents_max < AGENTS_EXPECTED {
        warn!(agents_max, "ready for agents, but few fit: raise {bound}");
    } else {
        info!(agents_max, "ready for agents; {bound} sets their number");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let server = "[[upstream.servers]]\nurl = \"ws://127.0.0.1:1/\"\n";
        crate::config::parse(&format!("{text}\n{server}"), &[]).unwrap()
    }

    #[test]
    fn room_is_what_the_limit_leaves_and_a_sixteenth_is_for_refusals() {
        // (600 - 256 - 4 links) x 15/16, rounded up.
        let text = describe_for(&config(""), 600);
        assert!(
            text.contains(" 319 agents at one time, by the limit on open files (600)"),
            "{text}"
        );
        let text = describe_for(&config("[edge]\nconnections_max = 160"), 600);
        assert!(text.contains(" 150 agents at one time, by edge.connections_max (160)"), "{text}");
        let per_agent = connections_for(
            &config("[[upstream.servers]]\nurl = \"ws://127.0.0.1:2/\"\nmode = \"per-agent\"")
                .upstream,
            600,
        );
        assert_eq!(per_agent, (600 - 256 - 4) / 2);
    }
}
