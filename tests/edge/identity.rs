//! Who speaks: forms of uids, and two that claim the same one (R10).

use seawall::opamp::proto::AgentDisconnect;

use crate::support::http::request;
use crate::support::message::{full_report, heartbeat, uid};
use crate::support::socket::Socket;
use crate::{CLOSED, REJECTED, World};

const ULID: &[u8] = b"01ARZ3NDEKTSV4RRFFQ69G5FAV";

#[tokio::test]
async fn an_old_agents_uid_keeps_its_form() {
    let world = World::start().await;
    let mut agent = Socket::open(world.gateway.edge()).await;
    let reply = agent.ask(&full_report(ULID, 0)).await;
    assert_eq!(reply.instance_uid, ULID);
    world.server.wait("the ULID", |state| state.agents.contains_key(ULID)).await;
    // What the gateway answers itself as well.
    assert_eq!(agent.ask(&heartbeat(ULID, 1)).await.instance_uid, ULID);
    world.counts("seawall_heartbeats_total", ("route", "local"), 1).await;

    // And what it says in the agent's name.
    let mut bye = heartbeat(ULID, 2);
    bye.agent_disconnect = Some(AgentDisconnect {});
    agent.send(&bye).await;
    world.server.wait("the farewell", |state| state.left == [ULID]).await;
    assert_eq!(agent.closed().await, Some(1000));
    world.counts(CLOSED, ("reason", "agent_disconnect"), 1).await;
}

/// R10: the usual case is a stale socket.
#[tokio::test]
async fn the_newest_connection_of_an_agent_wins() {
    let world = World::start().await;
    let uid = uid(1);
    let mut old = Socket::open(world.gateway.edge()).await;
    old.ask(&full_report(&uid, 0)).await;
    let mut new = Socket::open(world.gateway.edge()).await;
    assert_eq!(new.ask(&heartbeat(&uid, 1)).await.instance_uid, uid);
    assert_eq!(old.closed().await, Some(1000));
    assert_eq!(new.ask(&heartbeat(&uid, 2)).await.instance_uid, uid);
    world.counts(CLOSED, ("reason", "replaced"), 1).await;
    world.total("seawall_replaced_connections_total", 1).await;
    assert_eq!(world.server.with(|state| state.left.len()), 0, "the server sees nothing of it");
}

/// R10: two machines made from one image. Both live, and take the uid from each other until one of
/// them gets its own.
#[tokio::test]
async fn of_live_clones_the_newcomer_gets_a_uid_of_its_own() {
    let world = World::start().await;
    let shared = uid(1);
    let mut holder = Socket::open(world.gateway.edge()).await;
    holder.ask(&full_report(&shared, 0)).await;
    let mut number = 1;
    let (mut clone, fresh) = loop {
        assert!(number < 5, "the ping-pong has an end");
        let mut newcomer = Socket::open(world.gateway.edge()).await;
        let reply = newcomer.ask(&heartbeat(&shared, number)).await;
        if let Some(identification) = reply.agent_identification {
            break (newcomer, identification.new_instance_uid);
        }
        // The other is alive and says so: it answers the Close.
        let replaced = std::mem::replace(&mut holder, newcomer);
        ended(replaced).await;
        number += 1;
    };
    assert!(number > 2, "a single replacement is a stale socket");
    assert!(fresh.len() == 16 && fresh != shared);
    world.counts(REJECTED, ("fault", "cloned_uid"), 1).await;

    // From now on both live side by side.
    clone.ask(&full_report(&fresh, 1)).await;
    holder.ask(&heartbeat(&shared, number)).await;
    clone.ask(&heartbeat(&fresh, 2)).await;
    holder.ask(&heartbeat(&shared, number + 1)).await;
    world.server.wait("both", |state| state.agents.len() == 2).await;
}

/// Waits for the Close, answers it, and for the end: only then the edge knows that it was answered.
async fn ended(mut socket: Socket) {
    assert_eq!(socket.closed().await, Some(1000));
    while socket.next().await != crate::support::socket::Got::End {}
}

/// An agent that changes its transport is still one agent.
#[tokio::test]
async fn plain_http_takes_over_from_a_websocket() {
    let world = World::start().await;
    let uid = uid(1);
    let mut socket = Socket::open(world.gateway.edge()).await;
    socket.ask(&full_report(&uid, 0)).await;
    let body = prost::Message::encode_to_vec(&heartbeat(&uid, 1));
    let headers = [crate::requests::PROTOBUF];
    let edge = world.gateway.edge();
    let answer = request(edge, "POST", crate::requests::PATH, &headers, &body).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(socket.closed().await, Some(1000));
    world.counts(CLOSED, ("reason", "replaced"), 1).await;
}
