//! HAProxy before the nodes, as `config/cluster/haproxy.cfg` shows it for production.

use std::io;

use super::args::Balancing;
use super::folder::RunFolder;
use super::node::ClusterNode;
use super::process::GroupProcess;
use super::program::find_program;
use crate::addresses::{local, low_port};

/// A process, and where agents dial it. It ends when this goes.
pub(super) struct NodeBalancer {
    process: GroupProcess,
    port: u16,
}

impl NodeBalancer {
    /// Starts it; `None` where agents dial nodes themselves.
    ///
    /// # Errors
    /// When HAProxy is missing or fails to start.
    pub(super) fn start(
        folder: &RunFolder,
        balancing: Balancing,
        nodes: &[ClusterNode],
    ) -> io::Result<Option<Self>> {
        let balance = match balancing {
            Balancing::Direct => return Ok(None),
            Balancing::Leastconn => "leastconn",
            Balancing::Random => "random",
        };
        let program = find_program(&["haproxy"])?;
        let port = low_port()?;
        let config = folder.write("haproxy.cfg", &text(port, balance, nodes))?;
        // In the foreground.
        let arguments = ["-db", "-f", &config.display().to_string()].map(str::to_owned);
        let process =
            GroupProcess::start("balancer", &program, &arguments, &folder.log("balancer"))?;
        Ok(Some(Self { process, port }))
    }

    /// Where agents dial.
    pub(super) fn target(&self) -> String {
        format!("ws://{}/v1/opamp", local(self.port))
    }

    /// Checks that it is still running.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn check(&mut self) -> io::Result<()> {
        self.process.check()
    }
}

/// A node is in use from its first good answer of `/readyz` on, and out of use after two bad ones: on a
/// machine that all processes share, one answer may be late. Agents stay connected for long, so an idle
/// connection is left open for an hour; the gateway's own pings come far more often than that.
fn text(port: u16, balance: &str, nodes: &[ClusterNode]) -> String {
    let servers: String = nodes
        .iter()
        .map(|node| {
            let (edge, admin) = (local(node.ports.edge), node.ports.admin);
            format!("    server {} {edge} port {admin}\n", node.name())
        })
        .collect();
    format!(
        "global\n    maxconn 9000\n    nbthread 1\n\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n    \
         timeout check 10s\n    option redispatch 1\n    retries 3\n\n\
         frontend agents\n    bind {} backlog 8192\n    default_backend nodes\n\n\
         backend nodes\n    balance {balance}\n    option httpchk GET /readyz\n    \
         http-check expect status 200\n    default-server check inter 500ms fall 2 rise 1\n{servers}",
        local(port)
    )
}
