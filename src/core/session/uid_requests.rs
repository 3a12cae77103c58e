//! R10: agents that ask their server for a uid ("AgentToServer.flags", `RequestInstanceUid`). Fresh agents of one image
//! share a temporary uid until then, and replace one another's connections. What the server gives is for the agent that
//! asked: its connection may be gone by then, and the session another agent's.
//!
//! Answers come in the order of the requests. One that stays out is forgotten after a while.

use std::time::{Duration, Instant};

use super::Session;

/// `AgentToServerFlags_RequestInstanceUid`.
const REQUEST_INSTANCE_UID: u64 = 1;
/// How long the answer to a request is expected.
const EXPECTED_FOR: Duration = Duration::from_secs(30);

/// Requests that are yet to be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct UidRequests {
    /// Of the connection that has the session.
    here: u8,
    /// Of connections before it: their answers come first.
    before: u8,
    until: Option<Instant>,
}

impl UidRequests {
    /// Whether answers are expected no more.
    pub(super) fn is_idle(self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn asked(&mut self, now: Instant) {
        if self.is_idle(now) {
            *self = Self::default();
        }
        self.here = self.here.saturating_add(1);
        self.until = Some(now + EXPECTED_FOR);
    }

    /// Another connection has the session.
    pub(super) const fn begin_anew(&mut self) {
        self.before = self.before.saturating_add(self.here);
        self.here = 0;
    }

    /// The server gives a uid. Whether it is for a connection that is gone.
    fn is_for_another(&mut self, now: Instant) -> bool {
        if self.is_idle(now) {
            *self = Self::default();
        }
        let before = self.before > 0;
        let left = if before { &mut self.before } else { &mut self.here };
        *left = left.saturating_sub(1);
        if self.before == 0 && self.here == 0 {
            self.until = None;
        }
        before
    }
}

/// Takes note of the flags in an agent's message.
pub(super) fn note_flags(session: &mut Session, flags: u64, now: Instant) {
    if flags & REQUEST_INSTANCE_UID != 0 {
        session.cold_mut().uid_requests.asked(now);
    }
}

/// Whether a uid that the server gives now is for an agent whose connection is gone.
pub(super) fn gives_uid_to_another(session: &mut Session, now: Instant) -> bool {
    session.cold.as_mut().is_some_and(|cold| cold.uid_requests.is_for_another(now))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::tests::message::{self, Status, bytes};
    use super::super::tests::{Harness, route};
    use super::*;
    use crate::core::session::{Note, OfferLoss};
    use crate::ident::ConnectionId;
    use crate::opamp::proto::{AgentIdentification, AgentToServer, ServerToAgent};

    fn asks(gateway: &mut Harness, connection: u64) {
        let status =
            Status { description: Some(u32::try_from(connection).unwrap()), ..Status::FIRST };
        let message = AgentToServer { flags: REQUEST_INSTANCE_UID, ..message::report(0, status) };
        gateway.agent_says(ConnectionId(connection), &bytes(&message));
    }

    fn gives(gateway: &mut Harness, uid: u8) {
        let identification = AgentIdentification { new_instance_uid: vec![uid; 16] };
        let agent_identification = Some(identification);
        gateway.server_says(
            route(1),
            &bytes(&ServerToAgent { agent_identification, ..message::ack() }),
        );
    }

    #[test]
    fn of_two_agents_that_ask_for_a_uid_each_gets_its_own_or_none() {
        let mut gateway = Harness::new(crate::clock::now());
        asks(&mut gateway, 1);
        asks(&mut gateway, 2);
        gives(&mut gateway, 1);
        assert_eq!(
            gateway.effects.notes.last(),
            Some(&Note::OfferDropped(OfferLoss::FormerConnection))
        );
        gives(&mut gateway, 2);
        let given: Vec<_> = gateway
            .effects
            .to_agent
            .iter()
            .map(|sent| (sent.connection, ServerToAgent::decode(&sent.bytes[..]).unwrap()))
            .filter_map(|(connection, it)| {
                Some((connection.0, it.agent_identification?.new_instance_uid[0]))
            })
            .collect();
        assert_eq!(given, [(2, 2)]);
        asks(&mut gateway, 2);
        gives(&mut gateway, 3);
        let last =
            ServerToAgent::decode(&gateway.effects.to_agent.back().unwrap().bytes[..]).unwrap();
        assert!(last.agent_identification.is_some());
    }

    #[test]
    fn an_answer_that_stays_out_is_not_waited_for() {
        let now = crate::clock::now();
        let mut requests = UidRequests::default();
        requests.asked(now);
        requests.begin_anew();
        assert!(requests.is_for_another(now) && requests.is_idle(now));
        requests.asked(now);
        requests.begin_anew();
        assert!(!requests.is_for_another(now + EXPECTED_FOR), "what the server gives unasked");
    }
}
