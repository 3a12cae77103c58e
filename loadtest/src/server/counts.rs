//! What the stand-in counts. `POST /reset` puts it all to zero; gauges are no part of it.

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
    /// Their bytes, the header included, WebSocket framing not.
    bytes,
    /// Messages that came by POST.
    posts,
    /// Messages that carry agent_description and effective_config.
    full_states,
    /// Of these, those in which nothing was new, of agents whose state was held complete on the
    /// connection, and that were not asked.
    full_states_repeated,
    /// Messages without any status field, from an agent known on the connection.
    heartbeats,
    /// Messages without any status field, the agent's first on the connection.
    announces,
    /// Messages whose number is not the last one's successor.
    gaps,
    /// Messages of agents not known.
    unknown_agents,
    /// Replies with ReportFullState.
    full_state_requests,
    /// Replies with ReportAvailableComponents.
    component_requests,
    /// Messages with agent_disconnect.
    disconnects,
    /// Custom messages.
    custom_messages,
    /// Reports answered with UNAVAILABLE and not applied.
    unavailable,
    /// Messages that could not be read.
    malformed,
    /// Pushes handed to a connection.
    pushes,
    /// Pushes for agents without a connection.
    pushes_unroutable,
    /// Replies written (or put into an answer to a POST).
    replies,
}
