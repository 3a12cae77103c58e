//! A node of several that drains.

use super::fleet::RoamingWorld;

/// No other node, or no store, was there to take the sessions. Their agents are connected elsewhere and stay so; those
/// that take over from a dead node find them.
#[test]
fn what_could_not_be_handed_over_closes_nobody() {
    let mut world = RoamingWorld::new(30);
    world.has_drained(0);
    world.settle(5);
    world.assert_true(0);
}
