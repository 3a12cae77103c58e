//! What happens in each case. The measuring before and after is the same for all of them.

use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use serde_json::Value;

use super::args::{ClusterArgs, ClusterCase};
use super::redis::StartWith;
use super::scene::{LOOK, Scene};
use crate::figures::round;
use crate::fleet::moves::MoveOrder;
use crate::http;
use crate::storm::moves::relocate;
use crate::storm::{Progress, send_cut, wait_until_back};

/// The node that a case acts on, where it is one.
const VICTIM: usize = 0;
/// How long a push may take to arrive.
const PUSH_PATIENCE: Duration = Duration::from_secs(10);
/// Beyond notice and closes, how long a drain may take.
const DRAIN_SLACK: Duration = Duration::from_secs(30);
/// How long a newcomer may take to get its share of the connections.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
/// The least share, of an equal one, at which a newcomer has its share.
const NEWCOMER_SHARE: f64 = 0.8;

/// What a case did, as far as the measuring must know.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// When all agents were cut off.
    pub(super) cut_at: Option<Instant>,
    /// Places of nodes that were killed, paused or drained: they alone may lose connections.
    pub(super) acted_on: Vec<usize>,
    /// From what was done to a node until every agent was connected and answered.
    pub(super) seconds_to_connected: Option<f64>,
    /// Words for agents on links of before the pause, after the node went on: all, and those of its own
    /// accord.
    pub(super) woken: Option<[u64; 2]>,
    /// Agents that should get a push.
    pub(super) pushes_ordered: u64,
    pub(super) newcomer_share: Option<f64>,
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
        ClusterCase::Kill => kill(scene, args).await,
        ClusterCase::Pause => pause(scene, args).await,
        ClusterCase::RedisStop
        | ClusterCase::RedisEmpty
        | ClusterCase::RedisDump
        | ClusterCase::RedisPause
        | ClusterCase::RedisFailover => redis(scene, args).await,
        ClusterCase::Push => push(scene, args).await,
        ClusterCase::Rolling => rolling(scene, args).await,
        ClusterCase::Join => join(scene, args).await,
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

async fn kill(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let cut_at = if args.mid_storm { Some(middle_of_a_storm(scene, args).await?) } else { None };
    // A balancer sends a connection that one node refuses to another one at once.
    scene.tell_serving(Some(VICTIM)).await?;
    let killed = clock::now();
    scene.nodes[VICTIM].kill().await?;
    if cut_at.is_some() {
        wait_until_back(&mut scene.crew, args.patience(), &mut Progress::new()).await?;
    }
    let mut happened = Happened { cut_at, acted_on: vec![VICTIM], ..Happened::default() };
    connected_since(scene, args, killed, &mut happened).await?;
    Ok(happened)
}

async fn pause(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let label = scene.nodes[VICTIM].label();
    scene.nodes[VICTIM].hang(true)?;
    scene.tell_serving(Some(VICTIM)).await?;
    tokio::time::sleep(args.lease.0 * 3).await;
    let asleep = scene.links().await?;
    scene.nodes[VICTIM].hang(false)?;
    let woken_at = clock::now();
    scene.tell_serving(None).await?;
    tokio::time::sleep(args.lease.0.max(args.aftermath.hold.0)).await;
    let awake = scene.links().await?;
    let woken = Some(["words", "own_accord"].map(|key| words_since(&asleep, &awake, &label, key)));
    let mut happened = Happened { woken, acted_on: vec![VICTIM], ..Happened::default() };
    connected_since(scene, args, woken_at, &mut happened).await?;
    Ok(happened)
}

/// How many words of this kind the old links of one node brought between two looks at all links. Links
/// that were opened after the first look are of another incarnation, and may speak.
fn words_since(before: &[Value], after: &[Value], label: &str, key: &str) -> u64 {
    let count = |link: &Value| link[key].as_u64().unwrap_or(0);
    let own = before.iter().filter(|link| link["node"] == label);
    own.filter_map(|old| {
        let now = after.iter().find(|now| now["link"] == old["link"])?;
        Some(count(now).saturating_sub(count(old)))
    })
    .sum()
}

async fn redis(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let absent = || io::Error::other("there is no Redis");
    let mut with = StartWith::ItsData;
    if args.case == ClusterCase::RedisEmpty {
        with = StartWith::Nothing;
    } else if args.case == ClusterCase::RedisDump {
        with = StartWith::Dump(scene.redis.as_ref().ok_or_else(absent)?.dump().await?);
        tokio::time::sleep(args.away.0).await;
    }
    let cut_at = middle_of_a_storm(scene, args).await?;
    let redis = scene.redis.as_mut().ok_or_else(absent)?;
    match args.case {
        ClusterCase::RedisPause => {
            redis.hang(true)?;
            tokio::time::sleep(args.away.0).await;
            redis.hang(false)?;
        }
        ClusterCase::RedisFailover => redis.fail_over().await?,
        _ => {
            redis.stop().await?;
            tokio::time::sleep(args.away.0).await;
            redis.start_again(&with).await?;
        }
    }
    wait_until_back(&mut scene.crew, args.patience(), &mut Progress::new()).await?;
    Ok(Happened { cut_at: Some(cut_at), ..Happened::default() })
}

async fn push(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let rate = args.rate;
    let order = MoveOrder {
        agents: args.agents,
        per_second: rate,
        changed: args.fleet.changed,
        hops: args.hops,
    };
    let before = scene.crew.measured().await?.custom_messages;
    let push = format!("{{\"all\":true,\"kind\":\"custom\",\"size\":200,\"rate\":{rate:.0}}}");
    scene.push(&push).await?;
    relocate(&mut scene.crew, order, args.patience()).await?;
    let deadline = clock::now() + PUSH_PATIENCE;
    let pushes_ordered = u64::from(args.agents);
    while scene.crew.measured().await?.custom_messages - before < pushes_ordered
        && clock::now() < deadline
    {
        tokio::time::sleep(LOOK).await;
    }
    Ok(Happened { pushes_ordered, ..Happened::default() })
}

async fn rolling(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let begun = clock::now();
    let mut happened = Happened::default();
    let mut longest = Duration::ZERO;
    for place in 0..scene.nodes.len() {
        happened.acted_on.push(place);
        let patience = args.patience() + DRAIN_SLACK;
        scene.tell_serving(Some(place)).await?;
        let asked = clock::now();
        let status = scene.nodes[place].drain(patience).await?;
        longest = longest.max(clock::now() - asked);
        if !status.success() {
            let name = scene.nodes[place].name();
            happened.faults.push(format!("{name} ended its drain badly: {status}"));
        }
        scene.nodes[place].start(&scene.setup, &scene.folder).await?;
        scene.tell_serving(None).await?;
        connected_since(scene, args, begun, &mut happened).await?;
    }
    happened.drain_seconds_max = Some(round(longest.as_secs_f64()));
    Ok(happened)
}

async fn join(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let place = scene.nodes.len() - 1;
    let mut happened = Happened::default();
    scene.nodes[place].start(&scene.setup, &scene.folder).await?;
    scene.tell_serving(None).await?;
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
            return Ok(happened);
        }
        tokio::time::sleep(LOOK).await;
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_node_says_on_its_old_links_is_counted() {
        let link = |link: u64, node: &str, own_accord: u64| json!({"link": link, "node": node, "own_accord": own_accord});
        let before = [link(1, "node-1.1", 5), link(2, "node-1.1", 0), link(3, "node-2.1", 1)];
        let after = [
            link(1, "node-1.1", 7),
            link(2, "node-1.1", 1),
            link(3, "node-2.1", 9),
            link(4, "node-1.1", 100),
        ];
        assert_eq!(words_since(&before, &after, "node-1.1", "own_accord"), 3);
        assert_eq!(words_since(&before, &before, "node-1.1", "own_accord"), 0);
    }
}
