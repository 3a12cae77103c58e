//! What a failed dial says: with words, whose fault it is, and how it counts.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig};
use tokio::sync::watch;

use super::accept::{accept, dial};
use super::driver::LinkRuntime;
use super::error::{Culprit, NotLinked};
use super::identity::NodeIdentity;
use super::members::{KnownMembers, Member, Members};
use super::open::{begin, follow};
use super::tls::Tls;
use super::transport;
use crate::core::ownership::{NodeIncarnation, NodeName};
use crate::telemetry::events::cluster::{NodeAcceptResult, NodeDialResult};

/// An endpoint without the tasks that keep links up.
struct Side {
    endpoint: Endpoint,
    member: Member,
    leases: watch::Sender<Members>,
    known: KnownMembers,
}

fn side(number: u64) -> Side {
    let identity = NodeIdentity::generate().unwrap();
    let (leases, known) = watch::channel(Arc::from([]));
    let known = KnownMembers(known);
    let (server, client) = transport::quic(Tls::new(&identity, &known).unwrap()).unwrap();
    let socket = transport::socket(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (config, runtime) = (EndpointConfig::default(), Arc::new(LinkRuntime));
    let mut endpoint = Endpoint::new(config, Some(server), socket, runtime).unwrap();
    endpoint.set_default_client_config(client);
    let member = Member {
        name: NodeName::try_new("side").unwrap(),
        incarnation: NodeIncarnation::new(number).unwrap(),
        address: Some(endpoint.local_addr().unwrap()),
        fingerprint: identity.fingerprint(),
    };
    Side { endpoint, member, leases, known }
}

/// Side 1 dials `meant`, which side 2 answers, and begins the link.
async fn dialled(
    one: &Side,
    two: &Side,
    meant: &Member,
) -> (Result<(), NotLinked>, Result<(), NotLinked>) {
    let dials = async {
        let connection = dial(one.endpoint.clone(), meant.clone()).await?;
        begin(&connection).await.map(drop)
    };
    let answers = async {
        let incoming = two.endpoint.accept().await.unwrap();
        let (_, connection) = accept(incoming, two.known.clone()).await?;
        let streams = follow(&connection).await?;
        // The answer arrives before the connection is dropped.
        let _ = connection.closed().await;
        drop(streams);
        Ok(())
    };
    tokio::join!(dials, answers)
}

fn assert_said(error: &NotLinked, words: &str, culprit: Culprit, result: NodeDialResult) {
    assert_eq!(error.to_string(), words);
    assert_eq!((error.culprit(), error.dial_result()), (culprit, result));
}

#[tokio::test]
async fn a_failed_dial_says_what_is_wrong_and_whose_fault_it_is() {
    let (one, two, other) = (side(1), side(2), side(3));
    let lease = |of: &[&Side]| -> Members { of.iter().map(|side| side.member.clone()).collect() };

    // Nothing is known of the node that answers.
    let (dials, answers) = dialled(&one, &two, &two.member).await;
    let words = "its certificate is in no lease";
    assert_said(&dials.unwrap_err(), words, Culprit::Lease, NodeDialResult::OtherNode);
    assert_eq!(answers.unwrap_err().accept_result(), NodeAcceptResult::Failed);

    // The node that answers knows nothing of this one.
    one.leases.send_replace(lease(&[&one, &two, &other]));
    let (dials, answers) = dialled(&one, &two, &two.member).await;
    let words = "it finds this node's certificate in no lease";
    assert_said(&dials.unwrap_err(), words, Culprit::Lease, NodeDialResult::Refused);
    assert_eq!(answers.unwrap_err().accept_result(), NodeAcceptResult::Unknown);

    // Another node has the address.
    two.leases.send_replace(lease(&[&one, &two]));
    let meant = Member { address: two.member.address, ..other.member.clone() };
    let (dials, answers) = dialled(&one, &two, &meant).await;
    let words = "another node answers there";
    assert_said(&dials.unwrap_err(), words, Culprit::Lease, NodeDialResult::OtherNode);
    assert_eq!(answers.unwrap_err().accept_result(), NodeAcceptResult::Failed);

    // All is well.
    let (dials, answers) = dialled(&one, &two, &two.member).await;
    assert!(dials.is_ok() && answers.is_ok());

    // The address is none that can be dialled.
    let meant = Member { address: Some(SocketAddr::from(([127, 0, 0, 1], 0))), ..meant };
    let error = dial(one.endpoint.clone(), meant).await.unwrap_err();
    assert_eq!((error.culprit(), error.dial_result()), (Culprit::ThisNode, NodeDialResult::Failed));
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_given_up() {
    let one = side(1);
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let meant = Member { address: silent.local_addr().ok(), ..side(2).member };
    let error = dial(one.endpoint.clone(), meant).await.unwrap_err();
    let words = "it does not answer";
    assert_said(&error, words, Culprit::PeerOrNetwork, NodeDialResult::Timeout);
}
