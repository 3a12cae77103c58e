//! Everything that takes part: Redis, nodes, a balancer, the server, the fleet. It all ends when this
//! goes.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use seawall::core::ownership::SHARDS;

use super::admitted::AdmittedByNodes;
use super::args::{Balancing, ClusterArgs, ClusterCase};
use super::balancer::NodeBalancer;
use super::config::{OwnershipConfig, SharedConfig};
use super::folder::RunFolder;
use super::node::{ClusterNode, NodeSample, NodeSetup};
use super::process::GroupProcess;
use super::redis::{Commands, RedisStage};
use super::relay::{Cuts, LinkRelay};
use crate::addresses::{local, low_port};
use crate::args::FILL_PATIENCE;
use crate::crew::Crew;
use crate::fleet::measured::Measured;
use crate::fleet::{FleetRequest, FleetResponse};
use crate::http;
use crate::storm::server::ServerReport;
use crate::storm::{Progress, fill};

/// How long a bucket of admission takes to fill: it holds a second of admissions.
const BUCKET_FILLS: Duration = Duration::from_secs(2);
/// How long the server stand-in may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long nodes may take until each has its share of them.
const SHARES_PATIENCE: Duration = Duration::from_secs(60);
/// How often things are looked at that have to be polled.
pub(super) const LOOK: Duration = Duration::from_millis(25);

/// The scene. Processes end in the order of the fields: the fleet first, the folder with the logs last.
pub(super) struct Scene {
    pub(super) crew: Crew,
    balancer: Option<NodeBalancer>,
    pub(super) nodes: Vec<ClusterNode>,
    pub(super) redis: Option<RedisStage>,
    server: GroupProcess,
    server_setup: ServerSetup,
    pub(super) report: ServerReport,
    report_url: String,
    pub(super) setup: NodeSetup,
    pub(super) links: NodeWays,
    /// Resident memory of the nodes before the first agent came.
    pub(super) empty_rss_bytes: Option<f64>,
    pub(super) admitted: AdmittedByNodes,
    pub(super) folder: RunFolder,
}

/// The ways between nodes, as far as they can be cut.
#[derive(Default)]
pub(super) struct NodeWays {
    relays: Vec<LinkRelay>,
    cuts: Cuts,
}

/// The server's ports, for agents and for its report, and by what it knows agents.
#[derive(Debug, Clone)]
struct ServerSetup {
    port: u16,
    report_port: u16,
    keyed_by: String,
}

/// How things were at one moment.
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) measured: Measured,
    /// Of each agent.
    pub(super) dials: Vec<u32>,
    pub(super) redis: Commands,
    /// Of the nodes that are there.
    pub(super) nodes: Vec<NodeSample>,
    /// Processor time of the fleet's processes.
    pub(super) fleet_cpu_seconds: f64,
    /// By the agent's place: the place of the node that spoke for it last.
    pub(super) homes: Vec<Option<usize>>,
}

/// The processes that a fleet needs, before it is there.
struct Cast {
    nodes: Vec<ClusterNode>,
    redis: Option<RedisStage>,
    server: GroupProcess,
    server_setup: ServerSetup,
    setup: NodeSetup,
    links: NodeWays,
}

impl Scene {
    /// Starts everything, has all agents connect, and checks that the server is right about them.
    ///
    /// # Errors
    /// When a process fails to start or agents fail to connect. The logs stay.
    pub(super) async fn set(args: &ClusterArgs) -> io::Result<Self> {
        let folder = RunFolder::make()?;
        // Until all has gone well: what ends early, or is cut short, is worth its logs.
        folder.keep(true);
        let cast = Cast::start(args, &folder).await?;
        Self::with(cast, args, folder).await
    }

    async fn with(cast: Cast, args: &ClusterArgs, folder: RunFolder) -> io::Result<Self> {
        let Cast { nodes, redis, server, server_setup, setup, links } = cast;
        let empty_rss_bytes = NodeSample::rss_bytes(&samples(&nodes).await);
        let balancer = NodeBalancer::start(&folder, args.balancing, &nodes)?;
        let targets: Vec<String> = match &balancer {
            Some(balancer) => vec![balancer.target()],
            None => nodes.iter().map(ClusterNode::target).collect(),
        };
        let targets = targets.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>();
        let mut options = args.fleet.options(&targets.map_err(io::Error::other)?, args.agents);
        if args.balancing == Balancing::Direct {
            options.serving = (0..usize::from(args.serving_at_first())).collect();
        }
        let crew = fill(&options, FILL_PATIENCE, &mut Progress::new()).await?;
        let report_url = format!("http://{}", local(server_setup.report_port));
        let report = ServerReport::new(&report_url);
        let mut scene = Self {
            crew,
            balancer,
            nodes,
            redis,
            server,
            server_setup,
            report,
            report_url,
            setup,
            links,
            empty_rss_bytes,
            admitted: AdmittedByNodes::default(),
            folder,
        };
        let settled = scene.report.settle(&mut scene.crew, args.aftermath.settle()).await?;
        if !settled.verdict.holds() {
            let faults = settled.verdict.examples.join("; ");
            return Err(io::Error::other(format!("the server was wrong from the start: {faults}")));
        }
        scene.set_rate(args.rate).await?;
        tokio::time::sleep(BUCKET_FILLS).await;
        scene.report.reset().await?;
        Ok(scene)
    }

    /// Whether the nodes share sessions.
    pub(super) fn nodes_share(&self) -> bool {
        self.setup.shared.ownership.is_some()
    }

    /// Sets the rate of all nodes together.
    async fn set_rate(&self, rate: f64) -> io::Result<()> {
        let rate = self.setup.shared.rate_of_node(rate);
        for node in self.nodes.iter().filter(|node| node.is_there()) {
            http::fetch(&node.admin(&format!("admission?rate={rate}")), Some("")).await?;
        }
        Ok(())
    }

    /// Tells the fleet which nodes a balancer would choose from: those that are there, and are not
    /// `leaving`. Behind a real balancer that is the balancer's business.
    ///
    /// # Errors
    /// When a worker has died.
    pub(super) async fn tell_serving(&mut self, leaving: Option<usize>) -> io::Result<()> {
        if self.balancer.is_some() {
            return Ok(());
        }
        let places = self.nodes.iter().enumerate();
        let serving = places.filter(|(place, node)| node.is_there() && Some(*place) != leaving);
        let serving = serving.map(|(place, _)| place).collect();
        self.crew.ask(&FleetRequest::Serving(serving)).await.map(drop)
    }

    /// Starts the node at this place, and tells the fleet that it serves.
    ///
    /// # Errors
    /// When it fails to start, or a worker has died.
    pub(super) async fn start_node(&mut self, place: usize) -> io::Result<()> {
        self.nodes[place].start(&self.setup, &self.folder).await?;
        self.tell_serving(None).await
    }

    /// Starts the node at this place: its shards come to it, and the fleet has yet to be told of it.
    ///
    /// # Errors
    /// When it fails to start.
    pub(super) fn launch_node(&mut self, place: usize) -> io::Result<()> {
        self.nodes[place].launch(&self.setup, &self.folder)
    }

    /// Waits until the node at this place is ready, and tells the fleet that it serves.
    ///
    /// # Errors
    /// When it is not in time, or a worker has died.
    pub(super) async fn node_ready(&mut self, place: usize) -> io::Result<()> {
        self.nodes[place].ready().await?;
        self.tell_serving(None).await
    }

    /// Whether agents dial nodes themselves, so that it is known which node each is on.
    pub(super) fn is_direct(&self) -> bool {
        self.balancer.is_none()
    }

    /// Lets agents choose among the first nodes only, however many there are.
    ///
    /// # Errors
    /// When a worker has died.
    pub(super) async fn tell_first(&mut self, nodes: u16) -> io::Result<()> {
        let serving = (0..usize::from(nodes)).collect();
        self.crew.ask(&FleetRequest::Serving(serving)).await.map(drop)
    }

    /// How things are now.
    ///
    /// # Errors
    /// When a worker has died or the server is silent.
    pub(super) async fn snapshot(&mut self) -> io::Result<Snapshot> {
        let mut dials = Vec::new();
        for answer in self.crew.ask(&FleetRequest::Dials).await? {
            if let FleetResponse::Dials(mut part) = answer {
                dials.append(&mut part);
            }
        }
        let nodes = self.node_samples().await;
        let redis = match &self.redis {
            Some(redis) => redis.commands().await,
            None => Commands::default(),
        };
        Ok(Snapshot {
            at: clock::now(),
            measured: self.crew.measured().await?,
            dials,
            redis,
            nodes,
            fleet_cpu_seconds: self.crew.cpu_seconds().await?,
            homes: self.homes().await?,
        })
    }

    /// Asks the node at this place how many agents it admitted when, if it is there.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn ask_admitted(&mut self, place: usize) -> io::Result<()> {
        let node = &self.nodes[place];
        if node.is_there() {
            self.admitted.ask(node.label(), &node.admin("admission/recent")).await?;
        }
        Ok(())
    }

    /// What the nodes that are there count now.
    pub(super) async fn node_samples(&self) -> Vec<NodeSample> {
        samples(&self.nodes).await
    }

    /// Kills the server (SIGKILL): all it knew is lost.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) async fn kill_server(&mut self) -> io::Result<()> {
        self.server.kill().await.map(drop)
    }

    /// Starts it again, empty, on its old ports.
    ///
    /// # Errors
    /// When it fails to start.
    pub(super) async fn start_server(&mut self) -> io::Result<()> {
        self.server = start_server(&self.server_setup, &self.folder).await?;
        Ok(())
    }

    /// Cuts these ways between nodes, given by places, from and to; none: all are whole again.
    pub(super) fn cut_ways(&self, ways: &[(usize, usize)]) {
        let port = |place: usize| self.nodes[place].ports.link;
        let ways = ways.iter().map(|(from, to)| (port(*from), port(*to)));
        self.links.cuts.set(ways.collect());
    }

    /// The home of each agent, as far as the server can tell.
    async fn homes(&mut self) -> io::Result<Vec<Option<usize>>> {
        let text = http::fetch(&format!("{}/homes", self.report_url), None).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let by_uid: HashMap<&str, Option<usize>> =
            lines.map(|(uid, label)| (uid, ClusterNode::place_of(label))).collect();
        let truth = self.crew.truth().await?;
        Ok(truth.iter().map(|agent| by_uid.get(agent.uid.as_str()).copied().flatten()).collect())
    }

    /// What the server's links say: a line of JSON for each.
    ///
    /// # Errors
    /// When the server is silent.
    pub(super) async fn links(&self) -> io::Result<Vec<serde_json::Value>> {
        let text = http::fetch(&format!("{}/links", self.report_url), None).await?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.map(serde_json::from_slice).collect::<Result<_, _>>()?)
    }

    /// Lets the server push, as its `/push` has it.
    ///
    /// # Errors
    /// When the server is silent, or does not know the order.
    pub(super) async fn push(&self, order: &str) -> io::Result<()> {
        http::fetch(&format!("{}/push", self.report_url), Some(order)).await.map(drop)
    }

    /// Waits until every agent is connected and answered, and no agent is left on a node that is gone;
    /// false if the time is over first.
    ///
    /// # Errors
    /// When a worker has died.
    pub(super) async fn wait_until_connected(&mut self, patience: Duration) -> io::Result<bool> {
        let deadline = clock::now() + patience;
        loop {
            let answered = self.crew.stats().await?.answered;
            let on_the_dead = self.agents_on_dead_nodes().await?;
            if answered >= self.crew.agents.into() && on_the_dead == 0 {
                return Ok(true);
            }
            if clock::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until every shard has a home that is there; false if the time is over first.
    pub(super) async fn wait_for_homes(&self, patience: Duration) -> bool {
        let deadline = clock::now() + patience;
        loop {
            let mut held = 0.0;
            for node in self.nodes.iter().filter(|node| node.is_there()) {
                held += node.shards_held().await;
            }
            if held >= f64::from(SHARDS) || clock::now() >= deadline {
                return held >= f64::from(SHARDS);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Agents whose connection's end has yet to come to them.
    async fn agents_on_dead_nodes(&mut self) -> io::Result<u64> {
        if !self.is_direct() {
            return Ok(0);
        }
        let measured = self.crew.measured().await?;
        let nodes = self.nodes.iter().zip(&measured.targets);
        Ok(nodes.filter(|(node, _)| !node.is_there()).map(|(_, counts)| counts.connected()).sum())
    }

    /// Checks that every process that should be there is there, and says which is not.
    pub(super) fn faults(&mut self) -> Vec<String> {
        let balancer = self.balancer.as_mut().map(NodeBalancer::check);
        let nodes = self.nodes.iter_mut().map(ClusterNode::check);
        let all = nodes.chain(balancer).chain([self.server.check()]);
        all.filter_map(|there| there.err().map(|error| error.to_string())).collect()
    }
}

impl Cast {
    async fn start(args: &ClusterArgs, folder: &RunFolder) -> io::Result<Self> {
        let program = NodeSetup::find(args.seawall.as_deref())?;
        let redis = RedisStage::start(folder, args.redis).await?;
        let server_setup = ServerSetup {
            port: low_port()?,
            report_port: low_port()?,
            keyed_by: args.keyed_by.to_string(),
        };
        let shared = SharedConfig {
            server_port: server_setup.port,
            mode: args.mode,
            keyed_by: args.keyed_by,
            grace: args.grace.0,
            rate: args.fleet.dial_rate * f64::from(args.nodes),
            nodes: args.nodes,
            ownership: redis.as_ref().map(|redis| OwnershipConfig::new(redis, args.lease.0)),
            logs_hand_overs: matches!(args.case, ClusterCase::Rolling | ClusterCase::Join),
        };
        let mut setup = NodeSetup { program, shared };
        if redis.is_some() && !setup.is_understood(folder).await? {
            setup.shared.ownership = None;
        }
        let server = start_server(&server_setup, folder).await?;
        let nodes = (1..=args.nodes_at_most()).map(ClusterNode::new);
        let mut nodes = nodes.collect::<io::Result<Vec<_>>>()?;
        let mut links = NodeWays::default();
        if args.case == ClusterCase::Cut {
            links.stand_before(&mut nodes).await?;
        }
        for node in nodes.iter_mut().take(args.nodes.into()) {
            node.start(&setup, folder).await?;
        }
        if setup.shared.ownership.is_some() {
            wait_for_shares(&nodes[..args.nodes.into()]).await?;
        }
        // Nodes that start later are told the rate of the storm.
        setup.shared.rate = args.rate;
        Ok(Self { nodes, redis, server, server_setup, setup, links })
    }
}

impl NodeWays {
    async fn stand_before(&mut self, nodes: &mut [ClusterNode]) -> io::Result<()> {
        for node in nodes {
            let relay = LinkRelay::start(node.ports.link, &self.cuts).await?;
            node.ports.advertise = relay.port;
            self.relays.push(relay);
        }
        Ok(())
    }
}

/// Waits until each node has its share of the shards: what is said of agents while shards move is no part of a case.
async fn wait_for_shares(nodes: &[ClusterNode]) -> io::Result<()> {
    let share = f64::from(SHARDS / u16::try_from(nodes.len()).unwrap_or(u16::MAX));
    let deadline = clock::now() + SHARES_PATIENCE;
    for node in nodes {
        while node.shards_held().await < share {
            if clock::now() >= deadline {
                let fault = format!("{} has less than {share} of the shards", node.name());
                return Err(io::Error::other(fault));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

async fn samples(nodes: &[ClusterNode]) -> Vec<NodeSample> {
    let mut samples = Vec::new();
    for node in nodes.iter().filter(|node| node.is_there()) {
        samples.push(node.sample().await);
    }
    samples
}

async fn start_server(setup: &ServerSetup, folder: &RunFolder) -> io::Result<GroupProcess> {
    let ServerSetup { port, report_port, keyed_by } = setup;
    let report_port = *report_port;
    let arguments = [
        "server",
        "--listen",
        &local(*port),
        "--report-listen",
        &local(report_port),
        "--keyed-by",
        keyed_by,
    ];
    let arguments = arguments.map(str::to_owned);
    let this = std::env::current_exe()?;
    let mut server = GroupProcess::start("server", &this, &arguments, &folder.log("server"))?;
    let deadline = clock::now() + START_TIMEOUT;
    loop {
        server.check()?;
        match http::fetch(&format!("http://{}/report", local(report_port)), None).await {
            Ok(_) => return Ok(server),
            Err(error) if clock::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
