//! Every agent gets a push while connections or shards move.

use std::io;
use std::time::Duration;

use seawall::clock;

use super::super::args::{ClusterArgs, Meanwhile};
use super::super::scene::{LOOK, Scene};
use super::nodes::restart;
use super::{Happened, VICTIM};
use crate::fleet::moves::MoveOrder;
use crate::storm::moves::relocate;

/// How long a push may take to arrive.
const PUSH_PATIENCE: Duration = Duration::from_secs(10);
/// For `POST /misbehave`: each reply asks for the full state.
const ASKS: &str = "{\"always_full_state\":true}";

/// Lets it happen, and waits for the pushes.
///
/// # Errors
/// When a process ends by itself, or the harness fails.
pub(super) async fn push(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let before = scene.crew.measured().await?.custom_messages;
    if args.asks {
        scene.report.misbehave(ASKS).await?;
    }
    let rate = args.push_rate.unwrap_or(args.rate);
    let push = format!("{{\"all\":true,\"kind\":\"custom\",\"size\":200,\"rate\":{rate:.0}}}");
    scene.push(&push).await?;
    let mut happened = Happened::default();
    match args.meanwhile {
        Meanwhile::Move => relocate(&mut scene.crew, order(args), args.patience()).await?,
        Meanwhile::Drain => restart(scene, args, VICTIM, &mut happened).await?,
        Meanwhile::Join => scene.start_node(scene.nodes.len() - 1).await?,
    }
    // All have been said after this; the last one may be on its way then.
    let said = Duration::from_secs_f64(f64::from(args.agents) / rate);
    let deadline = clock::now() + said + PUSH_PATIENCE;
    let pushes_ordered = u64::from(args.agents);
    while scene.crew.measured().await?.custom_messages - before < pushes_ordered
        && clock::now() < deadline
    {
        tokio::time::sleep(LOOK).await;
    }
    if args.asks {
        scene.report.misbehave("{}").await?;
    }
    happened.pushes_ordered = pushes_ordered;
    Ok(happened)
}

fn order(args: &ClusterArgs) -> MoveOrder {
    MoveOrder {
        agents: args.agents,
        per_second: args.rate,
        changed: args.fleet.changed,
        hops: args.hops,
    }
}
