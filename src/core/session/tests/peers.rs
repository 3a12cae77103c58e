//! Naive models of the two ends: an agent as opamp-go's client is one, before and since it left out
//! what is unchanged on reconnecting, and a server that asks when it misses something.

use std::collections::VecDeque;

use prost::Message;

use super::message::{self, Status};
use crate::core::session::Route;
use crate::ident::ConnectionId;
use crate::opamp::proto::{AgentToServer, ServerToAgent};

/// An agent. Its messages are taken from `out`.
#[derive(Debug)]
pub(super) struct AgentPeer {
    /// Reports everything on every connection.
    full_on_reconnect: bool,
    next_number: u64,
    pub(super) status: Status,
    /// What changed and is yet to be reported.
    unreported: Status,
    pub(super) connection: Option<ConnectionId>,
    connections: u64,
    next_custom: u32,
    /// Messages sent and replies got on this connection.
    pub(super) sent: u32,
    pub(super) replied: u32,
    pub(super) out: VecDeque<Vec<u8>>,
}

impl AgentPeer {
    pub(super) fn new(full_on_reconnect: bool) -> Self {
        Self {
            full_on_reconnect,
            next_number: 0,
            status: Status::FIRST,
            unreported: Status::FIRST,
            connection: None,
            connections: 0,
            next_custom: 1,
            sent: 0,
            replied: 0,
            out: VecDeque::new(),
        }
    }

    pub(super) fn connect(&mut self) {
        if self.connection.is_some() {
            return;
        }
        self.connections += 1;
        self.connection = Some(ConnectionId(self.connections));
        (self.sent, self.replied) = (0, 0);
        let mut status = self.unreported;
        if self.full_on_reconnect || self.next_number == 0 {
            // opamp-go's first report of a connection has health only if it has changed.
            status = Status { health: status.health, ..self.status };
        }
        self.report(status);
    }

    pub(super) fn disconnected(&mut self) {
        self.connection = None;
        self.out.clear();
    }

    /// The process ends and another takes its place, with the same uid.
    pub(super) fn restart(&mut self) {
        self.disconnected();
        self.next_number = 0;
        self.unreported = self.status;
    }

    pub(super) fn change(&mut self, with: Status) {
        self.status.update(with);
        self.unreported.update(with);
        if self.connection.is_some() {
            self.report(self.unreported);
        }
    }

    pub(super) fn heartbeat(&mut self) {
        self.send(message::heartbeat);
    }

    /// Sends heartbeats that its front answers. Returns the number of the last one.
    pub(super) fn heartbeats_answered(&mut self, count: u64) -> Option<u64> {
        self.connection?;
        let answered = u32::try_from(count).unwrap();
        self.next_number += count;
        self.sent += answered;
        self.replied += answered;
        Some(self.next_number - 1)
    }

    pub(super) fn custom(&mut self) {
        let data = self.next_custom;
        self.next_custom += 1;
        self.send(|number| message::custom(number, data));
    }

    /// Says that it leaves.
    pub(super) fn leave(&mut self) {
        self.send(message::disconnect);
    }

    fn report(&mut self, status: Status) {
        self.unreported = Status::default();
        self.send(|number| message::report(number, status));
    }

    fn send(&mut self, make: impl FnOnce(u64) -> AgentToServer) {
        if self.connection.is_some() {
            let number = self.next_number;
            self.next_number += 1;
            self.sent += 1;
            self.out.push_back(message::bytes(&make(number)));
        }
    }

    pub(super) fn receive(&mut self, is_reply: bool, bytes: &[u8]) {
        let message = ServerToAgent::decode(bytes).unwrap();
        assert_eq!(message.instance_uid, [7; 16]);
        self.replied += u32::from(is_reply);
        assert!(self.replied <= self.sent, "R5: a reply too many");
        if message.flags & 1 != 0 {
            self.report(self.status);
        }
        if let Some(config) = message.remote_config {
            let hash = String::from_utf8(config.config_hash).unwrap().parse().unwrap();
            self.change(Status { remote: Some(hash), ..Status::default() });
        }
    }
}

#[derive(Debug)]
pub(super) struct Known {
    last: u64,
    status: Status,
    wants_all: bool,
}

/// A server.
#[derive(Debug, Default)]
pub(super) struct ServerPeer {
    pub(super) known: Option<Known>,
    /// The remote configuration the agent should have.
    pub(super) desired: u32,
    pub(super) is_overloaded: bool,
    /// Asks for full state on every reply.
    pub(super) always_asks: bool,
    /// Finds by their numbers that messages were lost.
    pub(super) counts: bool,
    /// The configuration it has offered, as far as it knows.
    pub(super) offered: u32,
    /// R3: the last number, and where it came.
    pub(super) counted: Option<(Route, u64)>,
    pub(super) last_custom: u32,
}

impl ServerPeer {
    /// What it believes.
    pub(super) fn status(&self) -> Option<Status> {
        self.known.as_ref().map(|known| known.status)
    }

    /// It starts again, having forgotten everything.
    pub(super) fn restart(&mut self) {
        self.known = None;
    }

    /// What it offered may have been lost with the link: it is offered again.
    pub(super) fn link_lost(&mut self) {
        self.offered = 0;
    }

    /// Offers what the agent should have.
    pub(super) fn offer(&mut self) -> Vec<u8> {
        self.offered = self.desired;
        message::bytes(&message::offer(self.desired))
    }

    pub(super) fn receive(&mut self, route: Route, bytes: &[u8]) -> Vec<u8> {
        let message = AgentToServer::decode(bytes).unwrap();
        let number = message.sequence_num;
        if let Some((on, last)) = self.counted
            && on == route
        {
            assert_eq!(number, last.wrapping_add(1), "R3: +1 for each message sent on");
        }
        self.counted = Some((route, number));
        if let Some(custom) = &message.custom_message {
            let data = String::from_utf8_lossy(&custom.data).parse().unwrap();
            assert!(data > self.last_custom, "custom messages out of order, or twice");
            self.last_custom = data;
        }
        if message.agent_disconnect.is_some() {
            self.known = None;
            // The next one is a new agent.
            self.counted = None;
            return message::bytes(&message::ack());
        }
        let is_new = self.known.is_none();
        let known = self.known.get_or_insert(Known {
            last: number,
            status: Status::default(),
            wants_all: true,
        });
        known.wants_all |= self.counts && !is_new && number != known.last.wrapping_add(1);
        known.last = number;
        if self.is_overloaded {
            return message::bytes(&message::unavailable());
        }
        let status = message::status(&message);
        known.status.update(status);
        known.wants_all &= !status.is_complete();
        let wants_all = known.wants_all || self.always_asks;
        let lacks = status.remote.is_some_and(|hash| hash != self.desired);
        let reply = if lacks || self.offered != self.desired {
            self.offered = self.desired;
            message::offer(self.desired)
        } else {
            message::ack()
        };
        message::bytes(&ServerToAgent { flags: u64::from(wants_all), ..reply })
    }
}
