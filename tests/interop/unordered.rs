//! Reports that say the same in other bytes: Go writes the entries of a map in another order each
//! time (R1). Who compares bytes takes each of them for news.

use std::collections::HashSet;
use std::time::Duration;

use prost::Message;
use seawall::opamp::proto::{
    AgentConfigFile, AgentConfigMap, AvailableComponents, ComponentDetails, ComponentHealth,
    EffectiveConfig, PackageStatus, PackageStatuses,
};

use crate::support::interop::agent::{Agent, AgentOptions};
use crate::support::interop::world::{Setup, World};
use crate::support::log::{Event, Mark};

/// How often the agent says it all again.
const REPETITIONS: usize = 1_000;
/// The same without a gateway: enough to see that the agent does send all this.
const DIRECT_REPETITIONS: usize = 50;
/// Entries of each map: more orders than a run could try.
const ENTRIES: usize = 24;
/// Longer than what was written to an agent counts as perhaps lost.
const DOUBT: Duration = Duration::from_millis(5_200);

const SUPPRESSED: &str = "seawall_suppressed_reports_total";
const FORWARDED: &str = "seawall_forwarded_reports_total";

/// Each repetition is a new connection, on which this release tells its full state. Health is set
/// again as the connection opens, as agents do that report it from a timer; of the components there
/// is the hash alone.
pub(crate) async fn repeated_on_reconnect(setup: Setup) {
    let mut world = setup.world().await;
    let options = world.options("again").repeat_health();
    let mut agent = rich(&mut world, options).await;
    forget_doubts(&mut agent).await;
    let before = Before::take(&world, &agent).await;
    for _ in 0..before.repetitions {
        let (since, server_since) = (agent.mark(), world.server.mark());
        agent.cut().await;
        agent.event(since, "sent", is_full).await;
        // A cut may discard what has not been read: not before the report is taken.
        if world.is_direct() {
            world.server.received(server_since, &agent.uid, is_full).await;
        } else {
            agent.event(since, "received", |_| true).await;
        }
    }
    let [health, config, packages, _] = before.encodings(&agent);
    before.check_order([health, config, packages]);
    before.check(&world, &agent, 1).await;
    a_change_gets_through(&mut world, &mut agent).await;
}

/// Each repetition answers a question: a message is lost, the next one shows it by its number, and
/// the agent is asked for its full state, the map of components included. Neither the short report
/// that shows the loss nor the full one is news.
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
    let counts = before.encodings(&agent);
    before.check_order(counts);
    before.check(&world, &agent, 2).await;
    a_change_gets_through(&mut world, &mut agent).await;
}

fn is_full(event: &Event) -> bool {
    event.has_field("health") && event.has_field("effective_config")
}

/// What a heartbeat has and nothing else.
fn is_heartbeat(event: &Event) -> bool {
    let fields = event.texts("fields");
    fields.iter().all(|field| ["instance_uid", "sequence_num", "capabilities"].contains(field))
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
/// connection broke may be lost, and its reports count as news then; what the agent says some
/// seconds later proves that it was not.
async fn forget_doubts(agent: &mut Agent) {
    // Nothing tells of it, on purpose: the gateway waits for a message this late, not for time.
    tokio::time::sleep(DOUBT).await;
    let since = agent.mark();
    let description = agent.truth().agent_description.expect("told").encode_to_vec();
    agent.tell("set_description", &description).await;
    agent.event(since, "received", |_| true).await;
}

fn names(what: &str) -> impl Iterator<Item = String> {
    (0..ENTRIES).map(move |number| format!("{what}/{number}"))
}

/// With so many parts, each of them with two of its own.
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

    /// In how many ways each part was written since, by full reports of one and the same content.
    /// The map of components is there only where it was asked for; its hash always is.
    fn encodings(&self, agent: &Agent) -> [usize; 4] {
        let mut reports = agent.log().events(self.agent, "sent");
        reports.retain(is_full);
        assert_eq!(reports.len(), self.repetitions);
        let content = |event: &Event| {
            let mut message = event.agent_to_server();
            message.sequence_num = 0;
            message.available_components.iter_mut().for_each(|told| told.components.clear());
            message
        };
        let first = content(&reports[0]);
        let mut seen: [HashSet<Vec<u8>>; 4] = Default::default();
        for report in &reports {
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

    /// None of the reports since, `each` in a repetition, was news. Without a gateway they all reach
    /// the server.
    async fn check(&self, world: &World, agent: &Agent, each: usize) {
        let reports = each * self.repetitions;
        let got = || {
            let mut got = world.server.messages(self.server, &agent.uid);
            got.retain(|event| !is_heartbeat(event));
            got
        };
        if world.is_direct() {
            world.server.received(self.server, &agent.uid, |_| got().len() >= reports).await;
            return;
        }
        let wanted = self.suppressed + f64::from(u32::try_from(reports).expect("a few thousand"));
        let gateway = world.gateway();
        gateway.wait_metric(SUPPRESSED, &[], |suppressed| suppressed >= wanted).await;
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.sum(SUPPRESSED, &[]), wanted);
        assert_eq!(metrics.sum(FORWARDED, &[]), self.forwarded);
        let got = got();
        assert!(got.is_empty(), "the server was told what it knew: {got:?}");
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
