//! Both sides, event by event. What they do together, over links that lose, is the simulation's (tests/sim).

mod front;
mod home;

use std::time::{Duration, Instant};

use super::{FrontPolicy, HomePolicy};
use crate::core::node_link::Handle;
use crate::core::ownership::{Epoch, Home, NodeIncarnation};
use crate::ident::{ConnectionId, InstanceUid};

const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);
const SECOND: Duration = Duration::from_secs(1);

const FRONT: FrontPolicy = FrontPolicy {
    answers_heartbeats: true,
    reply_bound: SECOND,
    attach_again: SECOND,
    leaving_max: Duration::from_secs(5),
    held_messages_max: 3,
    held_bytes_max: 4_000,
    agent_bytes_max: 1_000,
};
const HOME: HomePolicy = HomePolicy { answer_wait: SECOND, credit: 64 };

fn node(number: u64) -> NodeIncarnation {
    NodeIncarnation::new(number).unwrap()
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, taker: node(1) }
}

/// Node 1 is the home.
fn home(number: u64) -> Home {
    Home { node: node(1), epoch: epoch(number) }
}

const fn handle(connection: u64) -> Handle {
    Handle { uid: UID, connection: ConnectionId(connection) }
}

fn start() -> Instant {
    crate::clock::now()
}
