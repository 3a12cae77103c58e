//! What the stand-in counts. `POST /reset` puts it all to zero; gauges stay.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn one(&self) {
        self.more(1);
    }

    /// `by` more.
    pub(crate) fn more(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
}

impl Serialize for Count {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.load(Ordering::Relaxed))
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters since the start or the last reset.
        #[derive(Debug, Default, Serialize)]
        pub(crate) struct Counts {
            $($(#[$doc])* pub(crate) $name: Count,)*
        }

        impl Counts {
            /// Puts all to zero.
            pub(crate) fn reset(&self) {
                $(self.$name.0.store(0, Ordering::Relaxed);)*
            }
        }
    };
}

counts! {
    /// TCP connections accepted on the OpAMP port, whatever became of them.
    dials,
    /// WebSockets established.
    websockets,
    /// Upgrades and POSTs refused on purpose.
    refused,
    /// WebSockets that ended, for whatever reason.
    websockets_closed,
    /// AgentToServer messages.
    messages,
    /// Their bytes, with the header and apart from WebSocket framing.
    bytes,
    /// Messages that came by POST.
    posts,
    /// Messages that carry agent_description and effective_config.
    full_states,
    /// Of these, unasked ones in which everything was known, of agents whose complete state had
    /// come on the connection.
    full_states_repeated,
    /// Messages whose status fields are all absent, from an agent known on the connection.
    heartbeats,
    /// Messages whose status fields are all absent, the agent's first on the connection.
    announces,
    /// Messages whose number skips or repeats one.
    gaps,
    /// Messages of unknown agents.
    unknown_agents,
    /// Replies with ReportFullState.
    full_state_requests,
    /// Replies with ReportAvailableComponents.
    component_requests,
    /// Agents that came on a second connection and were renamed, by `--keyed-by exclusive`.
    renamed,
    /// Messages with agent_disconnect.
    disconnects,
    /// Custom messages.
    custom_messages,
    /// Reports answered with UNAVAILABLE instead of applied.
    unavailable,
    /// Malformed messages.
    malformed,
    /// Pushes handed to a connection.
    pushes,
    /// Pushes for disconnected agents.
    pushes_unroutable,
    /// Replies written (or put into an answer to a POST).
    replies,
}
