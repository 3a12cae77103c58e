//! What a run of a cluster came to, and whether that is right. The keys are an interface.

mod back;
mod cost;
mod push;

use std::io;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::args::{Balancing, ClusterArgs, ClusterCase};
use super::cases::Happened;
use super::hand_overs;
use super::node::{ClusterNode, NodeSample};
use super::redis::RedisKind;
use super::scene::{Scene, Snapshot};
use crate::figures::{line, round, shown};
use crate::oracle::judge::OracleVerdict;
use crate::storm::moves::MoveFigures;
use crate::storm::outcome::of_server;
use crate::storm::server::Settled;
use back::Back;
use cost::CostFigures;
use push::PushFigures;

/// A home passes an agent's heartbeats on as they come, but no more often than this, while they fit its server's budget.
/// Where servers are polled, polls say the same.
const HEARTBEATS_FORWARDED_EACH: Duration = Duration::from_secs(1);

/// The figures.
#[derive(Debug, Serialize)]
pub(super) struct ClusterFigures {
    case: ClusterCase,
    nodes: u16,
    agents: u64,
    redis: RedisKind,
    balancing: Balancing,
    /// False while each node is alone: without Redis, or with a gateway that cannot share.
    nodes_share: bool,
    #[serde(skip)]
    is_unchanged: bool,
    /// Agents of which the server knows nothing, or something untrue.
    pub(super) agents_missing: u64,
    pub(super) agents_wrong: u64,
    /// Agents for which two nodes spoke at the same time.
    pub(super) spoken_twice: u64,
    /// Agents whose home was killed or stopped, by the node that had spoken for them last.
    agents_without_home: u64,
    /// Agents that the server renamed, because they came on a second connection (`--keyed-by exclusive`).
    agents_renamed: u64,
    /// Messages with a full state that the server got since the case began.
    pub(super) full_states: u64,
    /// Messages that it got beyond the heartbeats that were due anyway, over the agents. Where nodes leave in order, one
    /// announcement of each agent is due for each of them.
    messages_per_agent: f64,
    /// Announcements among all that it got: words on a link on which it had not heard of the agent.
    announces_per_agent: f64,
    /// Commands of the nodes that Redis worked on; null without Redis.
    redis_commands: Option<u64>,
    /// Calls of nodes to Redis that neither renewed a lease nor read the map.
    redis_calls_beyond: Option<f64>,
    /// What crossed node links, over the agents; null while there are none.
    node_link_bytes_per_agent: Option<f64>,
    /// How much later than others, at p99, agents got their first reply whose home is another node than
    /// the one that they dialled. Null unless agents were cut off and dial nodes themselves.
    cross_node_ms_p99: Option<f64>,
    /// The time until all were back over agents / rate; null unless agents were cut off.
    time_ratio: Option<f64>,
    seconds_to_99: Option<f64>,
    seconds_to_100: Option<f64>,
    /// Agents that were back in the best second of a storm: more than the rate admits is too many.
    back_peak_per_second: Option<u64>,
    /// Agents that the nodes admitted in the best second of a storm, as nodes count it; and those that saw their
    /// connections opened in the best second, which may be more if the fleet's processes read late.
    admitted_peak_per_second: Option<u64>,
    admitted_peak_seen_per_second: Option<u64>,
    first_reply_ms_p99: Option<f64>,
    agents_back: u64,
    refusals: u64,
    /// Connections that nodes closed on agents: all, and those of nodes that nothing was done to (null
    /// behind HAProxy, where an agent cannot tell).
    connections_closed: u64,
    connections_closed_elsewhere: Option<u64>,
    /// Dials of an agent since the case began.
    dials_mean: f64,
    dials_most: u32,
    seconds_to_connected: Option<f64>,
    /// From a node's death until every shard had a home again; no less than the time above.
    seconds_to_homes: Option<f64>,
    /// From the case's end until the server was right about every agent.
    seconds_to_settled: Option<f64>,
    /// After a pause, on links of before it: words for agents, and those of the node's own accord.
    woken_words: Option<u64>,
    woken_words_of_own_accord: Option<u64>,
    #[serde(flatten)]
    pushes: PushFigures,
    /// The share of all connections that a node has which joined.
    newcomer_share: Option<f64>,
    drain_seconds_max: Option<f64>,
    /// Of a shard, where nodes leave and come: for so long its agents waited.
    hand_over_seconds_max: Option<f64>,
    /// Connections that nodes closed on agents in the worst second, as the agents saw it.
    closes_worst_second: Option<u64>,
    #[serde(flatten)]
    pub(super) cost: CostFigures,
    misrouted: u64,
    malformed: u64,
    #[serde(flatten)]
    moves: MoveFigures,
    /// Since the case began, as the server stand-in reports it.
    server: Map<String, Value>,
    /// Some of the faults, in words.
    pub(super) faults: Vec<String>,
}

/// The two ends of a run.
pub(super) struct Course<'a> {
    pub(super) start: &'a Snapshot,
    pub(super) end: &'a Snapshot,
    /// What nodes had counted when the case had ended.
    pub(super) nodes_then: &'a [NodeSample],
    /// In the best second of a storm, as nodes count it.
    pub(super) admitted_by_nodes: Option<u64>,
    pub(super) ended: std::time::Instant,
    pub(super) settled: &'a Settled,
}

impl Course<'_> {
    fn seconds_to_settled(&self) -> Option<f64> {
        let after = |at: std::time::Instant| at.saturating_duration_since(self.ended);
        self.settled.at.map(|at| round(after(at).as_secs_f64()))
    }
}

impl ClusterFigures {
    /// Works them out, and lists the faults.
    ///
    /// # Errors
    /// When the server is silent.
    pub(super) async fn new(
        scene: &mut Scene,
        args: &ClusterArgs,
        course: &Course<'_>,
        happened: Happened,
    ) -> io::Result<Self> {
        let Course { start, end, .. } = *course;
        let agents = f64::from(args.agents);
        let since = end.measured.counted_since(&start.measured);
        let seconds = (end.at - start.at).as_secs_f64();
        let server = of_server(scene.report.counts().await?, &course.settled.verdict);
        let count = |key: &str| server.get(key).and_then(Value::as_u64).unwrap_or(0);
        let messages = messages_beyond(args, &count, (seconds, happened.drains));
        let has_redis = scene.redis.is_some();
        let back = Back::new(end, args, happened.cut_at.is_some());
        let (dials_mean, dials_most) = dials(&start.dials, &end.dials);
        let link_bytes = NodeSample::node_link_bytes(&start.nodes, &end.nodes);
        let mut figures = Self {
            case: args.case,
            nodes: args.nodes,
            agents: args.agents.into(),
            redis: args.redis,
            balancing: args.balancing,
            nodes_share: scene.nodes_share(),
            is_unchanged: args.is_unchanged(),
            agents_missing: count("agents_missing"),
            agents_wrong: count("agents_wrong"),
            spoken_twice: count("spoken_twice"),
            agents_without_home: homes_lost(start, args, &happened),
            agents_renamed: count("renamed"),
            full_states: count("full_states"),
            messages_per_agent: round(messages / agents),
            announces_per_agent: round(count("announces") as f64 / agents),
            redis_commands: has_redis.then(|| end.redis.of_nodes_since(&start.redis)),
            redis_calls_beyond: has_redis.then(|| calls_beyond(start, end)).flatten(),
            node_link_bytes_per_agent: link_bytes.map(|bytes| round(bytes / agents)),
            cross_node_ms_p99: scene.is_direct().then(|| back.cross_node_ms_p99(start)).flatten(),
            time_ratio: back.time_ratio(args),
            seconds_to_99: back.seconds_to(0.99),
            seconds_to_100: back.seconds_to(1.0),
            back_peak_per_second: back.peak_per_second(),
            admitted_peak_per_second: course.admitted_by_nodes,
            admitted_peak_seen_per_second: back.admitted_peak_seen_per_second(),
            first_reply_ms_p99: end.measured.first_reply.quantile_ms(0.99).map(round),
            agents_back: back.sorted_us.len() as u64,
            refusals: since.refusals,
            connections_closed: since.closed_by_peer,
            connections_closed_elsewhere: closed_elsewhere(scene, course, &happened),
            dials_mean,
            dials_most,
            seconds_to_connected: happened.seconds_to_connected,
            seconds_to_homes: happened.seconds_to_homes,
            seconds_to_settled: course.seconds_to_settled(),
            woken_words: happened.woken.map(|[words, _]| words),
            woken_words_of_own_accord: happened.woken.map(|[_, own]| own),
            pushes: PushFigures::new(happened.pushes_ordered, &since),
            newcomer_share: happened.newcomer_share,
            drain_seconds_max: happened.drain_seconds_max,
            hand_over_seconds_max: longest_hand_over(scene),
            closes_worst_second: happened.closes_worst_second,
            cost: CostFigures::new(scene, course),
            misrouted: since.misrouted,
            malformed: since.malformed,
            moves: MoveFigures::between(&scene.crew.targets, &start.measured, &end.measured),
            server,
            faults: happened.faults,
        };
        figures.faults.extend(scene.faults());
        figures.judge(&course.settled.verdict, happened.cut_at.is_some());
        Ok(figures)
    }

    /// Lists what must not be, whatever the case.
    fn judge(&mut self, verdict: &OracleVerdict, was_cut: bool) {
        if !verdict.holds() {
            self.faults.push(verdict.in_words());
        }
        self.faults.extend(verdict.examples.iter().cloned());
        if self.redis != RedisKind::None && !self.nodes_share {
            let fault = "this gateway knows no [ownership]: each node was alone";
            self.faults.push(fault.to_owned());
        }
        if self.nodes_share && self.is_unchanged {
            self.judge_cost();
        }
        let missing = if was_cut { self.agents.saturating_sub(self.agents_back) } else { 0 };
        for (count, what) in [
            (self.spoken_twice, "agents had two nodes that spoke for them at the same time"),
            (self.agents_renamed, "agents were renamed by the server"),
            (missing, "agents have not come back"),
            (
                self.connections_closed_elsewhere.unwrap_or(0),
                "connections were closed on agents of nodes that nothing was done to",
            ),
            (
                self.woken_words_of_own_accord.unwrap_or(0),
                "words of its own accord came from a node that had been paused",
            ),
            (self.pushes.pushes_lost, "pushes were lost"),
            (self.pushes.pushes_repeated, "pushes came more than once"),
            (self.misrouted, "messages reached the wrong agent"),
            (self.malformed, "messages could not be read"),
        ] {
            if count > 0 {
                self.faults.push(format!("{count} {what}"));
            }
        }
    }

    /// What nodes that share promise for agents in which nothing changed: silence, but for an announcement
    /// and a full state at most of each agent whose home died.
    fn judge_cost(&mut self) {
        let full_states_max = self.agents_without_home;
        if self.full_states > full_states_max {
            let full_states = self.full_states;
            let fault =
                format!("the server got {full_states} full states; {full_states_max} were due");
            self.faults.push(fault);
        }
        if self.agents_without_home == 0 && self.messages_per_agent > 0.0 {
            let messages = self.messages_per_agent;
            self.faults.push(format!("the server got {messages} messages for each agent"));
        }
    }

    /// Prints.
    pub(super) fn tell(&self) {
        line("agents", self.agents.to_string());
        line("nodes", format!("{}, {}", self.nodes, self.sharing()));
        line("99 % back after", shown(self.seconds_to_99, " s"));
        line("100 % back after", shown(self.seconds_to_100, " s"));
        line("admitted in the best second", shown(self.admitted_peak_per_second, ""));
        line("  as agents saw it", shown(self.admitted_peak_seen_per_second, ""));
        line("time over the ideal", shown(self.time_ratio, ""));
        line("all connected again after", shown(self.seconds_to_connected, " s"));
        line("every shard has a home after", shown(self.seconds_to_homes, " s"));
        line("server: right about all after", shown(self.seconds_to_settled, " s more"));
        line("server: agents missing", self.agents_missing.to_string());
        line("server: agents wrong", self.agents_wrong.to_string());
        line("server: two nodes spoke for one", self.spoken_twice.to_string());
        line("server: full states", self.full_states.to_string());
        line("server: messages per agent", self.messages_per_agent.to_string());
        line("server: announces per agent", self.announces_per_agent.to_string());
        line("dials per agent", format!("{}, {} of one agent", self.dials_mean, self.dials_most));
        line("agents renamed", self.agents_renamed.to_string());
        line("connections closed on agents", self.connections_closed.to_string());
        line("  of nodes left alone", shown(self.connections_closed_elsewhere, ""));
        line("Redis: commands of nodes", shown(self.redis_commands, ""));
        line("  calls but leases, the map", shown(self.redis_calls_beyond, ""));
        line("node links: bytes per agent", shown(self.node_link_bytes_per_agent, ""));
        line("later for a home elsewhere, p99", shown(self.cross_node_ms_p99, " ms"));
        for (name, value) in self.cost.lines() {
            line(name, value);
        }
        for (name, value) in self.pushes.lines() {
            line(name, value);
        }
        if self.woken_words.is_some() {
            line("words after the pause", shown(self.woken_words, ""));
            line("  of its own accord", shown(self.woken_words_of_own_accord, ""));
        }
        if self.newcomer_share.is_some() {
            line("the newcomer's share", shown(self.newcomer_share, ""));
        }
        if self.drain_seconds_max.is_some() {
            line("longest drain", shown(self.drain_seconds_max, " s"));
            line("longest hand-over of a shard", shown(self.hand_over_seconds_max, " s"));
        }
        for (name, value) in self.moves.lines() {
            line(&name, value);
        }
    }

    fn sharing(&self) -> &'static str {
        if self.nodes_share { "which share sessions" } else { "each alone" }
    }
}

/// Calls of nodes to Redis that neither renew a lease nor read the map. Nodes and Redis are looked at one after the other,
/// so that a call between the two is one too many at the end, or one too few at the start.
fn calls_beyond(start: &Snapshot, end: &Snapshot) -> Option<f64> {
    let leases = NodeSample::lease_calls(&start.nodes, &end.nodes)?;
    Some((end.redis.calls_since(&start.redis) as f64 - leases).max(0.0))
}

/// Messages beyond the heartbeats that were due in these seconds. Where homes move by order a heartbeat may be the first
/// on its link, which counts as an announcement. A node that is drained ends links by which the server knows agents: each
/// agent is announced once for each drain.
fn messages_beyond(
    args: &ClusterArgs,
    count: &impl Fn(&str) -> u64,
    (seconds, drains): (f64, u32),
) -> f64 {
    let agents = f64::from(args.agents);
    let homes_move = drains > 0 || args.case == ClusterCase::Join;
    let announces = if homes_move { count("announces") } else { 0 };
    let announces_due = if homes_move { agents * f64::from(drains) } else { 0.0 };
    let heartbeats = count("heartbeats") + announces;
    let beyond = heartbeats as f64 - heartbeats_due(args, seconds) - announces_due;
    count("messages").saturating_sub(heartbeats) as f64 + beyond.max(0.0)
}

/// Heartbeats, or polls, that the server was due to get.
fn heartbeats_due(args: &ClusterArgs, seconds: f64) -> f64 {
    let as_they_come = args.fleet.heartbeat.0.max(HEARTBEATS_FORWARDED_EACH);
    let each = args.mode.polls_each().unwrap_or(as_they_come);
    f64::from(args.agents) * (1.0 + seconds / each.as_secs_f64())
}

/// The mean and the most dials of an agent.
fn dials(start: &[u32], end: &[u32]) -> (f64, u32) {
    let since = || start.iter().zip(end).map(|(start, end)| end.saturating_sub(*start));
    let mean = since().map(f64::from).sum::<f64>() / (start.len().max(1) as f64);
    (round(mean), since().max().unwrap_or(0))
}

fn longest_hand_over(scene: &Scene) -> Option<f64> {
    let of_node = |node: &ClusterNode| hand_overs::longest(&scene.folder.log(node.name()));
    scene.nodes.iter().filter_map(of_node).max().map(|took| round(took.as_secs_f64()))
}

fn homes_lost(start: &Snapshot, args: &ClusterArgs, happened: &Happened) -> u64 {
    let is_lost = |home: &&Option<usize>| home.is_some_and(|at| happened.acted_on.contains(&at));
    // A node that was stopped for three lease times has lost its agents to the others.
    if matches!(args.case, ClusterCase::Kill | ClusterCase::Pause) {
        start.homes.iter().filter(is_lost).count() as u64
    } else {
        0
    }
}

fn closed_elsewhere(scene: &Scene, course: &Course<'_>, happened: &Happened) -> Option<u64> {
    if !scene.is_direct() {
        return None;
    }
    let targets = course.end.measured.targets_since(&course.start.measured);
    let others = targets.iter().enumerate().filter(|(at, _)| !happened.acted_on.contains(at));
    Some(others.map(|(_, counts)| counts.closed_by_peer).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_are_counted_for_each_agent() {
        assert_eq!(dials(&[1, 1, 5, 1], &[2, 1, 5, 4]), (1.0, 3));
        assert_eq!(dials(&[], &[]), (0.0, 0));
    }
}
