//! What an operator sees of agents: sessions that are here, connections that end here, and sessions that another
//! node tells of.

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::GatewayView;
use super::cluster::PATIENCE;
use crate::admin::{ConnectionView, ListedAgent, SessionAnswer, SessionView};
use crate::core::node_link::AgentConnection;
use crate::core::ownership::{NodeIncarnation, shard_of};
use crate::core::session::{FullState, Presence};
use crate::fleet::Inquiry;
use crate::ident::InstanceUid;
use crate::opamp::field_set::agent_field;
use crate::sessions::{AgentHere, ConnectionInfo, SessionInfo};

/// What a home tells another node of an agent. Null: it has no session of it.
#[derive(Debug, Serialize)]
pub(super) struct AtHome {
    session: Option<SessionView>,
}

/// The same as it is read: the session of another version may have other fields.
#[derive(Debug, Deserialize)]
struct AtOtherHome {
    session: Option<serde_json::Value>,
}

impl GatewayView {
    /// One page of the agents that this node has to do with.
    pub(super) fn agents(&self, after: Option<InstanceUid>, limit: usize) -> Vec<ListedAgent> {
        let names = self.server_names();
        let listed = |agent| match agent {
            AgentHere::Home { session, is_front } => ListedAgent::Home {
                role: if is_front { "home and front" } else { "home" },
                session: self.describe(session, &names),
            },
            AgentHere::Front(connection) => ListedAgent::Front {
                role: "front",
                connection: self.describe_connection(&connection),
            },
        };
        self.sessions.agents().list(after, limit).into_iter().map(listed).collect()
    }

    /// What this node knows of an agent's session.
    pub(super) fn session_at_home(&self, uid: InstanceUid) -> AtHome {
        let info = self.sessions.info(uid);
        AtHome { session: info.map(|info| self.describe(info, &self.server_names())) }
    }

    /// One agent, from its home.
    pub(super) fn session_anywhere(&self, uid: InstanceUid) -> SessionAnswer {
        let home = self.fleet.home_of(shard_of(uid));
        let me = self.fleet.incarnation();
        if let Some(session) = self.session_at_home(uid).session {
            return SessionAnswer::Here(session);
        }
        let connection = || {
            let connection = self.sessions.agents().connection(uid);
            connection.map(|connection| self.describe_connection(&connection))
        };
        let Some(home) = home else {
            let shard = shard_of(uid).get();
            return SessionAnswer::Homeless { shard, connection: connection() };
        };
        let name = self.node_name(home.node);
        if home.node == me {
            return SessionAnswer::Unknown { home: name };
        }
        let silent = |why: String| SessionAnswer::Silent {
            home: self.node_name(home.node),
            why,
            connection: connection(),
        };
        let fleet = std::sync::Arc::clone(&self.fleet);
        let asking = fleet.ask(home.node, Inquiry::Session(uid), PATIENCE);
        let answer = match Handle::current().block_on(asking) {
            Ok(answer) => answer,
            Err(why) => return silent(why.to_string()),
        };
        match serde_json::from_slice::<AtOtherHome>(&answer) {
            Ok(AtOtherHome { session: Some(session) }) => SessionAnswer::Elsewhere(session),
            Ok(AtOtherHome { session: None }) => SessionAnswer::Unknown { home: name },
            Err(error) => silent(format!("its answer cannot be read: {error}")),
        }
    }

    /// The name of a node; its incarnation if this node has never heard of it.
    fn node_name(&self, node: NodeIncarnation) -> String {
        self.fleet.name_of(node).map_or_else(|| node.to_string(), |name| name.to_string())
    }

    fn server_names(&self) -> Vec<String> {
        self.upstream.status().into_iter().map(|server| server.name).collect()
    }

    fn describe_connection(&self, connection: &ConnectionInfo) -> ConnectionView {
        let shard = shard_of(connection.uid);
        ConnectionView {
            uid: connection.uid,
            shard: shard.get(),
            home: self.fleet.home_of(shard).map(|home| self.node_name(home.node)),
            transport: match connection.transport {
                AgentConnection::WebSocket => "websocket",
                AgentConnection::PlainHttp => "http",
            },
            is_open: connection.is_open,
            is_attached: connection.is_attached,
            held_bytes: connection.held_bytes,
        }
    }

    fn describe(&self, info: SessionInfo, names: &[String]) -> SessionView {
        let link = info.sent_on.map(|route| route.link);
        let is_there =
            matches!(info.presence, Presence::Connected { .. } | Presence::Polling { .. });
        // A node without others is the front of all.
        let front = match self.sessions.agents().front_of(info.uid) {
            Some(front) => Some(self.node_name(front)),
            None => (is_there && !self.fleet.is_shared()).then(|| self.fleet.name().to_string()),
        };
        SessionView {
            uid: info.uid,
            shard: shard_of(info.uid).get(),
            home: self.fleet.name().to_string(),
            front,
            state: match info.presence {
                Presence::Connected { .. } => "connected",
                Presence::Polling { .. } => "polling",
                Presence::Absent { .. } => "absent",
                Presence::Disconnecting => "disconnecting",
                Presence::Gone => "gone",
            },
            capabilities: info.capabilities,
            agent_sequence_num: info.agent_number,
            server_sequence_num: link.map(|_| info.upstream_number),
            server: link.and_then(|link| names.get(usize::from(link.server.0)).cloned()),
            link: link.map(|link| link.index),
            unanswered: info.unanswered,
            full_state: match info.full_state {
                FullState::Reported => "reported",
                FullState::Wanted => "wanted",
                FullState::Asked(_) => "asked",
            },
            waiting_bytes: info.waiting_bytes,
            server_lacks: info.server_lacks.iter().map(agent_field::name).collect(),
            queued: !info.queued.is_empty(),
        }
    }
}
