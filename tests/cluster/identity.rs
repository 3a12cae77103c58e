//! Who is let in: a node whose key has the fingerprint that a lease names, from the moment of the lease on.

use quinn::ConnectionError;
use seawall::cluster::{FrameBounds, LinkEnd, Member};

use crate::nodes::{Node, agent, fleet, pair};
use crate::raw::RawPeer;

/// TLS alert `access_denied` in QUIC.
const ACCESS_DENIED: u64 = 0x131;

fn is_denied(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code) == ACCESS_DENIED,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_fingerprint_is_in_no_lease_is_refused() {
    let (node, stranger) = (Node::start(5), RawPeer::start(1));
    let mut impostor = stranger.member.clone();
    impostor.fingerprint.0[31] ^= 1;
    node.learn([&node.member, &impostor]);
    // The dialler's handshake is over before its key is looked at.
    let connection = stranger.dial(&node.member).await;
    let error = match connection {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    assert!(is_denied(&error), "{error}");
    assert!(node.told(&stranger.member).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_refuses_what_answers_with_another_key_than_the_lease_names() {
    let (node, stranger) = (Node::start(5), RawPeer::start(1));
    let mut impostor = stranger.with_address();
    impostor.fingerprint.0[0] ^= 1;
    node.learn([&node.member, &impostor]);
    let incoming = stranger.endpoint.accept().await.unwrap();
    let error = match incoming.await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    assert!(is_denied(&error), "{error}");
    assert!(node.told(&stranger.member).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_speaks_another_version_is_refused() {
    let (node, other) = (Node::start(5), RawPeer::speaking(1, b"seawall-node/0"));
    node.learn([&node.member, &other.member]);
    let error = other.dial(&node.member).await.unwrap_err();
    /// TLS alert `no_application_protocol` in QUIC.
    const NO_PROTOCOL: u64 = 0x178;
    let is_refused = matches!(&error, ConnectionError::ConnectionClosed(close)
        if u64::from(close.error_code) == NO_PROTOCOL);
    assert!(is_refused, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_lease_counts_at_once_and_the_end_of_one_too() {
    let (one, two) = (Node::start(1), Node::start(2));
    two.learn([&one.member, &two.member]);
    // Node 2 is refused until node 1 has read its lease.
    let stranger = RawPeer::start(9);
    let connection = stranger.dial(&one.member).await;
    if let Ok(connection) = connection {
        assert!(is_denied(&connection.closed().await));
    }
    assert!(one.told(&two.member).is_empty() && two.told(&one.member).is_empty());
    one.learn([&one.member, &two.member]);
    one.until_reached(&two.member, 1).await;
    two.until_reached(&one.member, 1).await;
    one.learn([&one.member]);
    assert_eq!(one.until_lost(&two.member).await, LinkEnd::LeaseGone);
    assert_eq!(two.until_lost(&one.member).await, LinkEnd::Reset);
    assert!(one.link(&two.member).send(agent(1), |_| {}).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_another_key_is_another_peer() {
    let (one, two) = pair().await;
    let address = two.member.address.unwrap().to_string();
    let before = two.member.clone();
    drop(two);
    assert_eq!(one.until_lost(&before).await, LinkEnd::Closed);
    // The socket is free once its task has ended.
    let again = loop {
        if std::net::UdpSocket::bind(&address).is_ok() {
            break Node::start_at(3, &address, FrameBounds::DEFAULT);
        }
        tokio::task::yield_now().await;
    };
    // The old lease is still there for a while, and names another key than the one that answers.
    again.learn([&one.member, &before, &again.member]);
    one.learn([&one.member, &before, &again.member]);
    one.until_reached(&again.member, 1).await;
    again.until_reached(&one.member, 1).await;
    one.learn([&one.member, &again.member]);
    one.link(&again.member).send(agent(1), |out| out.push(7)).unwrap();
    again.until_frames(&one.member, 1).await;
    assert_eq!(one.losses(&before).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_its_own_list_of_members_leaves_itself_alone() {
    let nodes = fleet(2);
    nodes[0].until_reached(&nodes[1].member, 1).await;
    let own: &Member = &nodes[0].member;
    assert!(nodes[0].told(own).is_empty());
}
