//! The task that asks one server of mode `http` on behalf of its agents, as `core::http_mode::PollSchedule`
//! says.

use std::sync::Arc;

use super::pool::HttpPool;
use crate::clock;
use crate::core::http_mode::PollSchedule;
use crate::sessions::{Polled, Sessions};
use crate::telemetry::events::upstream as events;

/// Agents looked at before other tasks may run.
const BATCH: usize = 64;

/// Polls for agents part by part, as long as the node lives.
pub(super) async fn poll(pool: Arc<HttpPool>, sessions: Arc<Sessions>) {
    let server = &pool.server;
    let mut schedule = PollSchedule::new(pool.parts, clock::now());
    loop {
        let (part, at) = schedule.next(clock::now());
        tokio::time::sleep(at.saturating_duration_since(clock::now())).await;
        if server.holds_still() {
            // All its agents are announced when the node may speak again.
            continue;
        }
        for (count, uid) in pool.part(part).into_iter().enumerate() {
            match sessions.poll(uid, server.id, pool.parts.quiet_for()) {
                Polled::Due => events::PollDue.emit(&server.metrics),
                Polled::NotYet => {}
                Polled::Away => pool.remove(uid),
            }
            if count % BATCH == BATCH - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}
