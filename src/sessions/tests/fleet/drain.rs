//! A node of several that drains.

use super::*;

/// No other node, or no store, was there to take the sessions. Their agents are connected elsewhere and stay so; those
/// that take over from a dead node find them.
#[test]
fn what_could_not_be_handed_over_closes_nobody() {
    let mut world = RoamingWorld::new(30);
    let drained = &world.fleet.nodes[0].sessions;
    drained.begin_drain();
    drained.forget_absent();
    drained.forget_drained();
    world.settle(5);
    world.assert_true(0);
}
