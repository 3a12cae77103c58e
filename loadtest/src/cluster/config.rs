//! The configuration of a node: one function, so that what nodes share is said in one place.

use std::time::Duration;

use super::hand_overs;
use super::redis::RedisStage;
use crate::addresses::local;
use crate::server::Keying;
use crate::server::links::NODE_HEADER;
use crate::stage::UpstreamMode;

/// A node's ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodePorts {
    pub(super) edge: u16,
    pub(super) admin: u16,
    /// At which it listens for node links (UDP).
    pub(super) link: u16,
    /// At which other nodes reach it: the same, or a relay's.
    pub(super) advertise: u16,
}

/// What all nodes have in common.
#[derive(Debug, Clone)]
pub(super) struct SharedConfig {
    pub(super) server_port: u16,
    pub(super) mode: UpstreamMode,
    pub(super) keyed_by: Keying,
    pub(super) grace: Duration,
    /// Connections that all nodes together admit a second, and how many nodes there are.
    pub(super) rate: f64,
    pub(super) nodes: u16,
    /// How nodes share sessions; `None` where each is alone.
    pub(super) ownership: Option<OwnershipConfig>,
    /// Their logs tell how long hand-overs take.
    pub(super) logs_hand_overs: bool,
}

/// `[ownership]`.
#[derive(Debug, Clone)]
pub(super) struct OwnershipConfig {
    lease: Duration,
    redis_mode: &'static str,
    /// The name under which Sentinels know the master.
    redis_master: Option<&'static str>,
    redis_addresses: Vec<String>,
}

impl OwnershipConfig {
    /// By this Redis.
    pub(super) fn new(redis: &RedisStage, lease: Duration) -> Self {
        let (redis_mode, redis_addresses) = redis.addresses();
        Self { lease, redis_mode, redis_master: redis.master(), redis_addresses }
    }
}

impl SharedConfig {
    /// The file of the node with this name. At the server its links bear the `label`, which changes
    /// with each start: a process that was started again is another one.
    pub(super) fn text(&self, name: &str, label: &str, ports: NodePorts) -> String {
        let (scheme, mode) = self.mode.in_configuration();
        let [edge, admin, link] = [ports.edge, ports.admin, ports.link].map(local);
        let advertise = local(ports.advertise);
        let server = local(self.server_port);
        let grace = self.grace.as_millis();
        let ownership = self.ownership.as_ref().map_or_else(String::new, |ownership| {
            let OwnershipConfig { lease, redis_mode, redis_master, redis_addresses } = ownership;
            let master = redis_master.map(|name| format!("master = \"{name}\"\n"));
            let master = master.unwrap_or_default();
            format!(
                "[ownership]\nstore = \"redis\"\nnode = \"{name}\"\n\
                 advertise = \"{advertise}\"\nlisten = \"{link}\"\nlease = \"{}ms\"\n\n[ownership.redis]\nmode = \"{redis_mode}\"\n{master}\
                 addresses = {redis_addresses:?}\n\n",
                lease.as_millis()
            )
        });
        let level = if self.logs_hand_overs { hand_overs::LEVEL } else { "info" };
        format!(
            "[log]\nlevel = \"{level}\"\n\n[edge]\nlisten = [\"{edge}\"]\n\n[admin]\nlisten = \"{admin}\"\n\n\
             [admission]\nrate = {}\n\n[sessions]\ngrace_period = \"{grace}ms\"\n\n\
             [drain]\nrate = {}\nnotice = \"2s\"\n\n{ownership}\
             [[upstream.servers]]\nname = \"main\"\nurl = \"{scheme}://{server}/v1/opamp\"\n\
             mode = \"{mode}\"\n{}[upstream.servers.headers]\n\"{NODE_HEADER}\" = \"{label}\"\n",
            self.rate_of_node(self.rate),
            self.drain_rate(),
            self.server_keys()
        )
    }

    /// The lines that say by what the server knows agents, and how often it is polled. By uid is what a node takes
    /// it for.
    fn server_keys(&self) -> String {
        let keyed_by =
            (self.keyed_by != Keying::Uid).then(|| format!("keyed_by = \"{}\"\n", self.keyed_by));
        let polls = self.mode.polls_each();
        let polls = polls.map(|each| format!("poll_interval = \"{}ms\"\n", each.as_millis()));
        [keyed_by, polls].into_iter().flatten().collect()
    }

    /// `admission.rate`: nodes that share know the rate of all; nodes that are alone are told their part.
    pub(super) fn rate_of_node(&self, rate: f64) -> u64 {
        let parts = if self.ownership.is_some() { 1.0 } else { f64::from(self.nodes) };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0")]
        let rate = (rate / parts).ceil().max(1.0) as u64;
        rate
    }

    /// Half of what the other nodes admit.
    fn drain_rate(&self) -> u64 {
        let others = f64::from(self.nodes.saturating_sub(1).max(1)) / f64::from(self.nodes.max(1));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0")]
        let rate = (self.rate * others / 2.0).clamp(1.0, 1_000.0) as u64;
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> SharedConfig {
        SharedConfig {
            server_port: 4321,
            mode: UpstreamMode::Multiplexed,
            keyed_by: Keying::Uid,
            grace: Duration::from_secs(2),
            rate: 300.0,
            nodes: 3,
            ownership: None,
            logs_hand_overs: false,
        }
    }

    #[test]
    fn nodes_that_are_alone_get_their_part_of_the_rate_and_nodes_that_share_all_of_it() {
        let ports = NodePorts { edge: 1, admin: 2, link: 3, advertise: 4 };
        let alone = shared().text("node-1", "node-1.1", ports);
        assert!(alone.contains("rate = 100\n") && !alone.contains("ownership"), "{alone}");
        assert!(alone.contains("\"x-loadtest-node\" = \"node-1.1\""), "{alone}");
        let ownership = Some(OwnershipConfig {
            lease: Duration::from_secs(3),
            redis_mode: "sentinel",
            redis_master: Some("seawall"),
            redis_addresses: vec!["127.0.0.1:6379".to_owned()],
        });
        let polled = SharedConfig { mode: UpstreamMode::Http, ..shared() };
        let polled = polled.text("node-1", "node-1.1", ports);
        assert!(polled.contains("mode = \"http\"\npoll_interval = \"1000ms\"\n"), "{polled}");
        let keyed_by = Keying::Link;
        let together =
            SharedConfig { ownership, keyed_by, ..shared() }.text("node-1", "node-1.1", ports);
        for expected in [
            "rate = 300\n",
            "store = \"redis\"\nnode = \"node-1\"\nadvertise = \"127.0.0.1:4\"\nlisten = \"127.0.0.1:3\"\nlease = \"3000ms\"",
            "mode = \"multiplexed\"\nkeyed_by = \"link\"\n[upstream.servers.headers]",
            "mode = \"sentinel\"\nmaster = \"seawall\"\naddresses = [\"127.0.0.1:6379\"]",
        ] {
            assert!(together.contains(expected), "{together}");
        }
    }
}
