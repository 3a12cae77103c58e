//! One gateway of the cluster as a process: started, killed, paused, drained, started again.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use seawall::clock;
use tokio::process::Command;

use super::config::{NodePorts, SharedConfig};
use super::folder::RunFolder;
use super::process::GroupProcess;
use crate::addresses::{HeldPort, local};
use crate::gateway::{sum, sum_of};
use crate::http;

/// How long a node may take until it is ready: a lease time and more, where a former one looks alive.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK: Duration = Duration::from_millis(50);

/// What it takes to start a node.
pub(super) struct NodeSetup {
    pub(super) program: PathBuf,
    pub(super) shared: SharedConfig,
}

/// The metric of bytes that a node has sent to others; over all nodes it is what crossed node links.
const NODE_LINK_BYTES: &str = "seawall_cluster_sent_bytes_total";

/// The metric of calls to the store that nodes share.
const STORE_CALLS: &str = "seawall_ownership_store_calls_total";

/// The metric of shards that are at home at a node.
const HELD_SHARDS: &str = "seawall_ownership_held_shards";

/// What a node counts, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NodeSample {
    /// Of its process: one that was started again counts from 0.
    label: String,
    /// `None` while it has no node links.
    node_link_bytes: Option<f64>,
    cpu_seconds: Option<f64>,
    rss_bytes: Option<f64>,
    /// Renewals of leases and reads of the map that it has sent to the store.
    lease_calls: Option<f64>,
}

impl NodeSample {
    /// Resident memory of all nodes.
    pub(super) fn rss_bytes(samples: &[Self]) -> Option<f64> {
        samples.iter().map(|sample| sample.rss_bytes).sum()
    }

    /// Bytes over node links of all nodes between two moments.
    pub(super) fn node_link_bytes(start: &[Self], end: &[Self]) -> Option<f64> {
        Self::between(start, end, |sample| sample.node_link_bytes)
    }

    /// Processor time of all nodes between two moments.
    pub(super) fn cpu_seconds(start: &[Self], end: &[Self]) -> Option<f64> {
        Self::between(start, end, |sample| sample.cpu_seconds)
    }

    /// Renewals of leases and reads of the map by all nodes between two moments.
    pub(super) fn lease_calls(start: &[Self], end: &[Self]) -> Option<f64> {
        Self::between(start, end, |sample| sample.lease_calls)
    }

    /// What a process that ended meanwhile had counted is lost.
    fn between(start: &[Self], end: &[Self], of: fn(&Self) -> Option<f64>) -> Option<f64> {
        let before = |sample: &Self| start.iter().find(|start| start.label == sample.label);
        let counts = end.iter().filter_map(|sample| {
            let earlier = before(sample).and_then(of).unwrap_or(0.0);
            of(sample).map(|count| count - earlier)
        });
        counts.fold(None, |sum, count| Some(sum.unwrap_or(0.0) + count))
    }
}

/// The node.
pub(super) struct ClusterNode {
    name: String,
    pub(super) ports: NodePorts,
    /// Until the first start.
    held: Vec<HeldPort>,
    starts: u32,
    process: Option<GroupProcess>,
}

impl NodeSetup {
    /// The gateway's program, where it is or should be.
    ///
    /// # Errors
    /// When it is missing.
    pub(super) fn find(wanted: Option<&Path>) -> io::Result<PathBuf> {
        let beside = std::env::current_exe()?.with_file_name("seawall");
        let program = wanted.map_or(beside, Path::to_owned);
        if program.exists() {
            return Ok(program);
        }
        let shown = program.display();
        let fault = format!("there is no gateway at {shown}; build it, or name it with --seawall");
        Err(io::Error::new(io::ErrorKind::NotFound, fault))
    }

    /// Whether this gateway can share sessions as its configuration says.
    ///
    /// # Errors
    /// When the program fails to start, or finds another mistake.
    pub(super) async fn is_understood(&self, folder: &RunFolder) -> io::Result<bool> {
        let ports = NodePorts { edge: 1, admin: 2, link: 3, advertise: 3 };
        let text = self.shared.text("node-0", "node-0.0", ports);
        let path = folder.write("check.toml", &text)?;
        let mut check = Command::new(&self.program);
        check.args(["check", "--config"]).arg(path).kill_on_drop(true);
        let output = check.output().await?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if said.contains("ownership: not a known key") {
            return Ok(false);
        }
        if output.status.success() { Ok(true) } else { Err(io::Error::other(said)) }
    }
}

impl ClusterNode {
    /// Node number `number`, from 1 on, on ports of its own; not started yet.
    ///
    /// # Errors
    /// When no ports are free.
    pub(super) fn new(number: u16) -> io::Result<Self> {
        let held = [HeldPort::take()?, HeldPort::take()?, HeldPort::take()?];
        let [edge, admin, link] = [held[0].port, held[1].port, held[2].port];
        let (name, ports) =
            (format!("node-{number}"), NodePorts { edge, admin, link, advertise: link });
        Ok(Self { name, ports, held: held.into(), starts: 0, process: None })
    }

    /// The name, which is the same for every start.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// As the server knows its present process.
    pub(super) fn label(&self) -> String {
        format!("{}.{}", self.name, self.starts)
    }

    /// The place of the node that this label is of, from 0 on.
    pub(super) fn place_of(label: &str) -> Option<usize> {
        let number = label.strip_prefix("node-")?.split('.').next()?;
        number.parse::<usize>().ok()?.checked_sub(1)
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it fails to start, ends, or is not ready in time.
    pub(super) async fn start(&mut self, setup: &NodeSetup, folder: &RunFolder) -> io::Result<()> {
        self.launch(setup, folder)?;
        self.ready().await
    }

    /// Starts it. [`ClusterNode::ready`] is next.
    ///
    /// # Errors
    /// When it fails to start.
    pub(super) fn launch(&mut self, setup: &NodeSetup, folder: &RunFolder) -> io::Result<()> {
        self.starts += 1;
        let text = setup.shared.text(&self.name, &self.label(), self.ports);
        let path = folder.write(&format!("{}.toml", self.name), &text)?;
        let arguments = ["run".to_owned(), "--config".to_owned(), path.display().to_string()];
        let log = folder.log(&self.name);
        self.held.clear();
        let process = GroupProcess::start(&self.name, &setup.program, &arguments, &log)?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        let deadline = clock::now() + START_TIMEOUT;
        loop {
            self.check()?;
            match http::fetch(&self.admin("readyz"), None).await {
                Ok(_) => return Ok(()),
                Err(error) if clock::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(ASK).await,
            }
        }
    }

    /// Whether it has a process.
    pub(super) fn is_there(&self) -> bool {
        self.process.is_some()
    }

    /// Checks that it is still running, if it is there.
    ///
    /// # Errors
    /// When it has ended by itself.
    pub(super) fn check(&mut self) -> io::Result<()> {
        self.process.as_mut().map_or(Ok(()), GroupProcess::check)
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// When it is not there.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.take()?.kill().await.map(drop)
    }

    /// Asks it to stop (SIGTERM): it drains. Waits for its end.
    ///
    /// # Errors
    /// When it is not there, or is still there after `patience`.
    pub(super) async fn drain(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.take()?.terminate(patience).await
    }

    /// Stops it (SIGSTOP), or lets it go on.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn hang(&self, hangs: bool) -> io::Result<()> {
        let process = self.process.as_ref().ok_or_else(|| self.absent())?;
        if hangs { process.pause() } else { process.resume() }
    }

    fn take(&mut self) -> io::Result<GroupProcess> {
        let process = self.process.take();
        process.ok_or_else(|| self.absent())
    }

    fn absent(&self) -> io::Error {
        io::Error::other(format!("{} is not there", self.name))
    }

    /// A URL of its administration port.
    pub(super) fn admin(&self, path: &str) -> String {
        format!("http://{}/{path}", local(self.ports.admin))
    }

    /// Where agents dial it.
    pub(super) fn target(&self) -> String {
        format!("ws://{}/v1/opamp", local(self.ports.edge))
    }

    /// What it counts now.
    pub(super) async fn sample(&self) -> NodeSample {
        let text = self.metrics().await.unwrap_or_default();
        let calls = |call: &str| sum_of(&text, STORE_CALLS, &format!("call=\"{call}\""));
        NodeSample {
            label: self.label(),
            node_link_bytes: sum(&text, NODE_LINK_BYTES),
            cpu_seconds: sum(&text, "process_cpu_seconds_total"),
            rss_bytes: sum(&text, "process_resident_memory_bytes"),
            lease_calls: calls("renew")
                .zip(calls("read"))
                .map(|(renewals, reads)| renewals + reads),
        }
    }

    /// Shards that are at home here, as it knows; 0 while it is not there.
    pub(super) async fn shards_held(&self) -> f64 {
        self.metric(HELD_SHARDS).await.unwrap_or(0.0)
    }

    /// The sum of a metric over its labels; `None` where the node or the metric is missing.
    pub(super) async fn metric(&self, name: &str) -> Option<f64> {
        sum(&self.metrics().await?, name)
    }

    async fn metrics(&self) -> Option<String> {
        self.process.as_ref()?;
        let text = http::fetch(&self.admin("metrics"), None).await.ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_lead_back_to_their_nodes() {
        let node = ClusterNode::new(3).unwrap();
        assert_eq!(ClusterNode::place_of(&node.label()), Some(2));
        assert_eq!(ClusterNode::place_of("node-12.7"), Some(11));
        for wrong in ["", "node-", "node-0.1", "other-1.1"] {
            assert_eq!(ClusterNode::place_of(wrong), None, "{wrong}");
        }
        assert!(!node.is_there() && node.hang(true).is_err());
    }

    #[test]
    fn a_process_that_was_started_again_counts_from_0() {
        let sample = |label: &str, cpu| NodeSample {
            label: label.to_owned(),
            node_link_bytes: None,
            cpu_seconds: Some(cpu),
            rss_bytes: Some(cpu),
            lease_calls: None,
        };
        let start = [sample("node-1.1", 5.0), sample("node-2.1", 7.0)];
        let end = [sample("node-1.1", 6.0), sample("node-2.2", 3.0)];
        assert_eq!(NodeSample::cpu_seconds(&start, &end), Some(4.0));
        assert_eq!(NodeSample::node_link_bytes(&start, &end), None);
        assert_eq!(NodeSample::rss_bytes(&start), Some(12.0));
    }
}
