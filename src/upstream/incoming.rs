//! A server's message: read as far as its recipient, then handed to the sessions.

use std::time::Duration;

use super::link::Link;
use super::servers::Server;
use crate::clock;
use crate::core::link::{Recipient, recipient};
use crate::core::server::ServerEvent;
use crate::core::session::{Answer, Route};
use crate::ident::InstanceUid;
use crate::opamp::field_set::server_field;
use crate::opamp::fields::fields;
use crate::opamp::header;
use crate::opamp::server::{ErrorKind, ServerScan};
use crate::sessions::{Delivered, Delivery, Sessions};
use crate::telemetry::events::upstream as events;

/// Where a message came from.
pub(super) struct Origin<'a> {
    pub(super) server: &'a Server,
    pub(super) link: &'a Link,
    pub(super) route: Route,
    /// The one agent that it can be for: the link's owner, or the one whose request it answers.
    pub(super) agent: Option<InstanceUid>,
}

/// Takes one message. Returns whether it could be read, and was for an agent here or answers the last
/// message of one that has left.
pub(super) fn take(origin: &Origin<'_>, sessions: &Sessions, bytes: &[u8]) -> bool {
    let Origin { server, link, route, agent } = *origin;
    events::ServerMessageReceived { bytes: bytes.len() }.emit(&server.metrics);
    let scan = match ServerScan::parse(header::strip(bytes)) {
        Ok(scan) => scan,
        Err(fault) => {
            events::MessageMalformed { name: link.name(server.name()), fault: &fault }
                .emit(&server.metrics);
            return false;
        }
    };
    server.remember_hello(&scan);
    note_error(server, &scan);
    // An empty uid names as little as an absent one.
    let named = scan.uid.filter(|uid| !uid.is_empty()).map(InstanceUid::from_wire).transpose();
    let named = match named {
        Ok(named) => named,
        Err(fault) => {
            events::MessageMalformed { name: link.name(server.name()), fault: &fault }
                .emit(&server.metrics);
            return false;
        }
    };
    server.suspects.answered(link.answered(agent.or(named)));
    let (uid, delivery) = match recipient(agent, named) {
        Recipient::Agent(uid) => (uid, sessions.from_server(uid, route, &scan)),
        Recipient::Foreign(uid) => (uid, Delivery::of(Delivered::Unknown, None)),
        Recipient::Unaddressed => {
            unaddressed(server, link, &scan);
            return false;
        }
    };
    if let Some(answer) = delivery.answer {
        server.pacer.answered(link.id.index, answer, clock::now());
    }
    if let Some(keying) = delivery.shows {
        let first = server.is_first(ServerEvent::ShowsKeying(keying), clock::now());
        events::KeyingShown { server: server.name(), keying, first }.emit();
    }
    match delivery.delivered {
        Delivered::Done => {}
        Delivered::Unknown if scan.is_empty_ack() => {}
        Delivered::Unknown => {
            events::PushUnroutable { name: link.name(server.name()), uid }.emit(&server.metrics);
        }
        Delivered::Unavailable(retry_after) => pause(server, retry_after),
    }
    delivery.delivered != Delivered::Unknown || delivery.answer.is_some()
}

/// A message over the limit was read and not stored. Its agent, if its beginning names one, gets no answer of it.
pub(super) fn pass_over(origin: &Origin<'_>, sessions: &Sessions, head: &[u8], bytes: u64) {
    let Origin { server, link, route, agent } = *origin;
    let uid = agent.or_else(|| uid_of(header::strip(head)));
    events::MessagePassedOver { name: link.name(server.name()), uid, bytes }.emit(&server.metrics);
    server.suspects.answered(link.answered(uid));
    let answer = uid.and_then(|uid| sessions.not_taken(uid, route, false));
    if let Some(answer) = answer {
        server.pacer.answered(link.id.index, answer, clock::now());
    }
}

/// The agent's uid, if it stands in the beginning of a message.
fn uid_of(head: &[u8]) -> Option<InstanceUid> {
    let mut known = fields(head).map_while(Result::ok);
    let uid = known.find(|field| field.number == server_field::INSTANCE_UID)?;
    InstanceUid::from_wire(&head[uid.value]).ok()
}

/// A message on a shared link without an agent's uid. Some servers send acknowledgements and errors so,
/// which concern all agents; anything else was meant for one agent, and is undeliverable.
fn unaddressed(server: &Server, link: &Link, scan: &ServerScan<'_>) {
    if scan.is_empty_ack() || scan.error().is_some() {
        // It does not say whose message it answers, but one less is in flight: the pace does not starve.
        server.pacer.answered(link.id.index, Answer::SOME, clock::now());
    }
    if scan.is_empty_ack() {
        return;
    }
    match scan.error() {
        Some(error) if error.kind == ErrorKind::Unavailable => pause(server, error.retry_after),
        Some(_) => {}
        None => {
            let first = server.is_first(ServerEvent::AnonymousPush, clock::now());
            events::PushAnonymous { name: link.name(server.name()), first }.emit(&server.metrics);
        }
    }
}

fn note_error(server: &Server, scan: &ServerScan<'_>) {
    let Some(error) = scan.error() else { return };
    let (server_name, kind) = (server.name(), error.kind);
    events::ServerErrorReceived { server: server_name, kind }.emit(&server.metrics);
}

/// The server has asked for a pause.
pub(super) fn pause(server: &Server, retry_after: Option<Duration>) {
    server.handle(ServerEvent::PauseAsked(retry_after), clock::now());
}
