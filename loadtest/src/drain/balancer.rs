//! What stands before the two gateways: HAProxy, or a relay that does the same for a few agents.
//! Both send each new connection to the first gateway while that says that it is ready, and leave
//! open connections alone.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::addresses::local;
use crate::children::{ChildProcess, Output};
use crate::http;
use crate::stage::StageGateway;

/// How often a gateway is asked whether it is ready.
const CHECK: Duration = Duration::from_millis(500);
/// Agents that HAProxy takes: two descriptors each, and a process may have 20,000.
pub(super) const AGENTS_MAX: u16 = 9_000;

/// HAProxy's process and its configuration.
pub(super) struct HaProxy {
    process: ChildProcess,
    _config: HaProxyConfig,
}

/// A balancer. It ends when this goes.
pub(super) enum Balancer {
    HaProxy(Box<HaProxy>),
    Relay { _tasks: JoinSet<()> },
}

impl Balancer {
    /// HAProxy on this port.
    ///
    /// # Errors
    /// When HAProxy is absent or fails to start.
    pub(super) fn haproxy(
        port: u16,
        nodes: [&StageGateway; 2],
        output: Output,
    ) -> io::Result<Self> {
        let program = haproxy().ok_or_else(|| {
            io::Error::other(
                "there is no HAProxy: install the package `haproxy` (`make setup` does), or do \
                 with a relay of this program's own and a few hundred agents, by --relay",
            )
        })?;
        let config = HaProxyConfig::write(port, nodes)?;
        // In the foreground.
        let arguments = ["-db", "-f", &config.path.display().to_string()].map(str::to_owned);
        let process = ChildProcess::start("balancer", &program, &arguments, &[], output)?;
        Ok(Self::HaProxy(Box::new(HaProxy { process, _config: config })))
    }

    /// The relay on this port.
    ///
    /// # Errors
    /// When the port is taken.
    pub(super) async fn relay(port: u16, nodes: [&StageGateway; 2]) -> io::Result<Self> {
        let listener = TcpListener::bind(local(port)).await?;
        let [first, second] = nodes.map(|node| local(node.edge_port));
        let is_ready = Arc::new(AtomicBool::new(true));
        let mut tasks = JoinSet::new();
        let url = format!("http://{}/readyz", local(nodes[0].admin_port));
        let found = Arc::clone(&is_ready);
        tasks.spawn(async move {
            loop {
                found.store(http::fetch(&url, None).await.is_ok(), Ordering::Relaxed);
                tokio::time::sleep(CHECK).await;
            }
        });
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut agent, _)) = listener.accept().await {
                let node = if is_ready.load(Ordering::Relaxed) { &first } else { &second };
                let node = node.clone();
                connections.spawn(async move {
                    if let Ok(mut gateway) = TcpStream::connect(node).await {
                        // However it ends, it is over.
                        let _ = copy_bidirectional(&mut agent, &mut gateway).await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self::Relay { _tasks: tasks })
    }

    /// Its name.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::HaProxy(_) => "haproxy",
            Self::Relay { .. } => "relay",
        }
    }

    /// Checks that it is still running.
    ///
    /// # Errors
    /// When it has ended.
    pub(super) fn check(&mut self) -> io::Result<()> {
        match self {
            Self::HaProxy(haproxy) => haproxy.process.check(),
            Self::Relay { .. } => Ok(()),
        }
    }
}

/// HAProxy's program. Debian has it where only administrators' paths lead.
pub(super) fn haproxy() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("haproxy")).find(|program| program.is_file())
}

/// HAProxy's configuration, removed when this goes.
struct HaProxyConfig {
    path: PathBuf,
}

impl HaProxyConfig {
    fn write(port: u16, nodes: [&StageGateway; 2]) -> io::Result<Self> {
        let name = format!("seawall-loadtest-{}-haproxy-{port}.cfg", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::File::create_new(&path)?;
        let written = Self { path };
        file.write_all(text(port, nodes.map(|node| (node.edge_port, node.admin_port))).as_bytes())?;
        Ok(written)
    }
}

impl Drop for HaProxyConfig {
    fn drop(&mut self) {
        let _: io::Result<()> = std::fs::remove_file(Path::new(&self.path));
    }
}

/// The second node is a `backup`: it gets agents while the first is unready. HAProxy goes by two
/// answers in a row, within a second: where all processes share the cores, one answer may be late.
fn text(port: u16, [first, second]: [(u16, u16); 2]) -> String {
    let check = CHECK.as_millis();
    format!(
        "global\n    maxconn {AGENTS_MAX}\n    nbthread 1\n\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n    \
         timeout check 10s\n\n\
         frontend agents\n    bind {agents} backlog 8192\n    default_backend gateways\n\n\
         backend gateways\n    option httpchk GET /readyz\n    http-check expect status 200\n    \
         default-server check inter {check}ms fall 2 rise 1\n    \
         server first {} port {}\n    server second {} port {} backup\n",
        local(first.0),
        first.1,
        local(second.0),
        second.1,
        agents = local(port),
    )
}
