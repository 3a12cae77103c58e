//! Frames between nodes that are well: each agent's in order, over one connection, whichever node dialled.

use seawall::cluster::{Haste, LinkEnd};

use crate::nodes::{Node, Told, agent, assert_in_order, fleet, frame, pair};

const AGENTS: u32 = 9;

/// Sends `count` frames of each agent's, of many lengths, turning from agent to agent.
fn send_all(from: &Node, to: &Node, count: u32) {
    let link = from.link(&to.member);
    for number in 0..count {
        for uid in 0..AGENTS {
            let more = usize::try_from(number * 37 % 3_000).unwrap();
            let sent =
                link.send(agent(uid), |out| out.extend_from_slice(&frame(uid, number, more)));
            sent.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_link_each_pair_once_and_keep_each_agents_order() {
    let nodes = fleet(3);
    let each = |act: &dyn Fn(&Node, &Node)| {
        for from in &nodes {
            for to in nodes.iter().filter(|to| to.member != from.member) {
                act(from, to);
            }
        }
    };
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.member != from.member) {
            from.until_reached(&to.member, 1).await;
        }
    }
    each(&|from, to| send_all(from, to, 100));
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.member != from.member) {
            to.until_frames(&from.member, 900).await;
        }
    }
    each(&|from, to| {
        assert_in_order(&to.frames(&from.member), AGENTS, 100);
        let told = to.told(&from.member);
        let others: Vec<_> = told.iter().filter(|told| !matches!(told, Told::Frame(_))).collect();
        assert_eq!(others, [&Told::Reached], "one link, and it stays");
        assert_eq!(told[0], Told::Reached, "before the first frame");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dial_at_once_and_one_connection_carries_all() {
    for _ in 0..10 {
        let (one, two) = (Node::start(1), Node::start(2));
        let members = [&one.member, &two.member];
        one.learn(members);
        two.learn(members);
        one.until_reached(&two.member, 1).await;
        two.until_reached(&one.member, 1).await;
        // What is sent at once, while the other connection is still being closed, arrives as well.
        send_all(&one, &two, 20);
        send_all(&two, &one, 20);
        one.until_frames(&two.member, 180).await;
        two.until_frames(&one.member, 180).await;
        for (node, peer) in [(&one, &two), (&two, &one)] {
            assert_in_order(&node.frames(&peer.member), AGENTS, 20);
            assert!(node.losses(&peer.member).is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_without_an_address_dials_the_other() {
    for hidden in [0, 1] {
        let (one, two) = (Node::start(1), Node::start(2));
        let mut members = [one.member.clone(), two.member.clone()];
        members[hidden].address = None;
        one.learn(&members);
        two.learn(&members);
        one.until_reached(&two.member, 1).await;
        two.until_reached(&one.member, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_loses_no_frame_in_either_direction() {
    let (one, two) = pair().await;
    send_all(&one, &two, 50);
    send_all(&two, &one, 50);
    one.links.close().await;
    assert_eq!(one.until_lost(&two.member).await, LinkEnd::Released);
    assert_eq!(two.until_lost(&one.member).await, LinkEnd::Closed);
    for (node, peer) in [(&one, &two), (&two, &one)] {
        assert_in_order(&node.frames(&peer.member), AGENTS, 50);
        let loss = &node.losses(&peer.member)[0];
        assert_eq!(loss.dropped_frames(), 0, "all frames went out");
        let refused = node.link(&peer.member).send(agent(1), |_| {});
        assert!(refused.is_err(), "the link is over");
    }
}

/// A frame that can wait goes with the next one, or by itself before long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_can_wait_go_by_themselves_and_in_order() {
    let (one, two) = pair().await;
    let link = one.link(&two.member);
    let mut sent = 0;
    for haste in [Haste::Shortly, Haste::Soon, Haste::Shortly, Haste::Now, Haste::Soon] {
        for together in 1..=2 {
            for _ in 0..together {
                let write = |out: &mut Vec<u8>| {
                    out.extend_from_slice(&frame(0, sent, 10));
                    haste
                };
                link.send_when(agent(0), write).unwrap();
                sent += 1;
            }
            two.until_frames(&one.member, sent as usize).await;
        }
    }
    assert_in_order(&two.frames(&one.member), 1, sent);
}
