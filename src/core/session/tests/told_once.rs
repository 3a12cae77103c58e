//! A session that moves from node to node: a server that knows agents by uid hears what is new, once, and of the agent
//! again when a link ends on which it has heard of it, however the session has come where it is.

use proptest::prelude::*;

use super::message::{self, Status};
use super::peers::ServerPeer;
use super::random::World;
use super::test_nodes::NODES;
use crate::core::server::Keying;

#[derive(Debug, Clone)]
enum Happening {
    Changes,
    Moves(usize),
    LinkEnds(usize),
    /// The agent comes back, and reports all of its state.
    ComesBack,
    /// The same, before the server has heard of it over another link.
    ComesBackAfterEnd(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Changes),
        3 => (0..NODES).prop_map(Happening::Moves),
        1 => (0..NODES).prop_map(Happening::LinkEnds),
        1 => Just(Happening::ComesBack),
        1 => (0..NODES).prop_map(Happening::ComesBackAfterEnd),
    ]
}

/// All that is under way arrives.
fn settle(world: &mut World) {
    for _ in 0..4 {
        world.gateway.permits();
        world.server_reads(100);
        world.replies_arrive(100);
        world.other_links_read(100);
        world.agent_reads(100);
    }
}

fn comes_back(world: &mut World) {
    world.connection_lost();
    world.connect();
    world.deliver();
}

/// Whether the server has heard of the agent on a link of this node's.
fn knows_by(world: &World, node: usize) -> bool {
    world.nodes.heard.iter().any(|(heard, _)| *heard == node)
}

/// What the server has heard since the last call.
fn heard(world: &mut World) -> Vec<Status> {
    settle(world);
    world.received.drain(..).map(|message| message::status(&message)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_told_twice_however_often_the_session_moves(
        steps in proptest::collection::vec(happening(), 1..60),
    ) {
        let mut world = World::new(true, ServerPeer::default());
        world.connect();
        world.deliver();
        prop_assert_eq!(heard(&mut world).len(), 1);
        let mut all_known = true;
        for (number, step) in steps.into_iter().enumerate() {
            let expected = match step {
                Happening::Changes => {
                    let health = Some(1_000 + u32::try_from(number).unwrap());
                    let news = Status { health, ..Status::default() };
                    world.agent.change(news);
                    world.deliver();
                    vec![news]
                }
                Happening::Moves(to) => {
                    world.move_to(to, Keying::Uid);
                    vec![]
                }
                Happening::LinkEnds(node) => {
                    let knew = knows_by(&world, node);
                    world.link_ends_at(node);
                    // Of its own link a home knows that all may be forgotten with it.
                    all_known &= !knew || node != world.nodes.at;
                    if knew { vec![Status::default()] } else { vec![] }
                }
                Happening::ComesBack if all_known => {
                    comes_back(&mut world);
                    vec![]
                }
                Happening::ComesBack => {
                    comes_back(&mut world);
                    all_known = true;
                    let repeated = heard(&mut world);
                    prop_assert_eq!(repeated.len(), 1);
                    prop_assert!(repeated[0].description.is_some());
                    vec![]
                }
                Happening::ComesBackAfterEnd(node) if node != world.nodes.at && all_known => {
                    let knew = knows_by(&world, node);
                    world.link_ends_at(node);
                    comes_back(&mut world);
                    if knew { vec![Status::default()] } else { vec![] }
                }
                Happening::ComesBackAfterEnd(_) => vec![],
            };
            prop_assert_eq!(heard(&mut world), expected, "step {}: {:?}", number, step);
        }
    }
}
