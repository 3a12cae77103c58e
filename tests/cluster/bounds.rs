//! What a slow, hung or greedy peer costs: its own frames. What is too much is told to the sender at once.

use std::time::Duration;

use seawall::cluster::{FrameBounds, LinkEnd, Member, NotQueued};
use tokio::runtime::{Builder, Runtime};

use crate::nodes::{Node, Told, agent, assert_in_order, frame, pair, read};
use crate::relay::{Relay, Way};

const SMALL: FrameBounds =
    FrameBounds { frame_bytes_max: 10_000, queue_bytes_max: 100_000, queue_frames_max: 1_000 };

/// Sends until the queue is full, and says how many frames were taken.
fn fill(from: &Node, to: &Node, more: usize) -> u32 {
    let link = from.link(&to.member);
    for number in 0.. {
        let sent = link.send(agent(1), |out| out.extend_from_slice(&frame(1, number, more)));
        match sent {
            Ok(_) => {}
            Err(refused) => {
                assert_eq!(refused, NotQueued::Full);
                return number;
            }
        }
    }
    unreachable!("the queue has a bound")
}

/// A node as one that is never dialled, so that the way to the other one is the only one.
fn hidden(node: &Node) -> Member {
    Member { address: None, ..node.member.clone() }
}

/// A runtime with a thread of its own, which a hung node may block.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_peer_costs_its_own_frames_alone() {
    let (one, other) =
        (Node::start_at(1, "127.0.0.1:0", SMALL), Node::start_at(2, "127.0.0.1:0", SMALL));
    let apart = runtime();
    let hung = {
        let _inside = apart.enter();
        Node::start_at(3, "127.0.0.1:0", SMALL)
    };
    let members = [&one.member, &other.member, &hung.member];
    for node in [&one, &other, &hung] {
        node.learn(members);
    }
    one.until_reached(&hung.member, 1).await;
    one.until_reached(&other.member, 1).await;
    hung.hang(true);
    let taken = fill(&one, &hung, 5_000);
    assert!(taken >= 20, "a queue's worth: {taken}");
    let link = one.link(&other.member);
    for number in 0..200 {
        link.send(agent(1), |out| out.extend_from_slice(&frame(1, number, 100))).unwrap();
    }
    other.until_reached(&one.member, 1).await;
    other.until_frames(&one.member, 200).await;
    assert_in_order(&other.frames(&one.member), 1, 200);
    // A node whose tasks hang is as silent as one that is gone.
    assert_eq!(one.until_lost(&hung.member).await, LinkEnd::Silent);
    hung.hang(false);
    one.until_reached(&hung.member, 2).await;
    hung.until_reached(&one.member, 2).await;
    let again = hung.told(&one.member);
    let lost = again.iter().position(|told| matches!(told, Told::Lost(_))).unwrap();
    assert!(again[..lost].contains(&Told::Reached) && again[lost..].contains(&Told::Reached));
    apart.shutdown_background();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_peer_is_a_full_queue_and_loses_nothing() {
    let (one, two) =
        (Node::start_at(1, "127.0.0.1:0", SMALL), Node::start_at(2, "127.0.0.1:0", SMALL));
    let relay = Relay::before(&two.member).await;
    one.learn([&one.member, &relay.of(&two.member)]);
    two.learn([&hidden(&one), &two.member]);
    one.until_reached(&two.member, 1).await;
    let way = Way { delay: Duration::from_millis(100), ..Way::default() };
    relay.set(way, way);
    let taken = fill(&one, &two, 5_000);
    two.until_reached(&one.member, 1).await;
    two.until_frames(&one.member, usize::try_from(taken).unwrap()).await;
    assert_in_order(&two.frames(&one.member), 1, taken);
    one.link(&two.member).send(agent(1), |out| out.push(1)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_goes_before_agents_frames_that_wait() {
    let (one, two) = (Node::start(1), Node::start(2));
    let relay = Relay::before(&two.member).await;
    one.learn([&one.member, &relay.of(&two.member)]);
    two.learn([&hidden(&one), &two.member]);
    one.until_reached(&two.member, 1).await;
    let way = Way { delay: Duration::from_millis(20), ..Way::default() };
    relay.set(way, way);
    let link = one.link(&two.member);
    for number in 0..12 {
        for uid in 0..8 {
            let write = |out: &mut Vec<u8>| out.extend_from_slice(&frame(uid, number, 16_000));
            link.send(agent(uid), write).unwrap();
        }
    }
    link.send_control(|out| out.extend_from_slice(b"confirmed")).unwrap();
    two.until_frames(&one.member, 96).await;
    let told = two.told(&one.member);
    let place = told.iter().position(|told| *told == Told::Control(b"confirmed".to_vec()));
    let place = place.expect("the control message is there");
    assert!(place < told.len() / 2, "as number {place} of {}", told.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_over_the_limit_is_refused_and_the_link_goes_on() {
    let (one, two) = pair().await;
    let link = one.link(&two.member);
    let bytes_max = FrameBounds::DEFAULT.frame_bytes_max;
    let refused = link.send(agent(1), |out| out.resize(out.len() + bytes_max + 1, 0));
    assert!(matches!(refused, Err(NotQueued::TooBig(_))), "{refused:?}");
    link.send(agent(1), |out| out.extend_from_slice(&frame(1, 0, 5 << 20))).unwrap();
    two.until_frames(&one.member, 1).await;
    assert_eq!(read(&two.frames(&one.member)[0]), (1, 0));
    assert!(one.losses(&two.member).is_empty());
}
