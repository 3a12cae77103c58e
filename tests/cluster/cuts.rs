//! The network between nodes misbehaves: it loses, delays, cuts both ways or one.

use std::time::Duration;

use seawall::cluster::LinkEnd;

use crate::nodes::{Node, Told, agent, assert_in_order, frame};
use crate::relay::{Relay, Way};

const CUT: Way = Way { cut: true, loss_percent: 0, delay: Duration::ZERO };
const OPEN: Way = Way { cut: false, loss_percent: 0, delay: Duration::ZERO };

/// Twice what is promised (3.3 s): this machine may be busy.
const NOTICED: Duration = Duration::from_millis(6_600);

/// Two nodes with a relay before each, linked through one of them.
struct World {
    one: Node,
    two: Node,
    relays: [Relay; 2],
}

impl World {
    async fn start(way: Way) -> Self {
        let (one, two) = (Node::start(1), Node::start(2));
        let relays = [Relay::before(&one.member).await, Relay::before(&two.member).await];
        for relay in &relays {
            relay.set(way, way);
        }
        one.learn([&one.member, &relays[1].of(&two.member)]);
        two.learn([&two.member, &relays[0].of(&one.member)]);
        let world = Self { one, two, relays };
        world.reached(1).await;
        world
    }

    async fn reached(&self, times: usize) {
        self.one.until_reached(&self.two.member, times).await;
        self.two.until_reached(&self.one.member, times).await;
    }

    /// Sets the ways from node 1 to node 2 and back, whichever relay the link goes through.
    fn ways(&self, from_one: Way, from_two: Way) {
        self.relays[1].set(from_one, from_two);
        self.relays[0].set(from_two, from_one);
    }

    fn send(&self, uid: u32, number: u32) {
        let link = self.one.link(&self.two.member);
        link.send(agent(uid), |out| out.extend_from_slice(&frame(uid, number, 500))).unwrap();
    }

    /// Both notice that the link is lost, and have another one once all is open again.
    async fn lost_and_found(&self) {
        let start = seawall::clock::now();
        let ends = tokio::join!(
            self.one.until_lost(&self.two.member),
            self.two.until_lost(&self.one.member)
        );
        let noticed = start.elapsed();
        // The side that notices it first closes the link, and the other hears so if the way there is open.
        let is_expected = |end| matches!(end, LinkEnd::Silent | LinkEnd::Reset);
        assert!(is_expected(ends.0) && is_expected(ends.1), "{ends:?}");
        assert!(ends.0 == LinkEnd::Silent || ends.1 == LinkEnd::Silent, "{ends:?}");
        assert!(noticed < NOTICED, "after {noticed:?}");
        self.ways(OPEN, OPEN);
        self.reached(2).await;
        self.send(1, 0);
        self.two.until_frames(&self.one.member, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_is_noticed_by_both_and_mended() {
    let world = World::start(OPEN).await;
    world.ways(CUT, CUT);
    world.lost_and_found().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_of_one_direction_is_noticed_by_both() {
    for from_one in [CUT, OPEN] {
        let world = World::start(OPEN).await;
        let from_two = if from_one.cut { OPEN } else { CUT };
        world.ways(from_one, from_two);
        world.lost_and_found().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losses_and_delays_keep_every_frame_and_each_agents_order() {
    let way = Way { cut: false, loss_percent: 10, delay: Duration::from_millis(5) };
    let world = World::start(way).await;
    for number in 0..50 {
        for uid in 0..8 {
            world.send(uid, number);
        }
    }
    world.two.until_frames(&world.one.member, 400).await;
    assert_in_order(&world.two.frames(&world.one.member), 8, 50);
    assert!(world.two.losses(&world.one.member).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_dial_at_once_over_a_slow_way_and_one_connection_is_used() {
    let way = Way { delay: Duration::from_millis(150), ..OPEN };
    let world = World::start(way).await;
    for number in 0..20 {
        world.send(3, number);
    }
    world.two.until_frames(&world.one.member, 20).await;
    assert_in_order(&world.two.frames(&world.one.member), 1, 20);
    for (node, peer) in [(&world.one, &world.two), (&world.two, &world.one)] {
        let others: Vec<_> = node
            .told(&peer.member)
            .into_iter()
            .filter(|told| !matches!(told, Told::Frame(_)))
            .collect();
        assert_eq!(others, [Told::Reached]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_says_which_frames_may_have_arrived() {
    let world = World::start(OPEN).await;
    let link = world.one.link(&world.two.member);
    let send = |number: u32| {
        let sent = link.send(agent(1), |out| out.extend_from_slice(&frame(1, number, 60_000)));
        sent.ok().map(|sent| (number, sent))
    };
    let mut sent: Vec<_> = (0..20).filter_map(send).collect();
    world.two.until_frames(&world.one.member, 1).await;
    world.ways(CUT, CUT);
    sent.extend((20..2_000).map_while(send));
    world.one.until_lost(&world.two.member).await;
    world.two.until_lost(&world.one.member).await;
    let loss = &world.one.losses(&world.two.member)[0];
    let arrived = world.two.frames(&world.one.member).len();
    for (number, frame) in &sent {
        let has_arrived = usize::try_from(*number).unwrap() < arrived;
        assert!(!has_arrived || loss.was_handed(*frame), "frame {number} has arrived");
    }
    let handed = sent.iter().filter(|(_, frame)| loss.was_handed(*frame)).count();
    assert!(handed < sent.len(), "the last ones certainly stayed here");
    assert!(loss.dropped_frames() >= (sent.len() - handed) as u64);
}
