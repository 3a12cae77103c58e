//! The task of one agent: dial until there is a connection, serve it, begin again.

use std::sync::Arc;
use std::time::Instant;

use seawall::clock;

use super::life::Life;
use super::measured::Move;
use super::session::{End, Session};
use super::{Fleet, to_unix_us};

/// Lives until the runtime is dropped.
pub(crate) async fn live(fleet: Arc<Fleet>, lane: usize, local: usize, first_dial: Instant) {
    let mut life = Life::new(fleet, lane, local, first_dial);
    tokio::time::sleep_until(first_dial.into()).await;
    while let Some(open) = life.connect().await {
        life.intended = match Session::new(&mut life, open).run().await {
            // Its first dial afterwards is timed from the cut.
            End::Cut(cut) => cut.at,
            End::Lost => {
                let now = clock::now();
                let closed_at_us = to_unix_us(now);
                life.moving = Some(Move { closed_at_us, turned_away: 0 });
                now
            }
        };
    }
}
