//! What happens in each case. The measuring before and after is the same for all of them.

mod nodes;
mod pause;
mod push;
mod redis;

use std::io;
use std::time::{Duration, Instant};

use seawall::clock;

use super::args::{ClusterArgs, ClusterCase, Ways};
use super::scene::Scene;
use crate::figures::round;
use crate::storm::{Progress, send_cut, wait_until_back};

/// The node that a case acts on, where it is one.
const VICTIM: usize = 0;
/// The two nodes between which datagrams are lost.
const NEIGHBOURS: (usize, usize) = (0, 1);
/// How long the server is away while shards move.
const SERVER_AWAY: Duration = Duration::from_secs(1);

/// What a case did, as far as the measuring must know.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// When all agents were cut off.
    pub(super) cut_at: Option<Instant>,
    /// Places of nodes that were killed, paused or drained: they alone may lose connections.
    pub(super) acted_on: Vec<usize>,
    /// From what was done to a node until every agent was connected and answered.
    pub(super) seconds_to_connected: Option<f64>,
    /// From what was done to a node until every shard had a home again, and agents were connected.
    pub(super) seconds_to_homes: Option<f64>,
    /// Words for agents on links of before the pause, after the node went on: all, and those of its own
    /// accord.
    pub(super) woken: Option<[u64; 2]>,
    /// Agents that should get a push.
    pub(super) pushes_ordered: u64,
    pub(super) newcomer_share: Option<f64>,
    /// Connections that the nodes closed in the worst second, as agents saw them.
    pub(super) closes_worst_second: Option<u64>,
    /// How many drains there were.
    pub(super) drains: u32,
    /// The longest drain of a node, from the signal to its end.
    pub(super) drain_seconds_max: Option<f64>,
    /// What went wrong, in words.
    pub(super) faults: Vec<String>,
}

/// Lets it happen.
///
/// # Errors
/// When a process ends by itself, or the harness fails.
pub(super) async fn act(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    match args.case {
        ClusterCase::Storm => storm(scene, args).await,
        ClusterCase::Kill => nodes::kill(scene, args).await,
        ClusterCase::Pause => pause::pause(scene, args).await,
        ClusterCase::RedisStop
        | ClusterCase::RedisEmpty
        | ClusterCase::RedisDump
        | ClusterCase::RedisPause
        | ClusterCase::RedisFailover => redis::away(scene, args).await,
        ClusterCase::Push => push::push(scene, args).await,
        ClusterCase::Rolling => nodes::rolling(scene, args).await,
        ClusterCase::Join => nodes::join(scene, args).await,
        ClusterCase::Cut => cut(scene, args).await,
        ClusterCase::Server => server(scene, args).await,
    }
}

async fn storm(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    if let Some(nodes) = args.onto {
        scene.tell_first(nodes).await?;
    }
    let cut_at = Some(send_cut(&mut scene.crew).await?);
    wait_until_back(&mut scene.crew, args.patience(), &mut Progress::new()).await?;
    Ok(Happened { cut_at, ..Happened::default() })
}

/// Datagrams between two nodes are lost while agents come back in a storm, and for a while after.
async fn cut(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let (first, second) = NEIGHBOURS;
    let whole_again = clock::now() + args.away.0;
    let ways = [(first, second), (second, first)];
    scene.cut_ways(match args.ways {
        Ways::Both => &ways,
        Ways::Forth => &ways[..1],
        Ways::Back => &ways[1..],
    });
    tokio::time::sleep(args.after.0).await;
    let cut_at = Some(send_cut(&mut scene.crew).await?);
    wait_until_back(&mut scene.crew, args.patience(), &mut Progress::new()).await?;
    tokio::time::sleep_until(whole_again.into()).await;
    scene.cut_ways(&[]);
    Ok(Happened { cut_at, ..Happened::default() })
}

/// The server loses all it knew while a node joins. No connection ends for either.
async fn server(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let begun = clock::now();
    scene.kill_server().await?;
    let newcomer = scene.nodes.len() - 1;
    // No node is ready while no server is reached, and its shards come all the same.
    scene.launch_node(newcomer)?;
    tokio::time::sleep_until((begun + SERVER_AWAY).into()).await;
    scene.start_server().await?;
    scene.node_ready(newcomer).await?;
    let mut happened = Happened::default();
    connected_since(scene, args, begun, &mut happened).await?;
    Ok(happened)
}

/// Cuts all agents off, and returns when the middle of the storm has come.
async fn middle_of_a_storm(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Instant> {
    let cut_at = send_cut(&mut scene.crew).await?;
    tokio::time::sleep_until((cut_at + args.after.0).into()).await;
    Ok(cut_at)
}

async fn connected_since(
    scene: &mut Scene,
    args: &ClusterArgs,
    begun: Instant,
    happened: &mut Happened,
) -> io::Result<()> {
    if scene.wait_until_connected(args.patience()).await? {
        happened.seconds_to_connected = Some(round((clock::now() - begun).as_secs_f64()));
    } else {
        happened.seconds_to_connected = None;
        happened.faults.push("some agents did not find a node again".to_owned());
    }
    Ok(())
}
