//! The task of one agent: dial until there is a connection, serve it, begin again.

use std::sync::Arc;
use std::time::Instant;

use seawall::clock;

use super::clients::habits::Transport;
use super::clients::pauses::Ended;
use super::life::AgentLife;
use super::measured::Move;
use super::poller::Poller;
use super::session::{AgentConnection, End};
use super::{AgentFleet, to_unix_us};

/// Lives until the runtime is dropped, or its client never dials again.
pub(crate) async fn live(fleet: Arc<AgentFleet>, thread: usize, local: usize, first_dial: Instant) {
    let mut life = AgentLife::new(fleet, thread, local, first_dial);
    tokio::time::sleep_until(first_dial.into()).await;
    if life.fleet.options.clients.parts()[life.client].transport == Transport::Http {
        return Poller::new(life, first_dial).run().await;
    }
    while let Some(open) = life.connect().await {
        let (end, talked) = AgentConnection::new(&mut life, open).run().await;
        let now = clock::now();
        let (ended, at) = match end {
            // To its client it is a loss like others.
            End::Cut(cut, ended) => (ended, cut.at),
            End::Left => {
                life.intended = now;
                continue;
            }
            End::Lost(ended) => {
                if !matches!(ended, Ended::Told(_)) {
                    life.moving = Some(Move { closed_at_us: to_unix_us(now), turned_away: 0 });
                }
                (ended, now)
            }
        };
        if !life.pause_after(ended, talked, at).await {
            return;
        }
    }
}
