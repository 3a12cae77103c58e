//! The task that tells a server's state that time passes, and carries out what follows: agents move away
//! from a server and back, and a server whose links are all gone is dialled to see whether it is back.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::findings;
use super::servers::{Server, Servers};
use super::transport::Target;
use crate::clock;
use crate::core::server::{ServerEffect, ServerEvent};
use crate::sessions::Sessions;
use crate::telemetry::events::liveness::LivenessTold;
use crate::telemetry::events::upstream as events;

const TICK: Duration = Duration::from_millis(250);

/// Watches one server, as long as the node lives.
pub(super) async fn watch(servers: Arc<Servers>, target: Arc<Target>, sessions: Arc<Sessions>) {
    let server = &target.server;
    loop {
        for effect in server.handle(ServerEvent::Tick, clock::now()) {
            match effect {
                ServerEffect::Probe => probe(server).await,
                ServerEffect::InUse(healthy) => {
                    let moved = move_agents(&servers, server, &sessions);
                    events::ServerHealth { server: server.name(), healthy, sessions: moved }
                        .emit(&server.metrics);
                }
                ServerEffect::PassOn => servers.pass_on(server),
                _ => {}
            }
        }
        tell_of_liveness(server);
        findings::carry_out(&target, &sessions);
        let pace = server.pacer.measure(clock::now());
        let queue_bytes = target.transport.waiting_bytes();
        events::ServerMeasured { in_use: server.is_in_use(), queue_bytes, pace }
            .emit(&server.metrics);
        tokio::time::sleep(TICK).await;
    }
}

fn tell_of_liveness(server: &Server) {
    let budget = server.params.liveness_budget.map_or(0, NonZeroU32::get);
    // What waits while the server is away waits for its return.
    if server.is_reached()
        && let Some(news) = server.pacer.liveness_news(clock::now())
    {
        LivenessTold { server: server.name(), budget, news }.emit();
    }
}

async fn probe(server: &Server) {
    let event = match server.endpoint.dial().await {
        Ok(_) => ServerEvent::ProbeAnswered,
        Err(error) => {
            ServerEvent::ProbeFailed { dial: error.failed_dial(), jitter: rand::random() }
        }
    };
    server.handle(event, clock::now());
}

/// The server has come into use or has gone out of it: sessions that belong elsewhere now wait for
/// permits there. Returns how many.
fn move_agents(servers: &Servers, server: &Server, sessions: &Sessions) -> usize {
    if !servers.has_others() {
        return 0;
    }
    servers.pass_on(server);
    sessions.enqueue_all(&|_| true)
}
