//! A peer that has a lease and breaks the rules: it is told so, loses its link, and may come again. Others
//! notice nothing.

use std::time::Duration;

use seawall::cluster::{LinkEnd, Member};

use crate::nodes::{Node, Told, agent};
use crate::raw::{RawLink, RawPeer};

/// The code by which a node says that the other one broke the rules.
const PROTOCOL_FAULT: u32 = 2;

struct World {
    node: Node,
    other: Node,
    raw: RawPeer,
}

impl World {
    /// Two nodes that are linked, and a raw peer whose number makes it the one that opens the streams.
    async fn start() -> Self {
        let (node, other, raw) = (Node::start(5), Node::start(6), RawPeer::start(1));
        let members = [&node.member, &other.member, &raw.member];
        node.learn(members);
        other.learn(members);
        node.until_reached(&other.member, 1).await;
        other.until_reached(&node.member, 1).await;
        Self { node, other, raw }
    }

    async fn link(&self) -> RawLink {
        self.raw.link(&self.node.member).await
    }

    fn peer(&self) -> &Member {
        &self.raw.member
    }

    /// The raw peer has lost its link by its own fault, and the others' is as it was.
    async fn is_blamed(&self, link: &RawLink) {
        let error = link.connection.closed().await;
        let code = match &error {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code,
            _ => panic!("{error}"),
        };
        assert_eq!(code, PROTOCOL_FAULT.into());
        assert_eq!(self.node.until_lost(self.peer()).await, LinkEnd::ProtocolFault);
        self.node.link(&self.other.member).send(agent(1), |out| out.push(1)).unwrap();
        self.other.until_frames(&self.node.member, 1).await;
        assert!(self.node.losses(&self.other.member).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_announces_too_much_ends_the_link() {
    let world = World::start().await;
    let mut link = world.link().await;
    link.streams[2].0.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    world.is_blamed(&link).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_control_ends_the_link() {
    for garbage in [&[1, 0, 0, 0, 77][..], &[0, 0, 0, 0]] {
        let world = World::start().await;
        let mut link = world.link().await;
        link.streams[0].0.write_all(garbage).await.unwrap();
        world.is_blamed(&link).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_within_a_frame_or_is_reset_ends_the_link() {
    let world = World::start().await;
    let mut link = world.link().await;
    link.streams[3].0.write_all(&[9, 0, 0, 0, 1, 2]).await.unwrap();
    link.streams[3].0.finish().unwrap();
    world.is_blamed(&link).await;

    let world = World::start().await;
    let mut link = world.link().await;
    link.streams[1].0.reset(7_u32.into()).unwrap();
    world.is_blamed(&link).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_has_broken_the_rules_may_come_again() {
    let world = World::start().await;
    let mut link = world.link().await;
    link.streams[4].0.write_all(&[0xff; 4]).await.unwrap();
    world.is_blamed(&link).await;
    let mut link = world.link().await;
    link.streams[4].0.write_all(&[2, 0, 0, 0, 8, 9]).await.unwrap();
    world.node.until_frames(world.peer(), 1).await;
    let told = world.node.told(world.peer());
    assert_eq!(told[0], Told::Reached);
    assert!(matches!(told[1], Told::Lost(_)));
    assert_eq!(told[2..], [Told::Reached, Told::Frame(vec![8, 9])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_there_are_not_make_no_link() {
    let world = World::start().await;
    for bytes in [[0, 1, 2, 3, 3], [0, 1, 2, 3, 5]] {
        let connection = world.raw.dial(&world.node.member).await.unwrap();
        let mut streams = Vec::new();
        for byte in bytes {
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(&[byte]).await.unwrap();
            streams.push((send, recv));
        }
        connection.closed().await;
    }
    assert!(world.node.told(world.peer()).is_empty());
    // A sixth stream is beyond what QUIC allows the peer.
    let link = world.link().await;
    let sixth = tokio::time::timeout(Duration::from_millis(200), link.connection.open_bi());
    assert!(sixth.await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_newer_connection_of_the_decider_replaces_the_one_before() {
    let world = World::start().await;
    let mut first = world.link().await;
    // The node is still busy with a frame of the first link when the second one is open.
    world.node.hang(true);
    first.streams[1].0.write_all(&[1, 0, 0, 0, 4]).await.unwrap();
    world.node.until_reached(world.peer(), 1).await;
    let mut second = world.link().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.node.hang(false);
    assert_eq!(world.node.until_lost(world.peer()).await, LinkEnd::Replaced);
    first.connection.closed().await;
    second.streams[1].0.write_all(&[1, 0, 0, 0, 5]).await.unwrap();
    world.node.until(world.peer(), |told| told.contains(&Told::Frame(vec![5]))).await;
    let told = world.node.told(world.peer());
    let kinds: Vec<_> = told
        .iter()
        .map(|told| match told {
            Told::Reached => "reached",
            Told::Lost(_) => "lost",
            Told::Frame(_) | Told::Control(_) => "frame",
        })
        .collect();
    assert!(kinds.ends_with(&["lost", "reached", "frame"]), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "reached").count(), 2, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_breaks_off_is_a_reset() {
    let world = World::start().await;
    let link = world.link().await;
    world.node.until_reached(world.peer(), 1).await;
    link.connection.close(99_u32.into(), b"broken off");
    assert_eq!(world.node.until_lost(world.peer()).await, LinkEnd::Reset);
}
