//! The task of one agent: dial until there is a connection, serve it, begin again.

use std::sync::Arc;
use std::time::Instant;

use seawall::clock;

use super::life::AgentLife;
use super::measured::Move;
use super::session::{AgentConnection, End};
use super::{AgentFleet, to_unix_us};

/// Lives until the runtime is dropped.
pub(crate) async fn live(fleet: Arc<AgentFleet>, thread: usize, local: usize, first_dial: Instant) {
    let mut life = AgentLife::new(fleet, thread, local, first_dial);
    tokio::time::sleep_until(first_dial.into()).await;
    while let Some(open) = life.connect().await {
        life.intended = match AgentConnection::new(&mut life, open).run().await {
            // Its first dial afterwards is timed from the cut.
            End::Cut(cut) => cut.at,
            End::Left => clock::now(),
            End::Lost => {
                let now = clock::now();
                let closed_at_us = to_unix_us(now);
                life.moving = Some(Move { closed_at_us, turned_away: 0 });
                now
            }
        };
    }
}
