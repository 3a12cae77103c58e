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
