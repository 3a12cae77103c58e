//! `loadtest cluster`: several nodes, Redis, a server and a fleet on this machine; one thing happens to
//! them, and what the server, Redis and the agents noticed of it is measured.
//!
//! It is bounded in time, and every process ends with it, whatever happens. Where something was wrong,
//! logs and configurations stay.

mod admitted;
mod args;
mod balancer;
mod cases;
mod config;
mod figures;
mod folder;
mod hand_overs;
mod node;
mod process;
mod program;
mod redis;
mod relay;
mod scene;
mod speed;

use std::io;
use std::process::ExitCode;

use seawall::clock;

use crate::stage::perform;
pub(crate) use args::ClusterArgs;
use figures::{ClusterFigures, Course};
use scene::Scene;
pub(crate) use speed::{SpeedArgs, run as run_speed};

/// How long it takes until every shard has a home again, in lease times.
const SUCCESSION_LEASES: u32 = 2;

/// Runs it and prints.
///
/// # Errors
/// When options contradict each other, a process fails to start or ends early, agents fail to connect,
/// or the time is over.
pub(crate) fn run(args: &ClusterArgs) -> io::Result<ExitCode> {
    args.check().map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
    perform(async {
        let late = || {
            let fault = format!("not done after {}: everything was ended", args.time_max);
            io::Error::new(io::ErrorKind::TimedOut, fault)
        };
        let figures = tokio::time::timeout(args.time_max.0, cluster(args));
        let figures = figures.await.unwrap_or_else(|_| Err(late()))?;
        args.figures.publish(&figures, &figures.faults, || figures.tell())
    })
}

async fn cluster(args: &ClusterArgs) -> io::Result<ClusterFigures> {
    let mut scene = Scene::set(args).await?;
    let figures = play(&mut scene, args).await?;
    scene.folder.keep(args.keep_logs || !figures.faults.is_empty());
    Ok(figures)
}

async fn play(scene: &mut Scene, args: &ClusterArgs) -> io::Result<ClusterFigures> {
    let start = scene.snapshot().await?;
    let since = clock::wall();
    let happened = cases::act(scene, args).await?;
    let ended = clock::now();
    let nodes_then = scene.node_samples().await;
    for place in 0..scene.nodes.len() {
        scene.ask_admitted(place).await?;
    }
    let admitted_by_nodes = happened.cut_at.map(|_| scene.admitted.best_second(since));
    let mut hold = args.aftermath.hold.0;
    if scene.nodes_share() {
        // A home that is gone is missed for a lease time, and has a successor within another.
        hold = hold.max(args.lease.0 * SUCCESSION_LEASES);
    }
    let patience = args.aftermath.settle();
    let settled = scene.report.settle_and_hold(&mut scene.crew, hold, patience).await?;
    let end = scene.snapshot().await?;
    let course = Course {
        start: &start,
        end: &end,
        nodes_then: &nodes_then,
        admitted_by_nodes,
        ended,
        settled: &settled,
    };
    ClusterFigures::new(scene, args, &course, happened).await
}
