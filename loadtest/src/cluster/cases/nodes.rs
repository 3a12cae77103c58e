//! A node dies, nodes are restarted one after the other, a node joins.

use std::io;
use std::time::Duration;

use seawall::clock;

use super::super::args::ClusterArgs;
use super::super::scene::{LOOK, Scene};
use super::{Happened, VICTIM, connected_since, middle_of_a_storm};
use crate::drain::worst_second_seen;
use crate::figures::round;
use crate::http;
use crate::storm::{Progress, wait_until_back};

/// Beyond notice and closes, how long a drain may take.
const DRAIN_SLACK: Duration = Duration::from_secs(30);
/// How long a newcomer may take to get its share of the connections.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
/// The least share, of an equal one, at which a newcomer has its share.
const NEWCOMER_SHARE: f64 = 0.8;

/// The first node is killed.
///
/// # Errors
/// When a process ends by itself, or the harness fails.
pub(super) async fn kill(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let cut_at = if args.mid_storm { Some(middle_of_a_storm(scene, args).await?) } else { None };
    // A balancer sends a connection that one node refuses to another one at once.
    scene.tell_serving(Some(VICTIM)).await?;
    scene.ask_admitted(VICTIM).await?;
    let killed = clock::now();
    scene.nodes[VICTIM].kill().await?;
    if cut_at.is_some() {
        wait_until_back(&mut scene.crew, args.patience(), &mut Progress::new()).await?;
    }
    let mut happened = Happened { cut_at, acted_on: vec![VICTIM], ..Happened::default() };
    connected_since(scene, args, killed, &mut happened).await?;
    if scene.nodes_share() {
        if scene.wait_for_homes(args.patience()).await {
            happened.seconds_to_homes = Some(round((clock::now() - killed).as_secs_f64()));
        } else {
            happened.faults.push("some shards did not find a home again".to_owned());
        }
    }
    Ok(happened)
}

/// Each node is drained and started again.
///
/// # Errors
/// When a node does not end or start, or the harness fails.
pub(super) async fn rolling(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let begun = clock::now();
    let mut happened = Happened::default();
    for place in 0..scene.nodes.len() {
        restart(scene, args, place, &mut happened).await?;
        connected_since(scene, args, begun, &mut happened).await?;
    }
    happened.closes_worst_second = Some(closes_worst_second(scene).await?);
    Ok(happened)
}

/// Drains a node, waits for its end, and starts it again.
///
/// # Errors
/// When it does not end, or fails to start.
pub(super) async fn restart(
    scene: &mut Scene,
    args: &ClusterArgs,
    place: usize,
    happened: &mut Happened,
) -> io::Result<()> {
    happened.acted_on.push(place);
    let patience = args.patience() + DRAIN_SLACK;
    scene.tell_serving(Some(place)).await?;
    let asked = clock::now();
    let status = scene.nodes[place].drain(patience).await?;
    let seconds = round((clock::now() - asked).as_secs_f64());
    happened.drains += 1;
    happened.drain_seconds_max = Some(happened.drain_seconds_max.unwrap_or(0.0).max(seconds));
    if !status.success() {
        let name = scene.nodes[place].name();
        happened.faults.push(format!("{name} ended its drain badly: {status}"));
    }
    scene.start_node(place).await
}

/// Connections that were closed on agents in the worst second.
async fn closes_worst_second(scene: &mut Scene) -> io::Result<u64> {
    Ok(worst_second_seen(&scene.crew.measured().await?.moves))
}

/// Another node joins.
///
/// # Errors
/// When it fails to start, or the harness fails.
pub(super) async fn join(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let place = scene.nodes.len() - 1;
    let mut happened = Happened::default();
    scene.start_node(place).await?;
    // Nodes that were there let connections go, so that some come to the newcomer.
    happened.acted_on.extend(0..place);
    for node in &scene.nodes[..place] {
        if let Err(error) = http::fetch(&node.admin("rebalance"), Some("")).await {
            happened.faults.push(format!("{} was not asked to rebalance: {error}", node.name()));
        }
    }
    let deadline = clock::now() + JOIN_PATIENCE.min(args.patience());
    let equal = 1.0 / (scene.nodes.len() as f64);
    loop {
        let connected = scene.nodes[place].metric("seawall_edge_open_connections").await;
        let share = connected.unwrap_or(0.0) / f64::from(args.agents);
        happened.newcomer_share = Some(round(share));
        let is_done = share >= equal * NEWCOMER_SHARE || !happened.faults.is_empty();
        if is_done || clock::now() >= deadline {
            happened.closes_worst_second = Some(closes_worst_second(scene).await?);
            return Ok(happened);
        }
        tokio::time::sleep(LOOK).await;
    }
}
