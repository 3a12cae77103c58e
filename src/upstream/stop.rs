//! The end of all links: what waits on them is written, as far as there is time.
//!
//! By now the agents are at other nodes, which speak for them. What a server that wants peace has not
//! taken of theirs is not held back for it any longer: it could arrive after what their new node has
//! said, and the new node asks them for everything (R6). An agent's goodbye is nobody else's to say: it
//! waits for the end of the pause, if that comes in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Upstream;
use super::link::Link;
use super::server::Server;
use crate::clock;
use crate::opamp::agent::AgentScan;
use crate::telemetry::events::upstream::Undelivered;

const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Upstream {
    /// Ends every link once what waits on it is written, waiting at most `patience`. Returns how many
    /// messages are lost with them.
    pub async fn stop(&self, patience: Duration) -> usize {
        let until = clock::now() + patience;
        let given_up: Vec<usize> =
            self.servers.iter().map(|server| server.let_moved_go()).collect();
        let written = async {
            while self.servers.iter().any(|server| server.is_writing(until)) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let _ = tokio::time::timeout(patience, written).await;
        let mut all = 0;
        for (server, given_up) in self.servers.iter().zip(given_up) {
            let links = server.links();
            let waiting: usize = links.iter().map(|link| link.waiting_messages()).sum();
            let messages = waiting + given_up;
            Undelivered { server: &server.params.name, messages }.emit(&server.metrics);
            all += messages;
            links.iter().for_each(|link| link.release());
        }
        let ended = async {
            while self.servers.iter().any(|server| server.has_links_up()) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let left = until.saturating_duration_since(clock::now());
        let _ = tokio::time::timeout(left, ended).await;
        all
    }
}

/// Whether a message is its agent's last.
pub(super) fn is_goodbye(body: &[u8]) -> bool {
    AgentScan::parse(body).is_ok_and(|scan| scan.disconnects())
}

impl Server {
    fn links(&self) -> Vec<Arc<Link>> {
        let owned = self.owned.iter().map(|link| Arc::clone(&link));
        self.shared.iter().cloned().chain(owned).collect()
    }

    /// Gives up what a server that wants peace has not taken of agents that are elsewhere now.
    fn let_moved_go(&self) -> usize {
        if self.pace.paused(clock::now()).is_none() {
            return 0;
        }
        self.shared.iter().map(|link| link.give_up(is_goodbye)).sum()
    }

    /// Whether something waits that can be written until then.
    fn is_writing(&self, until: Instant) -> bool {
        let now = clock::now();
        // A lane that was told to wait does; a WebSocket writes what is on it nevertheless.
        let paused = self.polls.as_ref().and_then(|_| self.pace.paused(now));
        let in_vain = paused.is_some_and(|pause| now + pause >= until);
        !in_vain && self.links().iter().any(|link| link.is_up() && link.waiting_bytes() > 0)
    }
}
