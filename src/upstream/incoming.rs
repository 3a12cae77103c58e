//! A server's message: read as far as its recipient, then handed to the sessions.

use std::time::Duration;

use super::link::Link;
use super::server::Server;
use crate::clock;
use crate::core::session::Route;
use crate::ident::{InstanceUid, UidError};
use crate::opamp::header;
use crate::opamp::server::{ErrorKind, ServerScan};
use crate::sessions::{Delivered, Delivery, Sessions};
use crate::telemetry::events::upstream as events;

/// How long a server that is overloaded and does not say for how long is left alone.
const PAUSE_DEFAULT: Duration = Duration::from_secs(5);

/// One message from `server` on `link`.
pub(super) fn take(server: &Server, link: &Link, route: Route, sessions: &Sessions, bytes: &[u8]) {
    events::MessageReceived { bytes: bytes.len() }.emit(&server.metrics);
    let scan = match ServerScan::parse(header::strip(bytes)) {
        Ok(scan) => scan,
        Err(fault) => {
            events::MessageMalformed { name: server.name(link), fault: &fault }
                .emit(&server.metrics);
            return;
        }
    };
    server.learn(&scan);
    note_error(server, &scan);
    let uid = match recipient(link, &scan) {
        Ok(Some(uid)) => uid,
        Ok(None) => return unaddressed(server, link, &scan),
        Err(fault) => {
            events::MessageMalformed { name: server.name(link), fault: &fault }
                .emit(&server.metrics);
            return;
        }
    };
    // A link of one agent's own must not reach another: what is not for its owner is for nobody.
    let foreign = link.owner.is_some_and(|owner| owner != uid);
    let delivery = if foreign {
        Delivery { delivered: Delivered::Unknown, answer: None }
    } else {
        sessions.from_server(uid, route, &scan)
    };
    if let Some(answer) = delivery.answer {
        server.pace.answered(link.id.index, answer, clock::now());
    }
    match delivery.delivered {
        Delivered::Done => {}
        Delivered::Unknown if scan.is_empty_ack() => {}
        Delivered::Unknown => {
            events::PushUnroutable { name: server.name(link), uid }.emit(&server.metrics);
        }
        Delivered::Unavailable(retry_after) => pause(server, retry_after),
    }
}

/// Whom the message is for: whom it names, else the link's owner.
fn recipient(link: &Link, scan: &ServerScan<'_>) -> Result<Option<InstanceUid>, UidError> {
    match scan.uid {
        Some(uid) if !uid.is_empty() => InstanceUid::from_wire(uid).map(Some),
        _ => Ok(link.owner),
    }
}

/// Without a uid on a shared link. Acknowledgements and errors come so from some servers and mean
/// no agent in particular; anything else was meant for one and cannot be delivered.
fn unaddressed(server: &Server, link: &Link, scan: &ServerScan<'_>) {
    if scan.is_empty_ack() {
        return;
    }
    match scan.error() {
        Some(error) if error.kind == ErrorKind::Unavailable => pause(server, error.retry_after),
        Some(_) => {}
        None => {
            let first = server.first_anonymous();
            events::PushAnonymous { name: server.name(link), first }.emit(&server.metrics);
        }
    }
}

fn note_error(server: &Server, scan: &ServerScan<'_>) {
    let Some(error) = scan.error() else { return };
    let kind = match error.kind {
        ErrorKind::Unknown => events::ServerErrorKind::Unknown,
        ErrorKind::BadRequest => events::ServerErrorKind::BadRequest,
        ErrorKind::Unavailable => events::ServerErrorKind::Unavailable,
    };
    events::ServerErrorReceived { server: &server.params.name, kind }.emit(&server.metrics);
}

fn pause(server: &Server, retry_after: Option<Duration>) {
    server.pause(retry_after.unwrap_or(PAUSE_DEFAULT), clock::now());
}
