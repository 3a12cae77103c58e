//! Reports that say the same in other bytes: Go writes the entries of a map in another order each
//! time (R1). A gateway that compared bytes would forward each of them.
//!
//! These tests count on each connection, by the numbers that the client's tap gives connections and
//! by the client's sequence numbers. A loaded machine may delay any step, or let the server notice the
//! end of a connection after the next one began; each count stays right then.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use prost::Message;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AvailableComponents, ComponentDetails, ComponentHealth,
    EffectiveConfig, PackageStatus, PackageStatuses,
};

use crate::support::interop::agent::{Agent, AgentOptions};
use crate::support::interop::world::{Setup, World};
use crate::support::log::{Event, Mark};

/// How many times the agent says everything again.
const REPETITIONS: usize = 1_000;
/// The same in the direct topology: enough to see that the agent does send all this.
const DIRECT_REPETITIONS: usize = 50;
/// Entries of each map: more orders than a run could try.
const ENTRIES: usize = 24;
/// The gateway doubts that an agent got what was written within this time before its connection broke.
const DOUBT: Duration = Duration::from_millis(5_200);

const SUPPRESSED: &str = "seawall_suppressed_reports_total";
const FORWARDED: &str = "seawall_forwarded_reports_total";

/// Each repetition is a new connection, on which this release tells its full state. Health is set
/// again as the connection opens, as agents do that report it from a timer; of the components the
/// client sends the hash alone.
///
/// Asserted: each cut leads to one connection more, each of these begins with a full report, and
/// the gateway forwards none of them. In the direct topology the server may ask one of them for its
/// full state again, when it saw the end of the last connection late; such a second report is left
/// out.
pub(crate) async fn repeated_on_reconnect(setup: Setup) {
    let mut world = setup.world().await;
    let options = world.options("again").repeat_health();
    let mut agent = rich(&mut world, options).await;
    forget_doubts(&mut agent).await;
    let before = Before::take(&world, &agent).await;
    let mut cuts = BTreeSet::new();
    for _ in 0..before.repetitions {
        let (since, server_since) = (agent.mark(), world.server.mark());
        let cut = agent.cut().await;
        cuts.insert(cut);
        let is_first = |event: &Event| event.number("conn") > Some(cut) && is_full(event);
        let report = agent.event(since, "sent", is_first).await;
        // A cut may discard what the peer has yet to read, so the report must have arrived before.
        if world.is_direct() {
            let arrived = |event: &Event| event.number("seq") == report.number("seq");
            world.server.received(server_since, &agent.uid, arrived).await;
        } else {
            let replied = |event: &Event| event.number("conn") == report.number("conn");
            agent.event(since, "received", replied).await;
        }
    }
    let ended = connections(&agent.log().events(before.agent, "disconnected"));
    assert_eq!(ended, cuts, "each connection ended by a cut of this test");
    let reports = before.first_reports(&agent);
    let [health, config, packages, _] = before.encodings(&reports);
    before.check_order([health, config, packages]);
    agent.answered().await;
    before.check(&world, &agent).await;
    a_change_gets_through(&mut world, &mut agent).await;
}

/// Each repetition answers a question: a message is lost, the next one shows it by its number, and
/// the agent is asked for its full state, the map of components included. The short report that shows
/// the loss and the full one both repeat what the server has.
///
/// Asserted: the agent tells its full state exactly as often as it is asked, and nothing is forwarded.
/// How long the answers take is of no account.
pub(crate) async fn repeated_when_asked(setup: Setup) {
    let mut world = setup.world().await;
    let options = world.options("asked");
    let mut agent = rich(&mut world, options).await;
    let description = agent.truth().agent_description.expect("told").encode_to_vec();
    let before = Before::take(&world, &agent).await;
    for _ in 0..before.repetitions {
        let since = agent.mark();
        agent.lose_next().await;
        agent.tell("set_description", &description).await;
        agent.event(since, "lost", |_| true).await;
        agent.tell("set_description", &description).await;
        agent.event(since, "sent", is_full).await;
    }
    let reports = before.full_reports(&agent);
    assert_eq!(reports.len(), before.repetitions, "one full report for each lost message");
    let counts = before.encodings(&reports);
    before.check_order(counts);
    agent.answered().await;
    before.check(&world, &agent).await;
    a_change_gets_through(&mut world, &mut agent).await;
}

fn is_full(event: &Event) -> bool {
    event.has_field("health") && event.has_field("effective_config")
}

/// Whether a message has the fields of a heartbeat alone.
fn is_heartbeat(event: &Event) -> bool {
    let fields = event.texts("fields");
    fields.iter().all(|field| ["instance_uid", "sequence_num", "capabilities"].contains(field))
}

/// The numbers of the connections of these events.
fn connections(events: &[Event]) -> BTreeSet<u64> {
    events.iter().filter_map(|event| event.number("conn")).collect()
}

/// An agent whose state is all large maps, and a server that knows it.
async fn rich(world: &mut World, options: AgentOptions) -> Agent {
    let mut agent = world.agent(options).await;
    agent.tell("set_health", &health(ENTRIES).encode_to_vec()).await;
    agent.tell("set_effective_config", &config("first").encode_to_vec()).await;
    agent.tell("set_package_statuses", &packages().encode_to_vec()).await;
    let since = agent.mark();
    agent.tell("set_components", &components().encode_to_vec()).await;
    let has_map = |event: &Event| {
        let told = event.agent_to_server().available_components;
        told.is_some_and(|told| told.components.len() == ENTRIES)
    };
    agent.event(since, "sent", has_map).await;
    world.converged(&agent).await;
    agent
}

/// The server has just asked for the components. What was written to an agent shortly before its
/// connection broke may be lost, and its reports count as news then. A message that the agent sends
/// some seconds later proves that it got everything.
async fn forget_doubts(agent: &mut Agent) {
    // The gateway goes by how late the next message is, so this time must pass; more of it is
    // harmless.
    tokio::time::sleep(DOUBT).await;
    let since = agent.mark();
    let description = agent.truth().agent_description.expect("told").encode_to_vec();
    agent.tell("set_description", &description).await;
    agent.event(since, "received", |_| true).await;
    agent.answered().await;
}

fn names(what: &str) -> impl Iterator<Item = String> {
    (0..ENTRIES).map(move |number| format!("{what}/{number}"))
}

/// Health with this many parts, each of them with two of its own.
fn health(parts: usize) -> ComponentHealth {
    let part = |name| (name, health(if parts > 2 { 2 } else { 0 }));
    ComponentHealth {
        healthy: true,
        status: "running".to_owned(),
        component_health_map: names("pipeline").take(parts).map(part).collect(),
        ..ComponentHealth::default()
    }
}

fn config(body: &str) -> EffectiveConfig {
    let file = AgentConfigFile { body: body.into(), content_type: "text/yaml".to_owned() };
    let config_map = names("file").map(|name| (name, file.clone())).collect();
    EffectiveConfig { config_map: Some(AgentConfigMap { config_map }) }
}

fn packages() -> PackageStatuses {
    let status = |name: String| PackageStatus {
        name,
        agent_has_version: "1.2.3".to_owned(),
        ..PackageStatus::default()
    };
    PackageStatuses {
        packages: names("package").map(|name| (name.clone(), status(name))).collect(),
        server_provided_all_packages_hash: b"packages".to_vec(),
        ..PackageStatuses::default()
    }
}

fn components() -> AvailableComponents {
    let part = |name| (name, ComponentDetails::default());
    let parts = || names("part").take(6).map(part).collect();
    let kind = |name| (name, ComponentDetails { sub_component_map: parts(), metadata: Vec::new() });
    AvailableComponents {
        components: names("kind").map(kind).collect(),
        hash: b"components-2".to_vec(),
    }
}

/// The parts of a report that hold maps, as the client wrote them.
#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(bytes = "vec", optional, tag = "5")]
    health: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "6")]
    effective_config: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "8")]
    package_statuses: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "14")]
    available_components: Option<Vec<u8>>,
}

/// How things stood before the repetitions.
struct Before {
    repetitions: usize,
    agent: Mark,
    server: Mark,
    suppressed: f64,
    forwarded: f64,
}

impl Before {
    async fn take(world: &World, agent: &Agent) -> Self {
        let (agent, server) = (agent.mark(), world.server.mark());
        if world.is_direct() {
            let repetitions = DIRECT_REPETITIONS;
            return Self { repetitions, agent, server, suppressed: 0.0, forwarded: 0.0 };
        }
        let metrics = world.gateway().metrics().await;
        let [suppressed, forwarded] = [SUPPRESSED, FORWARDED].map(|name| metrics.sum(name, &[]));
        Self { repetitions: REPETITIONS, agent, server, suppressed, forwarded }
    }

    /// The agent's full reports since.
    fn full_reports(&self, agent: &Agent) -> Vec<Event> {
        let mut reports = agent.log().events(self.agent, "sent");
        reports.retain(is_full);
        reports
    }

    /// The first of them on each connection, which must be as many as there were cuts.
    fn first_reports(&self, agent: &Agent) -> Vec<Event> {
        let mut reports = self.full_reports(agent);
        // The log is in the order of the connections.
        reports.dedup_by_key(|report| report.number("conn"));
        assert_eq!(reports.len(), self.repetitions, "one connection for each cut");
        reports
    }

    /// In how many ways each part was written in full reports of one and the same content. The map of
    /// components is in a report only where it was asked for; its hash always is.
    fn encodings(&self, reports: &[Event]) -> [usize; 4] {
        let content = |event: &Event| {
            let mut message = event.agent_to_server();
            message.sequence_num = 0;
            message.available_components.iter_mut().for_each(|told| told.components.clear());
            message
        };
        let first = content(&reports[0]);
        let mut seen: [HashSet<Vec<u8>>; 4] = Default::default();
        for report in reports {
            assert_eq!(content(report), first, "the content changed");
            let written = Written::decode(&*report.raw()).expect("decoded before");
            let Written { health, effective_config, package_statuses, available_components } =
                written;
            let parts = [health, effective_config, package_statuses, available_components];
            for (seen, part) in seen.iter_mut().zip(parts) {
                seen.extend(part);
            }
        }
        seen.map(|seen| seen.len())
    }

    /// The order really differed: constant bytes would prove nothing.
    fn check_order<const PARTS: usize>(&self, encodings: [usize; PARTS]) {
        let enough = |count: &usize| *count > self.repetitions / 10 * 9;
        assert!(encodings.iter().all(enough), "{encodings:?} encodings");
    }

    /// The gateway suppressed every report that the agent says it has sent since, and forwarded
    /// none. In the direct topology a full report for each repetition reaches the server.
    async fn check(&self, world: &World, agent: &Agent) {
        let received = || world.server.messages(self.server, &agent.uid);
        if world.is_direct() {
            let enough = || received().iter().filter(|event| is_full(event)).count();
            let enough = |_: &Event| enough() >= self.repetitions;
            world.server.received(self.server, &agent.uid, enough).await;
            return;
        }
        let mut sent = agent.log().events(self.agent, "sent");
        sent.retain(|event| !is_heartbeat(event));
        let sent = f64::from(u32::try_from(sent.len()).expect("a few thousand"));
        let wanted = self.suppressed + sent;
        let gateway = world.gateway();
        gateway.wait_metric(SUPPRESSED, &[], |suppressed| suppressed >= wanted).await;
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.sum(SUPPRESSED, &[]), wanted);
        assert_eq!(metrics.sum(FORWARDED, &[]), self.forwarded);
        let mut told = received();
        told.retain(|event| !is_heartbeat(event));
        assert!(told.is_empty(), "the server was told what it knew: {told:?}");
    }
}

/// One file of many is another now: that alone goes on, and arrives.
async fn a_change_gets_through(world: &mut World, agent: &mut Agent) {
    let since = world.server.mark();
    let mut changed = config("first");
    let files = &mut changed.config_map.as_mut().expect("made so").config_map;
    files.get_mut("file/17").expect("one of them").body = b"second".to_vec();
    agent.tell("set_effective_config", &changed.encode_to_vec()).await;
    let is_it = |event: &Event| event.agent_to_server().effective_config.as_ref() == Some(&changed);
    let got = world.server.received(since, &agent.uid, is_it).await;
    assert!(!got.has_field("package_statuses"), "only what changed is sent");
    world.converged(agent).await;
    world.check(&[agent]);
}
