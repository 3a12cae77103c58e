//! The configuration in a few lines, for `seawall check`. Must not know how a value is carried out.

use std::fmt;

use super::Config;
use super::units::{show_bytes, show_duration};
use super::{admission, liveness};
use crate::core::drain::Terms;
use crate::core::server::KeyedBy;
use crate::ownership::params::{OwnershipParams, SharedStore};
use crate::ownership::redis::RedisMode;
use crate::telemetry::thousands;
use crate::upstream::params::{Mode, ServerParams};

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<String> = self.edge.listen.iter().map(ToString::to_string).collect();
        let paths = self.edge.paths.as_slice().join(" and ");
        let size = show_bytes(self.edge.message_bytes_max as u64);
        writeln!(f, "agents:    {}{paths}, messages up to {size}", listen.join(", "))?;
        writeln!(f, "admission: {}", admission::describe(&self.edge.admission))?;
        let grace_period = show_duration(self.sessions.grace_period);
        let most = thousands(self.sessions.sessions_max as u128);
        writeln!(
            f,
            "sessions:  up to {most}; an absence up to {grace_period} is not reported to the server"
        )?;
        for server in &self.upstream.servers {
            let mode = match server.mode {
                Mode::Multiplexed { links } => format!("all agents over {links} links"),
                Mode::PerAgent => "one connection for each agent".to_owned(),
                Mode::Http { connections, poll_interval } => format!(
                    "POSTs over {connections} connections, polled every {} on behalf of each agent",
                    show_duration(poll_interval)
                ),
            };
            write!(f, "server:    {} at {}, {mode}", server.name, server.url)?;
            if let Some(proxy) = &server.proxy {
                write!(f, ", through the proxy {proxy}")?;
            }
            if let SharedStore::Redis(_) = &self.ownership.store {
                write!(f, "{}", describe_moves(server))?;
            }
            if !server.headers.is_empty() {
                let names: Vec<&str> =
                    server.headers.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, ", with {}", names.join(", "))?;
            }
            writeln!(f)?;
            writeln!(
                f,
                "           {}",
                liveness::describe(server, self.edge.admission.fleet_size)
            )?;
        }
        writeln!(f, "ownership: {}", describe_ownership(&self.ownership))?;
        writeln!(
            f,
            "drain:     {}",
            describe_drain(self.drain.after_admission(self.edge.admission.rate))
        )?;
        write!(f, "metrics:   http://{}/metrics", self.admin.listen)
    }
}

/// Agents of the example.
const EXAMPLE: u64 = 8_000;

/// What a drain comes to: its wait, its rate, and the time that it takes.
fn describe_drain(terms: Terms) -> String {
    let (rate, time_max) = (u64::from(terms.rate().get()), terms.time_max);
    let within = u128::from(rate) * time_max.as_millis() / 1_000;
    let time_max = show_duration(time_max);
    let rest = if terms.rate.is_some() {
        format!("if more than {}, the rest at once after {time_max}", thousands(within))
    } else {
        // An automatic rate rises when that is needed to close all in time.
        format!("faster if more than {}, so that all are gone in {time_max}", thousands(within))
    };
    format!(
        "waits {}, then closes up to {} connections/s ({} agents: {} s; {rest})",
        show_duration(terms.notice),
        thousands(rate.into()),
        thousands(EXAMPLE.into()),
        thousands(EXAMPLE.div_ceil(rate).into()),
    )
}

/// What the server hears when an agent's session moves to another node.
fn describe_moves(server: &ServerParams) -> &'static str {
    match (server.mode, server.keyed_by) {
        (Mode::PerAgent, _) | (_, KeyedBy::OwnLink) => {
            ", told of each agent that moves to another node by a new connection"
        }
        (Mode::Http { .. }, _) | (_, KeyedBy::Uid) => {
            ", told nothing of agents that move to another node"
        }
        (_, KeyedBy::Exclusive) => {
            ", told of each agent that moves to another node: a goodbye, then an announcement"
        }
        (_, KeyedBy::Link) => ", told again of each agent that moves to another node",
        (_, KeyedBy::Auto) => {
            ", told nothing of agents that move to another node unless it shows the need"
        }
    }
}

/// Which store, and how long a node's word holds.
fn describe_ownership(params: &OwnershipParams) -> String {
    let SharedStore::Redis(redis) = &params.store else {
        return "in memory: this node has no others".to_owned();
    };
    let addresses: Vec<String> = redis.addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(", ");
    let place = match &redis.mode {
        RedisMode::Single => format!("Redis at {addresses}"),
        RedisMode::Sentinel { master } => format!("Redis {master} by Sentinels at {addresses}"),
        RedisMode::Cluster => format!("a cluster of Redis with {addresses}"),
    };
    format!(
        "node {}, lease {}, in {place}, keys {}{{cluster}}:*",
        params.node_name(),
        show_duration(params.lease),
        redis.prefix,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn a_drain_is_summarised() {
        assert_eq!(
            describe_drain(Terms::default()),
            "waits 5s, then closes up to 1,000 connections/s (8,000 agents: 8 s; faster if more than \
             300,000, so that all are gone in 5m)"
        );
        let set = Terms { rate: NonZeroU32::new(1_000), ..Terms::default() };
        assert!(describe_drain(set).ends_with("if more than 300,000, the rest at once after 5m)"));
    }
}
