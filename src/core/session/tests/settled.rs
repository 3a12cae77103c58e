//! An agent whose first report the server has answered: where many tests begin.

use prost::Message;

use super::harness::{Gateway, route};
use super::message::{self, Status, bytes};
use crate::ident::ConnectionId;
use crate::opamp::proto::AgentToServer;

/// The agent's connection.
pub(super) const HERE: ConnectionId = ConnectionId(1);

/// A report with all that the agent says at first.
pub(super) fn full(number: u64) -> Vec<u8> {
    bytes(&message::report(number, Status::FIRST))
}

/// See the module's text. What led there is forgotten.
pub(super) fn gateway() -> Gateway {
    let mut gateway = Gateway::new(crate::clock::now());
    gateway.agent_says(HERE, &full(0));
    gateway.server_says(route(1), &bytes(&message::ack()));
    gateway.effects = Default::default();
    gateway
}

/// Takes what has gone to the server since the last look.
pub(super) fn sent(gateway: &mut Gateway) -> Vec<AgentToServer> {
    let sent = gateway.effects.to_server.drain(..);
    sent.map(|(_, bytes)| AgentToServer::decode(&bytes[..]).unwrap()).collect()
}
