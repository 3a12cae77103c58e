//! `[ownership]`: which store, and for how long a node's word holds. `config` builds it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::redis::RedisParams;
use crate::core::ownership::NodeName;
use crate::core::rebalance::RebalanceTerms;

/// Which store the nodes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedStore {
    /// This process's memory: the node has no others.
    Memory,
    /// Redis, or what speaks its protocol.
    Redis(Box<RedisParams>),
}

/// What the configuration decides of ownership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnershipParams {
    /// The store.
    pub store: SharedStore,
    /// The node's name; `None`: that of its host.
    pub node: Option<NodeName>,
    /// Where other nodes dial this one.
    pub advertise: Option<SocketAddr>,
    /// Where it listens for them; `None`: at the port of `advertise`, on all addresses of its kind.
    pub listen: Option<SocketAddr>,
    /// How long a node may be silent before the others take its shards.
    pub lease: Duration,
    /// How long a node goes on speaking to servers while the store is away.
    pub autonomy: Duration,
    /// Whether the only member goes on speaking while the store is away.
    pub lone_speaks: bool,
    /// How connections are given to other nodes.
    pub rebalance: RebalanceTerms,
}

impl Default for OwnershipParams {
    fn default() -> Self {
        Self {
            store: SharedStore::Memory,
            node: None,
            advertise: None,
            listen: None,
            lease: Duration::from_secs(10),
            autonomy: Duration::from_secs(30 * 60),
            lone_speaks: false,
            rebalance: RebalanceTerms::default(),
        }
    }
}

impl OwnershipParams {
    /// The node's name: the configured one, or that of the host, with what a name has no room for replaced.
    pub fn node_name(&self) -> NodeName {
        self.node.clone().unwrap_or_else(|| {
            let system = rustix::system::uname();
            of_host(&system.nodename().to_string_lossy())
        })
    }

    /// Where the node listens for others; `None`: it has none.
    pub fn listen_address(&self) -> Option<SocketAddr> {
        let of_all = |advertised: SocketAddr| {
            let ip = match advertised {
                SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            };
            SocketAddr::new(ip, advertised.port())
        };
        self.listen.or_else(|| self.advertise.map(of_all))
    }
}

/// A node's name from a host's: lower case, other characters as `-`, and as much of it as fits.
fn of_host(host: &str) -> NodeName {
    let fit = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '-') => c,
        _ => '-',
    };
    let text: String = host.chars().map(fit).take(NodeName::BYTES_MAX).collect();
    let text = if text.is_empty() { "seawall" } else { &text };
    NodeName::try_new(text).expect("1 to 63 allowed characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_a_name() {
        for (host, name) in [("Node_1.example", "node-1.example"), ("", "seawall"), ("ä", "-")] {
            assert_eq!(of_host(host).as_str(), name);
        }
        assert_eq!(of_host(&"a".repeat(70)).as_str().len(), 63);
        let named =
            OwnershipParams { node: NodeName::try_new("one").ok(), ..OwnershipParams::default() };
        assert_eq!(named.node_name().as_str(), "one");
    }

    #[test]
    fn a_node_listens_at_the_port_that_it_advertises() {
        let params = |advertise: &str, listen: Option<&str>| OwnershipParams {
            advertise: advertise.parse().ok(),
            listen: listen.map(|text| text.parse().unwrap()),
            ..OwnershipParams::default()
        };
        let shown = |params: OwnershipParams| params.listen_address().map(|at| at.to_string());
        assert_eq!(shown(params("10.0.0.7:4319", None)), Some("0.0.0.0:4319".to_owned()));
        assert_eq!(shown(params("[fd00::7]:4319", None)), Some("[::]:4319".to_owned()));
        let other = params("10.0.0.7:4319", Some("127.0.0.1:1"));
        assert_eq!(shown(other), Some("127.0.0.1:1".to_owned()));
        assert_eq!(shown(OwnershipParams::default()), None);
    }
}
