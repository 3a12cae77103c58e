//! The end of all links: what waits on them is written, as far as there is time.
//!
//! By now the agents are at other nodes, which speak for them. What still waits for a server that
//! wants a pause is dropped: it could arrive after what their new node has said, and the new node asks
//! them for everything (R6). An agent's goodbye is this node's alone to say: it waits for the end of the
//! pause, if that comes in time.

use std::time::{Duration, Instant};

use super::Upstream;
use super::transport::Target;
use crate::clock;
use crate::opamp::agent::AgentScan;
use crate::telemetry::events::upstream::Undelivered;

const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Upstream {
    /// Ends every link once what waits on it is written, waiting at most `patience`. Returns how many
    /// messages are lost with them.
    pub(crate) async fn stop(&self, patience: Duration) -> usize {
        let until = clock::now() + patience;
        let targets = self.targets();
        let given_up: Vec<usize> = targets.iter().map(|target| target.drop_drained()).collect();
        let written = async {
            while targets.iter().any(|target| target.is_writing(until)) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let _ = tokio::time::timeout(patience, written).await;
        let mut all = 0;
        for (target, given_up) in targets.iter().zip(given_up) {
            let links = target.transport.links();
            let waiting: usize = links.iter().map(|link| link.waiting_messages()).sum();
            let messages = waiting + given_up;
            let server = &target.server;
            Undelivered { server: server.name(), messages }.emit(&server.metrics);
            all += messages;
            links.iter().for_each(|link| link.release());
        }
        let ended = async {
            while targets.iter().any(|target| target.server.has_links_up()) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let left = until.saturating_duration_since(clock::now());
        let _ = tokio::time::timeout(left, ended).await;
        all
    }
}

impl Target {
    /// Drops what still waits for a server that wants a pause, of agents that are elsewhere now.
    fn drop_drained(&self) -> usize {
        if self.server.pacer.paused(clock::now()).is_none() {
            return 0;
        }
        let is_goodbye = |body: &[u8]| AgentScan::parse(body).is_ok_and(|scan| scan.disconnects());
        self.transport.links().iter().map(|link| link.give_up(is_goodbye)).sum()
    }

    /// Whether something waits that can be written until then.
    fn is_writing(&self, until: Instant) -> bool {
        let now = clock::now();
        let pause = self.server.pacer.paused(now).filter(|_| self.transport.heeds_pauses());
        let in_vain = pause.is_some_and(|pause| now + pause >= until);
        let links = self.transport.links();
        !in_vain && links.iter().any(|link| link.is_up() && link.waiting_bytes() > 0)
    }
}
