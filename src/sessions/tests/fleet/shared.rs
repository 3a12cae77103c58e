//! Several agents on one connection at a front: each has its own attachment at its own home.

use super::*;

/// Where the connection ends.
const FRONT: usize = 1;

fn settle(fleet: &mut NodesBench, agents: &mut [Roaming]) {
    for _ in 0..8 {
        fleet.pump();
        agents.iter_mut().for_each(|agent| agent.reads(fleet, FRONT));
        fleet.wait(0);
        // As the real clock stands: what waits is not made older.
        let now = clock::now();
        fleet.nodes.iter().for_each(|node| while node.sessions.sweep(now) {});
    }
}

/// The agent's server says something on its home's link.
fn says(fleet: &NodesBench, agent: &Roaming, word: u8) {
    let custom = CustomMessage { data: vec![word], ..CustomMessage::default() };
    let message = ServerToAgent { custom_message: Some(custom), ..ServerToAgent::default() };
    assert_eq!(fleet.nodes[fleet.home(agent.n)].says(agent.n, &message), Delivered::Done);
}

#[test]
fn agents_of_one_connection_are_reached_wherever_their_homes_are() {
    let mut fleet = NodesBench::new();
    let mut agents: Vec<Roaming> = (0..NODES)
        .map(|home| (1..=u8::MAX).find(|n| fleet.home(*n) == home).unwrap())
        .map(|n| Roaming { connections: 6, ..Roaming::new(n) })
        .collect();
    for agent in &mut agents {
        agent.connects(&fleet, FRONT);
    }
    settle(&mut fleet, &mut agents);
    agents.iter().for_each(|agent| says(&fleet, agent, 1));
    settle(&mut fleet, &mut agents);
    assert!(agents.iter().all(|agent| agent.words == [1]), "each has heard its own word");
    // One home is out of reach: the others' agents do not notice.
    fleet.cut(FRONT, 0);
    agents.iter().for_each(|agent| says(&fleet, agent, 2));
    settle(&mut fleet, &mut agents);
    let heard: Vec<_> = agents.iter().map(|agent| agent.words.len()).collect();
    assert_eq!(heard, [1, 2, 2]);
    fleet.heal();
    settle(&mut fleet, &mut agents);
    assert!(agents.iter().all(|agent| agent.words == [1, 2]));
    // The connection ends: each is absent at its own home.
    agents.iter_mut().for_each(|agent| agent.attachment = None);
    settle(&mut fleet, &mut agents);
    for agent in &agents {
        let info = fleet.nodes[fleet.home(agent.n)].sessions.info(uid(agent.n)).unwrap();
        assert!(matches!(info.presence, Presence::Absent { .. }), "{info:?}");
    }
}

/// A cloned machine: both poll, each at a front of its own.
#[test]
fn clones_that_poll_at_two_fronts_are_found_out() {
    let mut fleet = NodesBench::new();
    let n = (1..=u8::MAX).find(|n| fleet.home(*n) == 0).unwrap();
    let (mut one, mut other) = (Roaming::new(n), Roaming { number: 500, ..Roaming::new(n) });
    let mut given = Vec::new();
    for round in 0..6 {
        for (agent, front) in [(&mut one, 1), (&mut other, 2)] {
            let message = if round == 0 { agent.full() } else { agent.health_report() };
            let answer = agent.posts(&mut fleet, front, message);
            given.extend(answer.agent_identification);
        }
    }
    assert!(!given.is_empty());
    assert!(given.iter().all(|given| given.new_instance_uid.len() == 16));
}

/// An agent that takes another uid by itself is absent under the former one, and is given up in time.
#[test]
fn a_uid_that_its_agent_has_given_up_is_absent() {
    let mut fleet = NodesBench::new();
    let of_home = |home| (1..=u8::MAX).find(|n| fleet.home(*n) == home).unwrap();
    let (former, next) = (of_home(0), of_home(2));
    let mut agents = vec![Roaming::new(former)];
    agents[0].connects(&fleet, FRONT);
    settle(&mut fleet, &mut agents);
    agents[0].n = next;
    let message = agents[0].full();
    agents[0].says(&fleet, FRONT, message);
    settle(&mut fleet, &mut agents);
    let presence = |n| fleet.nodes[fleet.home(n)].sessions.info(uid(n)).map(|info| info.presence);
    assert!(matches!(presence(former), Some(Presence::Absent { .. })), "{:?}", presence(former));
    assert!(matches!(presence(next), Some(Presence::Connected { .. })));
}
